"""Tenants: made, suspended and resumed by who runs the zone, each act noted for the audit log.

Rules:
* A tenant begins with keys of its own and one operator, who comes in by a link that holds for a day.
* An overlay adds signals of the tenant's own. It may change none that the zone or another tenant has.
* What a console shows of a brand is text and one colour: no markup, no address, no file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carcloud.backends.records import Entry, Person, Quotas, Records, Tenant
from carcloud.errors import ConflictError, InputError
from carcloud.safety.people import secrets
from carcloud.safety.people.accounts import checked_login, make_link
from carcloud.safety.seal import Seals
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.catalogue import Catalogue, parse

INVITATION_LASTS = timedelta(hours=24)
LIMIT_TITLE, LIMIT_LOGO, LIMIT_OVERLAY_BYTES = 80, 12, 256 * 1024
LIMIT_QUOTA = 1 << 53
COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Wanted:
    """A tenant to be made. login: its first operator's; NAME-admin where empty. overlay: YAML or JSON."""

    name: str
    title: str = ""
    colour: str = ""
    logo: str = ""
    overlay: str = ""
    quotas: Quotas = field(default_factory=Quotas)
    login: str = ""


@dataclass(frozen=True)
class Made:
    """A tenant that was made. secret: of the one-time link by which its first operator comes in."""

    tenant: Tenant
    login: str
    secret: str
    ends_at: datetime


def create(records: Records, keys: Path, home: str, zone: Catalogue, wanted: Wanted, by: str) -> Made:
    """Make a tenant with its keys and its first operator; return the secret of the link. Tell the zone afterwards.

    Args:
        home: the tenant that the zone is run for. zone: the signals of all.
        by: who makes it, for the audit log.

    Raises:
        InputError: name, brand, quota or overlay is not as it must be.
        ConflictError: there is one of this name, the login cannot be had, or the overlay changes what a signal means.
    """
    now, login = datetime.now(UTC), wanted.login or f"{wanted.name.lower()}-admin"
    tenant = _checked(wanted, now)
    _check_overlay(records, zone, tenant)
    login = checked_login(records, login)
    facts = {"change": "created", **_limits(tenant.quotas), "signals": len(own_signals([tenant]))}
    records.tenants.add(tenant, _entry(tenant.name, facts, by, home))
    Seals(keys, home).of(tenant.name)
    person = Person(secrets.new_id(), tenant.name, login, login, "active", now, roles=frozenset({"operator"}))
    with records.transaction(writing=True) as db:
        records.people.add(db, person)
        noted = {"change": "added", "roles": ["operator"]}
        entry = Entry(by, "changePeople", f"person:{person.id}", facts=noted, tenant=tenant.name, at=now)
        records.audit.note(db, entry)
    link = make_link(records, person.id, by, now, INVITATION_LASTS)
    return Made(tenant, login, link, now + INVITATION_LASTS)


def suspend(records: Records, home: str, name: str, by: str) -> Tenant:
    """Suspend a tenant; tell the zone afterwards. Raise MissingError; ConflictError where it is, or is the home."""
    if name == home:
        raise ConflictError(f"The zone is run for {name}.", "Stop the zone instead.")
    return records.tenants.set_state(name, "suspended", _entry(name, {"change": "suspended"}, by, home))


def resume(records: Records, home: str, name: str, by: str) -> Tenant:
    """Let a suspended tenant in again; tell the zone afterwards. Raise MissingError, ConflictError."""
    return records.tenants.set_state(name, "active", _entry(name, {"change": "resumed"}, by, home))


def set_quotas(records: Records, home: str, name: str, quotas: Quotas, by: str) -> Tenant:
    """Give a tenant these quotas; tell the zone afterwards. Raise InputError, MissingError."""
    _check_quotas(quotas)
    return records.tenants.set_quotas(name, quotas, _entry(name, {"change": "quotas", **_limits(quotas)}, by, home))


def own_signals(tenants: Iterable[Tenant]) -> dict[str, frozenset[str]]:
    """Return whose the signals of overlays are: path → tenants."""
    whose: dict[str, frozenset[str]] = {}
    for tenant in tenants:
        for path in overlay_of(tenant):
            whose[path] = whose.get(path, frozenset()) | {tenant.name}
    return whose


def overlay_of(tenant: Tenant) -> Catalogue:
    """Return a tenant's own signals; raise InputError where its overlay is none."""
    return parse(tenant.overlay.encode(), f"overlay of {tenant.name}") if tenant.overlay else Catalogue([])


def with_overlays(home: Catalogue, tenants: Iterable[Tenant]) -> Catalogue:
    """Return the zone's catalogue: what all have, and each tenant's own signals."""
    for tenant in tenants:
        home = home.overlaid(overlay_of(tenant))
    return home


def seen_by(zone: Catalogue, whose: Mapping[str, frozenset[str]], tenant: str) -> Catalogue:
    """Return the catalogue as a tenant sees it: without signals that are others' own."""
    hidden = {path for path, owners in whose.items() if tenant not in owners}
    return Catalogue(signal for path, signal in zone.items() if path not in hidden) if hidden else zone


def known(records: Records, home: str, name: str) -> str:
    """Return a tenant's name; raise MissingError where there is none of it."""
    if name != home:
        records.tenants.get(name)
    return name


def _checked(wanted: Wanted, now: datetime) -> Tenant:
    if not TOKEN.fullmatch(wanted.name):
        raise InputError(f"{wanted.name[:80]!r} is no name of a tenant.", "Use 1 to 64 letters, digits, _ and -.")
    _check_text(wanted.title, "title", LIMIT_TITLE)
    _check_text(wanted.logo, "logo", LIMIT_LOGO)
    colour = wanted.colour.lower()
    if colour and not COLOUR.fullmatch(colour):
        raise InputError(f"{wanted.colour[:40]!r} is no colour.", "Write it as #1a2b3c.")
    _check_quotas(wanted.quotas)
    if len(wanted.overlay.encode("utf-8", "replace")) > LIMIT_OVERLAY_BYTES:
        raise InputError("The overlay is too large.", f"It has at most {LIMIT_OVERLAY_BYTES >> 10} KiB.")
    return Tenant(wanted.name, "active", now, wanted.title, colour, wanted.logo, wanted.overlay, quotas=wanted.quotas)


def _check_text(text: str, what: str, limit: int) -> None:
    plain = all(unicodedata.category(letter)[0] not in "CZ" or letter == " " for letter in text)
    if len(text) > limit or not plain or set(text) & set("<>&\"'`"):
        raise InputError(
            f"{text[:80]!r} is no {what}.", f"Use at most {limit} characters, none of them < > & or quotes."
        )


def _check_quotas(quotas: Quotas) -> None:
    for name, value in asdict(quotas).items():
        if value is not None and not 0 <= value <= LIMIT_QUOTA:
            raise InputError(f"The quota {name} is {value}.", "Give a number of 0 or more, or leave it out.")


def _check_overlay(records: Records, zone: Catalogue, tenant: Tenant) -> None:
    """Raise ConflictError where a tenant's overlay touches a signal of the zone, or means another by one of others."""
    own = overlay_of(tenant)
    others = own_signals(records.tenants.all())
    for path in own:
        if path in zone and path not in others:
            raise ConflictError(f"{path} is a signal of the zone.", "Leave it out of the overlay, or name another.")
    with_overlays(zone, [*records.tenants.all(), tenant])


def _limits(quotas: Quotas) -> dict[str, int]:
    return {name: value for name, value in asdict(quotas).items() if value is not None}


def _entry(name: str, facts: Mapping[str, object], by: str, home: str) -> Entry:
    return Entry(by, "changeTenants", f"tenant:{name}", facts=dict(facts), tenant=home)
