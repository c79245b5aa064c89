"""A copy of all that the zone holds of a car, for the person it is about.

Rules:
* It is whole: what stands in the records, what was done with the car, what is in quarantine, every row of the lake,
  under the car's pseudonyms too, and what the data are kept for.
* Other people stay out of it: it says that a person acted, never who.
* The act is noted before anything is written; the files are for their owner alone.
* The rows' file is registered as one that was exported, so that an erasure reaches it while it lies there.

Source: GDPR (EU) 2016/679 articles 15 and 20; PIPL article 45.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from carcloud.assembly.reports import facts_of
from carcloud.backends.records import Entry, QuarantineEntry, Records
from carcloud.backends.records.audit import Wanted
from carcloud.backends.records.claims import Claim
from carcloud.errors import ConflictError, InputError
from carcloud.lake.exports import exporting
from carcloud.lake.query import LakeQuery
from carcloud.safety.keys import PRIVATE_FILE, PRIVATE_FOLDER
from carcloud.safety.reports.phrases import Language
from carcloud.safety.reports.reports import about_data
from carcloud.settings import Folder, Settings

ROWS = "SELECT * FROM samples WHERE vehicle IN (SELECT unnest($names::VARCHAR[]))"
LIMIT_LISTED = 100_000
SAMPLES = "samples.parquet"


@dataclass(frozen=True)
class Sources:
    """Where a copy is made from. `lake` is None before the first row; `payload` opens an entry of the quarantine."""

    settings: Settings
    folder: Folder
    records: Records
    lake: LakeQuery | None
    payload: Callable[[QuarantineEntry], bytes]


def copy_of(sources: Sources, vehicle: str, out: Path, language: Language, now: datetime) -> dict[str, int]:
    """Write the copy of a car into a new folder; return what it holds: file → entries or rows.

    Raises:
        MissingError: there is no such car.
        ConflictError: the folder holds something.
        InputError: it cannot be written.
    """
    records = sources.records
    car = records.vehicle(vehicle)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConflictError(f"{out} holds something already.", "Give a new or empty folder.")
    names = [vehicle, *records.pseudonyms.names(vehicle)]
    facts = facts_of(sources.settings, sources.folder, records, car.tenant, now.year, now)
    try:
        out.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        records.audit.add(Entry("machine", "accessVehicle", f"vehicle:{vehicle}", "allowed", tenant=car.tenant))
        written = {name: _list(out / name, entries) for name, entries in _lists(sources, vehicle).items()}
        written[SAMPLES] = _samples(sources, names, car.tenant, out.absolute() / SAMPLES)
        with _private(out / "about.md") as sink:
            sink.write(about_data(facts, language).markdown().encode())
    except OSError as error:
        do = "Give another folder, or make room, and begin again."
        raise InputError(f"{out} cannot be written: {error.strerror}.", do) from None
    return written


def _lists(sources: Sources, vehicle: str) -> dict[str, Iterable[Mapping[str, Any]]]:
    records, car = sources.records, sources.records.vehicle(vehicle)
    tenant = car.tenant
    return {
        "vehicle.json": [asdict(car)],
        "certificates.json": map(asdict, records.certificates(vehicle)),
        "claims.json": [_claim(claim) for claim in records.claims.of(vehicle)],
        "suspicions.json": map(asdict, records.suspicions.of(vehicle, LIMIT_LISTED)),
        "grants.json": [_without_people(asdict(grant)) for grant in records.grants.of(vehicle)],
        "orders.json": [
            _without_people(asdict(order)) for order in records.orders.listed(tenant, vehicle, limit=LIMIT_LISTED)
        ],
        "requests.json": [asdict(one) for one in records.requests.all(tenant) if one.about == vehicle],
        "acts.json": _acts(records, tenant, vehicle),
        "quarantine.json": _quarantined(sources, vehicle),
    }


def _claim(claim: Claim) -> dict[str, Any]:
    """Return a claim without what it is verified by, which is the zone's and not the person's."""
    return {name: value for name, value in asdict(claim).items() if name != "verifier"}


def _acts(records: Records, tenant: str, vehicle: str) -> Iterator[dict[str, Any]]:
    """Yield what was done with the car, as the audit log tells it; people are told by what they are, not who."""
    for leaf in records.audit.leaves(Wanted(tenant, object=f"vehicle:{vehicle}"), LIMIT_LISTED):
        said = {"number": leaf.number, "at": leaf.at, "actor": leaf.actor, "action": leaf.action}
        yield _without_people(said | {"outcome": leaf.outcome})


def _quarantined(sources: Sources, vehicle: str) -> Iterator[dict[str, Any]]:
    for entry in sources.records.quarantine_entries(LIMIT_LISTED, vehicle=vehicle):
        whole = sources.records.quarantine_entry(entry.id)
        payload = base64.b64encode(sources.payload(whole)).decode()
        yield {"at": entry.at, "cause": entry.cause, "detail": entry.detail, "payload_base64": payload}


def _without_people(said: dict[str, Any]) -> dict[str, Any]:
    return {key: _kind(value) if isinstance(value, str) else value for key, value in said.items()}


def _kind(text: str) -> str:
    """Return `person` for `person:ID`: who acted is another person's datum."""
    return text.partition(":")[0] if text.startswith(("person:", "token:")) else text


def _list(path: Path, entries: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with _private(path) as sink:
        sink.write(b"[")
        for count, entry in enumerate(entries, 1):
            sink.write((b",\n" if count > 1 else b"\n") + orjson.dumps(entry, option=orjson.OPT_UTC_Z, default=list))
        sink.write(b"\n]\n")
    return count


def _samples(sources: Sources, names: list[str], tenant: str, path: Path) -> int:
    """Write the rows; the register knows the file from before its first byte."""
    if sources.lake is None:
        return 0
    records = sources.records
    with (
        exporting(records, tenant, "machine", path, "parquet") as draft,
        sources.lake.stream(ROWS, {"names": names}) as reader,
        pq.ParquetWriter(draft.sink, reader.schema, compression="zstd") as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
            draft.rows += batch.num_rows
    return draft.rows


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb")
