"""The export meter: counts the people whose data leave, before they leave, and stops before a limit is passed.

Rules:
* A read is counted whole or refused whole; one that is refused counts nobody.
* Limits hold for each flow, and for all flows of the zone together; the year is that of the flows file's calendar, in
  which the rows leave, whatever year they tell of.
* What leaves and what is refused are noted for the audit log with the count itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from carcloud.backends.records import Entry, Records
from carcloud.backends.records.exports import Stop
from carcloud.errors import NotAllowedError
from carcloud.safety.flows.flow import Flow, Flows
from carcloud.safety.flows.names import Names

READ_FLOW = "readFlow"
ALL = ""
"""The flow that stands for all flows of the zone together."""


class ExportStoppedError(NotAllowedError):
    """More people's data would have left than may in this calendar year."""

    code = "export_stopped"


class _FullError(Exception):
    def __init__(self, kind: str, flow: str, most: int) -> None:
        super().__init__()
        self.kind, self.flow, self.most = kind, flow, most


@dataclass(frozen=True)
class Reading:
    """Counted people of a class. `flow`: "" for all flows together. `stop`: at which number it stops; None: never."""

    flow: str
    kind: str
    people: int
    limit: int | None
    stop: int | None


def _now() -> datetime:
    return datetime.now(UTC)


class Meter:
    """Counts what leaves. Waits for disk: call it in a thread."""

    def __init__(self, records: Records, names: Names, clock: Callable[[], datetime] = _now) -> None:
        self._records, self._names, self.now = records, names, clock

    def let_out(
        self, flows: Flows, flow: Flow, persons: Mapping[str, Set[str]], rows: int, actor: str, tenant: str
    ) -> None:
        """Count the people of each class whose rows are about to leave.

        Args:
            persons: class → the cars whose rows of this class leave.

        Raises:
            ExportStoppedError: a limit would be passed; nothing may leave.
        """
        now, names = self.now(), self._names
        year = flows.year(now)
        hidden = {kind: names.persons(year, cars) for kind, cars in sorted(persons.items())}
        facts: dict[str, Any] = {"to": flow.to, "purpose": flow.purpose, "year": year, "flows": flows.hash}
        object_ = f"flow:{flow.name}"
        try:
            with self._records.transaction(writing=True) as db:
                self._records.exports.lock(db)
                counted = {kind: self._counted(db, flows, flow, year, kind, who) for kind, who in hidden.items()}
                facts |= {"rows": rows, "persons": counted}
                self._records.audit.note(db, Entry(actor, READ_FLOW, object_, facts=facts, tenant=tenant, at=now))
        except _FullError as full:
            facts |= {"stopped": full.kind, "stop": full.most, "by": full.flow or "all flows"}
            with self._records.transaction(writing=True) as db:
                self._records.exports.stop(db, Stop(year, full.kind, full.flow, full.most, now))
                self._records.audit.note(db, Entry(actor, READ_FLOW, object_, "denied", facts, None, tenant, now))
            raise stopped(full.flow, full.kind, full.most, year) from None

    def _counted(self, db: Any, flows: Flows, flow: Flow, year: int, kind: str, persons: list[str]) -> dict[str, int]:
        exports, most = self._records.exports, flow.bar(kind)
        before = exports.counted(db, year, kind, flow.name)
        exports.count(db, year, kind, flow.name, persons)
        people = exports.counted(db, year, kind, flow.name)
        if most is not None and people > most:
            raise _FullError(kind, flow.name, most)
        most = flows.bar(kind)
        if most is not None and exports.counted(db, year, kind) > most:
            raise _FullError(kind, ALL, most)
        return {"new": people - before, "total": people}

    def readings(self, flows: Flows) -> list[Reading]:
        """Return this year's count of every class of every flow, and of what is limited for all together."""
        found = self._records.exports.meters(flows.year(self.now()))
        readings = [
            Reading(flow.name, kind, found.get((flow.name, kind), 0), flow.limits.get(kind), flow.bar(kind))
            for flow in flows.leaving
            for kind in flow.classes
        ]
        both = [
            Reading(ALL, kind, found.get((ALL, kind), 0), limit, flows.bar(kind))
            for kind, limit in flows.limits.items()
        ]
        return readings + both

    def alarms(self, flows: Flows) -> Iterator[dict[str, Any]]:
        """Yield an alarm for each stop of this year whose limit was not raised since."""
        for stop in self._records.exports.stopped(flows.year(self.now())):
            now = _bar_now(flows, stop)
            if now is not None and now <= stop.bar:
                error = stopped(stop.flow, stop.kind, stop.bar, stop.year)
                since = stop.at.isoformat(timespec="seconds").replace("+00:00", "Z")
                yield {"code": "export_stopped", "message": error.message, "do": error.do, "since": since}


def stopped(flow: str, kind: str, most: int, year: int) -> ExportStoppedError:
    """Return the error of a read that is refused."""
    by = f"Flow {flow}" if flow else "All flows together"
    message = f"{by} may let out {kind} data of {most} people in {year}; this read would pass that."
    do = "Wait for the next year, or have the limit raised by whoever answers for it."
    return ExportStoppedError(message, do)


def _bar_now(flows: Flows, stop: Stop) -> int | None:
    """Return the bar that a stop would meet today, None where there is none any more."""
    if stop.flow == ALL:
        return flows.bar(stop.kind)
    flow = flows.flows.get(stop.flow) or flows.relays.get(stop.flow)
    return flow.bar(stop.kind) if flow else None
