"""Who may come in by GB/T 32960: terminals and platforms are added, and removed.

Rules:
* A terminal is a vehicle. One that is enrolled already becomes one too; else it is enrolled, without a certificate.
* A platform's password is made here, told once, and kept as its argon2id hash.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from carcloud.backends.records import Entry, Records, Vehicle
from carcloud.backends.records.terminals import Platform
from carcloud.errors import InputError, MissingError
from carcloud.gateway.enrolment import checked_label
from carcloud.safety.identity import new_vehicle_id
from carcloud.safety.people.passwords import hashed
from carcloud.vehicle.vin import parse_vin

PASSWORD_BYTES = 15
"""20 letters: what the protocol has room for."""
_PLATFORM = re.compile(r"[A-Za-z0-9_-]{1,12}")


def add_terminal(records: Records, vin: str, label: str | None, tenant: str, actor: str) -> Vehicle:
    """Let a car come in by GB/T 32960 under its VIN, and return it.

    Raises:
        InputError: VIN or label is none. ConflictError: it is a terminal already, or the label is taken.
    """
    vin, label, now = parse_vin(vin), checked_label(label), datetime.now(UTC)
    try:
        vehicle = records.vehicle_by_vin(vin, tenant)
    except MissingError:
        vehicle = Vehicle(new_vehicle_id(), tenant, vin, label, "active", now)
        entries = [_entry(actor, action, vehicle) for action in ("enrolVehicle", "addTerminal")]
        records.add_vehicle(vehicle, entries=entries, terminal=True)
    else:
        records.terminals.mark(vehicle, now, _entry(actor, "addTerminal", vehicle))
    return vehicle


def remove_terminal(records: Records, vehicle: str, tenant: str, actor: str) -> None:
    """Let a tenant's car come in by GB/T 32960 no more; tell the door afterwards. Raise MissingError."""
    found = records.vehicle(vehicle)
    if found.tenant != tenant:
        raise MissingError(f"No vehicle {vehicle!r}.", "List the terminals with `carcloud gbt32960 list`.")
    records.terminals.remove(vehicle, _entry(actor, "removeTerminal", found))


def add_platform(records: Records, name: str, tenant: str, actor: str) -> str:
    """Let another platform bring a tenant's cars; return its password, which is not kept.

    Raises:
        InputError: the name is none. ConflictError: it is taken.
    """
    if not _PLATFORM.fullmatch(name):
        raise InputError(f"{name[:40]!r} is no platform's name.", "Use 1 to 12 of A-Z a-z 0-9 _ and -.")
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    platform = Platform(name, tenant, hashed(password, f"platform {name}"), datetime.now(UTC))
    records.terminals.add_platform(platform, Entry(actor, "addPlatform", f"platform:{name}", tenant=tenant))
    return password


def remove_platform(records: Records, name: str, tenant: str, actor: str) -> None:
    """Let a tenant's platform come in no more; tell the door afterwards. Raise MissingError."""
    entry = Entry(actor, "removePlatform", f"platform:{name}", tenant=tenant)
    records.terminals.remove_platform(name, tenant, entry)


def _entry(actor: str, action: str, vehicle: Vehicle) -> Entry:
    return Entry(actor, action, f"vehicle:{vehicle.id}", tenant=vehicle.tenant)
