"""What people asked for about their data, until when it is answered; and the reports an officer hands to others."""

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.said import Text
from carcloud.api.times import Time, now
from carcloud.backends.records.requests import LIMIT_REFERENCE, LIMIT_WHY, REQUEST_KINDS, Outcome, Request, RequestKind
from carcloud.errors import TryLaterError
from carcloud.safety.reports.phrases import Language
from carcloud.safety.reports.reports import ReportKind, report

MARKDOWN = "text/markdown; charset=utf-8"
FIRST_YEAR, LAST_YEAR = 2020, 2199


class RequestShown(BaseModel):
    """One request. `due`: the last day that is in time. `outcome`: done or refused; null while it is open."""

    id: str
    kind: RequestKind
    vehicle: str | None
    reference: str
    received: date
    due: date
    closed_at: Time | None
    outcome: Outcome | None
    late: bool = Field(description="Open beyond its last day, or closed after it")


class Requests(BaseModel):
    """The requests, the first due first; `deadlines`: within how many days each kind is answered."""

    requests: list[RequestShown]
    deadlines: dict[str, int]


class Asked(BaseModel):
    """What somebody asked for. `reference`: your own file, where the person is known; `received`: today if left out."""

    kind: RequestKind
    vehicle: Annotated[Text, Field(max_length=64)] | None = None
    reference: Annotated[Text, Field(max_length=LIMIT_REFERENCE)] = ""
    received: date | None = None


class Closing(BaseModel):
    """What became of it. `why` is kept beside the audit log, never in it; a refusal needs one."""

    outcome: Outcome
    why: Annotated[Text, Field(max_length=LIMIT_WHY)] = ""


class SectionShown(BaseModel):
    """A heading, sentences, and rows by the words of their head."""

    title: str
    lines: list[str]
    rows: list[dict[str, str]]


class ReportShown(BaseModel):
    """A report. `note`: what it is not."""

    title: str
    note: str
    sections: list[SectionShown]


routes = APIRouter(tags=["governance"], responses=RESPONSES)


@routes.get("/v1/requests")
def requests(ports: Wired, caller: Annotated[Caller, Depends(allowed("readRequests"))]) -> Requests:
    """List what people asked for, the first due first."""
    policy = ports.governance()
    found = [_shown(one) for one in ports.records.requests.all(caller.tenant)]
    return Requests(requests=found, deadlines={kind: policy.days_to_answer(kind) for kind in REQUEST_KINDS})


@routes.post("/v1/requests")
def add_request(
    ports: Wired, asked: Asked, caller: Annotated[Caller, Depends(allowed("changeRequests"))]
) -> RequestShown:
    """Take down what somebody asked for; the governance in force says within how many days it is answered."""
    at = now()
    came = asked.received or at.date()
    due = min(came, at.date()) + timedelta(days=ports.governance().days_to_answer(asked.kind))
    made = Request(caller.tenant, asked.kind, asked.vehicle, asked.reference, came, due, at)
    ports.records.requests.add(made, caller.id)
    return _shown(made)


@routes.post("/v1/requests/{request}/close")
def close_request(
    ports: Wired, request: str, closing: Closing, caller: Annotated[Caller, Depends(allowed("changeRequests"))]
) -> RequestShown:
    """Say what became of a request; it is never opened again."""
    return _shown(ports.records.requests.close(caller.tenant, request, closing.outcome, caller.id, now(), closing.why))


@routes.get(
    "/v1/reports/{kind}",
    response_model=ReportShown,
    responses={200: {"content": {"text/markdown": {}}, "description": "The report; as Markdown where asked for"}},
)
def show_report(
    ports: Wired,
    kind: ReportKind,
    caller: Annotated[Caller, Depends(allowed("readReports"))],
    language: Language = "en",
    year: Annotated[int | None, Query(ge=FIRST_YEAR, le=LAST_YEAR)] = None,
    markdown: bool = False,
) -> Any:
    """Write a record of processing, the draft of an impact assessment, or the yearly report of mainland China."""
    if ports.facts is None:
        raise TryLaterError("This zone writes no reports.", "Use `carcloud report` beside it.")
    at = now()
    made = report(kind, ports.facts(caller.tenant, year or at.year, at), language)
    if not markdown:
        return made.json()
    name = f'attachment; filename="{kind}-{at:%Y-%m-%d}.md"'
    return Response(made.markdown(), media_type=MARKDOWN, headers={"content-disposition": name})


def _shown(one: Request) -> RequestShown:
    said = {name: getattr(one, name) for name in ("id", "kind", "reference", "received", "due", "closed_at", "outcome")}
    return RequestShown(**said, vehicle=one.about, late=one.late(now().date()))
