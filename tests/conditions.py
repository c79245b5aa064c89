"""Conditions by their definition, slow and plain, and random conditions and samples to hold evaluators against it.

The timeline is cut at every time at which anything could change; the first cut lies before all of them and stands for
the time before any sample. A cut has two places: the instant itself, and the open stretch after it, in which nothing
changes. A node's value at a place is worked out as `tree.py` says, from the samples and from the values of the nodes
below at all places that a window meets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.condition import Change, Condition, Truth
from carcloud.vehicle.conditions.initial import initial

SPEED, PEDAL, BRAKE, GEAR = "Vehicle.Speed", "Vehicle.Pedal", "Vehicle.IsBraking", "Vehicle.Gear"
CATALOGUE = Catalogue(
    [
        Signal(SPEED, "float", "km/h"),
        Signal(PEDAL, "float", "percent"),
        Signal(BRAKE, "boolean"),
        Signal(GEAR, "string", allowed=("P", "R", "D")),
    ]
)
START = 1_790_000_000_000_000
NEVER = -(10**18)


class Sample(NamedTuple):
    """One sample; a list of them is in the order in which they were accepted.

    value: None, of rows in recordings only, says that the signal is unknown from then on.
    """

    path: str
    time_us: int
    value: float | str | None


Value = float | str | bool | None
Place = tuple[int, bool]
"""Index of a cut, and whether it is the stretch after it."""


def changes(condition: Condition, samples: Sequence[Sample]) -> list[Change]:
    """Return when a condition changes and what it is then, by definition."""
    told = _Definition(condition, samples)
    found: list[Change] = []
    before: Value = told.value(condition.tree, (0, True))
    assert before is condition.initial
    for cut in range(1, len(told.cuts)):
        now, after = told.value(condition.tree, (cut, False)), told.value(condition.tree, (cut, True))
        if now is not before or after is not before:
            found.append(Change(told.cuts[cut], _truth(now), _truth(after)))
        before = after
    return found


def _truth(value: Value) -> Truth:
    assert value is None or isinstance(value, bool)
    return value


class _Definition:
    def __init__(self, condition: Condition, samples: Sequence[Sample]) -> None:
        self.stale_us = condition.stale_us
        by_signal: dict[str, dict[int, float | str | None]] = {}
        for path, time_us, value in samples:  # of the same time, the last
            by_signal.setdefault(path, {})[time_us] = value
        self.samples = {path: sorted(values.items()) for path, values in by_signal.items()}
        self.cuts = [NEVER, *sorted(self._cuts(condition.tree))]
        self.known: dict[tuple[int, Place], Value] = {}

    def _cuts(self, node: tree.Node) -> set[int]:
        cuts: set[int] = set()
        for part in node.parts():
            cuts |= self._cuts(part)
        path = getattr(node, "path", None)
        if path is not None:
            times = {time for time, _ in self.samples.get(path, [])}
            cuts |= times | {time + self.stale_us for time in times}
        us = getattr(node, "us", None)
        return cuts if us is None else cuts | {time + us for time in cuts}

    def value(self, node: tree.Node, place: Place) -> Value:
        key = (id(node), place)
        if key not in self.known:
            self.known[key] = self._value(node, place)
        return self.known[key]

    def _value(self, node: tree.Node, place: Place) -> Value:
        match node:
            case tree.Number(value) | tree.Text(value):
                return value
            case tree.Held(path):
                return self._held(path, place)
            case tree.Scaled(x, factor, offset):
                value = self._number(x, place)
                return None if value is None else _finite(value * factor + offset)
            case tree.Absolute(x):
                value = self._number(x, place)
                return None if value is None else abs(value)
            case tree.Arithmetic(operation, left, right):
                a, b = self._number(left, place), self._number(right, place)
                if a is None or b is None or (operation == "/" and b == 0):
                    return None
                return _finite({"+": a + b, "-": a - b, "*": a * b, "/": a / (b or 1)}[operation])
            case tree.Rate(path):
                return self._rate(path, place)
            case tree.Aggregate(kind, path, us):
                return self._aggregate(kind, path, us, place)
            case tree.Compare(operation, left, right):
                a, b = self.value(left, place), self.value(right, place)
                if a is None or b is None:
                    return None
                if operation in ("=", "!="):
                    return (a == b) == (operation == "=")
                a, b = _float(a), _float(b)
                return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operation]
            case tree.Known(x):
                return self.value(x, place) is not None
            case tree.Not(x):
                return _not(self.value(x, place))
            case tree.And(left, right):
                return _all([self.value(left, place), self.value(right, place)])
            case tree.Or(left, right):
                return _any([self.value(left, place), self.value(right, place)])
            case tree.Rising(x):
                return self._edge(x, place, up=True)
            case tree.Falling(x):
                return self._edge(x, place, up=False)
            case tree.Changed(path, by, us):
                return self._changed(path, by, place) if us is None else self._spread(path, by, us, place)
            case tree.Always(x, us):
                return _all([self.value(x, each) for each in self._window(us, place, before=False)])
            case tree.Once(x, us, before):
                return _any([self.value(x, each) for each in self._window(us, place, before)])
        raise AssertionError(node)

    def _number(self, node: tree.Node, place: Place) -> float | None:
        value = self.value(node, place)
        return None if value is None else _float(value)

    def _last(self, path: str, until_us: int) -> list[tuple[int, float | str | None]]:
        return [sample for sample in self.samples.get(path, []) if sample[0] <= until_us]

    def _held(self, path: str, place: Place) -> float | str | None:
        now = self.cuts[place[0]]
        samples = self._last(path, now)
        return samples[-1][1] if samples and now < samples[-1][0] + self.stale_us else None

    def _rate(self, path: str, place: Place) -> float | None:
        if self._held(path, place) is None:
            return None
        samples = self._last(path, self.cuts[place[0]])
        if len(samples) < 2 or samples[-1][0] > samples[-2][0] + self.stale_us:
            return None
        (earlier, before), (later, value) = samples[-2:]
        if before is None:
            return None
        return _finite((_float(value) - _float(before)) / ((later - earlier) / 1e6))

    def _aggregate(self, kind: str, path: str, us: int, place: Place) -> float | None:
        now = self.cuts[place[0]]
        values = [value for time, value in self.samples.get(path, []) if now - us < time <= now and value is not None]
        if kind == "count":
            return float(len(values))
        if not values:
            return None
        numbers = [float(value) for value in values]
        if kind == "mean":
            if any(abs(value) >= tree.LIMIT_MEAN for value in numbers):
                return None
            return float(sum(math.floor(value * 1e6 + 0.5) for value in numbers)) / (len(numbers) * 1e6)
        return min(numbers) if kind == "min" else max(numbers)

    def _edge(self, x: tree.Node, place: Place, up: bool) -> Truth:
        cut, after = place
        value = _truth(self.value(x, place))
        if after:
            return None if value is None else False
        before = _truth(self.value(x, (cut - 1, True)))
        return _all([_not(before), value]) if up else _all([before, _not(value)])

    def _changed(self, path: str, by: float, place: Place) -> Truth:
        cut, after = place
        value = self._held(path, place)
        if value is None:
            return None
        if after or self.cuts[cut] not in {time for time, _ in self.samples[path]}:
            return False
        before = self._held(path, (cut - 1, True))
        if before is None:
            return None
        return _far(_float(value) - _float(before), by)

    def _spread(self, path: str, by: float, us: int, place: Place) -> Truth:
        least, most = (self._aggregate(kind, path, us, place) for kind in ("min", "max"))
        return None if least is None or most is None else _far(most - least, by)

    def _window(self, us: int, place: Place, before: bool) -> list[Place]:
        """Return the places that the window (t - us, t] meets, or (t - us, t) where `before`."""
        cut, after = place
        start = self.cuts[cut] - us
        met: list[Place] = []
        for each in range(cut + 1):
            if each and self.cuts[each] > start and (each < cut or after or not before):
                met.append((each, False))
            following = self.cuts[each + 1] if each + 1 < len(self.cuts) else math.inf
            if following > start and (each < cut or after):
                met.append((each, True))
        return met


def _float(value: Value) -> float:
    assert isinstance(value, float)
    assert math.isfinite(value)
    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _far(difference: float, by: float) -> Truth:
    return abs(difference) >= by if math.isfinite(difference) else None


def _not(value: Value) -> Truth:
    return None if value is None else not value


def _all(values: Sequence[Value]) -> Truth:
    return False if False in values else None if None in values else True


def _any(values: Sequence[Value]) -> Truth:
    return True if True in values else None if None in values else False


# Random conditions and samples. Times meet on a grid of half seconds, a few a microsecond beside it.

LENGTHS = (1, 500_000, 1_000_000, 2_000_000, 3_000_001)
lengths = st.sampled_from(LENGTHS)
levels = st.sampled_from([-1.7e308, -2.0, 0.0, 0.1, 0.5, 1.0, 3.0, 50.0, 1e18, 1e300])
signals = st.sampled_from([SPEED, PEDAL])
_sources = st.one_of(
    signals.map(tree.Held),
    signals.map(tree.Rate),
    st.builds(tree.Aggregate, st.sampled_from(["mean", "min", "max", "count"]), signals, lengths),
)
numbers: st.SearchStrategy[tree.Node] = st.recursive(
    st.one_of(_sources, levels.map(tree.Number)),
    lambda below: st.one_of(
        st.builds(tree.Arithmetic, st.sampled_from(["+", "-", "*", "/"]), below, below),
        st.builds(tree.Absolute, below),
        st.builds(tree.Scaled, below, st.sampled_from([3.6, 0.1, -2.0]), st.sampled_from([0.0, 273.15])),
    ),
    max_leaves=3,
)
_plain: st.SearchStrategy[tree.Node] = st.one_of(
    st.builds(tree.Compare, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), numbers, numbers),
    st.builds(tree.Compare, st.just(">"), signals.map(tree.Held), levels.map(tree.Number)),
    st.builds(tree.Compare, st.just("="), st.just(tree.Held(BRAKE)), st.just(tree.Number(1.0))),
    st.builds(
        tree.Compare,
        st.sampled_from(["=", "!="]),
        st.just(tree.Held(GEAR, text=True)),
        st.sampled_from("PRD").map(tree.Text),
    ),
    st.builds(tree.Known, st.one_of(numbers, st.just(tree.Held(GEAR, text=True)))),
    st.builds(tree.Compare, st.just(">"), st.just(tree.Aggregate("count", GEAR, 2_000_000)), levels.map(tree.Number)),
    st.builds(tree.Changed, signals, st.sampled_from([0.4, 1.0, 3.0]), st.one_of(st.none(), lengths)),
)
trees: st.SearchStrategy[tree.Node] = st.recursive(
    _plain,
    lambda below: st.one_of(
        below.map(tree.Not),
        below.map(tree.Known),
        below.map(tree.Rising),
        below.map(tree.Falling),
        st.builds(tree.And, below, below),
        st.builds(tree.Or, below, below),
        st.builds(tree.Always, below, lengths),
        st.builds(tree.Once, below, lengths, st.booleans()),
        st.builds(tree.near, below, below, lengths),
        st.builds(tree.then, below, below, lengths),
    ),
    max_leaves=4,
)
conditions: st.SearchStrategy[Condition] = st.builds(
    lambda node, stale_us: Condition("", node, stale_us, initial(node)),
    trees.filter(lambda node: any(hasattr(part, "path") for part in node.all())),
    st.sampled_from([1_500_000, 2_000_000, 60_000_000]),
)
_times = st.builds(
    lambda half, beside: START + half * 500_000 + beside, st.integers(0, 24), st.sampled_from([0, 0, 0, 1, -1])
)
_samples = st.one_of(
    st.builds(Sample, signals, _times, levels),
    st.builds(Sample, st.just(BRAKE), _times, st.sampled_from([0.0, 1.0])),
    st.builds(Sample, st.just(GEAR), _times, st.sampled_from("PRD")),
)
samples: st.SearchStrategy[list[Sample]] = st.lists(_samples, max_size=20)
"""Gappy, out of order, and with some of one signal at one time."""
