"""Enrolment: a car gets a random id, a key and a certificate; and loses them.

Rules:
* A VIN and a label name at most one active vehicle; the records decide, so two enrolments at once cannot both win.
* The zone keeps no vehicle's key: it is written into the folder of credentials and nowhere else.
* Credentials are written before a car is recorded, so that no VIN is taken by a car that has none.
* A revoked car can be enrolled again, under a new id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from carcloud.backends.records import DEFAULT_TENANT, Certificate, Entry, Records, Vehicle
from carcloud.errors import CarcloudError, ConflictError, InputError
from carcloud.safety.identity import VEHICLE_DAYS, Authority, Credentials, new_vehicle_id
from carcloud.safety.keys import RENEWED, private_folder, write_files
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.life import Act
from carcloud.vehicle.vin import parse_vin

LIMIT_LABEL = 64
FILES = ("vehicle.key", "vehicle.pem", "ca.pem", "vehicle.json")
"""The credentials, as they lie in a car's folder."""

_DO_INACTIVE = "A claimable car joins with its claim; release a quarantined one first."


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
    """Enrol a car for a number of days; its credentials are the caller's to write.

    Raises:
        InputError: the VIN, label or tenant is none.
        ConflictError: the VIN or label is enrolled already.
    """
    enrolment = _issue(authority, vin, endpoints, label, tenant, days)
    records.add_vehicle(enrolment.vehicle, _certificate(enrolment), entries=[_noted("enrolVehicle", enrolment)])
    return enrolment


def enrol_into(
    place: Callable[[str], Path],
    records: Records,
    authority: Authority,
    vin: str,
    endpoints: Endpoints,
    *,
    label: str | None = None,
    tenant: str = DEFAULT_TENANT,
) -> tuple[Enrolment, Path]:
    """Enrol a car and write its credentials into the folder that `place` names for its id: both or neither.

    Raises:
        InputError: the VIN, label or tenant is none, or the folder cannot be written.
        ConflictError: the VIN or label is enrolled already, or the folder holds another car's credentials.
    """
    enrolment = _issue(authority, vin, endpoints, label, tenant, VEHICLE_DAYS)
    folder = place(enrolment.vehicle.id)
    made = not folder.exists()
    write_credentials(enrolment, folder)
    try:
        records.add_vehicle(enrolment.vehicle, _certificate(enrolment), entries=[_noted("enrolVehicle", enrolment)])
    except CarcloudError:
        for name in FILES:
            (folder / name).unlink()
        if made:
            folder.rmdir()
        raise
    return enrolment, folder


def _issue(
    authority: Authority, vin: str, endpoints: Endpoints, label: str | None, tenant: str, days: int
) -> Enrolment:
    """Return a new car with its credentials, not recorded yet."""
    if not TOKEN.fullmatch(tenant):
        raise InputError(f"{tenant[:80]!r} is no tenant.", "Use 1 to 64 of the characters A-Z a-z 0-9 _ and -.")
    label = checked_label(label)
    id_, vin = new_vehicle_id(), parse_vin(vin)
    credentials = authority.issue_vehicle(id_, tenant, days)
    vehicle = Vehicle(id_, tenant, vin, label, "active", credentials.issued_at)
    return Enrolment(vehicle, credentials, endpoints, authority.server_trust.read_bytes())


def checked_label(label: str | None) -> str | None:
    """Return a label as it is; raise InputError where it is none."""
    if label is not None and not (0 < len(label) <= LIMIT_LABEL and label.isprintable()):
        raise InputError(f"{label[:80]!r} is no label.", f"Use 1 to {LIMIT_LABEL} printable characters.")
    return label


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
        do = "Enrol the car again: it gets a new id." if vehicle.state in ("revoked", "retired") else _DO_INACTIVE
        raise ConflictError(f"Vehicle {vehicle_id} is {vehicle.state}.", do)
    credentials = authority.issue_vehicle(vehicle.id, vehicle.tenant, days)
    renewed = Enrolment(vehicle, credentials, endpoints, authority.server_trust.read_bytes())
    records.add_certificate(_certificate(renewed), _noted("renewVehicle", renewed))
    return renewed


def renew_into(
    folder: Path, records: Records, authority: Authority, vehicle_id: str, endpoints: Endpoints
) -> Enrolment:
    """Renew a car's certificate and write its credentials into a folder, which may hold its older ones.

    Raises:
        MissingError: no such vehicle.
        ConflictError: it is revoked, or the folder holds another car's credentials.
        InputError: the folder cannot be written.
    """
    _refuse_others(folder, vehicle_id)
    renewed = renew(records, authority, vehicle_id, endpoints)
    write_credentials(renewed, folder)
    return renewed


def revoke(records: Records, vehicle_id: str, actor: str = "machine") -> Vehicle:
    """Revoke a car and all its certificates; tell the gates afterwards. Raise MissingError."""
    return change(records, vehicle_id, "revoke", actor)


def change(records: Records, vehicle_id: str, act: Act, actor: str) -> Vehicle:
    """Quarantine, release, revoke or retire a car, and note who did it; tell the gates afterwards.

    Raises:
        MissingError: no such vehicle.
        ConflictError: its state does not allow this.
    """
    entry = Entry(actor, f"{act}Vehicle", f"vehicle:{vehicle_id}", tenant=records.vehicle(vehicle_id).tenant)
    return records.life.change(vehicle_id, act, datetime.now(UTC), entry)


def write_credentials(enrolment: Enrolment, folder: Path) -> None:
    """Write the folder of credentials that a car is given: vehicle.json, vehicle.pem, vehicle.key and ca.pem.

    Raises:
        ConflictError: the folder holds another car's credentials.
        InputError: it cannot be written; what was in it stays.
    """
    _refuse_others(folder, enrolment.vehicle.id)
    card = orjson.dumps(card_of(enrolment.vehicle, enrolment.endpoints), option=orjson.OPT_INDENT_2) + b"\n"
    contents = (enrolment.credentials.key, enrolment.credentials.chain, enrolment.server_trust, card)
    key, *public = (folder / name for name in FILES)
    made = not folder.exists()
    try:
        (private_folder(folder) / RENEWED).unlink(missing_ok=True)
        write_files(dict(zip((key, *public), contents, strict=True)), dict.fromkeys(public, 0o644))
    except OSError as error:
        if made and folder.is_dir():
            folder.rmdir()
        do = "Give another folder, or make room."
        raise InputError(f"Credentials cannot be written into {folder}: {error.strerror}.", do) from None


def _refuse_others(folder: Path, vehicle_id: str) -> None:
    try:
        found = orjson.loads((folder / "vehicle.json").read_bytes())["id"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, TypeError, KeyError):
        found = None
    if found != vehicle_id:
        raise ConflictError(f"{folder} holds another car's credentials.", "Give another folder, or remove that one.")


def card_of(vehicle: Vehicle, endpoints: Endpoints) -> dict[str, object]:
    """Return what a car's vehicle.json says: who it is, and where its zone is."""
    return {
        "id": vehicle.id,
        "tenant": vehicle.tenant,
        "mqtt": {"host": endpoints.mqtt_host, "port": endpoints.mqtt_port},
        "https": {"url": endpoints.https_url},
    }


def _noted(action: str, enrolment: Enrolment) -> Entry:
    facts = {"serial": enrolment.credentials.serial, "not_after": enrolment.credentials.not_after.isoformat()}
    return Entry("machine", action, f"vehicle:{enrolment.vehicle.id}", facts=facts, tenant=enrolment.vehicle.tenant)


def _certificate(enrolment: Enrolment) -> Certificate:
    given = enrolment.credentials
    return Certificate(given.serial, enrolment.vehicle.id, given.issued_at, given.not_after)
