"""Terminals that speak GB/T 32960: who is connected, what was refused, and what people tell them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.approvals import Waits, waits
from carcloud.api.auth import Caller, allowed, reached
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time
from carcloud.backends.records import Entry
from carcloud.errors import FAMILIES, CarcloudError, NotAllowedError, TryLaterError
from carcloud.gateway.gbt32960.downwards import ANSWER_WITHIN_S, is_dangerous, names_in
from carcloud.safety.grants.reach import Reach
from carcloud.stream import subjects

PATIENCE_S = ANSWER_WITHIN_S + 2.0
PART = "gbt32960"


class Listening(BaseModel):
    """Where terminals come in. `certificates`: only with one over TLS."""

    tcp: bool = False
    tls: bool = False
    certificates: bool = False
    idle_s: float | None = None


class TerminalSession(BaseModel):
    """One logged-in car. `platform`: by whom it was brought; null: by itself. `causes`: its faults, by cause."""

    vehicle: str
    label: str | None
    edition: Literal[2016, 2025]
    since: Time
    frames: int
    last_at: Time | None
    faults: int
    causes: dict[str, int]
    platform: str | None


class PlatformSession(BaseModel):
    """One connection of a platform."""

    name: str
    since: Time
    cars: int
    frames: int
    faults: int


class TerminalSessions(BaseModel):
    """Who is connected by GB/T 32960 now, and what was refused since the door began: frames by cause, rows by cause.

    whole: false to whom grants open cars: then only the sessions of these are shown, and no counts of the door.
    """

    whole: bool
    listening: Listening
    sessions: list[TerminalSession]
    faults: dict[str, int]
    refused: dict[str, int] = Field(description="Rows that the guards refused, by cause; of the zone's own tenant only")
    platforms: list[PlatformSession]


class TerminalWanted(BaseModel):
    """What a terminal is told. `act` query: say `parameters` (none: all); set: take `values`; control: do `control`.

    `text` and `level` go with the control alarm, `text` with upgrade.
    """

    act: Literal["query", "set", "control"]
    parameters: list[Text] = Field([], max_length=32)
    values: dict[str, int | Text] = Field({}, max_length=32)
    control: Literal["upgrade", "power-off", "reset", "factory", "drop-link", "alarm", "sample"] | None = None
    level: int | None = Field(None, ge=0, le=255)
    text: Text = ""


class TerminalAnswer(BaseModel):
    """What the terminal answered: whether it took it, its answer byte, and the parameters it said."""

    taken: bool
    answer: int
    values: dict[str, int | str | None]


routes = APIRouter(tags=["gbt32960"], responses=RESPONSES)


@routes.get("/v1/gbt32960/sessions")
async def sessions(ports: Wired, reach: Annotated[Reach, Depends(reached("readVehicles"))]) -> TerminalSessions:
    """Show who is connected by GB/T 32960, and what was refused; nothing where that door is closed."""
    whole = reach.parts is None
    try:
        found = await _ask(ports, subjects.TERMINALS, {"tenant": reach.tenant}, 2.0)
    except TryLaterError:
        if PART in (ports.status.status() or {}).get("parts", {}):
            raise
        return TerminalSessions(whole=whole, listening=Listening(), sessions=[], faults={}, refused={}, platforms=[])
    if not whole:
        mine = [one for one in found["sessions"] if reach.holds(one["vehicle"])]
        found |= {"sessions": mine, "faults": {}, "refused": {}, "platforms": []}
    times = {"since", "last_at"}
    for one in (*found["sessions"], *found["platforms"]):
        one |= {name: _time(value) for name, value in one.items() if name in times}
    return TerminalSessions.model_validate(found | {"whole": whole})


@routes.post("/v1/vehicles/{vehicle}/gbt32960", responses={202: {"model": Waits}})
async def tell(
    ports: Wired,
    vehicle: str,
    response: Response,
    caller: Annotated[Caller, Depends(allowed("sendOrder"))],
    reach: Annotated[Reach, Depends(reached("sendOrder"))],
    wanted: TerminalWanted,
) -> TerminalAnswer | Waits:
    """Tell a terminal something and await its answer. What can cut it off takes a second person: 202.

    A grant opens commands of signed orders, and none of these.
    """
    if reach.parts is not None:
        raise NotAllowedError("No grant lets one tell a terminal anything.", "Ask who runs the cars to tell it.")
    asked, object_ = wanted.model_dump(exclude_defaults=True), f"vehicle:{vehicle}"
    if is_dangerous(asked):
        waiting = await run_in_threadpool(ports.reception.approvals.require, caller, "sendOrder", object_, asked)
        if waiting is not None:
            return waits(ports, caller, response, waiting)
    question = asked | {"vehicle": vehicle, "tenant": caller.tenant}
    try:
        answer = TerminalAnswer.model_validate(await _ask(ports, subjects.TERMINAL_ASKED, question, PATIENCE_S))
    except CarcloudError as error:
        await _note(ports, caller, vehicle, asked, error.code)
        raise
    await _note(ports, caller, vehicle, asked, "taken" if answer.taken else "refused")
    return answer


async def _ask(ports: Ports, subject: str, question: dict[str, Any], patience_s: float) -> dict[str, Any]:
    """Ask the door's process; raise what it answers as an error."""
    if ports.ask is None:
        raise TryLaterError("The door for GB/T 32960 is not there.", "Give it a port in the configuration.")
    answer: dict[str, Any] = orjson.loads(await ports.ask(subject, orjson.dumps(question), patience_s))
    if (error := answer.get("error")) is not None:
        raise FAMILIES.get(error["code"], CarcloudError)(error["message"], error["do"])
    return answer


async def _note(ports: Ports, caller: Caller, vehicle: str, asked: dict[str, Any], outcome: str) -> None:
    facts = {"act": asked["act"], "answer": outcome} | names_in(asked)
    entry = Entry(caller.id, "tellTerminal", f"vehicle:{vehicle}", facts=facts, tenant=caller.tenant)
    await run_in_threadpool(ports.records.audit.add, entry)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
