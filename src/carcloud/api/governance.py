"""What the zone keeps of what cars say, for what and on which legal basis; and what each car's person consented to."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time
from carcloud.backends.records import Consent, Records
from carcloud.errors import InputError
from carcloud.safety.governance.policy import Policy, Rule
from carcloud.stream import subjects


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
    why: str
    signals: list[str]


class Governance(BaseModel):
    """The governance in force. `dropped`: signals of the catalogue that no rule names."""

    name: str
    about: str
    hash: str
    purposes: list[PurposeShown]
    rules: list[RuleShown]
    dropped: list[str]
    text: str


class ConsentShown(BaseModel):
    """One version of a consent. `policy`: the hash of the governance it was given or withdrawn under."""

    purpose: str
    version: int
    given: bool
    at: Time
    actor: str
    policy: str


class ConsentState(BaseModel):
    """How a purpose stands with a car. `needed`: whether only consent makes it lawful."""

    purpose: str
    why: str
    basis: str
    needed: bool
    given: bool


class ConsentsOf(BaseModel):
    """A car's consents: how each purpose stands, and every change, the newest first."""

    vehicle: str
    standing: list[ConsentState]
    changes: list[ConsentShown]


class ConsentChange(BaseModel):
    """What a car's person wants."""

    purpose: Annotated[str, Field(max_length=64)]
    state: Literal["given", "withdrawn"]


routes = APIRouter(tags=["governance"], responses=RESPONSES)


@routes.get("/v1/governance", dependencies=[Depends(allowed("readGovernance"))])
async def governance(ports: Wired) -> Governance:
    """Show what is kept, for what, on which legal basis, and how exactly."""
    policy, catalogue = ports.governance(), ports.catalogue()
    standing = await run_in_threadpool(ports.records.consents.standing)
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


@routes.get("/v1/vehicles/{vehicle}/consents", dependencies=[Depends(allowed("readConsents"))])
def consents(ports: Wired, vehicle: str) -> ConsentsOf:
    """Show what a car's person consented to."""
    ports.records.vehicle(vehicle)
    return _consents(ports.records, ports.governance(), vehicle)


@routes.post("/v1/vehicles/{vehicle}/consents")
async def change_consent(
    ports: Wired, vehicle: str, change: ConsentChange, caller: Annotated[Caller, Depends(allowed("changeConsents"))]
) -> ConsentsOf:
    """Give or withdraw a consent; what is withdrawn is dropped from the stream at once."""
    policy = ports.governance()
    purpose = policy.purposes.get(change.purpose)
    if purpose is None or not purpose.needs_consent:
        needing = [name for name, known in policy.purposes.items() if known.needs_consent]
        do = f"Purposes that need one: {', '.join(needing)}." if needing else "No purpose of this zone needs one."
        raise InputError(f"{change.purpose[:64]!r} is no purpose that needs a consent.", do)
    await run_in_threadpool(ports.records.vehicle, vehicle)
    wanted = (vehicle, purpose.name, change.state == "given", caller.id, policy.hash)
    await run_in_threadpool(ports.records.consents.change, *wanted)
    await ports.notify(subjects.CONSENT, vehicle.encode())
    return await run_in_threadpool(_consents, ports.records, policy, vehicle)


def _consents(records: Records, policy: Policy, vehicle: str) -> ConsentsOf:
    given = records.consents.standing([vehicle]).get(vehicle, frozenset())
    states = [
        ConsentState(
            purpose=purpose.name,
            why=purpose.why,
            basis=purpose.basis,
            needed=purpose.needs_consent,
            given=purpose.name in given,
        )
        for purpose in policy.purposes.values()
    ]
    changes = [_version(consent) for consent in records.consents.of(vehicle)]
    return ConsentsOf(vehicle=vehicle, standing=states, changes=changes)


def _version(consent: Consent) -> ConsentShown:
    said = vars(consent).copy()
    del said["vehicle"]
    return ConsentShown(**said)


def _shown(rule: Rule, signals: list[str]) -> RuleShown:
    shown = {"class": rule.kind, "paths": list(rule.paths), "purposes": list(rule.purposes)}
    return RuleShown(**shown, keep=rule.keep, exactness=rule.exactness, why=rule.why, signals=signals)  # type: ignore[arg-type]
