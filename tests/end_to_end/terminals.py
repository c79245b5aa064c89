"""Terminals of GB/T 32960 for tests, which say what they are told to, sound or not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from carcloud.vehicle.gbt32960.forms import Login, Message, PlatformLogin, Report
from carcloud.vehicle.gbt32960.frames import Edition, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.units import Unit
from carcloud.vehicle.gbt32960.writing import write

ICCID = "89860012345678901234"
_VEHICLE: dict[str, Any] = {
    "state": 1,
    "charge": 3,
    "mode": 1,
    "speed": 50.5,
    "odometer": 1234.5,
    "voltage": 380.0,
    "current": 10.0,
    "charge_level": 66,
    "dcdc": 1,
    "gear": 14,
    "insulation": 5000,
}
_PEDALS = {"accelerator": 3, "brake": None}


def vehicle(edition: Edition, **fields: Any) -> Unit:
    """Return what a car says as a whole, these fields changed."""
    return Unit("vehicle", _VEHICLE | (_PEDALS if edition is Edition.E2016 else {}) | fields)


class Terminal:
    """A connection to the door, not logged in yet. `trust`: over TLS, and by whom the door is known."""

    def __init__(
        self, port: int, edition: Edition = Edition.E2016, trust: Path | None = None, timeout_s: float = 30.0
    ) -> None:
        self.edition, self._reader, self._found = edition, FrameReader(), list[Frame]()
        plain = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket: socket.socket = plain
        if trust is not None:
            self.socket = ssl.create_default_context(cafile=trust).wrap_socket(plain, server_hostname="localhost")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *messages: Message) -> None:
        """Say messages."""
        self.socket.sendall(b"".join(encode(write(message, self.edition)) for message in messages))

    def answer(self) -> Frame:
        """Return the next frame that comes; raise ConnectionError where the door closed."""
        while not self._found:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionResetError("the door closed the connection")
            self._found += [one for one in self._reader.feed(data) if isinstance(one, Frame)]
        return self._found.pop(0)

    def ask(self, message: Message) -> int:
        """Say a message and return the answer's code."""
        self.send(message)
        return self.answer().answer

    def log_in(self, vin: str, at: datetime) -> int:
        """Log in as a car; return the answer's code."""
        return self.ask(Login(vin, at, 1, ICCID))

    def log_in_platform(self, user: str, password: str, at: datetime) -> int:
        """Log in as a platform; return the answer's code."""
        return self.ask(PlatformLogin("PLATFORM000000001", at, 1, user, password))

    def report(self, vin: str, at: datetime, *units: Unit, resent: bool = False) -> int:
        """Report and return the answer's code."""
        return self.ask(Report(vin, at, units or (vehicle(self.edition),), resent))


def values_of(rows: list[list[Any]]) -> Mapping[str, Any]:
    """Return rows of (signal, value, text) as signal → value."""
    return {signal: text if value is None else value for signal, value, text in rows}
