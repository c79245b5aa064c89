"""The spool, asked from the event loop: in a thread, by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from carcloud.gateway.relay.spool import Spool

T = TypeVar("T")


class Turns:
    """Lets one at a time use the spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._turn = spool, asyncio.Lock()

    async def __call__(self, work: Callable[[Spool], T]) -> T:
        """Return what `work` returns; raise as it does."""
        async with self._turn:
            return await asyncio.to_thread(work, self._spool)

    def close(self) -> None:
        """Close the spool."""
        self._spool.close()
