"""The garage: credentials of the cars a zone drives itself, recorded and simulated, enrolled by name on first use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from cryptography import x509

from carcloud.backends.records import Records
from carcloud.errors import MissingError
from carcloud.gateway.enrolment import Endpoints, enrol, renew, write_credentials
from carcloud.safety.identity import Authority

RENEW_BEFORE = timedelta(days=10)
VIN_LETTERS = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"


def park(
    records: Records, authority: Authority, endpoints: Endpoints, names: Iterable[str], folder: Path, tenant: str
) -> dict[str, Path]:
    """Return the credentials folder of each car, enrolling those that are not and renewing what ends soon."""
    return {name: _place(records, authority, endpoints, name, folder, tenant) for name in names}


def _place(records: Records, authority: Authority, endpoints: Endpoints, name: str, folder: Path, tenant: str) -> Path:
    place = folder / _folder_name(name)
    try:
        vehicle = records.vehicle_by_label(name, tenant)
    except MissingError:
        enrolled = enrol(records, authority, stand_in_vin(name), endpoints, label=name, tenant=tenant)
        (place / "vehicle.json").unlink(missing_ok=True)
        write_credentials(enrolled, place)
        return place
    if _holds(place, vehicle.id):
        _point_to(place, endpoints)
    else:
        (place / "vehicle.json").unlink(missing_ok=True)
        write_credentials(renew(records, authority, vehicle.id, endpoints), place)
    return place


def stand_in_vin(name: str) -> str:
    """Return a VIN for a car that has none: X00 (no maker's), then letters from the name's hash."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    letters = []
    for _ in range(14):
        digest, at = divmod(digest, len(VIN_LETTERS))
        letters.append(VIN_LETTERS[at])
    return "X00" + "".join(letters)


def _folder_name(name: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:48]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _holds(place: Path, vehicle: str) -> bool:
    """Tell whether the folder has this car's credentials and they last a while."""
    try:
        card = orjson.loads((place / "vehicle.json").read_bytes())
        certificate = x509.load_pem_x509_certificate((place / "vehicle.pem").read_bytes())
    except (OSError, ValueError):
        return False
    lasting = certificate.not_valid_after_utc - RENEW_BEFORE > datetime.now(UTC)
    return bool(card.get("id") == vehicle and lasting and (place / "vehicle.key").exists())


def _point_to(place: Path, endpoints: Endpoints) -> None:
    """Write the zone's present ports into the card."""
    card = orjson.loads((place / "vehicle.json").read_bytes())
    card["mqtt"] = {"host": endpoints.mqtt_host, "port": endpoints.mqtt_port}
    card["https"] = {"url": endpoints.https_url}
    (place / "vehicle.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2) + b"\n")
