"""The filters of VISS: which signals a request is about, and when a subscription tells of them. Nothing waits here.

- Every filter is an object with `variant` and `parameter`; a `paths` filter may stand beside one other, in a list.
- `range` and `change` look at the first signal only. Numbers are compared with the value of the last event (or, before
  one, with the first value); booleans with the value before.
- `curvelog` fills a buffer a signal, and tells of a full one the samples that a line within `maxerr` cannot do without.

Source: COVESA VISS version 3.1, Core (filter request). Version 3.0 wrote `boundary-op` where 3.1 writes `logic-op`.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import orjson

from carcloud.api.ports import Last
from carcloud.api.viss.messages import INTEGER, NUMBER, BadRequestError
from carcloud.errors import InputError, MissingError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.plans.sampling import Sampler, Sampling

VARIANTS = ("paths", "timebased", "range", "change", "curvelog", "history", "metadata")
KEYS = ("type", "datatype", "unit", "min", "max", "allowed", "description")
"""What metadata say of a signal."""
EVENTS = ("timebased", "range", "change", "curvelog")
LIMIT_FILTER_BYTES = 8 * 1024
PERIOD_MS = range(100, 24 * 3_600_000 + 1)
BUFFER = range(2, 1001)
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}

Values = Mapping[str, Last]
Latest = Mapping[str, Last | None]
"""The newest value of each signal that is subscribed to; None where none is known."""
Told = Mapping[str, Last | Sequence[Last] | None]


@dataclass(frozen=True)
class Filter:
    """What a request's filters say. paths: relative ones, None without a filter of paths; variant: the other, or ""."""

    paths: tuple[str, ...] | None = None
    variant: str = ""
    parameter: Any = None


def parse(given: Any) -> Filter:
    """Read the filters of a request; None has none. Raise BadRequestError."""
    if isinstance(given, str):
        given = _json(given)
    found: dict[str, Any] = {}
    for one in given if isinstance(given, list) else [] if given is None else [given]:
        variant = one.get("variant") if isinstance(one, dict) else None
        kind = "paths" if variant == "paths" else "other"
        if variant not in VARIANTS or "parameter" not in one or kind in found:
            raise _bad("Give one object with variant and parameter, and beside it at most one of variant paths.")
        found[kind] = one
    paths, other = found.get("paths"), found.get("other", {})
    return Filter(_paths(paths["parameter"]) if paths else None, other.get("variant", ""), other.get("parameter"))


def _json(text: str) -> Any:
    try:
        if len(text) <= LIMIT_FILTER_BYTES:
            return orjson.loads(text)
    except ValueError:
        pass
    raise _bad(f"It is JSON of at most {LIMIT_FILTER_BYTES} bytes.")


def _paths(given: Any) -> tuple[str, ...]:
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, list) or not paths or not all(isinstance(one, str) and one for one in paths):
        raise _bad("The parameter of paths is a path, or a list of paths.")
    return tuple(paths)


def metadata(parameter: Any) -> tuple[int | None, tuple[str, ...]]:
    """Return of how many generations metadata are asked for, None for all, and which; none means all of them.

    A number is one of generations, the addressed node's the first; "0" and nothing ask for all. A name, or a list of
    names, asks for these.

    Raises:
        BadRequestError: the parameter is neither.
    """
    if isinstance(parameter, str) and INTEGER.fullmatch(parameter) and int(parameter) >= 0:
        return int(parameter) or None, ()
    wanted = [parameter] if isinstance(parameter, str) else parameter
    if not isinstance(wanted, list) or not all(one in (*KEYS, "") for one in wanted):
        raise _bad(f"The parameter of metadata is a number of generations as a string, or of: {', '.join(KEYS)}.")
    return None, tuple(one for one in wanted if one)


def check_reading(wanted: Filter) -> None:
    """Raise where a filter is not for reading."""
    if wanted.variant == "history":
        raise MissingError(
            "Unsupported feature.", "No history is kept behind this door. Ask the lake: POST /v1/lake/sql."
        )
    if wanted.variant in EVENTS:
        raise BadRequestError("Incorrect filter.", f"{wanted.variant} is for subscriptions.")


class Trigger(Protocol):
    """What makes a subscription tell."""

    period_s: float | None
    """How often it tells by itself; None: only when something comes."""

    def take(self, fresh: Values, latest: Latest) -> Told | None:
        """Return what is told now that these values came; None for nothing."""


def trigger(wanted: Filter, signals: Mapping[str, Signal], first: Sequence[str]) -> Trigger:
    """Return what a subscription's filter asks for.

    Args:
        first: the signals that the first of its paths addresses.

    Raises:
        BadRequestError: there is no such filter.
        InputError: the filter does not fit the signals.
    """
    parameter = wanted.parameter
    if wanted.variant == "timebased":
        return Timebased(_whole(parameter, "period", PERIOD_MS) / 1000)
    if wanted.variant == "curvelog":
        return Curvelog(_number(parameter, "maxerr", low=0.0), _whole(parameter, "bufsize", BUFFER))
    if wanted.variant not in ("range", "change"):
        raise BadRequestError(
            "Incorrect filter." if wanted.variant else "Missing or invalid filter.",
            f"A subscription needs one of: {', '.join(EVENTS)}.",
        )
    if len(first) != 1:
        raise InputError("The first path addresses several signals.", "Let it address the one that is compared.")
    signal = signals[first[0]]
    if signal.is_text or (signal.type == "boolean" and wanted.variant == "range"):
        raise InputError(
            "Incorrect data type.", f"{signal.path} is of type {signal.type}, which {wanted.variant} is not for."
        )
    if wanted.variant == "change":
        compare = _compare(parameter, "logic-op")
        return Change(signal.path, compare, _number(parameter, "diff"), flips=signal.type == "boolean")
    return Range(signal.path, *_bounds(parameter))


@dataclass
class Timebased:
    """Tells all values every so often."""

    period_s: float | None

    def take(self, fresh: Values, latest: Latest) -> Told | None:
        """Tell nothing before its time."""
        return None


@dataclass
class Range:
    """Tells when the first signal's value lies in a range. bounds: comparison and boundary; any: one is enough."""

    path: str
    bounds: list[tuple[Callable[[float, float], bool], float]]
    any: bool
    period_s: float | None = None

    def take(self, fresh: Values, latest: Latest) -> Told | None:
        """Tell where the value that came lies in the range."""
        if self.path not in fresh:
            return None
        value = float(fresh[self.path].value)  # type: ignore[arg-type]
        held = [compare(value, boundary) for compare, boundary in self.bounds]
        return dict(latest) if (any(held) if self.any else all(held)) else None


@dataclass
class Change:
    """Tells when the first signal's value has changed as asked. flips: it is a boolean."""

    path: str
    compare: Callable[[float, float], bool]
    diff: float
    flips: bool
    period_s: float | None = None
    _before: float | None = None

    def take(self, fresh: Values, latest: Latest) -> Told | None:
        """Tell where the value that came differs from the one that counts as it should."""
        if self.path not in fresh:
            return None
        value, before = float(fresh[self.path].value), self._before  # type: ignore[arg-type]
        tells = before is not None and self.compare(value - before, self.diff)
        if before is None or tells or self.flips:
            self._before = value
        return dict(latest) if tells else None


@dataclass
class Curvelog:
    """Tells of a full buffer of a signal what a line within an error cannot do without."""

    maxerr: float
    size: int
    period_s: float | None = None
    _buffers: dict[str, list[Last]] = field(default_factory=dict)
    _samplers: dict[str, Sampler] = field(default_factory=dict)

    def take(self, fresh: Values, latest: Latest) -> Told | None:
        """Tell of each buffer that is now full."""
        full = {}
        for path, last in fresh.items():
            if isinstance(last.value, str | list):
                continue
            buffer = self._buffers.setdefault(path, [])
            buffer.append(last)
            if len(buffer) >= self.size:
                full[path] = self._kept(path, self._buffers.pop(path))
        return full or None

    def _kept(self, path: str, buffer: list[Last]) -> list[Last]:
        sampler = self._samplers.setdefault(path, Sampler(Sampling("curve", self.maxerr)))
        times = np.array([last.time_us for last in buffer], np.int64)
        values = np.array([float(last.value) for last in buffer])  # type: ignore[arg-type]
        return [last for last, kept in zip(buffer, sampler.take(times, values), strict=True) if kept]


def _bounds(parameter: Any) -> tuple[list[tuple[Callable[[float, float], bool], float]], bool]:
    several = isinstance(parameter, list)
    given = parameter if several else [parameter]
    if len(given) != (2 if several else 1) or not all(isinstance(one, dict) for one in given):
        raise _bad("The parameter of range is an object with one boundary, or a list of two such objects.")
    joined = given[0].get("combination-op", "AND")
    if joined not in ("AND", "OR"):
        raise _bad("combination-op is AND or OR.")
    bounds = [(_compare(one, "logic-op", "boundary-op"), _number(one, "boundary")) for one in given]
    return bounds, joined == "OR"


def _compare(given: Any, *names: str) -> Callable[[float, float], bool]:
    name = next((name for name in names if isinstance(given, dict) and name in given), names[0])
    said = given.get(name) if isinstance(given, dict) else None
    if not isinstance(said, str) or said not in COMPARE:
        raise _bad(f"{name} is one of: {', '.join(COMPARE)}.")
    return COMPARE[said]


def _number(given: Any, name: str, low: float = -math.inf) -> float:
    said = given.get(name) if isinstance(given, dict) else None
    if not isinstance(said, str) or not NUMBER.fullmatch(said) or not low <= float(said) < math.inf:
        raise _bad(f"{name} is a number, written as a string.")
    return float(said)


def _whole(given: Any, name: str, within: range) -> int:
    said = given.get(name) if isinstance(given, dict) else None
    if not isinstance(said, str) or not INTEGER.fullmatch(said) or int(said) not in within:
        raise _bad(f"{name} is a whole number from {within[0]} to {within[-1]}, written as a string.")
    return int(said)


def _bad(do: str) -> BadRequestError:
    return BadRequestError("Missing or invalid filter.", do)
