"""How the zone is: health, status, its last quarter of an hour, and metrics for Prometheus."""

from typing import Literal

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from carcloud import __version__
from carcloud.api.auth import allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.metrics import ZoneCollector
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time
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
    personal_data: bool = Field(default=False, description="Whether the zone may hold personal data; not yet")
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
    """Whether the zone works: ok, degraded (a part is away or an alarm stands), or starting."""

    status: Literal["ok", "degraded", "starting"]
    version: str
    zone: str
    parts: dict[str, Part]
    alarms: list[Alarm]


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
        alarms=status.alarms,
    )


@routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(ports: Wired) -> Response:
    """Return the zone's counters as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(ZoneCollector(ports.status))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@routes.get("/v1/status", dependencies=[Depends(allowed("readStatus"))])
async def status(ports: Wired) -> Status:
    """Return the zone's state as of the last second."""
    found = _latest(ports)
    if found is None:
        raise TryLaterError("The zone is starting.", "Ask again in a second.")
    return found


@routes.get("/v1/status/history", dependencies=[Depends(allowed("readStatus"))])
async def history(ports: Wired) -> StatusHistory:
    """Return the last quarter of an hour, one point a second."""
    return StatusHistory(**ports.history.columns())


def _latest(ports: Ports) -> Status | None:
    status = ports.status.status()
    return None if status is None else Status.model_validate(status)
