"""The signal catalogue: which signals exist, and each one's type, unit, range and kind.

Rules:
* Paths, types, units and kinds are spelled as in the COVESA Vehicle Signal Specification (VSS), versions 4 to 6.
* Three forms are read: our own compact one (`signals:`, as YAML or JSON), a VSS JSON tree, and VSS leaves by full path.
* An overlay adds signals and may narrow a range. What a path stands for (type, unit) never changes.
* A successor keeps what its predecessor knew: signals it leaves out are retired, and still accepted from cars.

Source: https://covesa.github.io/vehicle_signal_specification/rule_set/
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import ConflictError, InputError
from carcloud.vehicle.document import load

LIMIT_SIGNALS = 20_000
LIMIT_PATH = 256
LIMIT_DEPTH = 24
LIMIT_TEXT = 4096
LIMIT_ALLOWED = 1024

KINDS = ("sensor", "actuator", "attribute")
PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+")

_EXACT = 2.0**53  # integers travel as float64, exact up to here
_NUMBERS: dict[str, tuple[float, float]] = {
    "boolean": (0, 1),
    **{f"uint{bits}": (0, 2.0**bits - 1) for bits in (8, 16, 32)},
    **{f"int{bits}": (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    "uint64": (0, _EXACT),
    "int64": (-_EXACT, _EXACT),
    "float": (-math.inf, math.inf),
    "double": (-math.inf, math.inf),
}
TYPES = (*_NUMBERS, "string", *(f"{name}[]" for name in _NUMBERS), "string[]")


@dataclass(frozen=True)
class Signal:
    """One signal: a value of a car that changes (sensor), can be set (actuator) or stays (attribute)."""

    path: str
    type: str
    unit: str | None = None
    min: float | None = None
    max: float | None = None
    allowed: tuple[str | float, ...] = ()
    kind: str = "sensor"
    description: str = ""
    retired: bool = False

    def __post_init__(self) -> None:
        if len(self.path) > LIMIT_PATH or self.path.count(".") >= LIMIT_DEPTH or not PATH.fullmatch(self.path):
            raise InputError(
                f"{self.path[:LIMIT_PATH]!r} is no signal path.",
                f"Write names of letters, digits and _ joined by dots, at most {LIMIT_PATH} characters and "
                f"{LIMIT_DEPTH} names, like Vehicle.Cabin.Door.",
            )
        if self.type not in TYPES:
            raise InputError(f"{self.path}: unknown type {self.type!r}.", f"Use one of {', '.join(TYPES)}.")
        if self.kind not in KINDS:
            raise InputError(f"{self.path}: unknown kind {self.kind!r}.", f"Use one of {', '.join(KINDS)}.")
        if not self.low <= self.high:
            raise InputError(
                f"{self.path}: no {self.type} lies between min {self.min} and max {self.max}.", "Mend min or max."
            )

    @property
    def is_text(self) -> bool:
        """Tell whether values travel as text: strings, and arrays as JSON."""
        return self.type not in _NUMBERS

    @property
    def low(self) -> float:
        """Return the smallest value accepted: `min` or what the type can hold; -inf where nothing bounds it."""
        least = _NUMBERS.get(self.type, (-math.inf, math.inf))[0]
        return least if self.min is None or self.is_text else max(least, float(self.min))

    @property
    def high(self) -> float:
        """Return the largest value accepted: `max` or what the type can hold; inf where nothing bounds it."""
        most = _NUMBERS.get(self.type, (-math.inf, math.inf))[1]
        return most if self.max is None or self.is_text else min(most, float(self.max))

    def entry(self) -> dict[str, Any]:
        """Return the signal as it is written in the compact form, without its path."""
        given = {"unit": self.unit, "min": self.min, "max": self.max, "allowed": list(self.allowed)}
        given |= {"description": self.description, "retired": self.retired}
        return {"type": self.type, "kind": self.kind} | {
            key: value for key, value in given.items() if value or (value == 0 and value is not False)
        }


class Catalogue(Mapping[str, Signal]):
    """The signals of a zone by path; with columns by index, for guards that check many values at once.

    `index`: path → position in the columns below.
    `low`, `high`: (signals,) float64, inclusive, ±inf where open; `is_integer`, `is_bool`, `is_text`: (signals,) bool.
    `allowed`: position → the only values accepted, for signals (not arrays) that list them.
    """

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._signals: dict[str, Signal] = {}
        for signal in signals:
            if signal.path in self._signals:
                raise InputError(f"{signal.path} is there twice.", "Keep one of the two.")
            self._signals[signal.path] = signal
        rows = list(self._signals.values())
        if len(rows) > LIMIT_SIGNALS:
            raise InputError(f"{len(rows)} signals; a catalogue has at most {LIMIT_SIGNALS}.", "Leave some out.")
        self.index: dict[str, int] = {path: at for at, path in enumerate(self._signals)}
        self.low = _column([row.low for row in rows], np.float64)
        self.high = _column([row.high for row in rows], np.float64)
        self.is_bool = _column([row.type == "boolean" for row in rows], np.bool_)
        self.is_text = _column([row.is_text for row in rows], np.bool_)
        self.is_integer = _column(["int" in row.type and not row.is_text for row in rows], np.bool_)
        self.allowed: dict[int, frozenset[str | float]] = {
            at: frozenset(row.allowed) for at, row in enumerate(rows) if row.allowed and not row.type.endswith("[]")
        }

    def __getitem__(self, path: str) -> Signal:
        return self._signals[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._signals)

    def __len__(self) -> int:
        return len(self._signals)

    def dump(self) -> bytes:
        """Return the catalogue in the compact form as JSON, sorted, so that equal catalogues are equal bytes."""
        entries = {path: self[path].entry() for path in sorted(self)}
        return json.dumps({"signals": entries}, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the dump, in hexadecimal: the catalogue's name by content."""
        return hashlib.sha256(self.dump()).hexdigest()

    def overlaid(self, overlay: Catalogue) -> Catalogue:
        """Return this catalogue with a maker's own signals on top; raise ConflictError where it bends a known one."""
        merged = dict(self._signals)
        for path, signal in overlay.items():
            merged[path] = _narrowed(self[path], signal) if path in self else signal
        _refuse_leaf_with_children(merged)
        return Catalogue(merged.values())

    def succeed(self, previous: Catalogue) -> Catalogue:
        """Return this catalogue made safe to follow another: what it leaves out is retired, not forgotten.

        Raises:
            ConflictError: a path has another type or unit than before; data in flight and in the lake would lie.
        """
        for path in previous.keys() & self.keys():
            _refuse_other_meaning(previous[path], self[path])
        kept = [replace(signal, retired=True) for path, signal in previous.items() if path not in self]
        return Catalogue([*self.values(), *kept])


def _column(values: list[Any], dtype: Any) -> NDArray[Any]:
    column = np.array(values, dtype)
    column.setflags(write=False)
    return column


def _refuse_other_meaning(old: Signal, new: Signal) -> None:
    if (old.type, old.unit) != (new.type, new.unit):
        raise ConflictError(
            f"{old.path} is {_meaning(old)}; it cannot become {_meaning(new)}.",
            "Keep type and unit as they are, or give the changed signal a new path.",
        )


def _meaning(signal: Signal) -> str:
    return f"{signal.type} in {signal.unit}" if signal.unit else f"{signal.type} without a unit"


def _narrowed(old: Signal, new: Signal) -> Signal:
    _refuse_other_meaning(old, new)
    outside = (new.min is not None and new.min < old.low) or (new.max is not None and new.max > old.high)
    if outside or (old.allowed and not set(new.allowed) <= set(old.allowed)):
        raise ConflictError(
            f"{old.path}: an overlay may narrow what is accepted, not widen it.",
            f"Stay within min {old.min}, max {old.max}, allowed {list(old.allowed) or 'any'}, or use a new path.",
        )
    return replace(
        new,
        min=old.min if new.min is None else new.min,
        max=old.max if new.max is None else new.max,
        allowed=new.allowed or old.allowed,
        description=new.description or old.description,
    )


def _refuse_leaf_with_children(signals: Mapping[str, Signal]) -> None:
    """A branch may grow where a leaf was retired, not below one in use."""
    paths = {path for path, signal in signals.items() if not signal.retired}
    for path in paths:
        names = path.split(".")
        for depth in range(1, len(names)):
            if (leaf := ".".join(names[:depth])) in paths:
                raise InputError(
                    f"{path} stands below {leaf}, which is a signal itself.", "Give one of them a new path."
                )


def parse(content: str | bytes | Mapping[str, Any], name: str) -> Catalogue:
    """Read a catalogue or overlay from text (YAML or JSON, told apart by a leading brace) or from parsed JSON.

    `name` says in errors where the content came from, usually a file name.
    """
    try:
        tree = content if isinstance(content, Mapping) else load(content)
        if not isinstance(tree, Mapping) or not tree:
            raise InputError("No signals.", "Write `signals:` and one path a line, or give a VSS JSON file.")
        catalogue = Catalogue(_own(tree) if "signals" in tree else _vss(tree, "", 0))
        _refuse_leaf_with_children(catalogue)
        return catalogue
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.do) from None


_OWN_KEYS = {"type", "unit", "min", "max", "allowed", "kind", "description", "retired"}


def _own(tree: Mapping[str, Any]) -> Iterator[Signal]:
    entries = tree["signals"]
    _need(len(tree) == 1 and isinstance(entries, Mapping), "signals", "must be the one entry of the file", "Mend it.")
    for path, entry in entries.items():
        _need(isinstance(entry, Mapping), path, "is not described", "Write {type: …, unit: …, kind: …} after it.")
        unknown = sorted(str(key) for key in entry if key not in _OWN_KEYS)
        _need(not unknown, path, f"has unknown keys {', '.join(unknown)}", f"Known are {', '.join(sorted(_OWN_KEYS))}.")
        yield _signal(path, entry, entry.get("type"), entry.get("kind", "sensor"))


def _vss(nodes: Mapping[str, Any], above: str, depth: int) -> Iterator[Signal]:
    for name, node in nodes.items():
        path = f"{above}{name}"
        _need(depth < LIMIT_DEPTH, path, "lies too deep", f"A path has at most {LIMIT_DEPTH} names.")
        _need(isinstance(node, Mapping), path, "is not described", "Each node of a VSS file is an object.")
        kind = node.get("type")
        _need(
            kind not in ("struct", "property"),
            path,
            "is a struct",
            "Leave structs out; describe their parts as signals.",
        )
        if kind == "branch" or "children" in node:
            _need(not node.get("instances"), path, "has instances still folded", "Export the tree expanded.")
            children = node.get("children", {})
            _need(isinstance(children, Mapping), path, "has children that are no object", "Mend the file there.")
            yield from _vss(children, f"{path}.", depth + 1)
        else:
            _need("datatype" in node, path, "has no datatype", "Each leaf of a VSS file has datatype and type.")
            yield _signal(path, node, node["datatype"], kind)


def _signal(path: Any, entry: Mapping[str, Any], type_: Any, kind: Any) -> Signal:
    _need(isinstance(path, str), path, "is no text", "Write the path as text; quote it where YAML reads it otherwise.")
    for key in ("unit", "description"):
        value = entry.get(key)
        fits = value is None or (isinstance(value, str) and len(value) <= LIMIT_TEXT)
        _need(fits, path, f"has a {key} that is no text of at most {LIMIT_TEXT} characters", "Shorten or quote it.")
    for key in ("min", "max"):
        _need(entry.get(key) is None or _is_number(entry[key]), path, f"has a {key} that is no number", "Mend it.")
    retired = entry.get("retired", False)
    _need(isinstance(retired, bool), path, "has 'retired' that is neither true nor false", "Mend it.")
    return Signal(
        path=path,
        type=str(type_),
        unit=entry.get("unit") or None,
        min=entry.get("min"),
        max=entry.get("max"),
        allowed=_allowed(path, entry.get("allowed"), str(type_)),
        kind=str(kind),
        description=entry.get("description") or "",
        retired=retired,
    )


def _allowed(path: str, values: Any, type_: str) -> tuple[str | float, ...]:
    if values is None:
        return ()
    _need(isinstance(values, list) and len(values) <= LIMIT_ALLOWED, path, "has 'allowed' that is no list", "Mend it.")
    texts = type_.startswith("string")
    fits = all(isinstance(value, str) if texts else _is_number(value) for value in values)
    do = "List texts for strings, else numbers; quote words such as 'ON' and 'OFF', which YAML reads as true and false."
    _need(fits, path, f"allows {values[:8]}, which do not all fit {type_}", do)
    return tuple(values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _need(fits: bool, path: object, problem: str, do: str) -> None:
    if not fits:
        raise InputError(f"{str(path)[:LIMIT_PATH]} {problem}.", do)
