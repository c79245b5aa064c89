"""Elements of an OpenSCENARIO file with the parameters that hold in them put in.

Rules:
* Whatever is missing or no number is an InputError that names the element and its line.
* Names of elements and attributes are written as the standard writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from carcloud.errors import InputError
from carcloud.research.adapters.openscenario.expressions import evaluated


@dataclass(frozen=True)
class Node:
    """An element and the parameters that hold in it.

    Args:
        element: of lxml.
        values: parameters by name, as text.
    """

    element: Any
    values: Mapping[str, str]

    @property
    def tag(self) -> str:
        """Return the element's name, without a namespace."""
        return _name(self.element)

    def with_values(self, values: Mapping[str, str]) -> Node:
        """Return the same element with other parameters."""
        return Node(self.element, values)

    def children(self, *names: str) -> Iterator[Node]:
        """Yield the elements in it of these names; of none given, all."""
        for child in self.element:
            if isinstance(child.tag, str) and (not names or _name(child) in names):
                yield Node(child, self.values)

    def find(self, *path: str) -> Node | None:
        """Return the first element down a path of names; None where there is none."""
        at: Node | None = self
        for name in path:
            at = next(at.children(name), None) if at is not None else None
        return at

    def child(self, *path: str) -> Node:
        """Return the first element down a path of names; an InputError where there is none."""
        found = self.find(*path)
        return found if found is not None else self.refuse(f"has no {'/'.join(path)}")

    def only(self) -> Node:
        """Return the one element in it that says which kind it is."""
        for child in self.children():
            return child
        self.refuse("is empty")

    def get(self, name: str) -> str | None:
        """Return an attribute as text; None where it is not there."""
        said = self.element.get(name)
        if said is None:
            return None
        try:
            return evaluated(said, self.values)
        except InputError as error:
            self.refuse(f"has a {name} that cannot be read. {error.message}", error.do)

    def text(self, name: str, default: str | None = None) -> str:
        """Return an attribute as text; an InputError where it is not there and has no default."""
        said = self.get(name)
        if said is None:
            said = default
        return said if said is not None else self.refuse(f"has no {name}")

    def number(self, name: str, default: float | None = None) -> float:
        """Return an attribute as a finite number; an InputError where it is none."""
        said = self.get(name)
        if said is None:
            return default if default is not None else self.refuse(f"has no {name}")
        return self._number(name, said)

    def number_or_none(self, name: str) -> float | None:
        """Return an attribute as a finite number; None where it is not there."""
        said = self.get(name)
        return None if said is None else self._number(name, said)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an attribute as a whole number."""
        number = float(self.number(name, default))
        return int(number) if number.is_integer() else self.refuse(f"has {name} {number:g}, which is not whole")

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return an attribute as true or false."""
        said = self.text(name, None if default is None else str(default)).lower()
        return (
            said in ("true", "1") if said in ("true", "false", "1", "0") else self.refuse(f"has {name} {said[:20]!r}")
        )

    def _number(self, name: str, said: str) -> float:
        try:
            number = float(said)
        except ValueError:
            self.refuse(f"has {name} {said[:40]!r}, which is no number")
        return number if math.isfinite(number) else self.refuse(f"has {name} {said[:20]!r}, which is no finite number")

    def refuse(self, why: str, do: str = "") -> NoReturn:
        """Raise an InputError that names this element and its line."""
        named = self.element.get("name")
        called = f"{self.tag} {named[:60]!r}" if named else self.tag
        raise InputError(
            f"Line {self.element.sourceline}: {called} {why}.".replace("..", "."), do or "Correct the file."
        )

    def unsupported(self) -> NoReturn:
        """Raise an InputError: this element is not played."""
        self.refuse("is not supported", "Take it out, or play the scenario elsewhere and import what was recorded.")


def _name(element: Any) -> str:
    tag: str = element.tag
    return tag.rpartition("}")[2]
