"""What the guards refused, and why."""

import base64
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time, from_us, text
from carcloud.backends.records import QuarantineEntry, Records
from carcloud.vehicle.batch import Batch, BatchError, IdTable, decode

LIMIT_PAGE = 1000
LIMIT_SHOWN = 200


class Entry(BaseModel):
    """A refused payload: from which car, why, and how many bytes."""

    id: str
    at: Time
    vehicle: str
    cause: str
    detail: str
    bytes: int


class Entries(BaseModel):
    """The newest entries first."""

    entries: list[Entry]


class EntryDetail(Entry):
    """An entry with what the car sent; `decoded` shows the first samples where it can be read."""

    payload_base64: str
    decoded: dict[str, Any] | None = Field(description="The payload as far as it can be read, or null")


routes = APIRouter(tags=["quarantine"], responses=RESPONSES)


@routes.get("/v1/quarantine")
def entries(ports: Wired, limit: Annotated[int, Query(ge=1, le=LIMIT_PAGE)] = 100, cause: str = "") -> Entries:
    """List what was refused and kept, the newest first."""
    found = ports.records.quarantine_entries(limit, cause or None)
    return Entries(entries=[Entry(**_shown(entry)) for entry in found])


@routes.get("/v1/quarantine/{entry}")
def entry(ports: Wired, entry: str) -> EntryDetail:
    """Show one entry with its payload."""
    found = ports.records.quarantine_entry(entry)
    payload = ports.open_payload(found)
    return EntryDetail(
        **_shown(found),
        payload_base64=base64.b64encode(payload).decode(),
        decoded=read(payload, ports.records),
    )


def read(payload: bytes, records: Records) -> dict[str, Any] | None:
    """Return what a refused payload says, as far as it can be read."""
    try:
        if payload.lstrip()[:1] == b"{":
            return dict(orjson.loads(payload))
        batch = decode(payload)
        known = records.table(batch.table.hex())
        return _batch(batch, IdTable.parse(orjson.loads(known)) if known else None)
    except (BatchError, ValueError):
        return None


def _shown(entry: QuarantineEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "vehicle": entry.vehicle,
        "cause": entry.cause,
        "detail": entry.detail,
        "bytes": entry.size,
    }


def _batch(batch: Batch, table: IdTable | None) -> dict[str, Any]:
    rows: list[list[Any]] = []
    at = 0
    for index, count in zip(batch.signals.tolist(), batch.counts.tolist(), strict=True):
        for row in range(at, min(at + count, LIMIT_SHOWN)):
            time_us = batch.base_us + int(batch.times[row])
            rows.append([_name(index, table), _time(time_us), batch.texts.get(row, float(batch.values[row]))])
        at += count
    return {
        "queue": f"{batch.queue:016x}",
        "number": batch.number,
        "table": batch.table.hex(),
        "samples": len(batch),
        "shown": rows,
    }


def _name(index: int, table: IdTable | None) -> str:
    return table.signals[index][0] if table and index < len(table.signals) else f"#{index}"


def _time(time_us: int) -> str:
    try:
        return text(from_us(time_us))
    except (ValueError, OverflowError, OSError):
        return f"{time_us} µs"
