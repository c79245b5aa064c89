"""Ever: SQL over the lake, as JSON or Arrow."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from carcloud.api.asking import asker_of, while_there
from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.research.columns import DESCRIPTIONS as RECORDED

ARROW = "application/vnd.apache.arrow.stream"
LIMIT_ROWS = 1_000_000
LIMIT_JSON_ROWS = 100_000
COLUMNS = """SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_name NOT LIKE 'reach_%' ORDER BY 1, ordinal_position"""
DESCRIPTIONS = {
    **RECORDED,
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


routes = APIRouter(tags=["lake"], responses=RESPONSES)


@routes.post(
    "/v1/lake/sql",
    response_model=Rows,
    responses={200: {"content": {ARROW: {}}}},
)
async def sql(
    ports: Wired,
    request: Request,
    question: Question,
    caller: Annotated[Caller, Depends(allowed("queryLake"))],
    accept: Annotated[str, Header()] = "application/json",
) -> Response:
    """Answer one read-only statement over the lake's tables."""
    asker = asker_of(request, caller, "queryLake")
    if ARROW not in accept:
        limit = min(question.limit, LIMIT_JSON_ROWS)
        answer = await while_there(request, ports.lake.ask(asker, question.sql, question.parameters, limit, "json"))
        return Response(answer.body, media_type="application/json")
    answer = await while_there(
        request, ports.lake.ask(asker, question.sql, question.parameters, question.limit, "arrow")
    )
    headers = {
        "x-carcloud-truncated": str(answer.truncated).lower(),
        "x-carcloud-elapsed-s": f"{answer.elapsed_s:.6f}",
    }
    return Response(answer.body, media_type=ARROW, headers=headers)


@routes.get("/v1/lake/tables")
async def tables(ports: Wired, request: Request, caller: Annotated[Caller, Depends(allowed("queryLake"))]) -> Tables:
    """List the tables with their columns; those of recordings for who may see all cars only."""
    asker = asker_of(request, caller, "queryLake")
    answer = await while_there(request, ports.lake.ask(asker, COLUMNS, {}, LIMIT_JSON_ROWS, "json"))
    found: dict[str, list[TableColumn]] = {}
    for table, name, kind in orjson.loads(answer.body)["rows"]:
        column = TableColumn(name=name, type=kind, description=DESCRIPTIONS.get((table, name), ""))
        found.setdefault(table, []).append(column)
    return Tables(tables=[Table(name=table, columns=columns) for table, columns in found.items()])
