"""Collection plans: kept as they were made, checked, withdrawn; and where they stand on a car."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed, reach_of
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time, from_us, now
from carcloud.api.twin import seen
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import InputError
from carcloud.gateway.collection import SAID, Standing, read_said, standing
from carcloud.safety.governance.collecting import keeps, purposes
from carcloud.vehicle.commands import PLAN_DROP, PLAN_TAKE
from carcloud.vehicle.plans.documents import LIMIT_TEXT_BYTES, documents
from carcloud.vehicle.plans.plan import Plan, PlanError, check

LIMIT_ORDERS = 1000

Reader = Annotated[Caller, Depends(allowed("readPlans"))]
Maker = Annotated[Caller, Depends(allowed("changePlans"))]


class PlanWanted(BaseModel):
    """A plan as a document, in YAML or JSON; several may stand in one text, with a line `---` between them."""

    document: Annotated[Text, Field(max_length=LIMIT_TEXT_BYTES)] | dict[str, Any]


class PlanShown(BaseModel):
    """A version of a plan. `digest`: the SHA-256 of its document, by which orders name it."""

    name: str
    version: int
    digest: str
    document: dict[str, Any]
    until: Time
    made_by: str
    made_at: Time
    withdrawn_at: Time | None


class PlanList(BaseModel):
    """Plans, each name's newest version first."""

    plans: list[PlanShown]


class Problem(BaseModel):
    """What is wrong with a plan, at which key; for a condition `at` and `length` say where in its text."""

    key: str
    message: str
    do: str
    at: int | None
    length: int | None


class PlanCheck(BaseModel):
    """Whether a document is a plan, and what it says in its one form."""

    ok: bool
    plan: dict[str, Any] | None
    digest: str | None
    errors: list[Problem]


class Withdrawal(BaseModel):
    """Which version; the newest if left out."""

    version: int | None = Field(None, ge=1, le=2**31 - 1)


class PlanOnCar(BaseModel):
    """Where a plan stands on a car. Counts are the car's own of today, null where it has said none."""

    name: str
    version: int
    digest: str | None
    state: Standing
    reason: str | None
    order: str | None
    until: Time | None
    budget_bytes: int | None
    fired: int | None
    bytes_today: int | None
    cut: int | None
    waiting_bytes: int | None


class PlansOnCar(BaseModel):
    """A car's plans. `said_at`: when it said so last."""

    vehicle: str
    said_at: Time | None
    plans: list[PlanOnCar]


routes = APIRouter(tags=["plans"], responses=RESPONSES)


@routes.get("/v1/plans/{name}")
def plan(ports: Wired, caller: Reader, name: str, version: int | None = None) -> PlanShown:
    """Show a plan; its newest version where none is named."""
    return shown(ports.records.plans.get(caller.tenant, name, version))


@routes.post("/v1/plans")
def add_plan(ports: Wired, caller: Maker, wanted: PlanWanted) -> PlanList:
    """Keep a plan, or several, all or none. Plans never change: the same version again must say the same."""
    found = read_plans(ports, caller.tenant, wanted, standing_ones=True)
    at = now()
    kept = [
        KeptPlan(caller.tenant, one.name, one.version, one.digest, one.canonical(), one.until, caller.id, at)
        for one in found
    ]
    return PlanList(plans=[shown(one) for one in ports.records.plans.add(*kept)])


@routes.post("/v1/plans/check")
def check_plan(ports: Wired, caller: Reader, wanted: PlanWanted) -> PlanCheck:
    """Check a document; nothing is kept. Of several, what is wrong is told for all, and what it says for the first."""
    try:
        given = _documents(wanted)
    except InputError as error:
        return PlanCheck(ok=False, plan=None, digest=None, errors=[_problem(PlanError("", error.message, error.do))])
    checked = [_check(ports, caller.tenant, one) for one in given]
    problems = [_at(error, at, len(given)) for at, (_, errors) in enumerate(checked) for error in errors]
    first = checked[0][0] if not problems else None
    return PlanCheck(
        ok=not problems,
        plan=first.document() if first else None,
        digest=first.digest if first else None,
        errors=[_problem(error) for error in problems],
    )


@routes.post("/v1/plans/{name}/withdraw")
def withdraw_plan(ports: Wired, caller: Maker, name: str, wanted: Withdrawal) -> PlanShown:
    """Withdraw a version for ever: it goes to no further car. Cars that have it keep it until told to drop it."""
    return shown(ports.records.plans.withdraw(caller.tenant, name, wanted.version, caller.id, now()))


@routes.get("/v1/vehicles/{vehicle}/plans")
async def plans_on_car(ports: Wired, caller: Reader, vehicle: str) -> PlansOnCar:
    """Show where each plan of a car stands."""

    def look() -> tuple[list[Any], dict[str, KeptPlan]]:
        of = {frozenset({PLAN_TAKE, PLAN_DROP}): [vehicle]}
        orders = ports.records.orders.listed(caller.tenant, vehicle, None, LIMIT_ORDERS, None, of)
        digests = {str(orjson.loads(one.parameters)["plan"]) for one in orders}
        return orders, ports.records.plans.of(caller.tenant, sorted(digests))

    orders, known = await run_in_threadpool(look)
    reach = await run_in_threadpool(reach_of, ports, caller, "readTwin")
    last = seen(reach, vehicle, await ports.twin.get(vehicle, [SAID])).get(SAID)
    said = read_said(last.value) if last else {}
    said_at = from_us(last.time_us) if last else None
    found = standing(orders, known, said, now(), said_at)
    return PlansOnCar(
        vehicle=vehicle,
        said_at=said_at,
        plans=[PlanOnCar(**vars(one)) for one in found],
    )


def read_plans(ports: Ports, tenant: str, wanted: PlanWanted, standing_ones: bool) -> list[Plan]:
    """Return the plans of a request; raise the first PlanError.

    standing_ones: whether they must be such as may be deployed now: not over.
    """
    found = []
    given = _documents(wanted)
    for at, one in enumerate(given):
        plan, problems = _check(ports, tenant, one, standing_ones)
        if plan is None:
            first = _at(problems[0], at, len(given))
            raise InputError(f"{first.key}: {first.message}" if first.key else first.message, first.do)
        found.append(plan)
    return found


def _documents(wanted: PlanWanted) -> list[Any]:
    return documents(wanted.document) if isinstance(wanted.document, str) else [wanted.document]


def _check(
    ports: Ports, tenant: str, document: object, standing_ones: bool = True
) -> tuple[Plan | None, list[PlanError]]:
    policy = ports.governance()
    at = now() if standing_ones else None
    return check(document, ports.catalogue(tenant), purposes(policy), keeps(policy), at)


def _at(error: PlanError, index: int, count: int) -> PlanError:
    """Return a problem with its plan's place among several before its key."""
    if count == 1:
        return error
    key = f"[{index}].{error.key}" if error.key else f"[{index}]"
    return PlanError(key, error.message, error.do, error.at, error.length)


def _problem(error: PlanError) -> Problem:
    return Problem(key=error.key, message=error.message, do=error.do, at=error.at, length=error.length)


def shown(one: KeptPlan) -> PlanShown:
    """Return a plan as the API writes it."""
    said = {name: getattr(one, name) for name in PlanShown.model_fields if name != "document"}
    return PlanShown(**said, document=orjson.loads(one.document))
