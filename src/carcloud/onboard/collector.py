"""The collector: evaluates a car's plans on what the car says, and gathers what their windows bring in.

Rules:
* Samples come with a watermark: what follows is not older. One that is, is refused, and counted.
* Firings, windows and samples are what `docs/plans.md` defines, whatever the size of the pieces in which samples come.
* What is gathered is handed over together with what its plans have done so far, to be kept in one flush. A recording
  that is driven again after a kill gathers the same, and hands over only what was not kept.
* A live car that is killed loses its ring. The rest of a window under way is collected, without what the ring held, and
  counted as cut short.
* A clock that jumps forward closes windows. One that jumps back by more than a minute begins everything anew.
* Plans are told of by ordinary samples: each firing at its time, and how all stand when that changed, once a minute at
  most.

Source: docs/onboard.md, docs/plans.md.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carcloud.onboard.plans import CarPlan, Plans
from carcloud.onboard.queue import Parcel, Queue
from carcloud.onboard.ring import Ring, ordered
from carcloud.onboard.standing import NEVER_US, Standing
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import LONGEST_WINDOW_US, Batcher, Column
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.incremental import Evaluator
from carcloud.vehicle.plans.harvest import DAY_US, Harvest, order
from carcloud.vehicle.plans.windows import PIECE_US, Piece, minute

FIRED, STATE = "Vehicle.Collection.Fired", "Vehicle.Collection.Plans"
OWN = ((FIRED, None), (STATE, None))
FIRST = 1
"""The priority of what the car says about its plans."""
SAY_US = 60_000_000
JUMP_BACK_US = 60_000_000
FORGET_US = 10_000_000
KEPT_DAYS = 8


def with_own_signals(table: IdTable) -> IdTable:
    """Return an id table that also has the signals by which the car tells of its plans."""
    known = {path for path, _ in table.signals}
    return IdTable((*table.signals, *(pair for pair in OWN if pair[0] not in known)))


@dataclass(frozen=True)
class Gathered:
    """What is to be kept together: batches, the states of plans, and up to when, exclusive, this is all."""

    parcels: list[Parcel]
    states: dict[str, bytes]
    until_us: int


@dataclass(eq=False)
class Group:
    """Conditions that began together: one evaluator, and whose each condition is. None: nobody's any more."""

    evaluator: Evaluator
    roles: list[tuple[Standing, bool] | None] = field(default_factory=list)
    """(plan, whether the condition is its upload condition)."""
    overfull: Counter[int] = field(default_factory=Counter)
    """How often a window of a condition had no room, as was counted already."""


class Collector:
    """One car's collector. `gather`: whether plans bring samples in, or only tell when they fire.

    muted_us: what lies before was kept by an earlier drive of the same recording.
    """

    def __init__(
        self,
        plans: Plans,
        queue: Queue,
        table: IdTable,
        provenance: Provenance,
        skipped: Counter[str],
        *,
        gather: bool,
        muted_us: int = NEVER_US,
    ) -> None:
        self._plans, self._queue, self._table, self._provenance = plans, queue, table, provenance
        self._skipped, self._gather, self._muted_us = skipped, gather, muted_us
        self._places = {path: at for at, (path, _) in enumerate(table.signals)}
        self._standings: list[Standing] = []
        self._groups: list[Group] = []
        self._feeds: dict[int, list[Group]] = {}
        self._wanted: frozenset[int] = frozenset()
        self._harvest = Harvest((), table, provenance, skipped)
        self._ring, self._lost = Ring(), 0
        self._revision = -1
        self._begun = False
        self._watermark_us = self._newest_us = NEVER_US
        self._forgot_us = self._said_at_us = NEVER_US
        self._said = "{}"
        self._follow_plans()

    @property
    def held(self) -> frozenset[str]:
        """Return the plans whose upload condition does not hold: their batches wait."""
        return frozenset(one.kept.plan.name for one in self._standings if not one.gate)

    def take(self, columns: Iterable[Column]) -> None:
        """Take samples in. What is older than the watermark is refused, and counted."""
        if self._plans.revision != self._revision:
            self._follow_plans()
        if not self._standings:
            return
        for column in columns:
            groups = self._feeds.get(column.signal, ())
            if (groups or column.signal in self._wanted) and len(column):
                self._see(column, groups)

    def _see(self, column: Column, groups: Sequence[Group]) -> None:
        times = column.times_us.tolist()
        if times != sorted(times):
            column = ordered(column)
            times = column.times_us.tolist()
        path = self._table.signals[column.signal][0]
        if times[0] < self._watermark_us:
            late = bisect_left(times, self._watermark_us)
            self._skipped[f"{path}: too late for the plans"] += late
            column, times = column.part(late, len(column)), times[late:]
            if not times:
                return
        self._newest_us = max(self._newest_us, times[-1])
        if self._gather and column.signal in self._wanted:
            self._ring.take(column)
        values = column.texts if column.texts is not None else column.values.tolist()
        for group in groups:
            take = group.evaluator.take
            refused = sum(not take(path, time_us, value) for time_us, value in zip(times, values, strict=True))
            if refused:
                self._skipped[f"{path}: not taken by the plans' conditions"] += refused

    def advance(self, until_us: int) -> Gathered | None:
        """Evaluate everything before `until_us`; what follows is not older. Return what that gives."""
        if until_us < self._watermark_us - JUMP_BACK_US:
            return self._begin_anew(until_us)
        if until_us <= self._watermark_us or not (self._standings or self._said != "{}"):
            return None
        self._begin(until_us)
        fired = self._evaluate(until_us)
        parcels = self._bring_in(until_us) if self._gather else []
        return self._hand_over(fired, parcels, until_us)

    def rest(self) -> Gathered | None:
        """Return what the windows under way have so far: nothing follows."""
        if self._watermark_us == NEVER_US or not (self._standings or self._said != "{}"):
            return None
        until_us = max(self._watermark_us, self._newest_us + 1)
        fired = self._evaluate(until_us)
        parcels = self._bring_in(until_us, final=True) if self._gather else []
        self._said_at_us = NEVER_US
        return self._hand_over(fired, parcels, until_us)

    def _begin(self, until_us: int) -> None:
        """Take up, at the first samples, what was under way when this car stopped."""
        if self._begun:
            return
        self._begun = True
        now_us = min(until_us, self._newest_us) if self._newest_us != NEVER_US else until_us
        for one in self._standings:
            last_us, plan = one.kept.state.get("last_us"), one.kept.plan
            if last_us is None or self._muted_us != NEVER_US or last_us > now_us:
                continue
            one.last_us = last_us
            if one.windows is not None and last_us + plan.after_us >= now_us and self._gather:
                one.windows.fire(last_us)
                self._skipped[f"plan {plan.name}: windows cut short by a stop"] += 1

    def _evaluate(self, until_us: int) -> list[tuple[int, Standing]]:
        """Return what fired before `until_us`, in the order of time."""
        fired: list[tuple[int, Standing]] = []
        for group in self._groups:
            for index, change in group.evaluator.advance(until_us):
                role = group.roles[index]
                if role is None:
                    continue
                one, gates = role
                if gates:
                    one.gate = change.after
                elif one.fires(change):
                    fired.append((change.time_us, one))
                    if one.windows is not None and self._gather:
                        one.windows.fire(change.time_us)
            self._note_overfull(group)
        self._watermark_us = until_us
        fired = [(time_us, one) for time_us, one in fired if time_us >= self._muted_us]
        for _, one in fired:
            one.fired += 1
            one.changed = True
        return sorted(fired, key=lambda row: (row[0], row[1].label))

    def _note_overfull(self, group: Group) -> None:
        """Count where a window of a condition had more samples than the car keeps, so that it was unknown."""
        for index, role in enumerate(group.roles):
            times = group.evaluator.overfull(index)
            if role is not None and times > group.overfull[index]:
                key = f"plan {role[0].kept.plan.name}: times that a window of its condition was too full"
                self._skipped[key] += times - group.overfull[index]
                group.overfull[index] = times

    def _bring_in(self, until_us: int, final: bool = False) -> list[Parcel]:
        ready: list[tuple[tuple[int, int, int], int, Piece]] = []
        for index, one in enumerate(self._standings):
            pieces = self._pieces(one, until_us, final)
            ready += [(order(one.kept.plan, index, piece), index, piece) for piece in pieces]
        parcels: list[Parcel] = []
        for (final_us, _, _), index, piece in sorted(ready, key=lambda row: row[0]):
            one, plan = self._standings[index], self._standings[index].kept.plan
            found = [self._ring.between(signal, piece.start_us, piece.end_us) for signal in one.signals]
            mute = final_us < self._muted_us
            if not mute:
                self._unmute()
            packed = self._harvest.take(index, piece, [column for column in found if column is not None])
            if not mute:
                parcels += [Parcel(batch.payload, batch.samples, plan.priority, plan.name) for batch in packed]
                one.changed = True
        if until_us >= self._muted_us:
            self._unmute()
        self._forget(until_us)
        return parcels

    def _pieces(self, one: Standing, until_us: int, final: bool) -> list[Piece]:
        """Return the pieces of a plan's windows that are final; at the very end all, up to the last sample."""
        if one.windows is not None:
            if not final:
                return one.windows.ready(until_us)
            return [piece for piece in one.windows.ready(2**62) if piece.start_us < until_us]
        pieces: list[Piece] = []
        under_way_us, over_us = until_us // PIECE_US * PIECE_US, one.kept.plan.until_us
        ends_us = min(until_us if final else under_way_us, over_us)
        while one.begins_us < ends_us:
            start_us = self._ring.next(one.signals, one.begins_us)
            if start_us is None or start_us >= ends_us:
                break
            pieces.append(minute(start_us, over_us))
            one.begins_us = pieces[-1].start_us + PIECE_US
        one.begins_us = max(one.begins_us, under_way_us)
        return pieces

    def _unmute(self) -> None:
        """Go on counting where the earlier drive of this recording stood."""
        if self._muted_us != NEVER_US:
            self._muted_us = NEVER_US
            for index, one in enumerate(self._standings):
                self._recall(index, one)

    def _recall(self, index: int, one: Standing) -> None:
        spent, state = self._harvest.spent[index], one.kept.state
        for counter, key in ((spent.sent, "sent"), (spent.cut, "cut")):
            counter.clear()
            counter.update({int(day): count for day, count in state.get(key, {}).items()})

    def _forget(self, until_us: int) -> None:
        if self._ring.bytes <= self._ring.limit_bytes and until_us - self._forgot_us < FORGET_US:
            return
        self._forgot_us = until_us
        self._plans.let_go()
        keep: dict[int, int] = {}
        for one in self._standings:
            oldest = until_us - one.kept.plan.before_us
            if one.windows is None:
                oldest = min(oldest, one.begins_us)
            elif one.windows.oldest_us is not None:
                oldest = min(oldest, one.windows.oldest_us)
            for signal in one.signals:
                keep[signal] = min(keep.get(signal, oldest), oldest)
        self._ring.keep(keep)
        self._ring.shrink()
        self._skipped["samples that the ring had no room for"] += self._ring.lost - self._lost
        self._skipped += Counter()  # drops what is 0
        self._lost = self._ring.lost
        self._harvest.forget(min(keep.values(), default=until_us))

    def _hand_over(self, fired: list[tuple[int, Standing]], parcels: list[Parcel], until_us: int) -> Gathered | None:
        said = self._own(fired) + self._say(until_us)
        self._queue.hold(self.held)
        changed = [one for one in self._standings if one.changed]
        if not said and not parcels and not changed:
            return None
        states = {one.kept.plan.name: self._state(at, one) for at, one in enumerate(self._standings) if one.changed}
        for one in changed:
            one.changed = False
        return Gathered(said + parcels, states, until_us)

    def _own(self, fired: list[tuple[int, Standing]]) -> list[Parcel]:
        return self._parcels(FIRED, [time_us for time_us, _ in fired], [one.label for _, one in fired])

    def _say(self, until_us: int) -> list[Parcel]:
        """Tell how the plans stand, where that has changed since it was told, once a minute."""
        if until_us - self._said_at_us < SAY_US or until_us <= self._muted_us:
            return []
        waiting = self._queue.waiting_bytes()
        day = (until_us - 1) // DAY_US
        rows: dict[str, list[Any]] = {}
        for index, one in enumerate(self._standings):
            plan, spent = one.kept.plan, self._harvest.spent[index]
            rows[plan.name] = [plan.version, one.fired, spent.sent[day], spent.cut[day], waiting.get(plan.name, 0)]
        said = json.dumps(rows, separators=(",", ":"))
        if said == self._said:
            return []
        self._said, self._said_at_us = said, until_us
        return self._parcels(STATE, [until_us - 1], [said])

    def _parcels(self, path: str, times_us: list[int], texts: list[str]) -> list[Parcel]:
        if not times_us:
            return []
        values = np.full(len(texts), math.nan)
        batcher = Batcher(self._table, self._provenance, self._skipped, LONGEST_WINDOW_US)
        batcher.add([Column(self._places[path], np.array(times_us, np.int64), values, texts)])
        return [Parcel(batch.payload, batch.samples, FIRST) for batch in batcher.rest()]

    def _state(self, index: int, one: Standing) -> bytes:
        spent = self._harvest.spent[index]
        for counter in (spent.sent, spent.cut, spent.samples, spent.cut_samples):
            for day in sorted(counter)[:-KEPT_DAYS]:
                del counter[day]
        state = {"fired": one.fired, "last_us": one.last_us, "sent": spent.sent, "cut": spent.cut}
        return json.dumps(state).encode()

    def _begin_anew(self, until_us: int) -> Gathered | None:
        """Forget what the clock no longer agrees with: it jumped back."""
        gathered = self.rest()
        self._skipped["times the clock jumped back"] += 1
        self._ring.clear()
        self._watermark_us, self._newest_us = until_us, NEVER_US
        self._forgot_us = self._said_at_us = NEVER_US
        self._groups, self._feeds = [], {}
        for one in self._standings:
            one.begin()
            one.last_us = None
        self._group(self._standings)
        return gathered

    def _follow_plans(self) -> None:
        """Take up the plans this car has now: those it had go on, others begin."""
        self._revision = self._plans.revision
        known = {one.kept.digest: (at, one) for at, one in enumerate(self._standings)}
        fresh: list[Standing] = []
        standings: list[Standing] = []
        for kept in self._plans.current():
            if kept.digest in known:
                standings.append(known[kept.digest][1])
            else:
                fresh.append(self._standing(kept))
                standings.append(fresh[-1])
        before, self._harvest = self._harvest, self._harvest_of(standings)
        places = {at: known[one.kept.digest][0] for at, one in enumerate(standings) if one.kept.digest in known}
        self._harvest.follow(before, places)
        self._standings = standings
        self._wanted = frozenset(signal for one in standings for signal in one.signals)
        self._end_groups()
        self._group(fresh)
        if self._muted_us == NEVER_US:
            for at, one in enumerate(standings):
                if one in fresh:
                    self._recall(at, one)
        self._said_at_us = NEVER_US
        self._queue.hold(self.held)

    def _standing(self, kept: CarPlan) -> Standing:
        one = Standing(kept, int(kept.state.get("fired", 0)))
        one.signals = tuple(self._places[want.path] for want in kept.plan.signals if want.path in self._places)
        for path in self._plans.absent(kept.plan):
            self._skipped[f"plan {kept.plan.name}: this car has no {path}"] += 1
        one.begin()
        return one

    def _harvest_of(self, standings: list[Standing]) -> Harvest:
        return Harvest([one.kept.plan for one in standings], self._table, self._provenance, self._skipped)

    def _end_groups(self) -> None:
        """Let go of the conditions of plans that were dropped."""
        for group in self._groups:
            group.roles = [role if role and role[0] in self._standings else None for role in group.roles]
        self._groups = [group for group in self._groups if any(group.roles)]
        for signal, groups in list(self._feeds.items()):
            self._feeds[signal] = [group for group in groups if group in self._groups]

    def _group(self, standings: Iterable[Standing]) -> None:
        """Begin to evaluate the conditions of plans."""
        conditions: list[Condition] = []
        roles: list[tuple[Standing, bool] | None] = []
        for one in standings:
            for condition, gates in ((one.kept.plan.when, False), (one.kept.plan.upload, True)):
                if condition is not None:
                    conditions.append(condition)
                    roles.append((one, gates))
        if not conditions:
            return
        group = Group(Evaluator(conditions), roles)
        self._groups.append(group)
        for path in {path for condition in conditions for path in condition.paths}:
            if path in self._places:
                self._feeds.setdefault(self._places[path], []).append(group)
