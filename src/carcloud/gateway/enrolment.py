"""Enrolment: a car gets a random id, a key and a certificate; and loses them.

Rules:
* A VIN and a label name at most one active vehicle; the records decide, so two enrolments at once cannot both win.
* The zone keeps no vehicle's key: it is written into the folder of credentials and nowhere else.
* A revoked car can be enrolled again, under a new id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from carcloud.backends.records import DEFAULT_TENANT, Certificate, Records, Vehicle
from carcloud.errors import ConflictError, InputError
from carcloud.safety.identity import VEHICLE_DAYS, Authority, Credentials, new_vehicle_id
from carcloud.safety.keys import private_folder, write_file
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.vin import parse_vin

LIMIT_LABEL = 64


@dataclass(frozen=True)
class Endpoints:
    """Where a car finds the zone's two doors."""

    mqtt_host: str
    mqtt_port: int
    https_url: str


@dataclass(frozen=True)
class Enrolment:
    """An enrolled vehicle and what it needs to come in. `server_trust`: the certificates it trusts, PEM."""

    vehicle: Vehicle
    credentials: Credentials
    endpoints: Endpoints
    server_trust: bytes


def enrol(
    records: Records,
    authority: Authority,
    vin: str,
    endpoints: Endpoints,
    *,
    label: str | None = None,
    tenant: str = DEFAULT_TENANT,
    days: int = VEHICLE_DAYS,
) -> Enrolment:
    """Enrol a car for a number of days.

    Raises:
        InputError: the VIN, label or tenant is none.
        ConflictError: the VIN or label is enrolled already.
    """
    if not TOKEN.fullmatch(tenant):
        raise InputError(f"{tenant[:80]!r} is no tenant.", "Use 1 to 64 of the characters A-Z a-z 0-9 _ and -.")
    if label is not None and not (0 < len(label) <= LIMIT_LABEL and label.isprintable()):
        raise InputError(f"{label[:80]!r} is no label.", f"Use 1 to {LIMIT_LABEL} printable characters.")
    id_, vin = new_vehicle_id(), parse_vin(vin)
    credentials = authority.issue_vehicle(id_, tenant, days)
    vehicle = Vehicle(id_, tenant, vin, label, "active", credentials.issued_at)
    records.add_vehicle(vehicle, _certificate(vehicle, credentials))
    return Enrolment(vehicle, credentials, endpoints, authority.server_trust.read_bytes())


def renew(
    records: Records, authority: Authority, vehicle_id: str, endpoints: Endpoints, *, days: int = VEHICLE_DAYS
) -> Enrolment:
    """Give an enrolled car a new key and certificate; its older ones hold until they end.

    Raises:
        MissingError: no such vehicle.
        ConflictError: it is revoked.
    """
    vehicle = records.vehicle(vehicle_id)
    if vehicle.state != "active":
        raise ConflictError(f"Vehicle {vehicle_id} is revoked.", "Enrol the car again: it gets a new id.")
    credentials = authority.issue_vehicle(vehicle.id, vehicle.tenant, days)
    records.add_certificate(_certificate(vehicle, credentials))
    return Enrolment(vehicle, credentials, endpoints, authority.server_trust.read_bytes())


def revoke(records: Records, vehicle_id: str) -> Vehicle:
    """Revoke a car and all its certificates; tell the gates afterwards. Raise MissingError."""
    return records.revoke_vehicle(vehicle_id, datetime.now(UTC))


def write_credentials(enrolment: Enrolment, folder: Path) -> None:
    """Write the folder of credentials that a car is given: vehicle.json, vehicle.pem, vehicle.key and ca.pem.

    Raises:
        ConflictError: the folder holds another car's credentials.
    """
    card = folder / "vehicle.json"
    if card.exists() and orjson.loads(card.read_bytes()).get("id") != enrolment.vehicle.id:
        raise ConflictError(f"{folder} holds another car's credentials.", "Give another folder, or remove that one.")
    private_folder(folder)
    write_file(folder / "vehicle.key", enrolment.credentials.key)
    write_file(folder / "vehicle.pem", enrolment.credentials.chain, 0o644)
    write_file(folder / "ca.pem", enrolment.server_trust, 0o644)
    write_file(card, orjson.dumps(_card(enrolment), option=orjson.OPT_INDENT_2) + b"\n", 0o644)


def _card(enrolment: Enrolment) -> dict[str, object]:
    vehicle, endpoints = enrolment.vehicle, enrolment.endpoints
    return {
        "id": vehicle.id,
        "tenant": vehicle.tenant,
        "vin": vehicle.vin,
        "mqtt": {"host": endpoints.mqtt_host, "port": endpoints.mqtt_port},
        "https": {"url": endpoints.https_url},
    }


def _certificate(vehicle: Vehicle, credentials: Credentials) -> Certificate:
    return Certificate(credentials.serial, vehicle.id, credentials.issued_at, credentials.not_after)
