"""The governance file: one page a data-protection officer can read, and the stream obeys.

Rules:
* `rules` are read from the top; the first that names a signal holds for it. What none names is dropped and counted.
* A signal may be kept while one of its purposes is lawful: one whose basis is not consent, or one the car's person
  has consented to.
* `exactness` rounds a number to the middle of a step, in the signal's own unit; nothing finer goes on from there.
* `cell` sets a place to the middle of its H3 cell, `time` cuts times to steps, `car: pseudonym` names the car by a
  random name that lasts for the `epoch` of the file, `days` is how long rows are kept.
* `deadlines` are the days within which people's requests are answered, by kind; what it does not name has 30.
* Two files that say the same have the same hash, however they are laid out.

Source: GDPR (EU) 2016/679 article 6(1) for the bases; Several Provisions on Automotive Data Security Management (2021)
for "personal", "sensitive" and "important".
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.document import load
from carcloud.vehicle.pseudonym import EPOCHS, Epoch

PACKS = Path(__file__).parent / "packs"
"""The governance files that come with carcloud, named by their file."""

CLASSES = ("public", "operational", "personal", "sensitive", "important")
BASES = ("consent", "contract", "legal-obligation", "vital-interest", "public-task", "legitimate-interest")
CONSENT = "consent"
PSEUDONYM = "pseudonym"
REQUESTS = ("access", "rectification", "erasure", "restriction", "portability", "objection")
DEADLINE_DAYS = 30

LIMIT_DAYS = 36_500
LIMIT_TIME_S = 86_400
FINEST_CELL = 15
LIMIT_PURPOSES = 63
LIMIT_RULES = 1000
LIMIT_GLOBS = 1000
LIMIT_TEXT = 2000

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
GLOB = re.compile(r"(\*\*|[A-Za-z0-9_]+)(\.(\*\*|\*|[A-Za-z0-9_]+))*")

_FILE_KEYS = {"name", "about", "epoch", "deadlines", "purposes", "rules"}
_PURPOSE_KEYS = {"basis", "why"}
_TRANSFORMS = ("exactness", "cell", "time", "car", "days")
_RULE_KEYS = {"paths", "class", "purposes", "keep", "why", *_TRANSFORMS}


@dataclass(frozen=True)
class Purpose:
    """What data is used for. `basis`: why that is lawful; `why`: the same in a sentence for people."""

    name: str
    basis: str
    why: str

    @property
    def needs_consent(self) -> bool:
        """Tell whether only the person's own consent makes it lawful."""
        return self.basis == CONSENT


@dataclass(frozen=True)
class Rule:
    """What holds for some signals.

    keep: false drops them. exactness: the step of rounding, in their unit. days: how long rows are kept; None: until
    the car is erased. pseudonym: whether rows name the car by a random name. time_s: the step that times are cut to;
    0: as they came. cell: the H3 resolution to which a place is known; None: not by cells.
    """

    paths: tuple[str, ...]
    kind: str
    purposes: tuple[str, ...]
    keep: bool = True
    exactness: float | None = None
    why: str = ""
    days: int | None = None
    pseudonym: bool = False
    time_s: int = 0
    cell: int | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """One expression for all globs: `*` is one name, `**` is one or more."""
        return re.compile("|".join(map(_expression, self.paths)))

    def names(self, path: str) -> bool:
        """Tell whether one of the globs names this signal."""
        return self.pattern.fullmatch(path) is not None


@dataclass(frozen=True)
class Policy:
    """A governance file as it was read; `text` is the file itself. `epoch`: how long a pseudonym lasts."""

    name: str
    about: str
    purposes: Mapping[str, Purpose]
    rules: tuple[Rule, ...]
    text: str
    epoch: Epoch = "month"
    deadlines: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of what the file says, in hexadecimal: the policy's name by content."""
        said = {
            "name": self.name,
            "about": self.about,
            "epoch": self.epoch,
            "deadlines": dict(self.deadlines),
            "purposes": [[purpose.name, purpose.basis, purpose.why] for purpose in self.purposes.values()],
            "rules": [[getattr(rule, key.name) for key in fields(rule)] for rule in self.rules],
        }
        return hashlib.sha256(json.dumps(said, separators=(",", ":"), sort_keys=True).encode()).hexdigest()

    def days_to_answer(self, kind: str) -> int:
        """Return within how many days a person's request of this kind is answered."""
        return self.deadlines.get(kind, DEADLINE_DAYS)

    def rule_of(self, path: str) -> Rule | None:
        """Return the rule that holds for a signal, None where none names it: then it is dropped."""
        return next((rule for rule in self.rules if rule.names(path)), None)


def pack(name: str) -> Policy | None:
    """Return the policy of this name that comes with carcloud, or None."""
    file = PACKS / f"{name}.yaml"
    return parse(file.read_bytes(), file.name) if NAME.fullmatch(name) and file.is_file() else None


def packs() -> list[str]:
    """Return the names of the policies that come with carcloud."""
    return sorted(file.stem for file in PACKS.glob("*.yaml"))


def parse(content: str | bytes, name: str) -> Policy:
    """Read a governance file, YAML or JSON. `name` says in errors where it came from; raises InputError."""
    try:
        tree = load(content)
        _need(isinstance(tree, dict), "the file", "is no governance file", "Begin with `name:`, `purposes:`, `rules:`.")
        _known(tree, _FILE_KEYS, "the file")
        purposes = {purpose.name: purpose for purpose in _purposes(tree.get("purposes"))}
        rules = tuple(_rules(tree.get("rules"), purposes))
        title = tree.get("name")
        fits = isinstance(title, str) and NAME.fullmatch(title) is not None
        _need(fits, "name", "is missing or no name", "Use small letters, digits and -, at most 64.")
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        epoch = tree.get("epoch", Policy.epoch)
        _need(epoch in EPOCHS, "epoch", "is none", f"Give one of {', '.join(EPOCHS)}.")
        about, deadlines = _text(tree.get("about", ""), "about"), dict(_deadlines(tree.get("deadlines", {})))
        return Policy(str(title), about, purposes, rules, text, epoch, deadlines)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.do) from None


def _purposes(entries: Any) -> Iterator[Purpose]:
    fits = isinstance(entries, dict) and 0 < len(entries) <= LIMIT_PURPOSES
    _need(fits, "purposes", f"must name 1 to {LIMIT_PURPOSES} purposes", "Write {basis: …, why: …} after each.")
    for name, entry in entries.items():
        where = f"purpose {str(name)[:64]!r}"
        fits = isinstance(name, str) and NAME.fullmatch(name) is not None
        _need(fits, where, "has no proper name", "Use small letters, digits and -, at most 64.")
        _need(isinstance(entry, dict), where, "is not described", "Write {basis: …, why: …} after it.")
        _known(entry, _PURPOSE_KEYS, where)
        _need(entry.get("basis") in BASES, where, "has no legal basis", f"Give one of {', '.join(BASES)}.")
        why = _text(entry.get("why", ""), where)
        _need(why != "", where, "does not say why", "Say in `why` what it is for, so that people understand it.")
        yield Purpose(name, entry["basis"], why)


def _deadlines(entries: Any) -> Iterator[tuple[str, int]]:
    _need(isinstance(entries, dict), "deadlines", "are none", "Write {erasure: 14, access: 30}, in days.")
    for kind in entries:
        known = ", ".join(REQUESTS)
        _need(kind in REQUESTS, "deadlines", f"name {str(kind)[:64]!r}, which is no request", f"Known are {known}.")
        days = _whole(entries, kind, 1, LIMIT_DAYS, "number of days", "deadlines")
        yield kind, days or DEADLINE_DAYS


def _rules(entries: Any, purposes: Mapping[str, Purpose]) -> Iterator[Rule]:
    fits = isinstance(entries, list) and len(entries) <= LIMIT_RULES
    _need(fits, "rules", f"must be a list of at most {LIMIT_RULES}", "Write one `- paths: […]` after another.")
    for number, entry in enumerate(entries, 1):
        where = f"rule {number}"
        _need(isinstance(entry, dict), where, "is not described", "Write {paths: […], class: …, purposes: […]}.")
        _known(entry, _RULE_KEYS, where)
        keep = entry.get("keep", True)
        _need(isinstance(keep, bool), where, "has a `keep` that is neither true nor false", "Mend it.")
        used = _texts(entry.get("purposes", []), where, "purposes")
        strange = [purpose for purpose in used if purpose not in purposes]
        _need(not strange, where, f"names purposes that are not above: {', '.join(strange)[:80]}", "Add or mend them.")
        _need(bool(used) == keep, where, "must have purposes if it keeps, and none if not", "Mend one of the two.")
        _need(entry.get("class") in CLASSES, where, "has no class", f"Give one of {', '.join(CLASSES)}.")
        idle = [key for key in _TRANSFORMS if key in entry and not keep and key != "days"]
        _need(not idle, where, f"changes what it does not keep: {', '.join(idle)}", "Leave it out.")
        both = "cell" in entry and "exactness" in entry
        _need(not both, where, "has both `cell` and `exactness`", "Leave one of the two out: a cell is the exactness.")
        globs, why = _globs(entry.get("paths"), where), _text(entry.get("why", ""), where)
        yield Rule(globs, entry["class"], tuple(used), keep, _exactness(entry, where), why, *_changes(entry, where))


def _changes(entry: Mapping[str, Any], where: str) -> tuple[int | None, bool, int, int | None]:
    """Return a rule's days, pseudonym, time step and cell."""
    do = "Leave `car` out to keep rows under the car's own id."
    _need(entry.get("car", PSEUDONYM) == PSEUDONYM, where, "has a `car` that is not `pseudonym`", do)
    days = _whole(entry, "days", 1, LIMIT_DAYS, "number of days", where)
    time_s = _whole(entry, "time", 1, LIMIT_TIME_S, "number of seconds", where)
    return days, "car" in entry, time_s or 0, _whole(entry, "cell", 0, FINEST_CELL, "resolution of H3 cells", where)


def _whole(entry: Mapping[str, Any], key: str, low: int, high: int, what: str, where: str) -> int | None:
    """Return a whole number of a rule, None where it has none."""
    if key not in entry:
        return None
    value = entry[key]
    fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    _need(fits, where, f"has a `{key}` that is no {what}", f"Give a whole number from {low} to {high}.")
    return int(value)


def _globs(value: Any, where: str) -> tuple[str, ...]:
    globs = _texts(value, where, "paths")
    _need(0 < len(globs) <= LIMIT_GLOBS, where, f"must name 1 to {LIMIT_GLOBS} paths", "Write them as a list.")
    for glob in globs:
        fits = len(glob) <= 256 and glob.count("**") <= 2 and GLOB.fullmatch(glob) is not None
        do = "Join names by dots; * is one name, ** one or more, like Vehicle.Cabin.**"
        _need(fits, where, f"has a path that is none: {glob[:80]!r}", do)
    return tuple(globs)


def _exactness(entry: Mapping[str, Any], where: str) -> float | None:
    value = entry.get("exactness")
    if value is None:
        return None
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    _need(
        fits, where, "has an `exactness` that is no number above 0", "Give the step in the signal's unit, like 0.001."
    )
    return float(value)


def _texts(value: Any, where: str, key: str) -> list[str]:
    fits = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    _need(fits, where, f"has `{key}` that is no list of texts", 'Write it as ["a", "b"].')
    return list(value)


def _text(value: Any, where: str) -> str:
    fits = isinstance(value, str) and len(value) <= LIMIT_TEXT
    _need(fits, where, f"has a text that is none, or longer than {LIMIT_TEXT}", "Mend it.")
    return str(value)


def _known(entry: Mapping[Any, Any], keys: set[str], where: str) -> None:
    strange = sorted(str(key)[:64] for key in entry if key not in keys)
    _need(not strange, where, f"has unknown keys {', '.join(strange)}", f"Known are {', '.join(sorted(keys))}.")


def _need(fits: bool, where: str, problem: str, do: str) -> None:
    if not fits:
        raise InputError(f"{where} {problem}.", do)


def _expression(glob: str) -> str:
    """Turn a glob into an expression."""
    stands = {"**": r"[^.]+(?:\.[^.]+)*", "*": r"[^.]+"}
    return r"\.".join(stands.get(name) or re.escape(name) for name in glob.split("."))
