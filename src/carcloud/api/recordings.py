"""Recordings: begun by a manifest, sent in parts that may be sent again, finished, listed and forgotten."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time, now
from carcloud.backends.records.recordings import RecordedFile, Recording, RecordingState
from carcloud.errors import MissingError, TryLaterError
from carcloud.research.manifest import LIMIT_FILES, LIMIT_PARAMETERS, PART_BYTES, Manifest
from carcloud.research.recordings import Desk

PART_PATH = re.compile(r"/v1/recordings/[^/]{1,64}/parts/[^/]{1,16}")
"""Where a body may be as large as a part."""
PART_TIMEOUT_S = 120.0
PARTS_AT_ONCE = 4
"""Parts that are in memory at once, of all who send some."""
LIMIT_LISTED = 1000

Reader = Annotated[Caller, Depends(allowed("readRecordings"))]
Maker = Annotated[Caller, Depends(allowed("changeRecordings"))]

_places = asyncio.Semaphore(PARTS_AT_ONCE)


class FileSaid(BaseModel):
    """A file of a recording, by its name from the recording's folder on."""

    name: Text
    bytes: int = Field(ge=0, le=2**53)


class ManifestSaid(BaseModel):
    """What is said of a recording before its first byte.

    `sha256` is of all files, one after another in this order, and so are they sent. `main`: the file or folder to
    read where there are several files; else all are read as one folder. `mapping` and `road` name files among them.
    `purpose` may be left out where the governance keeps recordings for one purpose only.
    """

    files: Annotated[list[FileSaid], Field(max_length=LIMIT_FILES)]
    sha256: Text
    name: Text = ""
    format: Text = ""
    main: Text = ""
    mapping: Text = ""
    road: Text = ""
    parameters: Annotated[dict[Text, Text], Field(max_length=LIMIT_PARAMETERS)] = {}
    purpose: Text = ""
    vehicle: Text = ""
    licence: Text = ""
    place: Text = ""
    software_version: Text = ""


class RefusalShown(BaseModel):
    """A scenario that could not be read, and why."""

    name: str
    message: str


class RecordingShown(BaseModel):
    """A recording. `progress`: 0 to 1, of its import. `refused`: how many of its scenarios could not be read."""

    id: str
    name: str
    format: str
    bytes: int
    sha256: str
    licence: str
    vehicle: str
    consent: str
    purpose: str
    basis: str
    zone: str
    software_version: str
    place: str
    state: RecordingState
    progress: float
    scenarios: int
    duplicates: int
    refused: int
    error: str
    made_by: str
    made_at: Time


class RecordingWhole(RecordingShown):
    """A recording with its files and refusals. `missing`: the numbers of the parts that are not there yet.

    Part n has the bytes from (n - 1) x `part_bytes` on; the last may be shorter.
    """

    files: list[FileSaid]
    refusals: list[RefusalShown]
    part_bytes: int
    missing: list[int]


class RecordingList(BaseModel):
    """Recordings, the newest first."""

    recordings: list[RecordingShown]


class PartKept(BaseModel):
    """A part that is kept."""

    number: int
    bytes: int


class Forgotten(BaseModel):
    """What a recording had: rows in the lake's tables."""

    rows: int


routes = APIRouter(tags=["research"], responses=RESPONSES)


@routes.get("/v1/recordings")
def recordings(
    ports: Wired,
    caller: Reader,
    state: RecordingState | None = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_LISTED)] = LIMIT_LISTED,
) -> RecordingList:
    """List recordings, the newest first; of a state where one is named."""
    found = ports.records.recordings.listed(caller.tenant, limit, state)
    return RecordingList(recordings=[RecordingShown(**_fields(one)) for one in found])


@routes.post("/v1/recordings")
def begin_recording(ports: Wired, caller: Maker, said: ManifestSaid) -> RecordingWhole:
    """Begin a recording by its manifest; one that was cut off goes on, and says which parts are missing."""
    desk, given = _desk(ports), said.model_dump()
    files = tuple(RecordedFile(**file) for file in given.pop("files"))
    return _whole(desk, desk.begin(caller.tenant, Manifest(files=files, **given), caller.id, now()))


@routes.get("/v1/recordings/{id}")
def recording(ports: Wired, caller: Reader, id: str) -> RecordingWhole:  # noqa: A002
    """Show a recording, its refusals, and which of its parts are missing."""
    return _whole(_desk(ports), ports.records.recordings.get(caller.tenant, id))


@routes.put(
    "/v1/recordings/{id}/parts/{number}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_part(
    ports: Wired,
    caller: Maker,
    request: Request,
    id: str,  # noqa: A002
    number: Annotated[int, Path(ge=1)],
    x_sha256: Annotated[str, Header(description="SHA-256 of the part, hexadecimal", max_length=64)],
) -> PartKept:
    """Send a part, as it is; the same once more changes nothing."""
    found = await run_in_threadpool(ports.records.recordings.get, caller.tenant, id)
    if _places.locked():
        raise TryLaterError(f"{PARTS_AT_ONCE} parts are being sent already.", "Send it again in a moment.")
    async with _places:
        data = await request.body()
        await run_in_threadpool(_desk(ports).put_part, found, number, data, x_sha256)
    return PartKept(number=number, bytes=len(data))


@routes.post("/v1/recordings/{id}/done")
def finish_recording(ports: Wired, caller: Maker, id: str) -> RecordingWhole:  # noqa: A002
    """Say that all parts are sent: the whole is checked against its SHA-256, and then waits for its import."""
    desk = _desk(ports)
    return _whole(desk, desk.finish(ports.records.recordings.get(caller.tenant, id), caller.id, now()))


@routes.delete("/v1/recordings/{id}")
def forget_recording(ports: Wired, caller: Maker, id: str) -> Forgotten:  # noqa: A002
    """Forget a recording for ever: its rows, its bytes, and what names anybody."""
    found = ports.records.recordings.get(caller.tenant, id)
    if ports.forget_recording is None:
        raise _no_desk()
    return Forgotten(rows=ports.forget_recording(found, caller.id))


def _desk(ports: Ports) -> Desk:
    if ports.recordings is None:
        raise _no_desk()
    return ports.recordings


def _no_desk() -> MissingError:
    return MissingError("No recordings are taken in here.", "Ask at the zone's own address.")


def _whole(desk: Desk, one: Recording) -> RecordingWhole:
    return RecordingWhole(
        **_fields(one),
        files=[FileSaid(name=file.name, bytes=file.bytes) for file in one.files],
        refusals=[RefusalShown(name=name, message=why) for name, why in one.refusals],
        part_bytes=PART_BYTES,
        missing=desk.missing(one),
    )


def _fields(one: Recording) -> dict[str, Any]:
    return {name: getattr(one, name) for name in RecordingShown.model_fields}
