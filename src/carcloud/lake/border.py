"""The border of the zone: what another zone may read of the lake, by a flow, changed and counted on the way out.

Rules:
* Cars whose person has not agreed to the flow's purpose stay, where only consent makes it lawful; whoever withdrew
  while the lake was asked stays too, and so does a car that was erased.
* The meter counts before the first byte leaves. It counts cars, under however many pseudonyms their rows lie.
* Rows leave when the step of their time is over and the lake had time to take it: when they leave tells no more than
  what they say. A chunk that has rows of a later step waits for that; what was given once is given again at once.
* Times asked for are cut to the flow's steps, as are those that leave: narrow questions tell no more than answers do.
* Places given out are sealed: they say neither when rows came nor whose they are.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from carcloud.backends.records import Entry, Records
from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError
from carcloud.lake.leaving import BEGIN, END, Place, page, parameters
from carcloud.safety.flows.flow import Flow, Flows
from carcloud.safety.flows.meter import READ_FLOW, Meter
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.plan import SECOND_US, Plan, years_of
from carcloud.safety.governance.policy import GLOB, Policy, Rule
from carcloud.safety.grants.grant import ZONE, consents, ground_of
from carcloud.safety.seal import Seal
from carcloud.vehicle.catalogue import Catalogue

SEAL = "places"
FIRST_US = 0
COMMIT_US = 10 * SECOND_US
"""How long after the end of a step rows of it are still on their way into the lake."""
AHEAD_US = 600 * SECOND_US
"""Rows of clocks that are further ahead than this hold nothing back."""
END_US = 4_102_444_800_000_000
"""What is asked for where nothing is said: from 1970 up to 2100."""


class FlowEndedError(NotAllowedError):
    """The flow's last day is over."""

    code = "flow_ended"


@dataclass(frozen=True)
class Wanted:
    """What another zone asks for. `since_us` is in, `until_us` is not; None: everything the flow lets out.

    vehicles: the names under which cars leave by this flow. after, upto: places that earlier answers ended at: what is
    asked for lies behind the one, and up to the other, so that whoever lost an answer gets the same rows again.
    """

    since_us: int = FIRST_US
    until_us: int = END_US
    paths: Collection[str] | None = None
    vehicles: Collection[str] | None = None
    after: str | None = None
    limit: int = 10_000
    upto: str | None = None


@dataclass(frozen=True)
class Question:
    """What the lake is asked: the parameters of `leaving.SQL`, for one row more than the limit."""

    flow: Flow
    plan: Plan
    parameters: Mapping[str, Any]
    limit: int
    after: Place


@dataclass(frozen=True)
class Sent:
    """Rows that may leave. `next`: the place to go on from; `more`: whether there are rows behind it already.

    units: of the signals in the rows; None where one has none.
    """

    rows: pa.Table
    next: str
    more: bool
    units: Mapping[str, str | None]


def _now() -> datetime:
    return datetime.now(UTC)


class Border:
    """Lets rows out by the flows in force. Waits for disk: call it in a thread."""

    def __init__(
        self,
        records: Records,
        flows: Flows,
        governance: Policy,
        catalogue: Catalogue,
        keys: Path,
        tenant: str,
        zone: str,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Work out all flows; raise InputError where one does not fit governance and catalogue."""
        self.flows, self.tenant = flows, tenant
        self.plans = {name: Plan(flow, governance, catalogue) for name, flow in flows.flows.items()}
        self._records, self._names, self._catalogue = records, Names(keys), catalogue
        self._ground = ground_of(zone, governance, catalogue)
        self._places = Seal(keys, SEAL)
        self.meter = Meter(records, self._names, clock)
        self._ahead_us = flows.offset * 60 * SECOND_US

    def readers(self, name: str) -> frozenset[str]:
        """Return the ids of the tokens that may read this flow now; none for a flow there is not."""
        flow = self.flows.flows.get(name)
        return self._records.exports.readers(name, flow.to, self.meter.now()) if flow else frozenset()

    def flow(self, name: str) -> Flow:
        """Return a flow in force; raise MissingError."""
        flow = self.flows.flows.get(name)
        if flow is None:
            raise MissingError(f"No flow {name[:64]!r}.", "List them with `carcloud flow list`.")
        return flow

    def question(self, name: str, wanted: Wanted, actor: str) -> Question:
        """Return what to ask the lake for another zone.

        Raises:
            FlowEndedError: the flow's last day is over; noted as denied.
            InputError: something is asked for that does not leave, or from a place that is none.
        """
        flow, plan = self.flow(name), self.plans[name]
        if self.flows.ended(flow, self.meter.now()):
            facts = {"ended": str(flow.until)}
            self._records.audit.add(Entry(actor, READ_FLOW, f"flow:{name}", "denied", facts, tenant=self.tenant))
            raise FlowEndedError(f"Flow {name} ended on {flow.until}.", "Ask who runs the zone to declare it anew.")
        step = max(plan.time_s * SECOND_US, 1)
        since_us, until_us = (_within(time_us) // step * step for time_us in (wanted.since_us, wanted.until_us))
        after, upto = self._opened(flow, wanted.after, BEGIN), self._opened(flow, wanted.upto, END)
        cars = set(self._cars(plan))
        if wanted.vehicles is not None:
            cars = self._named(flow, wanted.vehicles, cars, since_us, until_us)
        held_us = (0, 0) if wanted.upto is not None else self._held(plan)
        asked = parameters(_chosen(plan, wanted.paths), cars, since_us, until_us, after, upto, held_us)
        return Question(flow, plan, asked, wanted.limit, after)

    def let_out(self, question: Question, answer: bytes, actor: str) -> Sent:
        """Change the lake's answer, an Arrow stream, and count whose rows it holds; return what may leave.

        Raises:
            ExportStoppedError: more people's data would leave than may; nothing leaves.
        """
        flow, plan = question.flow, question.plan
        rows, place, more = page(pa.ipc.open_stream(answer).read_all(), question.limit, question.after)
        car_of = self._cars(plan)
        if gone := set(rows["vehicle"].unique().to_pylist()) - car_of.keys():
            rows = rows.filter(pa.compute.invert(pa.compute.is_in(rows["vehicle"], pa.array(sorted(gone)))))
        sent = plan.sent(rows, lambda car, year: self._names.of(flow.name, year, car), self._ahead_us)
        self.meter.let_out(self.flows, flow, _persons(plan, rows, car_of), sent.num_rows, actor, self.tenant)
        units = {signal: self._catalogue[signal].unit for signal in sorted(sent["signal"].unique().to_pylist())}
        return Sent(sent, self._sealed(flow, place), more, units)

    def _held(self, plan: Plan) -> tuple[int, int]:
        """Return the times whose step is not over yet."""
        if not plan.time_s:
            return 0, 0
        now_us, step_us = int(self.meter.now().timestamp() * SECOND_US), plan.time_s * SECOND_US
        return (now_us - COMMIT_US) // step_us * step_us, now_us + step_us + AHEAD_US

    def _cars(self, plan: Plan) -> dict[str, str]:
        """Return the cars that may be told of now, under all names that rows of the lake bear: name → car."""
        cars = self._agreed(plan)
        hidden = self._records.pseudonyms.cars(self.tenant)
        return {car: car for car in cars} | {name: car for name, car in hidden.items() if car in cars}

    def _agreed(self, plan: Plan) -> set[str]:
        cars = self._records.exports.cars(self.tenant)
        if not plan.needs_consent:
            return cars
        now = self.meter.now()
        agreed = consents(self._records.grants.held(now, [ZONE], tenant=self.tenant), self._ground, now)
        return {car for car in cars if plan.flow.purpose in agreed.get(car, ())}

    def _named(self, flow: Flow, names: Collection[str], cars: set[str], since_us: int, until_us: int) -> set[str]:
        if not flow.pseudonym:
            return cars & set(names)
        first, last = years_of(np.array([since_us, until_us]) + self._ahead_us).tolist()
        return self._names.vehicles(flow.name, range(first, last + 1), frozenset(names), cars)

    def _sealed(self, flow: Flow, place: Place) -> str:
        return base64.urlsafe_b64encode(self._places.seal(place.dump(), f"flow:{flow.name}")).decode()

    def _opened(self, flow: Flow, place: str | None, unsaid: Place) -> Place:
        if place is None:
            return unsaid
        try:
            sealed = base64.b64decode(place.encode(), b"-_", validate=True)
            return Place.load(self._places.open(sealed, f"flow:{flow.name}"))
        except (binascii.Error, UnicodeEncodeError, ConflictError):
            do = "Give `next` of an earlier answer of the same flow, as it was."
            raise InputError("`after` or `upto` is no place in this flow.", do) from None


def _chosen(plan: Plan, paths: Collection[str] | None) -> list[str]:
    if paths is None:
        return list(plan.signals)
    chosen = set[str]()
    for path in paths:
        rule = Rule((path,), "", ()) if len(path) <= 256 and path.count("**") <= 2 and GLOB.fullmatch(path) else None
        found = {signal for signal in plan.signals if rule is not None and rule.names(signal)}
        if not found:
            do = f"Signals of the flow: {', '.join(list(plan.signals)[:8])} …"
            raise InputError(f"{path[:80]!r} names nothing that leaves by flow {plan.flow.name}.", do)
        chosen |= found
    return sorted(chosen)


def _persons(plan: Plan, rows: pa.Table, car_of: Mapping[str, str]) -> dict[str, set[str]]:
    """Return whose rows leave: class → cars."""
    persons: dict[str, set[str]] = {}
    for row in rows.group_by(["vehicle", "signal"]).aggregate([]).to_pylist():
        persons.setdefault(plan.signals[row["signal"]].kind, set()).add(car_of[row["vehicle"]])
    return persons


def _within(time_us: int) -> int:
    return min(max(time_us, FIRST_US), END_US)
