"""What the guards refused, and why."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time
from carcloud.backends.records import Entry as Noted
from carcloud.backends.records import QuarantineEntry
from carcloud.errors import MissingError
from carcloud.stream.quarantine import read

LIMIT_PAGE = 1000


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
def entries(
    ports: Wired,
    caller: Annotated[Caller, Depends(allowed("readQuarantine"))],
    limit: Annotated[int, Query(ge=1, le=LIMIT_PAGE)] = 100,
    cause: str = "",
) -> Entries:
    """List what was refused and kept, the newest first."""
    found = ports.records.quarantine_entries(limit, cause or None, tenant=caller.tenant)
    return Entries(entries=[Entry(**_shown(entry)) for entry in found])


@routes.get("/v1/quarantine/{entry}")
def entry(ports: Wired, caller: Annotated[Caller, Depends(allowed("openQuarantine"))], entry: str) -> EntryDetail:
    """Show one entry with its payload; who did is noted for the audit log."""
    found = ports.records.quarantine_entry(entry)
    if found.tenant != caller.tenant:
        raise MissingError(f"No quarantine entry {entry!r}.", "Entries are kept for 7 days; list them to see which.")
    ports.records.audit.add(Noted(caller.id, "openQuarantine", f"quarantine:{found.id}", tenant=caller.tenant))
    payload = ports.open_payload(found)
    return EntryDetail(
        **_shown(found),
        payload_base64=base64.b64encode(payload).decode(),
        decoded=read(payload, ports.records),
    )


def _shown(entry: QuarantineEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "vehicle": entry.vehicle,
        "cause": entry.cause,
        "detail": entry.detail,
        "bytes": entry.size,
    }
