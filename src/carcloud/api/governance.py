"""What the zone keeps of what cars say, for what and on which legal basis."""

from datetime import UTC, date, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.asking import asker_of, while_there
from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.errors import InputError
from carcloud.safety.governance.days import COUNTS, Kept, day_of, kept_by_signal
from carcloud.safety.governance.policy import Rule
from carcloud.safety.grants.grant import ZONE, consents
from carcloud.vehicle.pseudonym import Epoch

LIMIT_COUNTS = 1_000_000
"""Pairs of a signal and a day that rows are counted of."""


class PurposeShown(BaseModel):
    """What data is used for, and why that is lawful. `consented`: how many cars' people agreed, where they must."""

    name: str
    basis: str
    why: str
    consented: int | None


class RuleShown(BaseModel):
    """What holds for some signals: those of the catalogue that the rule is the first to name."""

    paths: list[str]
    kind: str = Field(alias="class", serialization_alias="class")
    keep: bool
    purposes: list[str]
    exactness: float | None = Field(
        description="The step values are rounded to, in the signal's unit; null: as they came"
    )
    cell: int | None = Field(description="The resolution of the H3 cells that places are set to; null: not by cells")
    time_s: int = Field(description="The step in seconds that times are cut to; 0: as they came")
    pseudonym: bool = Field(description="Whether rows name the car by a random name that lasts for the epoch")
    days: int | None = Field(description="For how many days rows are kept; null: until the car is erased")
    why: str
    signals: list[str]


class Governance(BaseModel):
    """The governance in force. `dropped`: signals of the catalogue that no rule names. `epoch`: of pseudonyms."""

    name: str
    about: str
    hash: str
    epoch: Epoch
    purposes: list[PurposeShown]
    rules: list[RuleShown]
    dropped: list[str]
    text: str


class KeptShown(BaseModel):
    """What the lake keeps of a signal. `class`: the one its rule gives it, "" where none names it."""

    signal: str
    kind: str = Field(alias="class", serialization_alias="class")
    days: int | None = Field(description="For how many days rows are kept; null: until the car is erased")
    rows: int
    oldest: date = Field(description="The oldest UTC day there are rows of")
    next: date | None = Field(description="The day on which the oldest go; null where they do not")
    due: int = Field(description="How many rows have expired and are still there")


class Retention(BaseModel):
    """What the lake keeps, by signal; `policy`: the hash of the governance in force."""

    policy: str
    signals: list[KeptShown]


routes = APIRouter(tags=["governance"], responses=RESPONSES)


@routes.get("/v1/governance", dependencies=[Depends(allowed("readGovernance"))])
async def governance(ports: Wired) -> Governance:
    """Show what is kept, for what, on which legal basis, and how exactly."""
    policy, catalogue = ports.governance(), ports.catalogue()
    now = datetime.now(UTC)
    standing = consents(await run_in_threadpool(ports.records.grants.held, now, [ZONE]), ports.ground, now)
    named: dict[int, list[str]] = {}
    dropped = []
    for path in sorted(catalogue):
        rule = policy.rule_of(path)
        if rule is None:
            dropped.append(path)
        else:
            named.setdefault(id(rule), []).append(path)
    return Governance(
        name=policy.name,
        about=policy.about,
        hash=policy.hash,
        epoch=policy.epoch,
        purposes=[
            PurposeShown(
                name=purpose.name,
                basis=purpose.basis,
                why=purpose.why,
                consented=sum(purpose.name in of for of in standing.values()) if purpose.needs_consent else None,
            )
            for purpose in policy.purposes.values()
        ],
        rules=[_shown(rule, named.get(id(rule), [])) for rule in policy.rules],
        dropped=dropped,
        text=policy.text,
    )


@routes.get("/v1/retention")
async def retention(
    ports: Wired, request: Request, caller: Annotated[Caller, Depends(allowed("readGovernance"))]
) -> Retention:
    """Show how many rows the lake keeps of each signal, how old they are, and when they go; of what one may see."""
    policy, now = ports.governance(), datetime.now(UTC)
    asker = asker_of(request, caller, "readGovernance")
    answer = await while_there(request, ports.lake.ask(asker, COUNTS, {}, LIMIT_COUNTS, "json"))
    if answer.truncated:
        do = "Ask the lake for the signals you want to know of, by POST /v1/lake/sql."
        raise InputError(f"The lake has more than {LIMIT_COUNTS} pairs of a signal and a day.", do)
    counts = [(signal, day, rows) for signal, day, rows in orjson.loads(answer.body)["rows"]]
    kept = kept_by_signal(policy, counts, day_of(now))
    return Retention(policy=policy.hash, signals=[_kept(one) for one in kept])


def _kept(one: Kept) -> KeptShown:
    same = ("signal", "days", "rows", "oldest", "next", "due")
    return KeptShown(**{"class": one.kind} | {key: getattr(one, key) for key in same})


def _shown(rule: Rule, signals: list[str]) -> RuleShown:
    shown = {"class": rule.kind, "paths": list(rule.paths), "purposes": list(rule.purposes)}
    same = ("keep", "exactness", "cell", "time_s", "pseudonym", "days", "why")
    return RuleShown(**shown, **{key: getattr(rule, key) for key in same}, signals=signals)  # type: ignore[arg-type]
