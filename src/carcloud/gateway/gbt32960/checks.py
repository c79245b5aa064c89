"""What is dear to compute: openings by RSA, and all of SM2, which is pure Python. Done beside the event loop.

Rules:
* One at a time, and then a rest as long as it took: the door keeps at least three quarters of its time for all others,
  since a thread shares the interpreter with the loop.
* A connection has one check at a time; what it says behind that waits for it, and is not read on. No other waits.
* What waits is bounded. Beyond the bound nothing is checked, and nothing answered: it is sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from carcloud.errors import TryLaterError
from carcloud.vehicle.gbt32960.chinese import Sm2Key
from carcloud.vehicle.gbt32960.frames import Command, Encryption, Frame
from carcloud.vehicle.gbt32960.signature import PublicKey

LIMIT_WAITING = 1_000
LIMIT_LOGIN_BYTES = 2_048
"""Of a sealed login: eight blocks of RSA, more than a car with thirty batteries says."""

T = TypeVar("T")


class Checks:
    """Does dear things in their order."""

    def __init__(self) -> None:
        self._turn, self.waiting = asyncio.Lock(), 0

    async def do(self, work: Callable[[], T]) -> T:
        """Return what the work returns. Raise TryLaterError where too much waits."""
        if self.waiting >= LIMIT_WAITING:
            raise TryLaterError("Too many signatures wait.", "Send it again.")
        self.waiting += 1
        try:
            async with self._turn:
                began = time.monotonic()
                found = await asyncio.to_thread(work)
                await asyncio.sleep(time.monotonic() - began)
                return found
        finally:
            self.waiting -= 1


def is_dear(frame: Frame, key: PublicKey | None) -> bool:
    """Tell whether a frame of a terminal with this key is dear to open or to verify."""
    return (
        frame.encryption in (Encryption.RSA, Encryption.SM2)
        or frame.command in (Command.ACTIVATION, Command.KEY_EXCHANGE)
        or (isinstance(key, Sm2Key) and frame.command in (Command.LIVE, Command.RESENT))
    )
