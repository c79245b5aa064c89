"""The line to a platform: frames go out, and each answer finds what it answers.

Rules:
* An answer has the command and the VIN of what it answers, and its time; where several fit, the oldest is meant.
* The platform is believed nothing: what it sends is bounded, and what answers nothing is passed by.
* Whoever waits for an answer no more cancels it: then it is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import defaultdict
from datetime import datetime
from typing import Any

from carcloud.errors import InputError, TryLaterError
from carcloud.safety.flows.relay import Platform
from carcloud.vehicle.gbt32960.frames import Edition, Fault, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.messages import Answer, Message, read, write

CONNECT_S, ANSWER_S = 10.0, 30.0
LIMIT_ANSWER_BYTES = 4096
READ_BYTES = 65_536


_Asked = tuple[datetime | None, asyncio.Future[int]]


class CutError(TryLaterError):
    """The line is cut, or nobody answers on it."""


class Link:
    """An open line. Make it with `open_link`; close it when done."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, edition: Edition) -> None:
        self._reader, self._writer, self._edition = reader, writer, edition
        self._asked: dict[tuple[int, str], list[_Asked]] = defaultdict(list)
        self._hearing = asyncio.create_task(self._hear())

    @property
    def is_cut(self) -> bool:
        """Tell whether nothing is heard any more."""
        return self._hearing.done()

    def send(self, message: Message) -> asyncio.Future[int]:
        """Send a message; return what will be the answer's code, or raise CutError. Raise InputError for no message."""
        frame = write(message, self._edition)
        data = encode(frame)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.is_cut or self._writer.is_closing():
            answer.set_exception(CutError("The line to the platform is cut."))
            answer.exception()  # who does not wait need not hear of it
            return answer
        key, asked = (frame.command, frame.vin), (getattr(message, "at", None), answer)
        self._asked[key].append(asked)
        answer.add_done_callback(lambda _: self._forget(key, asked))
        self._writer.write(data)
        return answer

    async def ask(self, message: Message, timeout_s: float = ANSWER_S) -> int:
        """Send a message and return the answer's code. Raise CutError where none comes."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.drain()
                return await self.send(message)
        except TimeoutError:
            raise CutError(f"The platform does not answer within {timeout_s:.0f} s.") from None

    async def drain(self) -> None:
        """Wait until what was sent is on its way. Raise CutError."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise CutError(f"The line to the platform is cut ({type(error).__name__}).") from None

    async def close(self) -> None:
        """Close the line; who still waits for an answer hears that it is cut."""
        self._hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._hearing
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()

    async def _hear(self) -> None:
        frames = FrameReader(LIMIT_ANSWER_BYTES)
        try:
            while data := await self._reader.read(READ_BYTES):
                for found in frames.feed(data):
                    if isinstance(found, Frame) and not found.is_command:
                        self._answered(found)
        except OSError:
            pass
        finally:
            for _, answer in [one for waiting in self._asked.values() for one in waiting]:
                if not answer.done():
                    answer.set_exception(CutError("The platform closed the line."))
                    answer.exception()  # who waits hears of it; who does not, need not
            self._asked.clear()

    def _answered(self, frame: Frame) -> None:
        message: Any = read(frame)
        at = None if isinstance(message, Fault) or not isinstance(message, Answer) else message.at
        for asked, answer in self._asked.get((frame.command, frame.vin), ()):
            if not answer.done() and (at is None or asked is None or asked == at):
                answer.set_result(frame.answer)
                return

    def _forget(self, key: tuple[int, str], asked: _Asked) -> None:
        waiting = self._asked.get(key, [])
        if asked in waiting:
            waiting.remove(asked)
        if not waiting:
            self._asked.pop(key, None)


async def open_link(platform: Platform) -> Link:
    """Open a line to a platform.

    Raises:
        CutError: nobody is there. InputError: the authority's file is none.
    """
    trust: ssl.SSLContext | None = None
    if platform.tls:
        try:
            trust = ssl.create_default_context(cafile=platform.ca or None)
        except (OSError, ssl.SSLError):
            raise InputError(f"{platform.ca} is no certificate of an authority.", "Give a PEM file.") from None
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(platform.host, platform.port, ssl=trust)
    except (OSError, ssl.SSLError, TimeoutError) as error:
        do = "Check the address, and that the platform lets this machine in."
        raise CutError(f"Nobody answers at the platform's address ({type(error).__name__}).", do) from None
    edition = Edition.E2016 if platform.edition == 2016 else Edition.E2025
    return Link(reader, writer, edition)
