"""The people of the zone, and what their roles allow."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from carcloud.api.approvals import Waits, waits
from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time, now
from carcloud.backends.records import Approval
from carcloud.backends.records import Person as Kept
from carcloud.safety.people.accounts import LINK_LASTS
from carcloud.safety.people.caller import ROLES
from carcloud.safety.people.register import LIMIT_NAME, Change

Changer = Annotated[Caller, Depends(allowed("changePeople"))]
Name = Annotated[str, Field(max_length=LIMIT_NAME)]
RoleNames = Annotated[list[str], Field(max_length=len(ROLES))]


class Person(BaseModel):
    """Somebody who uses the zone."""

    id: str
    login: str
    name: str
    roles: list[str]
    tenant: str
    state: Literal["active", "suspended"]
    created_at: Time
    password: bool = Field(description="Whether a password is set")
    second_factor: bool
    external: str | None = Field(description="Who vouches for the person, where it is not this zone")


class PeoplePage(BaseModel):
    """Everybody, in the order of their logins."""

    people: list[Person]


class NewPerson(BaseModel):
    """Somebody to add; they set their password when they open the link in the answer."""

    login: Annotated[str, Field(max_length=64)]
    name: Name
    roles: RoleNames


class Link(BaseModel):
    """A one-time link: whoever opens it is signed in as that person. It is shown this once."""

    path: str = Field(description="To be put behind the console's address")
    ends_at: Time


class Added(BaseModel):
    """A person who was added, and their first link."""

    person: Person
    link: Link


class PersonChange(BaseModel):
    """What to change; what is left out stays. `reset`: forget whatever lets them in, tokens too."""

    name: Name | None = None
    roles: RoleNames | None = None
    state: Literal["active", "suspended"] | None = None
    reset: bool = False


class Role(BaseModel):
    """A role: what it may do, and what besides with a second factor."""

    role: str
    may: list[str]
    may_with_factor: list[str]


class Roles(BaseModel):
    """The roles there are, as the policies in force have them."""

    roles: list[Role]


routes = APIRouter(tags=["people"], responses=RESPONSES)
WAITS: dict[int | str, dict[str, object]] = {
    202: {"model": Waits, "description": "Nothing was done yet: a second person has to approve it"}
}


@routes.get("/v1/people")
def people(ports: Wired, caller: Annotated[Caller, Depends(allowed("readPeople"))]) -> PeoplePage:
    """List everybody."""
    return PeoplePage(people=[shown(person) for person in ports.records.people.all(caller.tenant)])


@routes.get("/v1/roles", dependencies=[Depends(allowed("readPeople"))])
def roles(ports: Wired) -> Roles:
    """List the roles and what each may do; owners and partners, of what is granted to them."""
    policy, found = ports.reception.policy, []
    for role in ROLES:
        one = Caller("person:anyone", role, frozenset({role}), "default")
        may = policy.may(one, granted=True)
        more = [action for action in policy.may(one, mfa=True, granted=True) if action not in may]
        found.append(Role(role=role, may=may, may_with_factor=more))
    return Roles(roles=found)


@routes.post("/v1/people", status_code=201, responses=WAITS, response_model=Added | Waits)
def add(ports: Wired, caller: Changer, response: Response, given: NewPerson) -> Added | Waits:
    """Add a person."""
    made = ports.reception.register.add(caller, given.login, given.name, given.roles, caller.tenant)
    if isinstance(made, Approval):
        return waits(ports, caller, response, made)
    return Added(person=shown(made[0]), link=_link(made[1]))


@routes.patch("/v1/people/{person}", responses=WAITS, response_model=Person | Waits)
def change(ports: Wired, caller: Changer, response: Response, person: str, given: PersonChange) -> Person | Waits:
    """Change a person."""
    wanted = None if given.roles is None else frozenset(given.roles)
    done = ports.reception.register.change(caller, person, Change(given.name, wanted, given.state, given.reset))
    return waits(ports, caller, response, done) if isinstance(done, Approval) else shown(done)


@routes.post("/v1/people/{person}/link", responses=WAITS, response_model=Link | Waits)
def link(ports: Wired, caller: Changer, response: Response, person: str) -> Link | Waits:
    """Make a one-time link that lets a person in, such as one who forgot their password."""
    made = ports.reception.register.link(caller, person, LINK_LASTS)
    return waits(ports, caller, response, made) if isinstance(made, Approval) else _link(made)


def shown(person: Kept) -> Person:
    """Return a person as the API shows them."""
    return Person(
        id=person.id,
        login=person.login,
        name=person.name,
        roles=sorted(person.roles),
        tenant=person.tenant,
        state=person.state,
        created_at=person.created_at,
        password=person.password is not None,
        second_factor=person.factor is not None,
        external=person.issuer,
    )


def _link(secret: str) -> Link:
    return Link(path=f"/?link={secret}", ends_at=now() + LINK_LASTS)
