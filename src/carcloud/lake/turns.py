"""Whose turn it is, where tenants wait for the same few processes.

Rules:
- Whose tenant had its last turn longest ago is next, however much others ask.
- A tenant's own questions are answered in the order they came.
- Where a zone has several tenants, one process is left to the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    """The turns of one event loop.

    Args:
        number: how many may have theirs at once.
        several: tells whether the zone has more than one tenant.
    """

    def __init__(self, number: int, several: Callable[[], bool]) -> None:
        self._number, self._several = number, several
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._having = Counter[str]()
        self._count, self._last = 0, dict[str, int]()

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a tenant's turn, and have it."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        self._go_on()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                self._forget(tenant, mine)
            else:
                self._end(tenant)
            raise
        try:
            yield
        finally:
            self._end(tenant)

    def _go_on(self) -> None:
        most = max(self._number - 1, 1) if self._several() else self._number
        while self._having.total() < self._number:
            tenants = [tenant for tenant in self._waiting if self._having[tenant] < most]
            if not tenants:
                return
            tenant = min(tenants, key=lambda one: self._last.get(one, 0))
            turn = self._waiting[tenant][0]
            self._forget(tenant, turn)
            if not turn.done():
                self._having[tenant] += 1
                self._count += 1
                self._last[tenant] = self._count
                turn.set_result(None)

    def _forget(self, tenant: str, mine: asyncio.Future[None]) -> None:
        line = self._waiting.get(tenant)
        if line is not None and mine in line:
            line.remove(mine)
            if not line:
                del self._waiting[tenant]

    def _end(self, tenant: str) -> None:
        self._having[tenant] -= 1
        if not self._having[tenant]:
            del self._having[tenant]
        self._go_on()
