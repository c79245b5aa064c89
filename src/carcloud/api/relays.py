"""What relays tell authorities' platforms: how each stands, and what was sent and accepted."""

from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time
from carcloud.errors import TryLaterError
from carcloud.stream import subjects


class RelayShown(BaseModel):
    """A relay. Counts are of reports, since it was declared, `unsaid` of samples that fit no field of theirs; `waiting`
    is what it has to tell still.

    state: up: it has a session; waiting: it tries again at `next_try`; ended: its last day is over. cars: how many it
    tells of; left_out: how many not, by the reason. expired: given up after seven days; dropped: of cars that are told
    of no more, or without anything a report can say; refused: three times by the platform.
    """

    name: str
    to: str
    edition: Literal[2016, 2025]
    state: Literal["waiting", "connecting", "up", "ended"]
    since: Time
    cars: int
    left_out: dict[str, int]
    sent: int
    accepted: int
    refused: int
    expired: int
    dropped: int
    unsaid: int
    waiting: int
    oldest_waiting: Time | None
    next_try: Time | None
    last_error: str | None


class RelayList(BaseModel):
    """All relays that the flows file declares."""

    relays: list[RelayShown]


routes = APIRouter(tags=["flows"], responses=RESPONSES)


@routes.get("/v1/relays")
async def relays(ports: Wired, caller: Annotated[Caller, Depends(allowed("readFlows"))]) -> RelayList:
    """Show what is told to authorities' platforms, and how that goes; nothing where no relay is declared."""
    border = ports.border
    if border is None or ports.ask is None or border.tenant != caller.tenant or not border.flows.relays:
        return RelayList(relays=[])
    try:
        found = await ports.ask(subjects.RELAYS)
    except TryLaterError:
        raise TryLaterError("The relay does not answer.", "Ask again in a second.") from None
    return RelayList.model_validate(orjson.loads(found))
