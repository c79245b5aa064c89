"""What the zone's signals mean, and the ground they are drawn on."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from pydantic import BaseModel

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.errors import MissingError


class Signal(BaseModel):
    """A signal: its VSS path, type, unit and bounds."""

    path: str
    type: str
    unit: str | None
    min: float | None
    max: float | None
    kind: str
    description: str
    retired: bool


class Signals(BaseModel):
    """The catalogue in force."""

    signals: list[Signal]


routes = APIRouter(tags=["catalogue"], responses=RESPONSES)


@routes.get("/v1/catalogue")
async def catalogue(ports: Wired, caller: Annotated[Caller, Depends(allowed("readCatalogue"))]) -> Signals:
    """List every signal that cars may send."""
    return Signals(
        signals=[
            Signal(
                path=signal.path,
                type=signal.type,
                unit=signal.unit,
                min=signal.min,
                max=signal.max,
                kind=signal.kind,
                description=signal.description,
                retired=signal.retired,
            )
            for signal in ports.catalogue(caller.tenant).values()
        ]
    )


@routes.get(
    "/v1/map",
    dependencies=[Depends(allowed("readCatalogue"))],
    response_class=FileResponse,
    responses={200: {"content": {"application/geo+json": {"schema": {}}}}},
)
async def base_map(ports: Wired) -> FileResponse:
    """Return the zone's base map as GeoJSON."""
    if ports.map_file is None or not ports.map_file.is_file():
        raise MissingError("This zone has no base map.", "Configure one, or draw the cars without.")
    return FileResponse(ports.map_file, media_type="application/geo+json")
