"""How the zone is: health, status, its last quarter of an hour, and metrics for Prometheus."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from carcloud import __version__
from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.history import History
from carcloud.api.metrics import ZoneCollector
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time
from carcloud.backends.records import Use
from carcloud.errors import TryLaterError


class Part(BaseModel):
    """One process of the zone."""

    state: Literal["up", "restarting", "down"]
    pid: int | None = None
    since: Time | None = None
    restarts: int = 0


class Alarm(BaseModel):
    """Something that needs a person."""

    code: str
    message: str
    do: str
    since: Time
    tenant: str | None = Field(default=None, description="Whose cars it is about; null: the zone as a whole")


class Stream(BaseModel):
    """Counters of the governed stream since its processes began."""

    batches: int = 0
    samples_in: int = 0
    samples_kept: int = 0
    samples_transformed: int = Field(default=0, description="Samples that went on less exact than they came")
    refused: dict[str, int] = Field(default={}, description="Refusals by cause")
    quarantined: int = 0
    chunks: int = 0
    raw_waiting: int = Field(default=0, description="Messages received and not yet governed")
    raw_bytes: int = 0
    governed_bytes: int = 0


class Spread(BaseModel):
    """Median and 99th percentile, in seconds."""

    p50: float | None = None
    p99: float | None = None


class Delay(BaseModel):
    """From the broker's receipt of a batch to where it can be read."""

    twin_s: Spread = Spread()
    lake_s: Spread = Spread()


class LakeSize(BaseModel):
    """What the lake holds."""

    rows: int = 0
    bytes: int = 0
    files: int = 0
    version: int = -1


class VehicleCounts(BaseModel):
    """Cars enrolled, connected now, and heard of lately."""

    enrolled: int = 0
    connected: int = 0
    reporting: int = 0


class Status(BaseModel):
    """The zone at one moment."""

    zone: str
    tenant: str = "default"
    at: Time
    personal_data: bool = Field(default=False, description="Whether its governance is another than `laboratory`")
    stream: Stream = Stream()
    delay: Delay = Delay()
    lake: LakeSize = LakeSize()
    vehicles: VehicleCounts = VehicleCounts()
    parts: dict[str, Part] = {}
    alarms: list[Alarm] = []


class StatusHistory(BaseModel):
    """Columns of equal length, one entry a second, the oldest first; null where unknown."""

    at: list[Time]
    samples_in_s: list[float | None]
    samples_kept_s: list[float | None]
    refused_s: list[float | None]
    twin_delay_s: list[float | None]
    lake_delay_s: list[float | None]
    lake_rows: list[int | None]


class Health(BaseModel):
    """Whether the zone works: ok, degraded (a part is away or an alarm stands), or starting. Anybody may ask."""

    status: Literal["ok", "degraded", "starting"]
    version: str
    zone: str
    parts: dict[str, Part]
    alarms: list[str] = Field(description="Codes of the standing alarms; what they say is in /v1/status")


routes = APIRouter(tags=["status"], responses=RESPONSES)


@routes.get("/healthz", responses={503: {"model": Health, "description": "Starting"}})
async def health(ports: Wired, response: Response) -> Health:
    """Tell whether the zone works; 503 while it starts."""
    status = _latest(ports)
    if status is None:
        response.status_code = 503
        return Health(status="starting", version=__version__, zone=ports.zone, parts={}, alarms=[])
    well = not status.alarms and all(part.state == "up" for part in status.parts.values())
    return Health(
        status="ok" if well else "degraded",
        version=__version__,
        zone=status.zone,
        parts=status.parts,
        alarms=sorted({alarm.code for alarm in status.alarms if alarm.tenant in (None, status.tenant)}),
    )


@routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(ports: Wired) -> Response:
    """Return the zone's counters as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(ZoneCollector(ports.status))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@routes.get("/v1/status")
async def status(ports: Wired, request: Request, caller: Annotated[Caller, Depends(allowed("readStatus"))]) -> Status:
    """Return the zone's state as of the last second; to another tenant than the zone's own, what is theirs of it."""
    found = ports.status.status()
    if found is None:
        raise TryLaterError("The zone is starting.", "Ask again in a second.")
    if caller.tenant == request.app.state.access.tenant:
        return Status.model_validate(found)
    return await run_in_threadpool(_own, ports, caller.tenant, found)


@routes.get("/v1/status/history")
async def history(
    ports: Wired, request: Request, caller: Annotated[Caller, Depends(allowed("readStatus"))]
) -> StatusHistory:
    """Return the last quarter of an hour, one point a second; empty for another tenant than the zone's own."""
    home = caller.tenant == request.app.state.access.tenant
    return StatusHistory(**(ports.history if home else History()).columns())


def _own(ports: Ports, tenant: str, found: Mapping[str, Any]) -> Status:
    """Return what is a tenant's own of the zone's state: its cars, its rows, its alarms, and how quick the zone is."""
    use, counts = ports.records.tenants.uses().get(tenant, Use()), found.get("tenants", {}).get(tenant, {})
    return Status(
        zone=found["zone"],
        tenant=tenant,
        at=found["at"],
        delay=Delay.model_validate(found.get("delay", {})),
        lake=LakeSize(rows=use.lake_rows, bytes=use.lake_bytes),
        vehicles=VehicleCounts(enrolled=ports.records.tenants.counts().get(tenant, 0), **counts),
        alarms=[Alarm.model_validate(alarm) for alarm in found.get("alarms", []) if alarm.get("tenant") == tenant],
    )


def _latest(ports: Ports) -> Status | None:
    status = ports.status.status()
    return None if status is None else Status.model_validate(status)
