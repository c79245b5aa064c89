"""A changed governance: what it would change, and taking it into force, which two people decide on together."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.approvals import Waits, waits
from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.errors import ConflictError, NotAllowedError, TryLaterError
from carcloud.safety.governance.differences import differences
from carcloud.safety.governance.policy import Policy, parse
from carcloud.safety.governance.table import Table
from carcloud.stream import subjects

CHANGE = "changeGovernance"
LIMIT_TEXT = 500_000


class Proposed(BaseModel):
    """A governance file, YAML or JSON."""

    text: Annotated[Text, Field(min_length=1, max_length=LIMIT_TEXT)]


class Checked(BaseModel):
    """What a file would change. `from_hash`: what is in force; `to_hash`: the file."""

    name: str
    from_hash: str
    to_hash: str
    changes: list[str] = Field(description="Purposes first, then signal by signal")


routes = APIRouter(tags=["governance"], responses=RESPONSES)


@routes.post("/v1/governance/check", dependencies=[Depends(allowed("readGovernance"))])
def check_governance(ports: Wired, proposed: Proposed) -> Checked:
    """Say what a governance file would change; nothing is changed."""
    return _checked(ports, _read(ports, proposed.text))


@routes.post("/v1/governance", responses={202: {"model": Waits}})
async def change_governance(
    ports: Wired,
    response: Response,
    proposed: Proposed,
    caller: Annotated[Caller, Depends(allowed(CHANGE))],
) -> Checked | Waits:
    """Take a governance file into force: asked by one person, approved by another, then asked once more by the first.

    The zone's processes start anew under it, which takes some seconds.
    """
    if ports.take_governance is None:
        raise TryLaterError("This zone takes no governance here.", "Name it in its configuration, and start it.")
    if caller.tenant != ports.log.tenant:
        raise NotAllowedError("The governance is the zone's, not a tenant's.", "Ask who runs the zone.")
    wanted = await run_in_threadpool(_read, ports, proposed.text)
    checked = await run_in_threadpool(_checked, ports, wanted)
    if checked.from_hash == checked.to_hash:
        raise ConflictError("This governance is in force already.", "Nothing is to be done.")
    approvals = ports.reception.approvals
    if await run_in_threadpool(approvals.deciders, CHANGE, caller.tenant) < 2:
        do = "Have another operator or data-protection officer set up a second factor; or name it in the configuration."
        raise ConflictError("Nobody else could approve this.", do)
    asked = checked.model_dump() | {"text": wanted.text}
    waiting = await run_in_threadpool(approvals.require, caller, CHANGE, "zone", asked)
    if waiting is not None:
        return waits(ports, caller, response, waiting)
    await run_in_threadpool(ports.take_governance, wanted, caller.id)
    await ports.notify(subjects.GOVERNANCE, wanted.hash.encode())
    return checked


def _read(ports: Ports, text: str) -> Policy:
    policy = parse(text, "The governance file")
    Table(policy, ports.catalogue())
    return policy


def _checked(ports: Ports, wanted: Policy) -> Checked:
    standing = ports.governance()
    changes = differences(standing, wanted, ports.catalogue())
    return Checked(name=wanted.name, from_hash=standing.hash, to_hash=wanted.hash, changes=changes)
