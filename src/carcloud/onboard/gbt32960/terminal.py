"""The terminal: logs in, reports, says that it lives, asks the time, re-sends what was not taken, and logs out.

Rules:
* Where a login fails it is tried again after a minute, three times, then each half hour. Clock and sleep are passed in.
* A report is stored first. While the line is up it is sent live (02); what was stored meanwhile is re-sent (03) in the
  time between, oldest first, at most 16 at once. What is answered goes; what is refused goes too, and is counted.
* Where an answer does not come within 30 s the line is given up, and what waited for one is re-sent on the next.
* What the platform asks and sets is answered. What it orders is told to `ordered`, and answered.
* In the edition of 2025 reports are signed where there is a key, and a key for payloads is exchanged before it is used.

Source: GB/T 32960.3-2016 and -2025, 6.4, 6.5 and 7, as public implementations cite them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from carcloud.errors import InputError
from carcloud.onboard.gbt32960.store import Kept, Store
from carcloud.vehicle.gbt32960.forms import (
    Answer,
    Control,
    Heartbeat,
    KeyExchange,
    Login,
    Logout,
    Message,
    Parameters,
    Query,
    Report,
    TimeSync,
)
from carcloud.vehicle.gbt32960.frames import AnswerCode, Command, Edition, Encryption, Fault, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.messages import read, write
from carcloud.vehicle.gbt32960.parameters import ParameterValue
from carcloud.vehicle.gbt32960.patience import Patience
from carcloud.vehicle.gbt32960.sealing import Keys, seal, unseal
from carcloud.vehicle.gbt32960.signature import PrivateKey, signer
from carcloud.vehicle.gbt32960.times import write_time
from carcloud.vehicle.gbt32960.units import Unit

CONNECT_S, ANSWER_S, HEARTBEAT_S = 10.0, 30.0, 30.0
HEARTBEAT = 9
"""The parameter that says the seconds between heartbeats."""
LIMIT_AT_ONCE = 16
LIMIT_ANSWER_BYTES = 4096
READ_BYTES = 64 * 1024
KEY_HOLDS = timedelta(days=1)
_EXCHANGED = (Encryption.AES128, Encryption.SM4)


@dataclass(frozen=True)
class Line:
    """Where the platform is, and how to speak with it. `tls` None: plain TCP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Identity:
    """Who the terminal is, and how it speaks. `keys` seal payloads where `encryption` says so; `key` signs."""

    vin: str
    iccid: str = "0" * 20
    codes: tuple[str, ...] = ()
    edition: Edition = Edition.E2016
    encryption: Encryption = Encryption.NONE
    keys: Keys = field(default_factory=Keys)
    key: PrivateKey | None = None


class LineError(Exception):
    """The line is down, or the platform does not let us in."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Terminal:
    """One terminal. Start `run`, call `report`, end with `stop`.

    `counts`: live, resent, answered, refused, logins, faults. `ahead_s`: how far the platform's clock is ahead of ours.
    """

    def __init__(
        self,
        identity: Identity,
        line: Line,
        store: Store,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ordered: Callable[[Control], None] = lambda control: None,
    ) -> None:
        self.identity, self.line, self.store = identity, line, store
        self.counts: Counter[str] = Counter()
        self.ahead_s = 0.0
        self.parameters: dict[int, ParameterValue] = {1: 500, 2: 10, 3: 1, HEARTBEAT: int(HEARTBEAT_S), 12: 1}
        self._now, self._sleep, self._ordered = now, sleep, ordered
        self._new: OrderedDict[int, Kept] = OrderedDict()
        self._work, self._stopping = asyncio.Event(), asyncio.Event()
        self._session: _Session | None = None

    @property
    def logged_in(self) -> bool:
        """Tell whether the platform has let us in."""
        return self._session is not None

    @property
    def _heartbeat_s(self) -> float:
        """Return after how long a silence a heartbeat is due: what the platform has set."""
        told = self.parameters.get(HEARTBEAT)
        return max(1.0, told) if isinstance(told, int) else HEARTBEAT_S

    def report(self, at: datetime, units: tuple[Unit, ...]) -> None:
        """Store a report, and send it when its turn comes. Raise InputError where a value does not fit."""
        signs = None if self.identity.key is None else signer(self.identity.key)
        payload = write(Report(self.identity.vin, at, units), self.identity.edition, signs).payload
        kept = self.store.keep(self._now(), payload)
        if self.logged_in:
            self._new[kept.place] = kept
        self._work.set()

    async def drained(self) -> None:
        """Wait until nothing waits."""
        while len(self.store):  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Log out where the line is up, and end `run`."""
        self._stopping.set()
        self._work.set()

    async def run(self) -> None:
        """Keep a line to the platform until `stop`."""
        patience = Patience()
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(CONNECT_S):
                    opened = await asyncio.open_connection(self.line.host, self.line.port, ssl=self.line.tls)
            except (OSError, TimeoutError):
                opened = None
            if opened is not None:
                await self._on_line(_Session(self, *opened), patience)
            if not self._stopping.is_set():
                patience.failed(self._now())
                await self._wait(patience.waits_s(self._now()))

    async def _wait(self, seconds: float) -> None:
        """Wait as long, or until `stop`."""
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._stopping.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _on_line(self, session: _Session, patience: Patience) -> None:
        try:
            serial = self.store.serial(self._now())
            await session.log_in(serial, self._now())
            self.counts["logins"] += 1
            patience.worked()
            self._session = session
            await self._serve(session)
            await session.ask(Logout(self.identity.vin, self._now(), serial))
        except (LineError, OSError, TimeoutError):
            self.counts["cut"] += 1
        finally:
            self._session = None
            self._new.clear()
            await session.close()

    async def _serve(self, session: _Session) -> None:
        """Send reports and heartbeats until `stop`."""
        sending: dict[int, asyncio.Task[None]] = {}
        try:
            while not self._stopping.is_set():
                self._work.clear()
                for place in [place for place, task in sending.items() if task.done()]:
                    sending.pop(place).result()
                self._send_next(session, sending)
                work = asyncio.create_task(self._work.wait())
                done, _ = await asyncio.wait(
                    {work, *sending.values()}, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                work.cancel()
                if not done:
                    await session.ask(Heartbeat(self.identity.vin))
        finally:
            for task in sending.values():
                task.cancel()
            await asyncio.gather(*sending.values(), return_exceptions=True)

    def _send_next(self, session: _Session, sending: dict[int, asyncio.Task[None]]) -> None:
        """Begin to send what is new, and then of the rest what there is room for."""
        while self._new:
            place, kept = self._new.popitem(last=False)
            if place not in sending:
                sending[place] = asyncio.create_task(self._send(session, kept, Command.LIVE))
        room = LIMIT_AT_ONCE - len(sending)
        for kept in self.store.oldest(room, sending, self._now()) if room > 0 else ():
            sending[kept.place] = asyncio.create_task(self._send(session, kept, Command.RESENT))

    async def _send(self, session: _Session, kept: Kept, command: Command) -> None:
        self.counts["live" if command is Command.LIVE else "resent"] += 1
        vin, edition = self.identity.vin, self.identity.edition
        answer = await session.exchange(Frame(edition, command, AnswerCode.COMMAND, vin, Encryption.NONE, kept.payload))
        self.counts["answered" if answer.ok else "refused"] += 1
        self.store.done(kept.place)

    def take(self, message: Message) -> Message | None:
        """Take what the platform asks, sets or orders; return the answer."""
        vin, ok = self.identity.vin, AnswerCode.OK
        if isinstance(message, Query):
            told = {number: self.parameters[number] for number in message.parameters if number in self.parameters}
            return Parameters(vin, message.at, told, ok)
        if isinstance(message, Parameters):
            self.parameters.update(message.values)
            return Answer(vin, Command.SET, ok, message.at)
        if isinstance(message, Control):
            self._ordered(message)
            return Answer(vin, Command.CONTROL, ok, message.at)
        return None


class _Session:
    """One connection."""

    def __init__(self, terminal: Terminal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._terminal, self._identity = terminal, terminal.identity
        self._reader, self._writer = reader, writer
        self._waiting: list[tuple[int, bytes, asyncio.Future[Answer]]] = []
        self._sealing = self._identity.encryption if self._identity.encryption not in _EXCHANGED else Encryption.NONE
        self._keys = self._identity.keys
        self._hearing = asyncio.create_task(self._hear())

    async def log_in(self, serial: int, now: datetime) -> None:
        """Log in, exchange a key where one is wanted, and ask the time. Raise LineError where we are not let in."""
        who = self._identity
        size = max((len(code) for code in who.codes), default=0)
        packs = (len(who.codes),) if who.codes and who.edition is Edition.E2025 else ()
        await self._must(Login(who.vin, now, serial, who.iccid, who.codes, size, packs))
        if who.encryption in _EXCHANGED:
            await self._exchange_key(now)
        answer = await self.ask(TimeSync(who.vin))
        if answer.at is not None:
            self._terminal.ahead_s = round((answer.at - now).total_seconds())

    async def _exchange_key(self, now: datetime) -> None:
        who, keys = self._identity, self._identity.keys
        key = keys.aes128 if who.encryption is Encryption.AES128 else keys.sm4
        if who.edition is Edition.E2025 and key is not None:
            blank = Frame(who.edition, Command.KEY_EXCHANGE, AnswerCode.COMMAND, who.vin, Encryption.NONE, key)
            way = Encryption.RSA if keys.rsa_other is not None else Encryption.SM2 if keys.sm2_other else None
            sent = key if way is None else seal(blank, way, keys).payload
            await self._must(KeyExchange(who.vin, who.encryption, sent, now - KEY_HOLDS, now + KEY_HOLDS))
        self._sealing = who.encryption

    async def _must(self, message: Message) -> None:
        answer = await self.ask(message)
        if not answer.ok:
            raise LineError(f"the platform answered {answer.answer:#04x} to {type(message).__name__}")

    async def ask(self, message: Message) -> Answer:
        """Send a message and return its answer. Raise LineError where none comes."""
        return await self.exchange(write(message, self._identity.edition))

    async def exchange(self, frame: Frame) -> Answer:
        """Send a frame, sealed as agreed, and return its answer. Raise LineError where none comes."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        entry = (frame.command, frame.payload[:6], answer)
        self._waiting.append(entry)
        try:
            self._writer.write(encode(seal(frame, Encryption(self._sealing), self._keys)))
            await self._writer.drain()
            async with asyncio.timeout(ANSWER_S):
                futures: set[asyncio.Future[Any]] = {answer, self._hearing}
                await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise LineError("the platform closed the line")
            return answer.result()
        except (OSError, TimeoutError, InputError) as error:
            raise LineError(str(error)) from None
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)

    async def close(self) -> None:
        """Close the line."""
        self._hearing.cancel()
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._writer.wait_closed()

    async def _hear(self) -> None:
        frames = FrameReader(LIMIT_ANSWER_BYTES)
        with contextlib.suppress(OSError):
            while data := await self._reader.read(READ_BYTES):
                for item in frames.feed(data):
                    if isinstance(item, Fault):
                        self._terminal.counts["faults"] += 1
                    else:
                        self._take(item)

    def _take(self, frame: Frame) -> None:
        opened = unseal(frame, self._keys, utc_now())
        message = opened if isinstance(opened, Fault) else read(opened)
        if isinstance(message, Fault) or frame.vin != self._identity.vin:
            self._terminal.counts["faults"] += 1
        elif isinstance(message, Answer):
            self._answered(message)
        elif (answer := self._terminal.take(message)) is not None:
            self._writer.write(encode(write(answer, self._identity.edition)))

    def _answered(self, answer: Answer) -> None:
        """Give an answer to what it answers: of the same command the one of its time, else the oldest."""
        fits = [entry for entry in self._waiting if entry[0] == answer.command and not entry[2].done()]
        timed = [entry for entry in fits if answer.at is not None and entry[1] == write_time(answer.at)]
        if timed or fits:
            (timed or fits)[0][2].set_result(answer)
