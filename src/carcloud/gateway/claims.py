"""Claims: given out by people, for a car that shall join; and for one that shall join anew, after a change of owner.

Rules:
* Making a claim makes the vehicle, in the state claimable: its VIN and label are taken from then on.
* The token is returned once and kept nowhere; the records hold what it can be checked with.
* A new claim ends the older one. Rekeying ends every certificate of the car, and it keeps its id.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from carcloud.backends.records import DEFAULT_TENANT, Claim, Entry, Records, Vehicle
from carcloud.errors import InputError
from carcloud.gateway.enrolment import checked_label
from carcloud.safety.claim import new_token, verifier_of
from carcloud.safety.identity import new_vehicle_id
from carcloud.vehicle.vin import parse_vin

CLAIM_HOURS = 72
LIMIT_HOURS = 90 * 24
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Given:
    """A claim as it is given out. `token` is shown once."""

    vehicle: Vehicle
    claim: Claim
    token: str


def make_claim(
    records: Records,
    vin: str,
    actor: str,
    *,
    label: str | None = None,
    tenant: str = DEFAULT_TENANT,
    hours: int = CLAIM_HOURS,
    serial_hash: str | None = None,
) -> Given:
    """Let a car join: make it, claimable, with a claim that holds for some hours.

    Args:
        actor: who gives it out, as the audit log names him.
        serial_hash: SHA-256 of a control unit's serial number, hexadecimal, which the car must then show.

    Raises:
        InputError: VIN, label, hours or hash is none.
        ConflictError: the VIN or label is taken.
    """
    now = datetime.now(UTC)
    vehicle = Vehicle(new_vehicle_id(), tenant, parse_vin(vin), checked_label(label), "claimable", now)
    given = _given(vehicle, now, hours, serial_hash)
    records.add_vehicle(vehicle, claim=given.claim, entries=[_entry(actor, "makeClaim", given)])
    return given


def rekey(
    records: Records, vehicle_id: str, actor: str, *, hours: int = CLAIM_HOURS, serial_hash: str | None = None
) -> Given:
    """End a car's certificates, open orders and every grant on it, consents too; give out a claim to join anew with.

    Keys of people that order it about stand on the order signer's side: `for_car_alone` says which to remove there.

    Tell the gates, and who hears of grants, afterwards.

    Raises:
        InputError: hours or hash is none.
        MissingError: no such vehicle.
        ConflictError: its state does not allow this.
    """
    given = _given(records.vehicle(vehicle_id), datetime.now(UTC), hours, serial_hash)
    vehicle = records.life.rekey(vehicle_id, given.claim, actor, _entry(actor, "rekeyVehicle", given))
    return Given(vehicle, given.claim, given.token)


def for_car_alone(keys: Iterable[Mapping[str, Any]], vehicle: str) -> list[Mapping[str, Any]]:
    """Return of an order signer's keys those that were registered for this one car: whoever sold it may hold them."""
    return [one for one in keys if list(one["vehicles"]) == [vehicle]]


def _given(vehicle: Vehicle, now: datetime, hours: int, serial_hash: str | None) -> Given:
    if not 0 < hours <= LIMIT_HOURS:
        raise InputError(f"A claim cannot hold {hours} hours.", f"Give 1 to {LIMIT_HOURS}.")
    if serial_hash is not None and not _HASH.fullmatch(serial_hash):
        do = "Give the SHA-256 of the serial number, 64 hexadecimal digits in lower case."
        raise InputError("This is no hash of a serial number.", do)
    token = new_token(vehicle.id)
    ends = now + timedelta(hours=hours)
    claim = Claim(secrets.token_hex(8), vehicle.id, verifier_of(token), serial_hash, now, ends)
    return Given(vehicle, claim, token)


def _entry(actor: str, action: str, given: Given) -> Entry:
    facts = {"claim": given.claim.id, "ends_at": given.claim.ends_at.isoformat()}
    if action == "rekeyVehicle":
        facts["certificates"] = facts["grants"] = facts["orders"] = "ended"
    return Entry(actor, action, f"vehicle:{given.vehicle.id}", facts=facts, tenant=given.vehicle.tenant)
