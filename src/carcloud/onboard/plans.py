"""The plans a car has: taken and dropped by signed order, kept beside its queue, and heard of as documents before.

Rules:
* A document counts by its SHA-256 only, which a signed order names; who brings it does not matter.
* A plan is read again in the car, against the car's own catalogue. One that it has no signal of is not taken; of one
  that it has some of, it collects those.
* A plan takes the place of one of its name. Taken again, it goes on where it was.
* What plans have to keep must fit, at 10 samples a second of each signal: in the ring, and in windows of conditions.
* A plan that is over by the car's clock is not taken, takes no room, and is let go of once its windows are over.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from carcloud.errors import InputError
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.onboard.ring import LIMIT_BYTES, SAMPLE_BYTES
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.plans.plan import LIMIT_AFTER_US, Plan, parse
from carcloud.vehicle.plans.plan import LIMIT_BYTES as LIMIT_DOCUMENT_BYTES
from carcloud.vehicle.plans.windows import PIECE_US

LIMIT_PLANS = 32
LIMIT_HEARD = 8
ASSUMED_HZ = 10
KEPT_BYTES = 150
"""Of a sample in a window of a condition."""
LINGERS = timedelta(microseconds=LIMIT_AFTER_US)


@dataclass(frozen=True)
class CarPlan:
    """A plan that this car has, and what it had done when it was kept last."""

    plan: Plan
    digest: str
    state: Mapping[str, Any]


class Plans:
    """One car's plans. Safe to use from two threads: orders change them, the collector reads them.

    paths: the signals this car can say.
    """

    def __init__(
        self,
        queue: Queue,
        catalogue: Mapping[str, Signal],
        paths: Iterable[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._queue, self._catalogue, self._paths = queue, catalogue, frozenset(paths)
        self._lock = threading.Lock()
        self._heard: OrderedDict[str, bytes] = OrderedDict()
        self.revision = 0
        """Grows with every change."""
        self.unread: list[str] = []
        """Names of kept plans that this catalogue does not fit any more: they wait for a version that does."""
        self._plans: dict[str, CarPlan] = {}
        for kept in queue.plans():
            try:
                plan = parse(json.loads(kept.document), catalogue)
            except (InputError, ValueError):
                self.unread.append(kept.name)
                continue
            self._plans[kept.name] = CarPlan(plan, _digest(kept.document), json.loads(kept.state))
        self.let_go()

    def current(self) -> list[CarPlan]:
        """Return the plans in force, by name."""
        with self._lock:
            return [self._plans[name] for name in sorted(self._plans)]

    def let_go(self) -> None:
        """Drop the plans that are over, and whose last windows are."""
        ended = self._now() - LINGERS
        with self._lock:
            over = [one.digest for one in self._plans.values() if one.plan.until <= ended]
        for digest in over:
            self.drop(digest)

    def absent(self, plan: Plan) -> list[str]:
        """Return the signals of a plan that this car does not say."""
        return [one.path for one in plan.signals if one.path not in self._paths]

    def hear(self, document: bytes) -> None:
        """Take note of a document; only the last few are remembered."""
        if len(document) > LIMIT_DOCUMENT_BYTES:
            return
        with self._lock:
            digest = _digest(document)
            self._heard[digest] = document
            self._heard.move_to_end(digest)
            while len(self._heard) > LIMIT_HEARD:
                self._heard.popitem(last=False)

    def knows(self, digest: str) -> bool:
        """Say whether the document of this name is here."""
        with self._lock:
            return digest in self._heard or any(one.digest == digest for one in self._plans.values())

    def forbids(self, digest: str) -> str | None:
        """Return why a plan that was heard of cannot be taken, as one of the reasons of orders, or None."""
        with self._lock:
            if any(one.digest == digest for one in self._plans.values()):
                return None
            try:
                plan = self._read(digest)
            except (InputError, ValueError, RecursionError):
                return "wrong_plan"
            if not self._paths.intersection(one.path for one in plan.signals):
                return "unsupported"
            if plan.when is not None and plan.when.paths and not self._paths.intersection(plan.when.paths):
                return "unsupported"
            now = self._now()
            if plan.until <= now:
                return "expired_plan"
            others = [one.plan for one in self._plans.values() if one.plan.name != plan.name and one.plan.until > now]
            if len(others) >= LIMIT_PLANS or _kept_bytes([*others, plan]) > LIMIT_BYTES:
                return "full"
            return None

    def take(self, digest: str) -> None:
        """Take a plan, durably. Raise InputError where its document is no plan; TryLaterError where the disk fails."""
        with self._lock:
            if any(one.digest == digest for one in self._plans.values()):
                return
            plan = self._read(digest)
            self._queue.keep_plan(KeptPlan(plan.name, self._heard[digest], b"{}"))
            self._plans[plan.name] = CarPlan(plan, digest, {})
            self.revision += 1

    def drop(self, digest: str) -> None:
        """Drop a plan, durably; one that is not there is dropped already."""
        with self._lock:
            for name in [name for name, one in self._plans.items() if one.digest == digest]:
                self._queue.drop_plan(name)
                del self._plans[name]
                self.revision += 1

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _read(self, digest: str) -> Plan:
        document = self._heard.get(digest)
        if document is None:
            raise InputError("The document of this plan is not here.", "Send it again.")
        return parse(json.loads(document), self._catalogue)


def _digest(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()


def _kept_bytes(plans: list[Plan]) -> int:
    hold_us: dict[str, int] = {}
    for plan in plans:
        for one in plan.signals:
            hold_us[one.path] = max(hold_us.get(one.path, 0), 2 * plan.before_us + PIECE_US)
    conditions = [each for plan in plans for each in (plan.when, plan.upload) if each is not None]
    windows_us = sum(us for _, _, us in {window for each in conditions for window in each.windows})
    return (sum(hold_us.values()) * SAMPLE_BYTES + windows_us * KEPT_BYTES) * ASSUMED_HZ // 1_000_000
