"""What may leave the zone, how much has left, and the door by which another zone reads it."""

from datetime import date, datetime
from typing import Annotated, Any

import orjson
import pyarrow as pa
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.asking import asker_of, while_there
from carcloud.api.auth import Allowed, Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.lake import ARROW, Column
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import from_us, text
from carcloud.backends.records import Entry
from carcloud.errors import NotAllowedError
from carcloud.lake.border import END_US, FIRST_US, Border, Sent, Wanted
from carcloud.lake.leaving import LIMIT_ROWS, SQL
from carcloud.safety.flows.flow import Flow
from carcloud.safety.flows.meter import READ_FLOW, Reading
from carcloud.safety.flows.reader import UNITS
from carcloud.safety.grants.reach import Reach
from carcloud.safety.people.policy import Resource

LIMIT_NAMES = 10_000
MICROSECOND_S = 1_000_000


class MeterShown(BaseModel):
    """How many people's data of a class left this calendar year. At `stop` nothing more leaves; null: no limit."""

    kind: str = Field(alias="class", serialization_alias="class")
    people: int
    limit: int | None
    stop: int | None


class SignalShown(BaseModel):
    """A signal that leaves. `exactness`: the step its values are rounded to; null: as they came."""

    path: str
    kind: str = Field(alias="class", serialization_alias="class")
    unit: str | None
    exactness: float | None


class FlowShown(BaseModel):
    """What may leave, to which zone, for what, and how it is changed.

    `time_s`: times are cut to steps of so many seconds. `pseudonym`: whether a car leaves under another name, new each
    calendar year.
    """

    name: str
    to: str
    purpose: str
    why: str
    needs_consent: bool
    pseudonym: bool
    time_s: int
    until: date | None
    ended: bool
    assessment: str
    signals: list[SignalShown]
    meters: list[MeterShown]


class FlowList(BaseModel):
    """All flows. `meters`: of all together. `calendar`: how far its years begin ahead of UTC."""

    zone: str
    hash: str
    calendar: str
    year: int
    flows: list[FlowShown]
    meters: list[MeterShown]


class FlowQuestion(BaseModel):
    """What another zone wants: all that leaves, or a part. `until` itself is not in.

    `paths`: signals, * is one name and ** one or more. `vehicles`: names under which cars left.
    `after`: `next` of an earlier answer, to go on from there. `upto`: `next` of the answer to ask for once more.
    """

    since: datetime | None = None
    until: datetime | None = None
    paths: list[str] | None = Field(None, max_length=LIMIT_NAMES)
    vehicles: list[str] | None = Field(None, max_length=LIMIT_NAMES)
    after: str | None = Field(None, max_length=4096)
    limit: int = Field(10_000, ge=1, le=LIMIT_ROWS)
    upto: str | None = Field(None, max_length=4096)


class FlowRows(BaseModel):
    """Rows that left. `next`: where to go on; `more`: whether there is more already. Times are RFC 3339.

    `units`: of the signals in the rows.
    """

    columns: list[Column]
    rows: list[list[Any]]
    next: str
    more: bool
    units: dict[str, str | None]


routes = APIRouter(tags=["flows"], responses=RESPONSES)


class AllowedFlow(Allowed):
    """Lets a request through to a flow it may read: one whose token it shows."""

    async def __call__(self, request: Request) -> Caller:
        """Return who calls, where they may read the flow that the path names."""
        caller: Caller = request.state.caller
        ports: Ports = request.app.state.ports
        name = str(request.path_params["flow"])
        readers = await run_in_threadpool(ports.border.readers, name) if ports.border else frozenset[str]()
        tenant = ports.border.tenant if ports.border else caller.tenant
        if not ports.reception.policy.allows(caller, self.action, Resource("Flow", name[:64], tenant, readers)):
            entry = Entry(caller.id, self.action, f"flow:{name[:64]}", "denied", tenant=caller.tenant)
            await run_in_threadpool(ports.reception.denials.note, entry)
            raise NotAllowedError("You may not read this flow.", "A flow has tokens of its own: carcloud flow token.")
        return caller


@routes.get("/v1/flows")
def flows(ports: Wired, caller: Annotated[Caller, Depends(allowed("readFlows"))]) -> FlowList:
    """Show what may leave, to whom, how changed, and how many people's data left this year."""
    border = ports.border
    if border is None or border.tenant != caller.tenant:
        return FlowList(zone=ports.zone, hash="", calendar="", year=0, flows=[], meters=[])
    readings = border.meter.readings(border.flows)
    return FlowList(
        zone=ports.zone,
        hash=border.flows.hash,
        calendar=str(border.flows.calendar),
        year=border.flows.year(border.meter.now()),
        flows=[_flow(ports, border, flow, readings) for flow in border.flows.flows.values()],
        meters=[_meter(reading) for reading in readings if not reading.flow],
    )


@routes.post("/v1/flows/{flow}/read", response_model=FlowRows, responses={200: {"content": {ARROW: {}}}})
async def read(
    ports: Wired,
    request: Request,
    flow: str,
    asked: FlowQuestion,
    caller: Annotated[Caller, Depends(AllowedFlow(READ_FLOW))],
    accept: Annotated[str, Header()] = "application/json",
) -> Response:
    """Let another zone read what leaves by a flow, in the order in which the lake took it."""
    assert ports.border is not None
    wanted = Wanted(
        FIRST_US if asked.since is None else _us(asked.since),
        END_US if asked.until is None else _us(asked.until),
        asked.paths,
        asked.vehicles,
        asked.after,
        asked.limit,
        asked.upto,
    )
    question = await run_in_threadpool(ports.border.question, flow, wanted, caller.id)
    asker = asker_of(request, caller, READ_FLOW, _reach)
    asked_for = ports.lake.ask(asker, SQL, question.parameters, question.limit + 1, "arrow")
    answer = await while_there(request, asked_for)
    sent = await run_in_threadpool(ports.border.let_out, question, answer.body, caller.id)
    if ARROW not in accept:
        return Response(await run_in_threadpool(_json, sent), media_type="application/json")
    headers = {"x-carcloud-next": sent.next, "x-carcloud-more": str(sent.more).lower()}
    return Response(await run_in_threadpool(_arrow, sent), media_type=ARROW, headers=headers)


async def _reach(request: Request) -> Reach:
    """Return what the flow is read from, for who may still read it."""
    await AllowedFlow(READ_FLOW)(request)
    border: Border = request.app.state.ports.border
    return Reach(border.tenant)


def _flow(ports: Ports, border: Border, flow: Flow, readings: list[Reading]) -> FlowShown:
    catalogue, plan = ports.catalogue(), border.plans[flow.name]
    return FlowShown(
        name=flow.name,
        to=flow.to,
        purpose=flow.purpose,
        why=flow.why,
        needs_consent=plan.needs_consent,
        pseudonym=flow.pseudonym,
        time_s=flow.time_s,
        until=flow.until,
        ended=border.flows.ended(flow, border.meter.now()),
        assessment=flow.assessment,
        signals=[
            SignalShown(path=path, exactness=signal.exactness, unit=catalogue[path].unit, **{"class": signal.kind})
            for path, signal in plan.signals.items()
        ],
        meters=[_meter(reading) for reading in readings if reading.flow == flow.name],
    )


def _meter(reading: Reading) -> MeterShown:
    shown = {"class": reading.kind}
    return MeterShown(people=reading.people, limit=reading.limit, stop=reading.stop, **shown)


def _us(at: datetime) -> int:
    """Return microseconds since 1970 UTC; a time that says no offset is in UTC."""
    return round((at.replace(tzinfo=at.tzinfo or from_us(0).tzinfo) - from_us(0)).total_seconds() * MICROSECOND_S)


def _json(sent: Sent) -> bytes:
    columns = [{"name": field.name, "type": str(field.type)} for field in sent.rows.schema]
    values = [column.to_pylist() for column in sent.rows.columns]
    times = sent.rows.column_names.index("time")
    values[times] = [text(at) for at in values[times]]
    rows = list(zip(*values, strict=True))
    return orjson.dumps({"columns": columns, "rows": rows, "next": sent.next, "more": sent.more, "units": sent.units})


def _arrow(sent: Sent) -> bytes:
    rows = sent.rows.replace_schema_metadata({UNITS: orjson.dumps(sent.units)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content
