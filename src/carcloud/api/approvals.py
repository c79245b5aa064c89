"""What waits for a second person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time
from carcloud.backends.records import Approval
from carcloud.errors import MissingError

LIMIT_PAGE = 500


class Who(BaseModel):
    """A person or token, by id and name."""

    id: str
    name: str


class ApprovalShown(BaseModel):
    """What was asked, by whom, and what became of it."""

    id: str
    action: str
    object: str
    asked: dict[str, Any] = Field(description="What exactly would be done")
    asked_by: Who
    asked_at: Time
    ends_at: Time
    state: Literal["asked", "approved", "refused", "expired", "used"]
    decided_by: Who | None
    decided_at: Time | None
    mine: bool = Field(description="Whether the caller asked it")


class ApprovalPage(BaseModel):
    """The newest first."""

    approvals: list[ApprovalShown]


class Waits(BaseModel):
    """The answer to what needs a second person: do the same again once it is approved."""

    approval: ApprovalShown


class Decision(BaseModel):
    """What the second person says."""

    decision: Literal["approve", "refuse"]


routes = APIRouter(tags=["people"], responses=RESPONSES)


@routes.get("/v1/approvals")
def approvals(
    ports: Wired,
    caller: Annotated[Caller, Depends(allowed("readApprovals"))],
    state: Literal["asked", "approved", "refused", "expired", "used"] | None = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_PAGE)] = 100,
) -> ApprovalPage:
    """List what was asked, the newest first."""
    found = ports.reception.approvals.newest(caller.tenant, LIMIT_PAGE)
    wanted = [approval for approval in found if state in (None, approval.state)][:limit]
    return ApprovalPage(approvals=[_shown(ports, caller, approval) for approval in wanted])


@routes.post("/v1/approvals/{approval}")
def decide(
    ports: Wired, caller: Annotated[Caller, Depends(allowed("approve"))], approval: str, given: Decision
) -> ApprovalShown:
    """Approve or refuse what somebody else asked."""
    return _shown(ports, caller, ports.reception.approvals.decide(caller, approval, given.decision))


def waits(ports: Ports, caller: Caller, response: Response, approval: Approval) -> Waits:
    """Answer 202: nothing was done yet, a second person has to approve it."""
    response.status_code = 202
    return Waits(approval=_shown(ports, caller, approval))


def _shown(ports: Ports, caller: Caller, approval: Approval) -> ApprovalShown:
    return ApprovalShown(
        **{name: value for name, value in vars(approval).items() if name not in ("asked_by", "decided_by")},
        asked_by=who(ports, approval.asked_by),
        decided_by=who(ports, approval.decided_by) if approval.decided_by else None,
        mine=approval.asked_by == caller.id,
    )


def who(ports: Ports, id_: str) -> Who:
    """Return a person or token with its name."""
    kind, _, bare = id_.partition(":")
    try:
        if kind == "person":
            return Who(id=id_, name=ports.records.people.get(bare).name)
        if bare != "machine":
            return Who(id=id_, name=ports.records.passes.token_by_id(bare).name)
    except MissingError:
        pass
    return Who(id=id_, name="the zone's own token" if bare == "machine" else id_)
