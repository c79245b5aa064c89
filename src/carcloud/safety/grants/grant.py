"""What a grant may say, and what it stands on: the zone's governance, as it reads now.

Rules:
* A grant opens of its signals those that the governance uses for its purpose, and no others.
* It holds in its zone, in its time, and while the governance says of the purpose what it said when it was given: legal
  basis and sentence. Where either changes, whoever agreed is asked anew.
* A grant given under another opens what both open, as exactly as the coarser of the two; and it holds while both do.
  A step of what is shared is a whole multiple of the giver's: numbers shown at many steps that do not nest would
  together say where in the giver's step the value lies.
* A VIN is shown where the governance uses it for the purpose, or where the zone's own people name it as it is.
* A grant to the zone is a consent: it is for a purpose that needs one, and for all signals of that purpose.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import NamedTuple

from carcloud.backends.records import Grant, Held, Vehicle
from carcloud.backends.records.database import instant
from carcloud.errors import InputError, NotAllowedError
from carcloud.safety.governance.policy import GLOB, Policy, Rule
from carcloud.vehicle.catalogue import Catalogue
from carcloud.vehicle.commands import COMMANDS

ZONE = "zone"
EVERYTHING = ("**",)
STEP_LEAST, STEP_MOST = 1e-9, 1e12
"""Between these lies a step, the second for signals without a range; else it is at most as wide as the range."""
WHOLE = 1e-12
"""How far a multiple may be off a whole number, by which floating numbers differ."""
VIN = "Vehicle.VehicleIdentification.VIN"
LIMIT_PATHS = 64
LIMIT_GLOB = 256
GRANTEE = re.compile(r"zone|(person|token):[A-Za-z0-9_-]{1,64}|app:[a-z0-9][a-z0-9._-]{0,63}")
KEPT_GROUNDS = 8
KEPT_OPENINGS = 1024


class Grain(NamedTuple):
    """How exactly a signal is shown: to the middle of a step, 0 for as it is; within its range."""

    step: float = 0.0
    low: float = -math.inf
    high: float = math.inf


Signals = Mapping[str, Grain]
"""What is open: signal → how exactly. One object stands for one scope, however many grants have it."""

Scope = tuple[str, tuple[str, ...], tuple[tuple[str, float], ...]]


@dataclass(frozen=True)
class Wanted:
    """What somebody asks to be granted. Times: None is from now, and until it is revoked.

    owner: whether the grantee is the car's owner; only the zone's own people can say so.
    anyway: also to an app that no token is made for, and from before the car last changed hands.
    """

    grantee: str
    purpose: str
    paths: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    precision: Mapping[str, float] = field(default_factory=dict)
    from_at: datetime | None = None
    until_at: datetime | None = None
    owner: bool = False
    anyway: bool = False


class Ground:
    """What the grants of a zone stand on: its name, its governance in force, its catalogue."""

    def __init__(self, zone: str, policy: Policy, catalogue: Catalogue) -> None:
        self.zone, self.policy, self.catalogue = zone, policy, catalogue
        self._opened: dict[tuple[Scope, ...], Signals] = {}

    @cached_property
    def said(self) -> dict[str, str]:
        """Return what the governance says of each purpose, as a hash."""
        said = {name: [name, purpose.basis, purpose.why] for name, purpose in self.policy.purposes.items()}
        return {name: hashlib.sha256(json.dumps(of).encode()).hexdigest() for name, of in said.items()}

    @cached_property
    def _used(self) -> dict[str, frozenset[str]]:
        rules = {path: self.policy.rule_of(path) for path in self.catalogue}
        return {
            purpose: frozenset(path for path, rule in rules.items() if rule and purpose in rule.purposes)
            for purpose in self.policy.purposes
        }

    def holds(self, held: Held, at: datetime) -> bool:
        """Tell whether a grant that nobody has ended holds at a moment."""
        return all(self._stands(grant, at) for grant in (held.grant, held.under) if grant is not None)

    def _stands(self, grant: Grant, at: datetime) -> bool:
        in_time = grant.from_at <= at and (grant.until_at is None or at < grant.until_at)
        return in_time and grant.zone == self.zone and self.said.get(grant.purpose) == grant.said

    def opened(self, held: Held) -> Signals:
        """Return the signals that a grant opens."""
        key = tuple(_scope(grant) for grant in (held.grant, held.under) if grant is not None)
        if key not in self._opened:
            if len(self._opened) >= KEPT_OPENINGS:
                self._opened = {}
            self._opened[key] = _both([self._of(*scope) for scope in key])
        return self._opened[key]

    def names_vin(self, held: Held) -> bool:
        """Tell whether a grant shows the car's VIN."""
        return all(self._vin(grant) for grant in (held.grant, held.under) if grant is not None)

    def _vin(self, grant: Grant) -> bool:
        if grant.under is None and VIN in grant.paths:
            return True
        rule = self.policy.rule_of(VIN)
        used = rule is not None and grant.purpose in rule.purposes
        return used and bool(grant.paths) and Rule(grant.paths, "", ()).names(VIN)

    def _of(self, purpose: str, paths: tuple[str, ...], precision: tuple[tuple[str, float], ...]) -> Signals:
        if not paths:
            return {}
        named, used = Rule(paths, "", ()), self._used.get(purpose, frozenset())
        steps = [(Rule((glob,), "", ()), step) for glob, step in precision]
        found = {path: self._grain(path, steps) for path in self.catalogue if path in used and named.names(path)}
        return {path: grain for path, grain in found.items() if grain is not None}

    def _grain(self, path: str, steps: Sequence[tuple[Rule, float]]) -> Grain | None:
        """Return how exactly a signal is shown; None for a list of numbers, which cannot be made coarse."""
        signal, step = self.catalogue[path], next((step for rule, step in steps if rule.names(path)), 0.0)
        if step == 0.0 or signal.type in ("string", "string[]", "boolean"):
            return Grain()
        if signal.is_text:
            return None
        return Grain(float(math.ceil(step)) if "int" in signal.type else step, signal.low, signal.high)


def _scope(grant: Grant) -> Scope:
    return grant.purpose, grant.paths, grant.precision


def _both(opened: Sequence[Signals]) -> Signals:
    """Return what all of these open, as exactly as the coarsest does; nothing where their steps do not nest."""
    first, *others = opened
    found: dict[str, Grain] = {}
    for path, grain in first.items():
        if any(path not in other for other in others):
            continue
        fine, *more = sorted((grain, *(other[path] for other in others)), key=lambda one: one.step)
        if all(nests(each.step, fine.step) for each in more):
            found[path] = more[-1] if more else fine
    return found


def nests(coarse: float, fine: float) -> bool:
    """Tell whether steps of one width begin and end where steps of another do; 0 is no step, which all nest in."""
    if fine == 0 or coarse == fine:
        return True
    times = coarse / fine
    return round(times) >= 1 and abs(times - round(times)) <= WHOLE * times


class _ByHash:
    def __init__(self, it: Policy | Catalogue) -> None:
        self.it = it

    def __hash__(self) -> int:
        return hash(self.it.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByHash) and self.it.hash == other.it.hash


@lru_cache(KEPT_GROUNDS)
def _known(zone: str, policy: _ByHash, catalogue: _ByHash) -> Ground:
    assert isinstance(policy.it, Policy)
    assert isinstance(catalogue.it, Catalogue)
    return Ground(zone, policy.it, catalogue.it)


def ground_of(zone: str, policy: Policy, catalogue: Catalogue) -> Ground:
    """Return the ground of a zone; what it worked out before is kept."""
    return _known(zone, _ByHash(policy), _ByHash(catalogue))


def consents(held: Iterable[Held], ground: Ground, at: datetime) -> dict[str, frozenset[str]]:
    """Return the purposes that hold as consented to, by car."""
    found: dict[str, set[str]] = {}
    for one in held:
        if one.grant.grantee == ZONE and ground.holds(one, at):
            found.setdefault(one.grant.vehicle, set()).add(one.grant.purpose)
    return {vehicle: frozenset(purposes) for vehicle, purposes in found.items()}


def made(wanted: Wanted, vehicle: Vehicle, by: str, ground: Ground, now: datetime, own: Held | None = None) -> Grant:
    """Return the grant that is wanted, to be given.

    Args:
        own: the grant of the giver under which it is given; None where the zone's own people give it.

    Raises:
        InputError: it says what no grant can.
        NotAllowedError: it opens more than the giver's own.
    """
    wanted = replace(wanted, from_at=_instant(wanted.from_at), until_at=_instant(wanted.until_at))
    _check(wanted, ground, now)
    from_at, until_at = wanted.from_at or now, wanted.until_at
    if own is not None and wanted.owner:
        raise NotAllowedError("Only who runs the zone says whose a car is.", "Leave `owner` out.")
    if own is not None and until_at is None:
        until_at = own.grant.until_at
    grant = Grant(
        id=secrets.token_hex(8),
        tenant=vehicle.tenant,
        vehicle=vehicle.id,
        grantee=wanted.grantee,
        purpose=wanted.purpose,
        version=0,
        paths=EVERYTHING if wanted.grantee == ZONE else tuple(sorted(set(wanted.paths))),
        commands=tuple(sorted(set(wanted.commands))),
        precision=tuple((glob, float(step)) for glob, step in wanted.precision.items()),
        zone=ground.zone,
        from_at=from_at,
        until_at=until_at,
        given_at=now,
        given_by=by,
        under=None if own is None else own.grant.id,
        policy=ground.policy.hash,
        said=ground.said[wanted.purpose],
        owner=wanted.owner,
    )
    if wanted.paths and not ground.opened(Held(grant)) and not ground.names_vin(Held(grant)):
        message = f"The governance uses none of these signals for {wanted.purpose}."
        raise InputError(message, "Name others, or another purpose: see /v1/governance.")
    _check_steps(grant, ground)
    if own is not None and grant.grantee != ZONE:
        _refuse_more(grant, own, ground)
    return grant


def _instant(at: datetime | None) -> datetime | None:
    return None if at is None else instant(at)


def _refuse_more(grant: Grant, own: Held, ground: Ground) -> None:
    """Raise NotAllowedError where a grant would open more than the one it is given under."""
    mine, theirs = ground.opened(own), ground.opened(Held(grant))
    more = next((path for path, grain in theirs.items() if path not in mine or grain.step < mine[path].step), None)
    if more is not None:
        raise NotAllowedError(f"You do not hold {more}, or not as exactly.", "Grant no more than you hold.")
    if beside := next((path for path, grain in theirs.items() if not nests(grain.step, mine[path].step)), None):
        step = mine[beside].step
        message = f"You hold {beside} in steps of {step:g}, and this step would cut through them."
        raise NotAllowedError(message, f"Grant a whole multiple of {step:g}.")
    if commands := sorted(set(grant.commands) - set(own.grant.commands)):
        raise NotAllowedError(f"You may not order {', '.join(commands)} yourself.", "Grant no more than you hold.")
    if grant.from_at < own.grant.from_at:
        raise NotAllowedError("Your own grant begins later.", f"Grant from {own.grant.from_at:%Y-%m-%dT%H:%M:%SZ} on.")
    ends = own.grant.until_at
    if ends is not None and (grant.until_at is None or grant.until_at > ends):
        raise NotAllowedError("Your own grant ends earlier.", f"Grant until {ends:%Y-%m-%dT%H:%M:%SZ} at most.")


def _check(wanted: Wanted, ground: Ground, now: datetime) -> None:
    if not GRANTEE.fullmatch(wanted.grantee):
        do = "Name zone, person:ID, token:ID or app:NAME; see `carcloud person list` and `carcloud token list`."
        raise InputError(f"{wanted.grantee[:96]!r} is nobody to grant to.", do)
    if wanted.owner and not wanted.grantee.startswith("person:"):
        raise InputError("An owner is a person.", "Name person:ID, or leave `owner` out.")
    purpose = ground.policy.purposes.get(wanted.purpose)
    if purpose is None:
        do = f"The zone's purposes: {', '.join(ground.policy.purposes)}."
        raise InputError(f"{wanted.purpose[:64]!r} is no purpose of this zone.", do)
    if wanted.grantee == ZONE:
        needing = [name for name, known in ground.policy.purposes.items() if known.needs_consent]
        if not purpose.needs_consent:
            do = f"Purposes that need one: {', '.join(needing)}." if needing else "No purpose of this zone needs one."
            raise InputError(f"{wanted.purpose!r} is no purpose that needs a consent.", do)
        if wanted.paths or wanted.commands or wanted.precision:
            raise InputError("A consent is to a purpose as a whole.", "Leave paths, commands and precision out.")
    elif not wanted.paths and not wanted.commands:
        raise InputError("This grants nothing.", "Name paths, commands, or both.")
    if wanted.commands and wanted.grantee.startswith(("token:", "app:")):
        message = "A program cannot give orders: each needs the second factor of a person."
        raise InputError(message, "Leave commands out, or grant them to person:ID.")
    _check_scope(wanted, ground.catalogue)
    begins = wanted.from_at or now
    if wanted.until_at is not None and wanted.until_at <= max(begins, now):
        raise InputError("The grant would be over before it begins.", "Give a later `until`.")


def _check_scope(wanted: Wanted, catalogue: Catalogue) -> None:
    if max(len(wanted.paths), len(wanted.precision)) > LIMIT_PATHS:
        raise InputError(f"A grant names at most {LIMIT_PATHS} paths.", "Use * and **, or give several grants.")
    for glob in (*wanted.paths, *wanted.precision):
        fits = len(glob) <= LIMIT_GLOB and glob.count("**") <= 2 and GLOB.fullmatch(glob) is not None
        if not fits or not (glob == VIN or any(map(Rule((glob,), "", ()).names, catalogue))):
            do = "Join names by dots; * is one name, ** one or more. /v1/catalogue has the signals."
            raise InputError(f"{glob[:80]!r} names no signal of the catalogue.", do)
    if strange := sorted(set(wanted.commands) - set(COMMANDS)):
        raise InputError(f"{strange[0][:40]!r} is no command.", f"Use one of: {', '.join(COMMANDS)}.")
    for glob, step in wanted.precision.items():
        if not STEP_LEAST <= step <= STEP_MOST:
            message = f"The precision of {glob} is no number from {STEP_LEAST:g} to {STEP_MOST:g}."
            raise InputError(message, "Give the step in the signal's unit.")


def _check_steps(grant: Grant, ground: Ground) -> None:
    """Raise InputError for a step that makes nothing coarse, or is wider than anything it is for."""
    open_ = ground.opened(Held(replace(grant, precision=())))
    for glob, step in grant.precision:
        signals = [ground.catalogue[path] for path in open_ if Rule((glob,), "", ()).names(path)]
        if not signals:
            raise InputError(
                f"{glob} names none of the signals that are granted.", "Name some of those in a precision."
            )
        widths = [signal.high - signal.low for signal in signals if not signal.is_text]
        widest = max((min(width, STEP_MOST) for width in widths), default=STEP_MOST)
        if step > widest:
            raise InputError(f"A step of {step:g} is wider than all of {glob}.", f"Give {widest:g} at most.")
