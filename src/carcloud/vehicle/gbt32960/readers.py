"""How the fields of a table are read: a function a table, written from the table itself when it is made.

Rules:
* A report has some fifty fields, and a door reads thousands of reports a second. A function that names its fields one
  by one takes a third of the time of a loop over them. So its text is made of the table, once, as dataclasses make
  theirs; nothing that came over a wire gets into it.
* A field of one byte is looked up; a wider one is worked out, missing and abnormal ones apart.
* Numbers that stand side by side, and a count behind them, are unpacked at once; a list of rows without counts too.
* Sizes are compared with what is there before anything is taken.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from carcloud.vehicle.gbt32960.fields import (
    ABNORMAL,
    Codes,
    Many,
    Number,
    Part,
    Readings,
    Row,
    StructureError,
    Value,
)

Read = Callable[[bytes, int], tuple[dict[str, Any], int]]
"""Takes a payload and where its fields begin; gives the fields, and where they end. Raises StructureError."""

FORMATS = {1: "B", 2: "H", 4: "I"}


def reader(parts: Sequence[Part]) -> Read:
    """Return the function that reads these fields in their order."""
    text = _Text()
    lines, fields = text.table(parts, "raw")
    body = "\n    ".join([*lines, f"return {fields}, at"])
    exec(f"def read(data, at):\n    {body}\n", text.names)  # noqa: S102 - made of our own tables only
    made: Read = text.names["read"]
    return made


def _runs(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the fields in runs: numbers side by side, and what is counted behind them."""
    runs: list[list[Part]] = [[]]
    for part in parts:
        if runs[-1] and not isinstance(runs[-1][-1], Number):
            runs.append([])
        runs[-1].append(part)
    return runs


class _Text:
    """Writes a function's lines. `names` are what they speak of."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "ABNORMAL": ABNORMAL,
            "Readings": Readings,
            "array": np.frombuffer,
            "error": struct.error,
            "short": _short,
            "unpack": struct.unpack_from,
        }

    def name(self, thing: object) -> str:
        """Return a name for a thing."""
        name = f"of{len(self.names)}"
        self.names[name] = thing
        return name

    def number(self, part: Number, raw: str) -> str:
        """Return the expression for a number that was sent as `raw`."""
        if part.bare:
            return raw
        if part.size == 1:
            return f"{self.name(values_of_byte(part.per, part.less))}[{raw}]"
        less = f"({raw} - {part.less * part.per})" if part.less else raw
        value = f"{less} / {part.per}" if part.per > 1 else less
        return f"({value} if {raw} <= {part.top} else None if {raw} == {part.top + 2} else ABNORMAL)"

    def table(self, parts: Sequence[Part], prefix: str) -> tuple[list[str], str]:
        """Return the lines that read fields one after the other, into names with a prefix, and the dict of them."""
        told: list[str] = []
        lines = [line for run in _runs(parts) for line in self.run(run, prefix, told)]
        return lines, f"{{{', '.join(told)}}}"

    def run(self, run: Sequence[Part], prefix: str, told: list[str]) -> list[str]:
        """Return the lines that read a run; put what its fields are called and told by to `told`."""
        at = len(told)
        raws = [f"{prefix}{at + index}" for index in range(len(run))]
        formats = ">" + "".join(FORMATS[_head_bytes(part)] for part in run)
        size = struct.calcsize(formats)
        unpacked = f"{', '.join(raws)}, = {self.name(struct.Struct(formats).unpack_from)}(data, at)"
        lines = [
            "try:",
            f"    {unpacked if size > 1 else f'{raws[0]} = data[at]'}",
            "except (error, IndexError):",
            f"    raise short({run[0].name!r}, data, at, {size}) from None",
            f"at += {size}",
        ]
        for part, raw in zip(run, raws, strict=True):
            if isinstance(part, Number):
                told.append(f"{part.name!r}: {self.number(part, raw)}")
            else:
                lines += self.counted(part, raw)
                told.append(f"{part.name!r}: {raw}")
        return lines

    def counted(self, part: Row | Codes | Many, count: str) -> list[str]:
        """Return the lines that put what is counted in the place of its count."""
        top = 256 ** _head_bytes(part) - 1
        if isinstance(part, Many):
            lines = self.rows(part, count)
        else:
            size = part.size if isinstance(part, Row) else 4
            lines = [*self.fits(part, count, size), f"{count}, at = {self.items(part, count)}, at + {count} * {size}"]
        none = [] if isinstance(part, Row) else [f"if not {count}:", f"    {count} = ()"]
        some = f"{'elif' if none else 'if'} {count} < {top - 1}:"
        inner = [f"    {line}" for line in lines]
        return [*none, some, *inner, "else:", f"    {count} = None if {count} == {top} else ABNORMAL"]

    def items(self, part: Row | Codes, count: str) -> str:
        """Return the expression for a row of numbers, or a list of codes."""
        if isinstance(part, Codes):
            return f"unpack(f'>{{{count}}}I', data, at)"
        dtype = self.name(np.dtype(f">u{part.size}"))
        return f"Readings(array(data, {dtype}, {count}, at), {part.per}, {part.less * part.per})"

    def fits(self, part: Row | Codes | Many, count: str, size: int) -> list[str]:
        """Return the lines that compare what is counted with what is left."""
        return [
            f"if {count} * {size} > len(data) - at:",
            f"    raise short({part.name!r}, data, at, {count} * {size})",
        ]

    def rows(self, part: Many, count: str) -> list[str]:
        """Return the lines that read the rows of a table."""
        numbers = [one for one in part.table.parts if isinstance(one, Number)]
        if len(numbers) < len(part.table.parts):
            rows = f"{count}_rows"
            lines, fields = self.table(part.table.parts, f"{count}_")
            return [
                f"{rows} = []",
                f"for _ in range({count}):",
                *(f"    {line}" for line in lines),
                f"    {rows}.append({fields})",
                f"{count} = tuple({rows})",
            ]
        raws = [f"{count}_{index}" for index in range(len(numbers))]
        packed = struct.Struct(">" + "".join(FORMATS[number.size] for number in numbers))
        fields = ", ".join(
            f"{number.name!r}: {self.number(number, raw)}" for number, raw in zip(numbers, raws, strict=True)
        )
        each = f"{self.name(packed.iter_unpack)}(data[at : at + {count} * {packed.size}])"
        made = f"tuple([{{{fields}}} for {', '.join(raws)}, in {each}])"
        return [*self.fits(part, count, packed.size), f"{count}, at = {made}, at + {count} * {packed.size}"]


def _head_bytes(part: Part) -> int:
    """Return how many bytes a number, or a count, has."""
    return part.size if isinstance(part, Number) else part.count if isinstance(part, Row) else 1


def _short(name: str, data: bytes, at: int, size: int) -> StructureError:
    return StructureError(f"{name}: {len(data) - at} bytes are left of {size}")


@cache
def values_of_byte(per: int, less: int) -> tuple[Value, ...]:
    """Return the values of all that a field of one byte can send."""
    steps: list[Value] = [(raw - less * per) / per if per > 1 else raw - less for raw in range(254)]
    return (*steps, ABNORMAL, None)
