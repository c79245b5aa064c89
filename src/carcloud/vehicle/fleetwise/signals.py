"""The nodes of a FleetWise signal catalogue as signals of ours.

Rules:
* Sensors, actuators and attributes come along with type, unit, range and allowed values. Branches need no entry.
* What the zone's catalogue has with the same type and unit stays the zone's; with another one it stays so, too, and the
  source's unit is turned into the zone's where that is possible.
* Structs have no equal: a signal here is one value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.fleetwise.record import DIFFERS, Record, Remark, shown
from carcloud.vehicle.units import conversion, root

KINDS = ("sensor", "actuator", "attribute")
STRUCTS = ("struct", "property")
TIME_TYPES = ("UNIX_TIMESTAMP", "UNIX_TIMESTAMP_ARRAY")


@dataclass
class Signals:
    """What was read.

    overlay: signals the zone does not have. units: what FleetWise calls the unit of each path. branches: paths above
    signals, which are none themselves.
    """

    overlay: dict[str, Signal] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    branches: set[str] = field(default_factory=set)

    def catalogue(self, zone: Catalogue) -> Catalogue:
        """Return the zone's catalogue with the overlay on top."""
        return zone.overlaid(Catalogue(self.overlay.values()))


def read_signals(nodes: Iterable[Record], names: Mapping[str, str], zone: Catalogue) -> Signals:
    """Read nodes. `names`: signals that models list by name, and the file each stands in.

    Raises:
        InputError: a node is none.
    """
    found = Signals(branches={branch for path in zone for branch in _above(path)})
    for node in nodes:
        kinds = node.rest
        if len(kinds) != 1:
            raise node.wrong("is no node: it has one of branch, sensor, actuator, attribute, struct, property")
        kind = next(iter(kinds))
        entry = node.record(kind)
        path = entry.text("fullyQualifiedName")
        if kind == "branch":
            found.branches.add(path)
        elif kind in STRUCTS:
            found.remarks.append(Remark(path, f"is a {kind}; a signal here is one value, so describe its parts"))
        elif kind in KINDS:
            _take(path, kind, entry, found, zone)
        else:
            raise node.wrong(f"is no node: {kind} is not known")
    for name, file in names.items():
        if name not in found.units and name not in zone and name not in found.branches:
            found.remarks.append(Remark(name, f"is named in {file}, and no file given describes it"))
    return found


def _take(path: str, kind: str, entry: Record, found: Signals, zone: Catalogue) -> None:
    signal = _signal(path, kind, entry, found)
    if signal is None or found.units.setdefault(path, signal.unit) != signal.unit:
        return
    if path in zone:
        _compare(zone[path], signal, found)
        return
    above = _above(path)
    if path in found.branches or any(name in found.overlay or name in zone for name in above):
        found.units.pop(path)
        found.remarks.append(Remark(path, "a signal cannot stand below another signal"))
        return
    found.overlay[path] = signal
    found.branches.update(above)


def _above(path: str) -> list[str]:
    names = path.split(".")
    return [".".join(names[:depth]) for depth in range(1, len(names))]


def _compare(old: Signal, new: Signal, found: Signals) -> None:
    path = old.path
    if old.is_text != new.is_text:
        found.units.pop(path)
        found.remarks.append(Remark(path, f"the zone knows it as {old.type}, FleetWise as {new.type}"))
    elif old.unit != new.unit and not _converts(new.unit, old.unit):
        found.units.pop(path)
        found.remarks.append(Remark(path, f"the zone has it in {old.unit}, FleetWise in {new.unit}"))
    elif (old.type, old.unit) != (new.type, new.unit):
        why = f"the zone's catalogue stands: {old.type} in {old.unit or 'no unit'}"
        found.remarks.append(Remark(path, f"{why}, FleetWise: {new.type} in {new.unit or 'no unit'}", DIFFERS))


def _converts(source: str | None, target: str | None) -> bool:
    if source is None or target is None:
        return False
    try:
        conversion(source, target)
    except InputError:
        return False
    return True


def _is_unit(name: str) -> bool:
    try:
        root(name)
    except InputError:
        return False
    return True


def _signal(path: str, kind: str, entry: Record, found: Signals) -> Signal | None:
    """Return a signal; None where it has no equal, which is remarked upon."""
    given = entry.text("dataType")
    type_ = _type(given)
    if "structFullyQualifiedName" in entry or not type_:
        found.remarks.append(Remark(path, f"is of type {given}; a signal here is one value or a list of such"))
        return None
    if given in TIME_TYPES:
        found.remarks.append(Remark(path, f"is a {given}, and comes as {type_} without a unit", DIFFERS))
    for key in ("defaultValue", "assignedValue"):
        if key in entry:
            why = "values come from cars; a catalogue has none"
            found.remarks.append(Remark(f"{path}: {key}", why))
    limits = {key: entry.number(key) for key in ("min", "max") if key in entry and not type_.startswith("string")}
    texts = [entry.text("description", ""), entry.text("deprecationMessage", ""), entry.text("comment", "")]
    unit = entry.text("unit", "") or None
    if unit is not None and not _is_unit(unit):
        found.remarks.append(
            Remark(path, f"its unit {shown(unit)} is none that is known here; it stands without", DIFFERS)
        )
        texts, unit = [*texts, f"In {shown(unit)}."], None
    try:
        return Signal(
            path,
            type_,
            unit=unit,
            min=limits.get("min"),
            max=limits.get("max"),
            allowed=_allowed(path, type_, entry, found),
            kind=kind,
            description=" ".join(text for text in texts if text),
        )
    except InputError as error:
        found.remarks.append(Remark(path, error.message.rstrip(".")))
        return None


def _type(given: str) -> str:
    """Return our name of a type, "" where there is none. Source: FleetWise API, NodeDataType."""
    name, _, array = given.partition("_ARRAY") if given.endswith("_ARRAY") else (given, "", "")
    ours = "uint64" if name == "UNIX_TIMESTAMP" else name.lower()
    if ours in ("struct", "unknown"):
        return ""
    return f"{ours}[]" if given.endswith("_ARRAY") else ours + array


def _allowed(path: str, type_: str, entry: Record, found: Signals) -> tuple[str | float, ...]:
    values = entry.items("allowedValues")
    if not all(isinstance(value, str) for value in values):
        raise entry.wrong("has allowedValues that are no texts")
    if type_.startswith("string") or not values:
        return tuple(values)
    try:
        return tuple(_number(value) for value in values)
    except ValueError:
        found.remarks.append(Remark(f"{path}: allowedValues", f"some are no {type_}"))
        return ()


def _number(text: str) -> float:
    known: dict[str, Any] = {"true": 1, "false": 0}
    value = known.get(text.lower())
    if value is None:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
        value = int(value) if value == int(value) else value
    return value
