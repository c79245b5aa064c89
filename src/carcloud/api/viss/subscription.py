"""A subscription of a VISS client: which signals it is about, and when it tells of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carcloud.api.ports import Last
from carcloud.api.visit import Visit
from carcloud.api.viss import filters, messages, nodes
from carcloud.api.viss.filters import Trigger
from carcloud.safety.grants.reach import Reach


class Subscription:
    """What was subscribed to. `paths`: the signals, each once, the one that is compared first."""

    def __init__(self, visit: Visit, reach: Reach, paths: Sequence[str], trigger: Trigger) -> None:
        self._visit, self._reach, self._paths, self._trigger = visit, reach, paths, trigger
        self._latest: dict[str, Last] = {}

    async def run(self, tell: Callable[[Any], None]) -> None:
        """Give `tell` data whenever the filter asks for it, until that must end; raise why, as `Visit.follow` does."""

        def take(fresh: Mapping[str, Last]) -> None:
            self._latest.update(fresh)
            if told := self._trigger.take(fresh, self._newest()):
                tell(messages.data(told))

        repeating = asyncio.create_task(self._repeat(tell))
        try:
            await self._visit.follow(self._reach, self._paths, take)
        finally:
            repeating.cancel()

    async def _repeat(self, tell: Callable[[Any], None]) -> None:
        while self._trigger.period_s is not None:
            await asyncio.sleep(self._trigger.period_s)
            if self._latest:
                tell(messages.data(self._newest()))

    def _newest(self) -> dict[str, Last | None]:
        return {path: self._latest.get(path) for path in self._paths}


async def subscription(visit: Visit, path: str, filter_: Any) -> Subscription:
    """Return what a request subscribes to.

    Raises:
        InputError, MissingError, NotAllowedError: it cannot be subscribed to.
    """
    wanted = filters.parse(filter_)
    reach = await visit.reach("readTwin")
    signals = visit.signals(reach)
    chosen = nodes.chosen(signals, path, wanted.paths)
    return Subscription(visit, reach, nodes.once(chosen), filters.trigger(wanted, signals, chosen[0]))
