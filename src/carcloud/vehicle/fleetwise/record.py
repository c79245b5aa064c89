"""One JSON object of a FleetWise file: its fields are taken out one by one, and what is wrong names the place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from carcloud.errors import InputError

LEFT_OUT, DIFFERS = "left out", "differs"
LIMIT_SHOWN = 80
LIMIT_NUMBER = 10**300


@dataclass(frozen=True)
class Remark:
    """What has no equal here, and why. `kind`: whether it was left out, or came along and differs."""

    what: str
    why: str
    kind: str = LEFT_OUT

    def __str__(self) -> str:
        return f"{self.kind}: {on_one_line(self.what)}: {on_one_line(self.why)}"


class Record:
    """An object of a file. `place` says in errors where it stands."""

    def __init__(self, value: object, place: str) -> None:
        self.place = place
        if not isinstance(value, dict):
            raise self.wrong(f"is {shown(value)}, not an object")
        self._rest: dict[str, Any] = dict(value)

    def __contains__(self, key: str) -> bool:
        return self._rest.get(key) is not None

    @property
    def rest(self) -> dict[str, Any]:
        """Return what was not taken, without what is null."""
        return {key: value for key, value in self._rest.items() if value is not None}

    def wrong(self, what: str) -> InputError:
        """Return an error that names the place."""
        return InputError(f"{self.place} {what}.", "Export it again, as the FleetWise API returns it.")

    def text(self, key: str, default: str | None = None) -> str:
        """Take a text out; without a default it must be there."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.wrong(f"has a {key} of {shown(value)}, not a text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Take a finite number out; without a default it must be there."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LIMIT_NUMBER:
            raise self.wrong(f"has a {key} of {shown(value)}, not a number")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """Take a whole number that is not negative out; without a default it must be there."""
        value = self.number(key, default)
        if value < 0 or value != int(value):
            raise self.wrong(f"has a {key} of {shown(value)}, not a whole number from 0 on")
        return int(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """Take true or false out."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(f"has a {key} of {shown(value)}, neither true nor false")
        return value

    def record(self, key: str) -> Record:
        """Take an object out, which must be there."""
        return Record(self._take(key, None), f"{self.place}: {key}")

    def records(self, key: str, name: str = "") -> Iterator[Record]:
        """Take a list of objects out, none where it is missing. `name`: the field that says which is meant."""
        for at, value in enumerate(self.items(key)):
            called = value.get(name) if isinstance(value, dict) else None
            yield Record(value, f"{self.place}: {shown(called)}" if called else f"{self.place}: {key}[{at}]")

    def items(self, key: str) -> list[Any]:
        """Take a list out, empty where it is missing."""
        value = self._take(key, [])
        if not isinstance(value, list):
            raise self.wrong(f"has {key} that are no list")
        return value

    def pass_over(self, *keys: str) -> None:
        """Let fields be that say nothing here."""
        for key in keys:
            self._rest.pop(key, None)

    def _take(self, key: str, default: Any) -> Any:
        value = self._rest.pop(key, None)
        value = default if value is None else value
        if value is None:
            raise self.wrong(f"has no {key}")
        return value


def shown(value: object) -> str:
    """Return a value as a remark or an error shows it: on one line, cut short."""
    text = value if isinstance(value, str) else repr(value)
    clean = on_one_line(text)
    return clean if len(clean) <= LIMIT_SHOWN else f"{clean[:LIMIT_SHOWN]}…"


def on_one_line(text: str) -> str:
    """Return a text of a file as one line of letters that can be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
