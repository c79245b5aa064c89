"""The mapping as it is written: `mapping.yaml` says which field of which unit is which signal.

Rules:
* The signals of reports have an id table of their own; a rule knows its signal's place in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.document import load

FILE = Path(__file__).parent / "mapping.yaml"
NUMBERS = range(1, 5)
"""Of motors, batteries and stacks, these have signals."""
LISTS = {
    "motors": ("motors", "number"),
    "cells": ("packs", "pack"),
    "temperatures": ("packs", "pack"),
    "stacks": ("stacks", "number"),
}
"""Units that are lists: the field with the rows, and the field of a row that numbers it."""

Sampled = float | str


@dataclass(frozen=True)
class Rule:
    """One line of the mapping, for one number where its unit is a list. `place`: its signal's, in the id table."""

    signal: str
    form: str
    factor: float = 1.0
    whole: bool = False
    values: Mapping[int, Sampled] | None = None
    back_only: bool = False
    place: int = -1


Rules = dict[str, tuple[Rule, ...]]


@cache
def rules() -> Mapping[tuple[str, int], Rules]:
    """Return the mapping: (unit, number or 0) → field → rules."""
    found: dict[tuple[str, int], Rules] = {}
    places = {path: place for place, (path, _) in enumerate(table().signals)}
    for unit, fields in _document().items():
        for number in NUMBERS if unit in LISTS else (0,):
            found[unit, number] = {
                name: tuple(
                    _rule(line, number, places) for line in _lines(given) if line.get("number", number) == number
                )
                for name, given in fields.items()
            }
    return found


@cache
def table() -> IdTable:
    """Return the id table of all that reports say."""
    paths: dict[str, None] = {}
    for unit, fields in _document().items():
        for given in fields.values():
            for line in _lines(given):
                numbers = NUMBERS if unit in LISTS and "{}" in line["signal"] else (0,)
                if line.get("only") != "back":
                    paths |= dict.fromkeys(line["signal"].format(number) for number in numbers)
    return IdTable(tuple((path, None) for path in paths))


def _document() -> dict[str, dict[str, Any]]:
    document: dict[str, dict[str, Any]] = load(FILE.read_text())
    return document


def _lines(given: Any) -> list[dict[str, Any]]:
    return given if isinstance(given, list) else [given]


def _rule(line: Mapping[str, Any], number: int, places: Mapping[str, int]) -> Rule:
    signal = line["signal"].format(number)
    form = line.get("as", "values" if "values" in line else "number")
    factor, whole = float(line.get("factor", 1)), bool(line.get("whole"))
    return Rule(signal, form, factor, whole, line.get("values"), line.get("only") == "back", places.get(signal, -1))
