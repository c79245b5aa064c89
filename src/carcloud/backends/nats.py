"""The log: NATS with JetStream. Chosen, so there is no port around it.

Rules:
* A reader keeps its own position and reads by sequence (direct get): no consumer that a broker could lose.
* A writer is fenced: it names the sequence it believes to be the last of its subject, and a second writer is refused.
* Every failure of the log or the line to it is TryLaterError: the caller goes back to its durable position.

Source: NATS ADR-31 (direct get, batched), ADR-42; nats-server 2.15.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from carcloud.errors import CarcloudError, ConflictError, TryLaterError

log = logging.getLogger(__name__)

WRONG_LAST_SEQUENCE = 10071
GONE = (10037, 10043)  # no such message: at the ends of a stream, and within it
END_OF_BATCH, NOT_FOUND = "204", "404"
_FAILURES = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


@dataclass(frozen=True)
class Message:
    """A stored message: its sequence, subject, content, and when the broker received it (µs since 1970 UTC)."""

    sequence: int
    subject: str
    data: bytes
    received_us: int


@dataclass(frozen=True)
class StreamState:
    """Where a stream stands. `created` tells one life of a stream from the next."""

    created: str
    first: int
    last: int
    messages: int
    bytes: int

    @property
    def removed(self) -> int:
        """Return how many messages are gone from between the first and the last."""
        return max(self.last - self.first + 1 - self.messages, 0)


class Bus:
    """One connection to the broker in one account."""

    def __init__(self) -> None:
        self._client = Client()
        self.epoch = self.unanswered = 0

    @classmethod
    async def connect(cls, url: str, name: str) -> Bus:
        """Connect and keep reconnecting; wait for a broker that is still starting."""
        bus = cls()
        while True:
            try:
                await bus._client.connect(
                    url,
                    name=name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]
                    pending_size=64 << 20,
                    connect_timeout=2,
                    error_cb=_noted,
                    disconnected_cb=bus._on_disconnected,
                )
                return bus
            except _FAILURES:
                bus._client = Client()
                await asyncio.sleep(0.1)

    async def _on_disconnected(self) -> None:
        """Count the lives of the line, before anything comes over a new one: the broker may be another."""
        self.epoch += 1

    @property
    def connected(self) -> bool:
        """Tell whether the line is up now."""
        return self._client.is_connected

    async def close(self) -> None:
        """Close the connection; nothing is flushed that was not awaited."""
        await self._client.close()

    async def publish(self, subject: str, data: bytes) -> None:
        """Tell whoever listens now; nothing is stored."""
        try:
            await self._client.publish(subject, data)
        except _FAILURES as error:
            raise TryLaterError(f"The broker is away: {_name(error)}.") from error

    async def flush(self) -> None:
        """Wait until the broker has what was published."""
        try:
            await self._client.flush(2)
        except _FAILURES as error:
            raise TryLaterError(f"The broker is away: {_name(error)}.") from error

    async def request(self, subject: str, data: bytes = b"", timeout_s: float = 2.0) -> bytes:
        """Ask whoever answers on `subject`; raise TryLaterError when nobody does in time."""
        try:
            return (await self._client.request(subject, data, timeout=timeout_s)).data
        except _FAILURES as error:
            raise TryLaterError(f"Nobody answered {subject}: {_name(error)}.") from error

    async def listen(
        self, subject: str, heard: Callable[[str, bytes], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        """Call `heard(subject, data)` for every message from now on, across reconnects; return how to stop."""

        async def each(message: Msg) -> None:
            await heard(message.subject, message.data)

        subscription = await self._client.subscribe(subject, cb=each)

        async def stop() -> None:
            with suppress(*_FAILURES):
                await subscription.unsubscribe()

        return stop

    async def answer(self, subject: str, reply: Callable[[bytes], Awaitable[bytes]], queue: str = "") -> None:
        """Answer every request on `subject` from now on, across reconnects."""

        async def each(message: Msg) -> None:
            try:
                await message.respond(await reply(message.data))
            except CarcloudError as error:
                log.warning("no answer", extra={"subject": message.subject, "reason": str(error)})

        await self._client.subscribe(subject, queue=queue, cb=each)

    async def ensure_stream(
        self, name: str, subjects: list[str], *, memory: bool, limit_bytes: int, newest_only: bool = False
    ) -> None:
        """Create the stream, or bring the limit of an existing one up to date. When full it refuses new messages.

        `newest_only`: keep one message a subject.
        """
        config = StreamConfig(
            name=name,
            subjects=subjects,
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.MEMORY if memory else StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=limit_bytes,
            max_msgs_per_subject=1 if newest_only else -1,
            allow_direct=True,
        )
        try:
            await self._make(config)
        except _FAILURES as error:
            raise TryLaterError(f"The stream {name} cannot be made: {_name(error)}.") from error

    async def _make(self, config: StreamConfig) -> None:
        """Make or update a stream; one in memory that the broker made on disk is made anew."""
        js, name = self._client.jetstream(), config.name or ""
        try:
            found = (await js.stream_info(name)).config
        except nats.js.errors.NotFoundError:
            await js.add_stream(config)
            return
        if found.storage != config.storage:
            await js.delete_stream(name)
            await js.add_stream(config)
        elif found.max_bytes != config.max_bytes:
            await js.update_stream(config)

    async def state(self, stream: str) -> StreamState:
        """Return where the stream stands; raise TryLaterError while it or the broker is away."""
        try:
            raw = await self._client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2)
            info = json.loads(raw.data)
            state = info["state"]
        except (*_FAILURES, KeyError, ValueError) as error:
            raise TryLaterError(f"The stream {stream} is away: {_name(error)}.") from error
        return StreamState(info["created"], state["first_seq"], state["last_seq"], state["messages"], state["bytes"])

    async def append(self, subject: str, data: bytes, expected_last: int | None = None) -> int:
        """Store a message and return its sequence once it is durable.

        Raises:
            ConflictError: `expected_last` is not the last sequence of the subject: another writer was here.
            TryLaterError: not known to be stored; look at the last message of the subject. `unanswered` counts how
                often in a row the broker said nothing though the line stayed up: it could not write.
        """
        headers = None if expected_last is None else {"Nats-Expected-Last-Subject-Sequence": str(expected_last)}
        epoch = self.epoch
        try:
            reply = await self._client.request(subject, data, timeout=10, headers=headers)
            ack = json.loads(reply.data)
        except (*_FAILURES, ValueError) as error:
            silent = isinstance(error, TimeoutError) and self.connected and self.epoch == epoch
            self.unanswered += silent
            raise TryLaterError(f"Not known whether {subject} was stored: {_name(error)}.") from error
        self.unanswered = 0
        if problem := ack.get("error"):
            if problem.get("err_code") == WRONG_LAST_SEQUENCE:
                raise ConflictError(f"{subject} was written by another: {problem.get('description')}.")
            raise TryLaterError(f"{subject} was not stored: {problem.get('description')}.")
        return int(ack["seq"])

    async def last(self, stream: str, subject: str) -> Message | None:
        """Return the last stored message of a subject, or None."""
        found = await self._direct(stream, {"last_by_subj": subject})
        return found[0] if found else None

    async def read(self, stream: str, subject: str, start: int, limit: int, limit_bytes: int = 0) -> list[Message]:
        """Return up to `limit` stored messages matching `subject` from sequence `start` on; at once, maybe none."""
        query: dict[str, object] = {"seq": max(start, 1), "next_by_subj": subject, "batch": limit}
        if limit_bytes:
            query["max_bytes"] = limit_bytes
        return await self._direct(stream, query)

    async def purge(self, stream: str, subject: str, below: int) -> None:
        """Delete the messages of `subject` with a sequence lower than `below`."""
        if below <= 1:  # there are none; and the broker takes 0 for no limit, and deletes all
            return
        query = json.dumps({"filter": subject, "seq": below}).encode()
        try:
            reply = await self._client.request(f"$JS.API.STREAM.PURGE.{stream}", query, timeout=5)
            problem = json.loads(reply.data).get("error")
        except (*_FAILURES, ValueError) as error:
            raise TryLaterError(f"{stream} was not purged: {_name(error)}.") from error
        if problem:
            raise TryLaterError(f"{stream} was not purged: {problem.get('description')}.")

    async def remove(self, stream: str, sequence: int) -> None:
        """Delete one message; one that is gone already is no failure."""
        try:
            query = json.dumps({"seq": sequence}).encode()
            reply = await self._client.request(f"$JS.API.STREAM.MSG.DELETE.{stream}", query, timeout=5)
            problem = json.loads(reply.data).get("error")
        except (*_FAILURES, ValueError) as error:
            raise TryLaterError(f"A message of {stream} was not removed: {_name(error)}.") from error
        if problem and problem.get("err_code") not in GONE:
            raise TryLaterError(f"A message of {stream} was not removed: {problem.get('description')}.")

    async def _direct(self, stream: str, query: dict[str, object]) -> list[Message]:
        """Ask the stream's direct-get service; a batch ends with a status message."""
        inbox, found, ended = self._client.new_inbox(), list[Message](), asyncio.Event()
        statuses = list[str]()
        single = "batch" not in query

        async def each(message: Msg) -> None:
            headers = message.headers or {}
            if "Status" in headers:
                statuses.append(headers["Status"])
            else:
                sequence, at = int(headers["Nats-Sequence"]), _microseconds(headers["Nats-Time-Stamp"])
                found.append(Message(sequence, headers["Nats-Subject"], message.data, at))
            if single or "Status" in headers:
                ended.set()

        try:
            box = await self._client.subscribe(inbox, cb=each, pending_msgs_limit=-1, pending_bytes_limit=-1)
            try:
                await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox)
                async with asyncio.timeout(5):
                    await ended.wait()
            finally:
                await box.unsubscribe()
        except _FAILURES as error:
            raise TryLaterError(f"The stream {stream} does not answer: {_name(error)}.") from error
        if unknown := [status for status in statuses if status not in (END_OF_BATCH, NOT_FOUND)]:
            raise TryLaterError(f"The stream {stream} is away (status {unknown[0]}).")
        return found


async def _noted(error: Exception) -> None:
    """Errors of the line show in the call that meets them; those of a listener show nowhere but here."""
    if not isinstance(error, _FAILURES):
        log.error("a message was not taken in", exc_info=error)


def _name(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _microseconds(text: str) -> int:
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1_000_000 + int((fraction + "000000")[:6])
