"""Ever: SQL over the lake, as JSON or Arrow."""

import asyncio
import base64
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any

import orjson
import pyarrow as pa
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import text
from carcloud.errors import InputError, TryLaterError
from carcloud.lake.query import Answer

ARROW = "application/vnd.apache.arrow.stream"
LIMIT_ROWS = 1_000_000
LIMIT_JSON_ROWS = 100_000
LIMIT_RUNNING = 2
LIMIT_WAITING = 16
DESCRIPTIONS = {
    ("samples", "vehicle"): "Id of the car",
    ("samples", "signal"): "Path of the signal, as in `signals`",
    ("samples", "time"): "When the car measured it, UTC",
    ("samples", "value"): "The number; null where the value is text; booleans are 0 and 1",
    ("samples", "text"): "The text, or an array as JSON; null where the value is a number",
    ("samples", "provenance"): "measured, replay or simulated",
    ("samples", "chunk"): "Number of the governed chunk it came with; its receipt proves it",
    ("samples", "day"): "UTC day of `time`, YYYY-MM-DD; naming it reads that day's files only",
    ("signals", "path"): "Name of the signal",
    ("signals", "type"): "VSS data type",
    ("signals", "unit"): "Unit of every value in the lake; null where it has none",
    ("signals", "min"): "Smallest value accepted",
    ("signals", "max"): "Largest value accepted",
    ("signals", "kind"): "sensor, actuator or attribute",
    ("signals", "description"): "What it says",
    ("vehicles", "vehicle"): "Id of the car, as in `samples`",
    ("vehicles", "state"): "active or revoked",
    ("vehicles", "enrolled_at"): "When it was enrolled, UTC",
}


class Question(BaseModel):
    """One read-only statement. `$name` in the SQL stands for `parameters["name"]`."""

    sql: str = Field(max_length=100_000, examples=["SELECT vehicle, count(*) FROM samples GROUP BY 1"])
    parameters: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    limit: int = Field(10_000, ge=1, le=LIMIT_ROWS, description="Rows at most; more are cut, and `truncated` says so")


class Column(BaseModel):
    """A column of an answer; `type` as Arrow names it."""

    name: str
    type: str


class Rows(BaseModel):
    """The answer's rows. Times are RFC 3339, bytes Base64, intervals seconds; NaN and infinity are null."""

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool
    elapsed_s: float


class TableColumn(BaseModel):
    """A column of a table; `type` as SQL names it."""

    name: str
    type: str
    description: str


class Table(BaseModel):
    """A table that can be asked."""

    name: str
    columns: list[TableColumn]


class Tables(BaseModel):
    """The tables that can be asked."""

    tables: list[Table]


class Desk:
    """Lets two queries run at once and a few wait; more are sent away, so that the API stays quick."""

    def __init__(self, running: int = LIMIT_RUNNING, waiting: int = LIMIT_WAITING) -> None:
        self._places = asyncio.Semaphore(running)
        self._free = running + waiting

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, or raise TryLaterError."""
        if self._free == 0:
            raise TryLaterError("Too many queries are waiting.", "Ask again in a few seconds.")
        self._free -= 1
        try:
            async with self._places:
                yield
        finally:
            self._free += 1


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


Turns = Annotated[Desk, Depends(_desk)]
routes = APIRouter(tags=["lake"], responses=RESPONSES)


@routes.post("/v1/lake/sql", response_model=Rows, responses={200: {"content": {ARROW: {}}}})
async def sql(
    ports: Wired, desk: Turns, question: Question, accept: Annotated[str, Header()] = "application/json"
) -> Response:
    """Answer one read-only statement over `samples`, `signals` and `vehicles`."""
    form = _arrow if ARROW in accept else _json
    limit = question.limit if form is _arrow else min(question.limit, LIMIT_JSON_ROWS)

    def ask() -> Response:
        return form(ports.lake.run(question.sql, question.parameters, limit))

    async with desk.turn():
        return await asyncio.to_thread(ask)


@routes.get("/v1/lake/tables")
async def tables(ports: Wired, desk: Turns) -> Tables:
    """List the tables with their columns."""
    async with desk.turn():
        found = await asyncio.to_thread(ports.lake.tables)
    return Tables(
        tables=[
            Table(
                name=table,
                columns=[
                    TableColumn(name=name, type=kind, description=DESCRIPTIONS.get((table, name), ""))
                    for name, kind in columns
                ],
            )
            for table, columns in found
        ]
    )


def _arrow(answer: Answer) -> Response:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.table.schema) as writer:
        writer.write_table(answer.table)
    headers = {
        "x-carcloud-truncated": str(answer.truncated).lower(),
        "x-carcloud-elapsed-s": f"{answer.elapsed_s:.6f}",
    }
    return Response(sink.getvalue().to_pybytes(), media_type=ARROW, headers=headers)


def _json(answer: Answer) -> Response:
    columns = [{"name": field.name, "type": str(field.type)} for field in answer.table.schema]
    values = [[_plain(value) for value in column.to_pylist()] for column in answer.table.columns]
    rows = list(zip(*values, strict=True))
    body = {"columns": columns, "rows": rows, "truncated": answer.truncated, "elapsed_s": round(answer.elapsed_s, 6)}
    try:
        return Response(orjson.dumps(body), media_type="application/json")
    except TypeError as error:
        raise InputError("A value of this answer does not fit into JSON.", "Cast it, or ask for Arrow.") from error


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return text(value) if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return str(value)
