"""Conditions over samples as they come: in the car, and over a live stream.

Rules:
* Samples may come in any order until the watermark has passed their time; what is earlier than it is refused.
* Everything before the watermark is final. An instant is worked out once, when all its samples are there.
* A sample wakes the conditions that ask about its signal, and those alone; one that brings no other value wakes only
  those that ask how values came. What changes without a sample waits in one heap of times.
* Memory is bounded: LIMIT_WAITING samples wait for the watermark; those beyond are not accepted, and counted. A window
  that has no room for a sample is unknown for as long as it is.

Source: tree.py, which says what each node means.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter, itemgetter

from carcloud.vehicle.conditions.condition import Change, Condition
from carcloud.vehicle.conditions.levels import Level, Track, Waiting, is_level, level
from carcloud.vehicle.conditions.steps import Step, step
from carcloud.vehicle.conditions.tree import Aggregate, Changed, Held, Rate
from carcloud.vehicle.conditions.windows import NEVER, Window, window

LIMIT_WAITING = 1_000_000

_TIME = itemgetter(0)
_INDEX = attrgetter("index")


class _Asked:
    """One condition at work: the conditions' view of the evaluator, and what it was last.

    armed: the times at which it is woken, each earlier than the one before; never more than `waits`, since what waits
    waits for ever later times.
    """

    __slots__ = (
        "armed",
        "at_us",
        "evaluator",
        "index",
        "key",
        "last",
        "level",
        "share",
        "stale_us",
        "step",
        "waits",
        "windows",
    )

    def __init__(self, evaluator: Evaluator, index: int, condition: Condition) -> None:
        self.evaluator, self.index, self.key = evaluator, index, next(evaluator.keys)
        self.stale_us, self.last, self.share = condition.stale_us, condition.initial, condition.share
        self.windows: list[Window] = []
        self.waits: list[Waiting] = []
        self.at_us = -NEVER
        self.armed: list[int] = []
        self.level: Level | None = None
        self.step: Step | None = None
        if is_level(condition.tree):
            self.level = level(condition.tree, self)
        else:
            self.step = step(condition.tree, self)

    def track(self, path: str, every_sample: bool) -> Track:
        track = self.evaluator.route(path).track(self.stale_us, self.evaluator.keys)
        if every_sample:
            if self in track.on_move:
                track.on_move.remove(self)
            if self not in track.on_sample:
                track.on_sample.append(self)
        elif self not in track.on_move and self not in track.on_sample:
            track.on_move.append(self)
        return track

    def window(self, kind: str, path: str, us: int) -> Window:
        found = self.evaluator.route(path).window(kind, us)
        found.limit = max(found.limit, self.share)
        if found not in self.windows:
            self.windows.append(found)
            self.waits.append(found)
        return found

    def remember(self, waiting: Waiting) -> None:
        self.waits.append(waiting)


class _Route:
    """Where the samples of one signal go."""

    __slots__ = ("by_kind", "is_text", "tracks", "windows")

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.windows: list[Window] = []
        self.by_kind: dict[tuple[str, int], Window] = {}
        self.is_text: bool | None = None

    def track(self, stale_us: int, keys: count[int]) -> Track:
        for track in self.tracks:
            if track.stale_us == stale_us:
                return track
        self.tracks.append(Track(next(keys), stale_us))
        return self.tracks[-1]

    def window(self, kind: str, us: int) -> Window:
        if (kind, us) not in self.by_kind:
            self.by_kind[kind, us] = window(kind, us)
            self.windows.append(self.by_kind[kind, us])
        return self.by_kind[kind, us]


class Evaluator:
    """Several conditions over the samples of one vehicle.

    late, unfit, full: samples refused since they came too late, were no number or text as the signal has, or had no
    room.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.late = self.unfit = self.full = 0
        self.keys = count()
        self._asked: list[_Asked] = []
        self._routes: dict[str, _Route] = {}
        self._waiting: list[tuple[int, _Route, float | str]] = []
        self._timers: list[tuple[int, int, Track | _Asked]] = [(NEVER, -1, Track(-1, 0))]
        self._watermark_us = -NEVER
        for index, condition in enumerate(conditions):
            for node in condition.tree.all():
                if isinstance(node, Held | Rate | Changed) or (isinstance(node, Aggregate) and node.kind != "count"):
                    self.route(node.path).is_text = isinstance(node, Held) and node.text
            self._asked.append(_Asked(self, index, condition))

    def route(self, path: str) -> _Route:
        """Return where a signal's samples go; internal to the conditions' package."""
        return self._routes.setdefault(path, _Route())

    def take(self, path: str, time_us: int, value: float | str) -> bool:
        """Take a sample; tell whether it was accepted. A signal nobody asks about is, and forgotten."""
        if time_us < self._watermark_us:
            self.late += 1
            return False
        route = self._routes.get(path)
        if route is None:
            return True
        if type(value) is float:
            fits = value - value == 0.0 and not route.is_text
        elif isinstance(value, str):
            fits = route.is_text is not False
        else:
            value = float(value)
            fits = math.isfinite(value) and not route.is_text
        if not fits:
            self.unfit += 1
            return False
        if len(self._waiting) >= LIMIT_WAITING:
            self.full += 1
            return False
        self._waiting.append((time_us, route, value))
        return True

    def overfull(self, index: int) -> int:
        """Return how often a window of a condition had no room for a sample."""
        return sum(each.overfull for each in self._asked[index].windows)

    def advance(self, until_us: int) -> list[tuple[int, Change]]:
        """Move the watermark, and return what changed before it, by time and then by the order of the conditions."""
        told: list[tuple[int, Change]] = []
        if until_us <= self._watermark_us:
            return told
        self._watermark_us = until_us
        waiting, timers = self._waiting, self._timers
        waiting.sort(key=_TIME)  # stable: of one time, the last accepted stays last
        ready = bisect_left(waiting, until_us, key=_TIME)
        at = 0
        while True:
            time_us = timers[0][0]
            if at < ready and waiting[at][0] <= time_us:
                time_us = waiting[at][0]
            elif time_us >= until_us:
                break
            woken: list[_Asked] = []
            first = at
            while at < ready and waiting[at][0] == time_us:
                at += 1
            if at - first == 1:
                self._sampled(time_us, waiting[first][1], waiting[first][2], woken)
            elif at > first:
                for route, value in {each[1]: each[2] for each in waiting[first:at]}.items():
                    self._sampled(time_us, route, value, woken)
            while timers[0][0] == time_us:
                self._due(time_us, heappop(timers)[2], woken)
            if len(woken) > 1:
                woken.sort(key=_INDEX)
            for asked in woken:
                self._ask(asked, time_us, told)
        del waiting[:ready]
        return told

    def _sampled(self, time_us: int, route: _Route, value: float | str, woken: list[_Asked]) -> None:
        for each in route.windows:
            each.take(time_us, value)
        for track in route.tracks:
            moved = track.value != value
            track.before, track.before_us = track.value, track.time_us
            track.value, track.time_us = value, time_us
            if not track.armed:
                track.armed = True
                heappush(self._timers, (time_us + track.stale_us, track.key, track))
            if moved:
                _wake(track.on_move, time_us, woken)
            if track.on_sample:
                _wake(track.on_sample, time_us, woken)

    def _due(self, time_us: int, due: Track | _Asked, woken: list[_Asked]) -> None:
        if isinstance(due, _Asked):
            due.armed.pop()
            _wake([due], time_us, woken)
            return
        ends_us = due.time_us + due.stale_us
        if ends_us > time_us:
            heappush(self._timers, (ends_us, due.key, due))
            return
        due.armed = False
        due.value = due.before = None
        _wake(due.on_move, time_us, woken)
        _wake(due.on_sample, time_us, woken)

    def _ask(self, asked: _Asked, time_us: int, told: list[tuple[int, Change]]) -> None:
        for each in asked.windows:
            each.roll(time_us)
        before = asked.last
        if asked.level is not None:
            now = after = asked.level()
        else:
            assert asked.step is not None
            now, after = asked.step(time_us)
        if now is not before or after is not before:
            asked.last = after
            told.append((asked.index, Change(time_us, now, after)))
        if asked.waits:
            for waiting in asked.waits:
                deadline_us = waiting.deadline
                if deadline_us < (asked.armed[-1] if asked.armed else NEVER):
                    asked.armed.append(deadline_us)
                    heappush(self._timers, (deadline_us, asked.key, asked))


def _wake(some: list[_Asked], time_us: int, woken: list[_Asked]) -> None:
    for asked in some:
        if asked.at_us != time_us:
            asked.at_us = time_us
            woken.append(asked)
