"""Tokens: how programs come in."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from carcloud.api.approvals import Who, who
from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time
from carcloud.backends.records import ApiToken
from carcloud.errors import MissingError
from carcloud.safety.people.caller import ROLES
from carcloud.safety.people.policy import zone_of
from carcloud.safety.people.register import LIMIT_NAME, TOKEN_DAYS

Maker = Annotated[Caller, Depends(allowed("makeToken"))]


class Token(BaseModel):
    """A program's right to come in, without its secret."""

    id: str
    name: str
    roles: list[str]
    made_by: Who | None = Field(description="Whose right it is a part of; null where the zone's machine made it")
    made_at: Time
    ends_at: Time
    revoked_at: Time | None


class Tokens(BaseModel):
    """The newest first."""

    tokens: list[Token]


class NewToken(BaseModel):
    """A token to make: some of one's own roles, for some days."""

    name: Annotated[str, Field(max_length=LIMIT_NAME)]
    roles: Annotated[list[str], Field(max_length=len(ROLES))]
    days: Annotated[int, Field(ge=TOKEN_DAYS[0], le=TOKEN_DAYS[1])] = 90


class MadeToken(BaseModel):
    """A token with its secret, which is shown this once."""

    token: Token
    secret: str


routes = APIRouter(tags=["people"], responses=RESPONSES)


@routes.get("/v1/tokens")
def tokens(ports: Wired, caller: Maker) -> Tokens:
    """List one's own tokens; who may change people sees those of everybody."""
    mine = None if _sees_all(ports, caller) else caller.id.partition(":")[2]
    return Tokens(tokens=[_shown(ports, token) for token in ports.records.passes.tokens(caller.tenant, mine)])


@routes.post("/v1/tokens", status_code=201)
def make(ports: Wired, caller: Maker, given: NewToken) -> MadeToken:
    """Make a token with some of one's own roles."""
    token, secret = ports.reception.register.make_token(caller, given.name, given.roles, given.days, caller.tenant)
    return MadeToken(token=_shown(ports, token), secret=secret)


@routes.delete("/v1/tokens/{token}", status_code=204)
def revoke(ports: Wired, caller: Maker, token: str) -> None:
    """End a token: one's own, or any where one may change people."""
    if f"person:{ports.records.passes.token_by_id(token).person}" != caller.id and not _sees_all(ports, caller):
        raise MissingError(f"No token {token!r}.", "List them with `carcloud token list`.")
    ports.reception.register.revoke_token(caller, token, caller.tenant)


def _sees_all(ports: Ports, caller: Caller) -> bool:
    return ports.reception.policy.allows(caller, "changePeople", zone_of(caller.tenant))


def _shown(ports: Ports, token: ApiToken) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        roles=sorted(token.roles),
        made_by=who(ports, f"person:{token.person}") if token.person else None,
        made_at=token.made_at,
        ends_at=token.ends_at,
        revoked_at=token.revoked_at,
    )
