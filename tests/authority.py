"""An authority's platform for tests: strict about the protocol's order, and it keeps what it was told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from carcloud.vehicle.gbt32960.forms import Answer, Heartbeat, Login, Logout, PlatformLogin, PlatformLogout, Report
from carcloud.vehicle.gbt32960.frames import AnswerCode, Edition, Fault, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.messages import read, write


@dataclass
class Authority:
    """Lets one platform in by user and password.

    known: VINs; others are refused. refuses: VINs whose reports are answered with an error. silent: how many reports
    are taken without an answer, the line closed behind them. mute: VINs that are never answered.
    """

    user: str
    password: str
    known: set[str]
    edition: Edition = Edition.E2025
    refuses: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    silent: int = 0
    closed: bool = False
    reports: list[Report] = field(default_factory=list)
    logins: list[int] = field(default_factory=list)
    logouts: list[int] = field(default_factory=list)
    cars: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one connection."""
        self._in, self._cars = False, set[str]()
        frames = FrameReader()
        try:
            while not self.closed and (data := await reader.read(65_536)):
                for found in frames.feed(data):
                    if isinstance(found, Frame) and found.vin in self.mute:
                        continue
                    code = self._said(found)
                    if code is None:
                        return
                    assert isinstance(found, Frame)
                    at = getattr(read(found), "at", None)
                    answer = Answer(found.vin, found.command, code, at)
                    writer.write(encode(write(answer, self.edition)))
                await writer.drain()
        finally:
            writer.close()

    def _said(self, found: Frame | Fault) -> AnswerCode | None:
        """Return the answer to what was said, None where the line is closed instead."""
        if isinstance(found, Fault) or found.edition is not self.edition or not found.is_command:
            self.wrongs.append(f"no frame of ours: {found}")
            return None
        message = read(found)
        if isinstance(message, PlatformLogin):
            self.logins.append(message.serial)
            self._in = (message.user, message.password) == (self.user, self.password)
            return AnswerCode.OK if self._in else AnswerCode.ERROR
        if not self._in:
            self.wrongs.append(f"{message} before the platform's login")
            return None
        match message:
            case PlatformLogout():
                self.logouts.append(message.serial)
                return AnswerCode.OK
            case Heartbeat():
                return AnswerCode.OK
            case Login():
                self.cars.append(message.vin)
                if message.vin not in self.known:
                    return AnswerCode.UNKNOWN
                self._cars.add(message.vin)
                return AnswerCode.OK
            case Logout():
                self._cars.discard(message.vin)
                return AnswerCode.OK
            case Report():
                return self._reported(message)
        self.wrongs.append(f"{message} is nothing a platform says")
        return None

    def _reported(self, report: Report) -> AnswerCode | None:
        if report.vin not in self._cars or report.fault:
            self.wrongs.append(f"a report of {report.vin}, not logged in, or with {report.fault}")
            return None
        if report.vin in self.refuses:
            return AnswerCode.ERROR
        if self.silent:
            self.silent -= 1
            return None
        self.reports.append(report)
        return AnswerCode.OK


@asynccontextmanager
async def listening(authority: Authority, tls: ssl.SSLContext | None = None) -> AsyncIterator[Authority]:
    """Let an authority listen, at the port it had before if it had one."""
    authority.closed = False
    server = await asyncio.start_server(authority.serve, "127.0.0.1", authority.port, ssl=tls)
    authority.port = server.sockets[0].getsockname()[1]
    try:
        yield authority
    finally:
        authority.closed = True
        server.close()
