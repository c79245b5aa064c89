"""A collection plan: what a car records, when, how exactly, what for, and how much of it.

Rules:
* A plan is a document, YAML or JSON. It never changes: a change is another version.
* Its one form is canonical JSON, and its name by content the SHA-256 of that: what a car is ordered to take.
* Every problem of a document is told, each with the key it is at, and for a condition with the place within.
* What the governance in force drops, or keeps for other purposes only, no plan may ask for.

Source: docs/plans.md, which says the same to people.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions.condition import Condition, ConditionError
from carcloud.vehicle.conditions.text import parse as read_condition
from carcloud.vehicle.order import canonical
from carcloud.vehicle.plans.measures import duration_text, duration_us, size_bytes, size_text
from carcloud.vehicle.plans.sampling import Sampling
from carcloud.vehicle.plans.wanted import SAMPLINGS, Wanted, read_sampling, shown

LIMIT_SIGNALS = 500
LIMIT_BYTES = 16 * 1024
LIMIT_VERSION = 2**31 - 1
LIMIT_BEFORE_US = 600_000_000
LIMIT_AFTER_US = 3_600_000_000
LIMIT_INTERVAL_US = 86_400_000_000
LEAST_BUDGET_BYTES, LIMIT_BUDGET_BYTES = 1_000, 10**9
LIMIT_LIFE = timedelta(days=3 * 366)
LIMIT_PROBLEMS = 50
PRIORITY = 5

KEYS = (
    "plan",
    "version",
    "signals",
    "when",
    "before",
    "after",
    "interval",
    "priority",
    "purpose",
    "basis",
    "budget",
    "until",
    "upload",
)
WORD = re.compile(r"[a-z][a-z0-9-]{0,63}")

Catalogue = Mapping[str, Signal]
Keeps = Callable[[str, str], str | None]
"""(path, purpose) → why the governance does not keep this signal for this purpose, None where it does."""


@dataclass(frozen=True)
class Plan:
    """A plan that was read and checked. `when` None: always. `upload` None: as soon as there is a connection."""

    name: str
    version: int
    signals: tuple[Wanted, ...]
    purpose: str
    basis: str
    budget_bytes: int
    until: datetime
    when: Condition | None = None
    before_us: int = 0
    after_us: int = 0
    interval_us: int = 0
    priority: int = PRIORITY
    upload: Condition | None = None

    @property
    def until_us(self) -> int:
        """Return when it is over, in µs since 1970."""
        return int(self.until.timestamp() * 1_000_000)

    def document(self) -> dict[str, Any]:
        """Return the plan as a document, each value in its one form, what is not given left out."""
        given = {
            "before": duration_text(self.before_us) if self.before_us else None,
            "after": duration_text(self.after_us) if self.after_us else None,
            "interval": duration_text(self.interval_us) if self.interval_us else None,
            "when": self.when.text if self.when else None,
            "upload": self.upload.text if self.upload else None,
        }
        return {
            "plan": self.name,
            "version": self.version,
            "signals": [shown(one) for one in self.signals],
            "priority": self.priority,
            "purpose": self.purpose,
            "basis": self.basis,
            "budget": size_text(self.budget_bytes),
            "until": self.until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        } | {key: value for key, value in given.items() if value is not None}

    def canonical(self) -> bytes:
        """Return the plan in its one form."""
        return canonical(self.document())

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the one form, in hexadecimal: the plan's name by content."""
        return hashlib.sha256(self.canonical()).hexdigest()


class PlanError(InputError):
    """A document that is no plan. `key`: where, such as `signals[3].band`; `at`, `length`: in a condition's text."""

    def __init__(self, key: str, message: str, do: str, at: int | None = None, length: int | None = None) -> None:
        super().__init__(message, do)
        self.key, self.at, self.length = key, at, length


def parse(document: object, catalogue: Catalogue) -> Plan:
    """Read a plan from a parsed document; raise the first PlanError."""
    plan, problems = check(document, catalogue)
    if plan is None:
        raise problems[0]
    return plan


def check(
    document: object,
    catalogue: Catalogue,
    purposes: Mapping[str, str] | None = None,
    keeps: Keeps | None = None,
    now: datetime | None = None,
) -> tuple[Plan | None, list[PlanError]]:
    """Return the plan and no problems, or None and the problems of a document.

    Args:
        purposes: those of the governance in force → the basis each is lawful on; None: not known here.
        keeps: what the governance in force keeps; None: not known here.
        now: None: a plan may be over already.
    """
    reader = _Reader(catalogue, purposes, keeps, now)
    plan = reader.plan(document)
    return (None if reader.problems else plan), reader.problems[:LIMIT_PROBLEMS]


class _Reader:
    def __init__(
        self, catalogue: Catalogue, purposes: Mapping[str, str] | None, keeps: Keeps | None, now: datetime | None
    ) -> None:
        self._catalogue, self._purposes, self._keeps, self._now = catalogue, purposes, keeps, now
        self.problems: list[PlanError] = []

    def plan(self, document: object) -> Plan | None:
        if not isinstance(document, Mapping):
            self._no("", "This is no plan.", "Write `plan: NAME` and what belongs to it, as docs/plans.md says.")
            return None
        for key in document:
            if key not in KEYS:
                self._no(str(key)[:64], f"{str(key)[:64]!r} is no key of a plan.", f"Known are {', '.join(KEYS)}.")
        for key in ("plan", "version", "signals", "purpose", "basis", "budget", "until"):
            if document.get(key) is None:
                self._no(key, f"`{key}` is missing.", _MISSING[key])
        if document.get("when") is None:
            for key in {"before", "after", "interval"} & document.keys():
                self._no(key, f"`{key}` goes with `when` only.", "Leave it out, or say when: it is for firings.")
        purpose, basis = self._purpose(document)
        found = Plan(
            self._name(document),
            self._whole(document, "version", 1, LIMIT_VERSION, 1),
            tuple(self._signals(document.get("signals"), purpose)),
            purpose,
            basis,
            self._measure(document, "budget", size_bytes, size_text, LEAST_BUDGET_BYTES, LIMIT_BUDGET_BYTES),
            self._until(document),
            self._condition(document, "when"),
            self._measure(document, "before", duration_us, duration_text, 0, LIMIT_BEFORE_US),
            self._measure(document, "after", duration_us, duration_text, 0, LIMIT_AFTER_US),
            self._measure(document, "interval", duration_us, duration_text, 0, LIMIT_INTERVAL_US),
            self._whole(document, "priority", 1, 9, PRIORITY),
            self._condition(document, "upload"),
        )
        if not self.problems and (size := len(found.canonical())) > LIMIT_BYTES:
            self._no("", f"The plan has {size} bytes; at most {LIMIT_BYTES}.", "Make two plans of it.")
        return found

    def _no(self, key: str, message: str, do: str, at: int | None = None, length: int | None = None) -> None:
        self.problems.append(PlanError(key.encode(errors="replace").decode(), message, do, at, length))

    def _name(self, document: Mapping[str, Any]) -> str:
        name = document.get("plan")
        if name is None or (isinstance(name, str) and TOKEN.fullmatch(name)):
            return str(name)
        self._no("plan", f"{str(name)[:64]!r} is no name.", "Use 1 to 64 letters, digits, _ and -.")
        return ""

    def _whole(self, document: Mapping[str, Any], key: str, low: int, high: int, else_: int) -> int:
        value = document.get(key, else_)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
            return else_ if value is None else value
        self._no(key, f"{str(value)[:40]!r} is no {key}.", f"Give a whole number from {low} to {high}.")
        return else_

    def _measure(
        self,
        document: Mapping[str, Any],
        key: str,
        read: Callable[[object], int],
        text: Callable[[int], str],
        low: int,
        high: int,
    ) -> int:
        if document.get(key) is None:
            return low
        try:
            value = read(document[key])
        except InputError as error:
            self._no(key, error.message, error.do)
            return low
        if not low <= value <= high:
            self._no(key, f"`{key}` is {text(value)}.", f"Give {text(low)} to {text(high)}.")
        return value

    def _purpose(self, document: Mapping[str, Any]) -> tuple[str, str]:
        for key in ("purpose", "basis"):
            word = document.get(key)
            if word is not None and not (isinstance(word, str) and WORD.fullmatch(word)):
                self._no(key, f"{str(word)[:64]!r} is no {key}.", "Use small letters, digits and -.")
                return "", ""
        purpose, basis = str(document.get("purpose")), str(document.get("basis"))
        known = self._purposes
        if known is None or document.get("purpose") is None:
            return purpose, basis
        if purpose not in known:
            self._no("purpose", f"The governance knows no purpose {purpose!r}.", f"Known are {', '.join(known)}.")
        elif document.get("basis") is not None and basis != known[purpose]:
            message = f"By the governance {purpose!r} rests on {known[purpose]}, not on {basis}."
            self._no("basis", message, f"Write {known[purpose]}, or another purpose.")
        return purpose, basis

    def _until(self, document: Mapping[str, Any]) -> datetime:
        value, at = document.get("until"), None
        if isinstance(value, str):
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                at = None
        elif isinstance(value, datetime):
            at = value
        never = datetime.max.replace(tzinfo=UTC)
        if value is None:
            return never
        if at is None or at.tzinfo is None:
            do = "Write date, time and offset, such as 2027-06-30T00:00:00Z."
            self._no("until", f"{str(value)[:40]!r} is no date-time with an offset.", do)
            return never
        try:
            at = at.astimezone(UTC)
        except OverflowError:
            at = never
        if self._now is not None and at <= self._now:
            self._no("until", f"The plan would be over: {at:%Y-%m-%d %H:%M} UTC.", "Give a time that is to come.")
        if self._now is not None and at > self._now + LIMIT_LIFE:
            self._no("until", "A plan lasts for three years at most.", "Give an earlier end, and renew it then.")
        return at

    def _condition(self, document: Mapping[str, Any], key: str) -> Condition | None:
        text = document.get(key)
        if text is None:
            return None
        if not isinstance(text, str) or text != text.encode(errors="replace").decode():
            self._no(key, f"`{key}` is no text.", "Write a condition as docs/conditions.md says; quote it in YAML.")
            return None
        try:
            return read_condition(text, self._catalogue)
        except ConditionError as error:
            self._no(key, error.message, error.do, error.at, error.length)
            return None

    def _signals(self, entries: object, purpose: str) -> Iterator[Wanted]:
        if entries is None:
            return
        if not isinstance(entries, list) or not 0 < len(entries) <= LIMIT_SIGNALS:
            count = f"{len(entries)} signals" if isinstance(entries, list) else "`signals` is no list"
            self._no("signals", f"{count}.", f"List 1 to {LIMIT_SIGNALS} of them, by path.")
            return
        seen: set[str] = set()
        for at, entry in enumerate(entries):
            key = f"signals[{at}]"
            given = entry if isinstance(entry, Mapping) else {"path": entry}
            path = given.get("path")
            signal = self._catalogue.get(path) if isinstance(path, str) else None
            if signal is None:
                self._no(key, f"{str(path)[:256]!r} is no signal of the catalogue.", "GET /v1/catalogue has them all.")
                continue
            if signal.path in seen:
                self._no(key, f"{signal.path} is there twice.", "Keep one of the two.")
            seen.add(signal.path)
            why = self._keeps(signal.path, purpose) if self._keeps and purpose else None
            if why is not None:
                self._no(key, why, "Leave it out, or have the governance changed.")
            yield Wanted(signal.path, self._sampling(key, given, signal), signal.unit)

    def _sampling(self, key: str, given: Mapping[str, Any], signal: Signal) -> Sampling:
        for strange in sorted(str(one) for one in given if one not in ("path", *SAMPLINGS)):
            self._no(f"{key}.{strange[:64]}", f"{strange[:64]!r} is no sampling.", f"Known are {', '.join(SAMPLINGS)}.")
        kinds = [kind for kind in SAMPLINGS if kind in given]
        if len(kinds) != 1:
            if kinds:
                self._no(key, f"Two samplings: {', '.join(kinds)}.", "Keep one of them.")
            return Sampling()
        kind, value = kinds[0], given[kinds[0]]
        try:
            return read_sampling(kind, value, signal)
        except InputError as error:
            self._no(f"{key}.{kind}", error.message, error.do)
            return Sampling()


_MISSING = {
    "plan": "Give it a name of 1 to 64 letters, digits, _ and -.",
    "version": "Begin with 1.",
    "signals": "List what to collect, by path.",
    "purpose": "Say what the data is for, as one of the governance's purposes.",
    "basis": "Say why that is lawful, as the governance does.",
    "budget": "Say how much the car may send for it a day, such as 5 MB.",
    "until": "Say when it ends, such as 2027-06-30T00:00:00Z.",
}
