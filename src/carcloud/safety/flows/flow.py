"""The flows file: what may leave the zone, to whom, for what, how changed, about how many people; and what comes in.

Rules:
* What no flow names does not leave. A zone without the file lets nothing out.
* A flow can only take away from what the governance keeps: see `plan`.
* Every class of people's data that leaves has a limit of distinct people a calendar year, and so has important data,
  which leaves only where the flow names the security assessment that was passed.
* Two files that say the same have the same hash, however they are laid out.

Source: Guideline on automotive data export (2026 edition) for the assessment and the count since 1 January.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import Any

from carcloud.errors import InputError
from carcloud.safety.flows.checks import known, need, whole
from carcloud.safety.flows.relay import KEYS as PLATFORM_KEYS
from carcloud.safety.flows.relay import LIMIT_RELAYS, Platform, parse_platform
from carcloud.safety.flows.replica import Replica, parse_replicas
from carcloud.safety.governance.policy import CLASSES, GLOB, NAME
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.document import load

PLAIN = ("public", "operational")
"""Classes that may leave under the car's own id, and without a limit."""

IMPORTANT = "important"
LIMIT_FLOWS = 100
LIMIT_PARTS = 1000
LIMIT_TEXT = 2000
LIMIT_PERSONS = 1_000_000_000
LIMIT_TIME_S = 86_400
LIMIT_OFFSET_H = 14
STOP_AT = 0.9

_FILE_KEYS = {"calendar", "limits", "stop_at", "flows", "relays", "replicas"}
_FLOW_KEYS = {"to", "purpose", "why", "signals", "classes", "pseudonym", "time", "limits", "stop_at", "until"}
_FLOW_KEYS |= {"assessment"}
_PART_KEYS = {"paths", "exactness"}


@dataclass(frozen=True)
class Part:
    """Some signals that leave. `exactness`: the step of rounding in their unit; None: as the governance has it."""

    paths: tuple[str, ...]
    exactness: float | None = None


@dataclass(frozen=True)
class Flow:
    """What may leave, to one zone, for one purpose.

    classes: of the governance; signals of others stay. pseudonym: whether the car's id is replaced.
    time_s: times are cut to steps of so many seconds; 0: as they are.
    limits: class → how many people a calendar year. stop_at: the part of a limit at which the flow stops.
    until: the last day, in the file's calendar. assessment: the security assessment that lets important data leave.
    platform: where it goes if not to a zone: it is a relay then.
    """

    name: str
    to: str
    purpose: str
    why: str
    parts: tuple[Part, ...]
    classes: tuple[str, ...]
    limits: Mapping[str, int]
    pseudonym: bool = True
    time_s: int = 0
    stop_at: float = STOP_AT
    until: date | None = None
    assessment: str = ""
    platform: Platform | None = None

    def bar(self, kind: str) -> int | None:
        """Return how many people of this class may leave a year before the flow stops; None: any number."""
        limit = self.limits.get(kind)
        return None if limit is None else _bar(limit, self.stop_at)


@dataclass(frozen=True)
class Flows:
    """A flows file as it was read; `text` is the file itself.

    offset: minutes ahead of UTC, where the zone's calendar years and days begin. limits: class → how many people a
    calendar year by all flows together; stop_at: the part of these limits at which all flows stop. replicas: what comes
    in from other zones. relays: flows to an authority's platform, by GB/T 32960.
    """

    flows: Mapping[str, Flow]
    limits: Mapping[str, int]
    stop_at: float = STOP_AT
    offset: int = 0
    text: str = ""
    replicas: tuple[Replica, ...] = ()
    relays: Mapping[str, Flow] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of what the file says, in hexadecimal."""
        said: list[Any] = [self.offset, dict(self.limits), self.stop_at, [_said(flow) for flow in self.flows.values()]]
        said += [vars(replica) for replica in self.replicas] + [_said(relay) for relay in self.relays.values()]
        return hashlib.sha256(json.dumps(said, separators=(",", ":"), sort_keys=True).encode()).hexdigest()

    @property
    def leaving(self) -> tuple[Flow, ...]:
        """All that leaves: the flows to zones, and the relays."""
        return (*self.flows.values(), *self.relays.values())

    @property
    def calendar(self) -> timezone:
        """The time zone in which calendar years and days begin."""
        return timezone(timedelta(minutes=self.offset))

    def bar(self, kind: str) -> int | None:
        """Return how many people of this class may leave a year by all flows before they stop; None: any number."""
        limit = self.limits.get(kind)
        return None if limit is None else _bar(limit, self.stop_at)

    def year(self, at: datetime) -> int:
        """Return the calendar year of a moment."""
        return at.astimezone(self.calendar).year

    def ended(self, flow: Flow, at: datetime) -> bool:
        """Tell whether a flow's last day is over."""
        return flow.until is not None and at.astimezone(self.calendar).date() > flow.until


NOTHING = Flows({}, {})
"""What a zone without a flows file lets out."""


def _bar(limit: int, stop_at: float) -> int:
    """Return the whole number of people at which to stop, never above the limit."""
    return min(limit, math.floor(limit * stop_at + 1e-9))


def parse(content: str | bytes, name: str) -> Flows:
    """Read a flows file, YAML or JSON. `name` says in errors where it came from; raises InputError."""
    try:
        tree = load(content)
        fits = isinstance(tree, dict) and not tree.keys().isdisjoint(("flows", "relays", "replicas"))
        need(fits, "the file", "is no flows file", "Begin with `flows:`, `relays:` or `replicas:`.")
        known(tree, _FILE_KEYS, "the file")
        entries = tree.get("flows", {})
        fits = isinstance(entries, dict) and len(entries) <= LIMIT_FLOWS
        need(fits, "flows", f"must name at most {LIMIT_FLOWS} flows", "Write {to: …, purpose: …} after each.")
        flows = {flow.name: flow for flow in _flows(entries)}
        relays = {relay.name: relay for relay in _relays(tree.get("relays", {}), flows)}
        offset = _offset(tree.get("calendar", "+00:00"))
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        limits, stop_at = _limits(tree.get("limits", {}), "the file"), _part(tree, "the file")
        return Flows(flows, limits, stop_at, offset, text, tuple(parse_replicas(tree.get("replicas", {}))), relays)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.do) from None


def _flows(entries: Mapping[Any, Any]) -> Iterator[Flow]:
    for name, entry in entries.items():
        where = f"flow {str(name)[:64]!r}"
        fits = isinstance(name, str) and NAME.fullmatch(name) is not None
        need(fits, where, "has no proper name", "Use small letters, digits and -, at most 64.")
        need(isinstance(entry, dict), where, "is not described", "Write {to: …, purpose: …, signals: […]} after it.")
        known(entry, _FLOW_KEYS, where)
        flow = _flow(name, entry, where)
        _refuse_unlawful(flow, where)
        yield flow


def _relays(entries: Any, flows: Mapping[str, Flow]) -> Iterator[Flow]:
    fits = isinstance(entries, dict) and len(entries) <= LIMIT_RELAYS
    need(fits, "relays", f"must name at most {LIMIT_RELAYS}", "Write {to: …, address: …, purpose: …} after each.")
    for name, entry in entries.items():
        where = f"relay {str(name)[:64]!r}"
        fits = isinstance(name, str) and NAME.fullmatch(name) is not None and name not in flows
        need(fits, where, "has no proper name", "Use small letters, digits and -, at most 64; no flow's name.")
        need(isinstance(entry, dict), where, "is not described", "Write {to: …, address: …, purpose: …} after it.")
        known(entry, (_FLOW_KEYS - {"pseudonym", "time"}) | PLATFORM_KEYS, where)
        platform = parse_platform({key: value for key, value in entry.items() if key in PLATFORM_KEYS}, where)
        whole_flow = {"signals": [{"paths": ["Vehicle.**"]}]} | entry | {"pseudonym": False}
        flow = replace(_flow(name, whole_flow, where), platform=platform)
        _refuse_unlawful(flow, where)
        yield flow


def _flow(name: str, entry: Mapping[str, Any], where: str) -> Flow:
    to, purpose = entry.get("to"), entry.get("purpose")
    fits = isinstance(to, str) and TOKEN.fullmatch(to) is not None
    need(fits, where, "does not say to which zone", "Give its name in `to`.")
    fits = isinstance(purpose, str) and NAME.fullmatch(purpose) is not None
    need(fits, where, "has no purpose", "Give one of the governance's in `purpose`.")
    why = _text(entry.get("why", ""), where, "why")
    need(why != "", where, "does not say why", "Say in `why` what it is for, so that people understand it.")
    classes = _texts(entry.get("classes"), where, "classes")
    need(0 < len(classes) == len(set(classes)), where, "must name classes, each once", f"Of {', '.join(CLASSES)}.")
    strange = [kind for kind in classes if kind not in CLASSES]
    need(not strange, where, f"names the class {', '.join(strange)[:80]!r}", f"Classes are {', '.join(CLASSES)}.")
    pseudonym = entry.get("pseudonym", True)
    need(isinstance(pseudonym, bool), where, "has a `pseudonym` that is neither true nor false", "Mend it.")
    time_s = entry.get("time", 0)
    fits = whole(time_s) and 0 <= time_s <= LIMIT_TIME_S
    need(fits, where, "has a `time` that is no number of seconds", f"Give 0 to {LIMIT_TIME_S}.")
    return Flow(
        name,
        str(to),
        str(purpose),
        why,
        tuple(_parts(entry.get("signals"), where)),
        tuple(classes),
        _limits(entry.get("limits", {}), where),
        pseudonym,
        time_s,
        _part(entry, where),
        _until(entry.get("until"), where),
        _text(entry.get("assessment", ""), where, "assessment"),
    )


def _refuse_unlawful(flow: Flow, where: str) -> None:
    personal = [kind for kind in flow.classes if kind not in PLAIN]
    bare = [kind for kind in personal if kind not in flow.limits]
    do = f"Say in `limits` how many people a year, like {{{bare[0] if bare else ''}: 10000}}."
    need(not bare, where, f"lets out {', '.join(bare)} data without a limit", do)
    do = "Take these classes out, or leave `pseudonym` out."
    need(
        flow.pseudonym or not personal or flow.platform is not None,
        where,
        f"would tell whose {', '.join(personal)} data it is",
        do,
    )
    need(
        IMPORTANT not in flow.classes or flow.assessment != "",
        where,
        "lets out important data without a security assessment",
        "Give the reference of the one that was passed in `assessment`, or take the class out.",
    )
    unused = [kind for kind in flow.limits if kind not in flow.classes]
    need(not unused, where, f"limits {', '.join(unused)} data, which it does not let out", "Leave the limit out.")


def _parts(entries: Any, where: str) -> Iterator[Part]:
    fits = isinstance(entries, list) and 0 < len(entries) <= LIMIT_PARTS
    need(fits, where, f"must have 1 to {LIMIT_PARTS} `signals`", "Write one `- paths: […]` after another.")
    for number, entry in enumerate(entries, 1):
        place = f"{where}, signals {number}"
        need(isinstance(entry, dict), place, "are not described", "Write {paths: […], exactness: …}.")
        known(entry, _PART_KEYS, place)
        globs = _texts(entry.get("paths"), place, "paths")
        need(0 < len(globs) <= LIMIT_PARTS, place, f"must name 1 to {LIMIT_PARTS} paths", "Write them as a list.")
        for glob in globs:
            fits = len(glob) <= 256 and glob.count("**") <= 2 and GLOB.fullmatch(glob) is not None
            do = "Join names by dots; * is one name, ** one or more, like Vehicle.Cabin.**"
            need(fits, place, f"have a path that is none: {glob[:80]!r}", do)
        step = entry.get("exactness")
        fits = step is None or (isinstance(step, int | float) and not isinstance(step, bool) and 0 < step < math.inf)
        do = "Give the step in the signal's unit, like 0.001."
        need(fits, place, "have an `exactness` that is no number above 0", do)
        yield Part(tuple(globs), None if step is None else float(step))


def _limits(entries: Any, where: str) -> dict[str, int]:
    fits = isinstance(entries, dict) and all(kind in CLASSES for kind in entries)
    need(fits, where, "has `limits` by something else than classes", f"Classes are {', '.join(CLASSES)}.")
    for kind, limit in entries.items():
        fits = whole(limit) and 0 < limit <= LIMIT_PERSONS
        need(fits, where, f"has a limit of {kind} data that is none", f"Give 1 to {LIMIT_PERSONS} people.")
    return dict(entries)


def _part(entry: Mapping[str, Any], where: str) -> float:
    value = entry.get("stop_at", STOP_AT)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    need(fits, where, "has a `stop_at` that is no part of the limit", "Give a number above 0, at most 1.")
    return float(value)


def _offset(value: Any) -> int:
    do = 'Write hours and minutes ahead of UTC in quotes, like "+08:00".'
    try:
        read = datetime.strptime(value, "%z").utcoffset() if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None or abs(read) > timedelta(hours=LIMIT_OFFSET_H) or read.total_seconds() % 60:
        raise InputError("calendar is no offset.", do)
    return int(read.total_seconds() // 60)


def _until(value: Any, where: str) -> date | None:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            value = 0
    fits = value is None or (isinstance(value, date) and not isinstance(value, datetime))
    need(fits, where, "has an `until` that is no day", "Write it as 2027-12-31.")
    return value if isinstance(value, date) else None


def _said(flow: Flow) -> dict[str, Any]:
    parts = [[list(part.paths), part.exactness] for part in flow.parts]
    until = flow.until and flow.until.isoformat()
    platform = {"platform": flow.platform.said()} if flow.platform else {}
    said = {name: value for name, value in vars(flow).items() if name != "platform"}
    return said | {"parts": parts, "limits": dict(flow.limits), "until": until} | platform


def _texts(value: Any, where: str, key: str) -> list[str]:
    fits = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    need(fits, where, f"has `{key}` that is no list of texts", 'Write it as ["a", "b"].')
    return list(value)


def _text(value: Any, where: str, key: str) -> str:
    fits = isinstance(value, str) and len(value) <= LIMIT_TEXT
    need(fits, where, f"has a `{key}` that is no text of at most {LIMIT_TEXT} characters", "Mend it.")
    return str(value).strip()
