"""Signing in and out, and what one changes about oneself."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, Held, allowed
from carcloud.api.door import set_cookie
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time
from carcloud.safety.grants.desk import held_by
from carcloud.safety.people import passwords
from carcloud.safety.people.accounts import SESSION_LASTS, SignedIn

LIMIT_SECRET = 4 * passwords.MOST

Password = Annotated[str, Field(max_length=LIMIT_SECRET)]
Code = Annotated[str, Field(max_length=32, description="Six digits, as the authenticator app shows them now")]


class SignIn(BaseModel):
    """Who wants to come in, and what proves it."""

    login: Annotated[str, Field(max_length=256)]
    password: Password
    code: Code = ""


class Brand(BaseModel):
    """How a tenant's console looks; empty: as it does for all. `colour` is #rrggbb, `logo` a few letters."""

    title: str = ""
    colour: str = ""
    logo: str = ""


class Self(BaseModel):
    """Who calls, and what they may do. A token has no login, password or end of session."""

    id: str = Field(description="`person:…` or `token:…`, as the audit log names who acted")
    name: str
    login: str | None = None
    roles: list[str]
    tenant: str
    mfa: bool = Field(description="Whether a second factor was shown when signing in")
    password: bool = Field(default=False, description="Whether the person has set a password")
    second_factor: bool = Field(default=False, description="Whether the person has a second factor")
    external: str | None = Field(default=None, description="Who vouches for the person, where it is not this zone")
    signed_in_at: Time | None = None
    ends_at: Time | None = None
    brand: Brand = Field(description="How the console of the caller's tenant looks")
    may: list[str] = Field(description="The acts that the caller may do now")
    may_with_factor: list[str] = Field(description="The acts that a second factor would open besides")


class NewPassword(BaseModel):
    """The password as it is and as it shall be; `present` is empty where there is none yet."""

    present: Password = ""
    new: Password


class BeginFactor(BaseModel):
    """The password, before a second factor is set up."""

    password: Password


class Factor(BaseModel):
    """A second factor to put into an authenticator app; it takes effect with its first code."""

    secret: str
    address: str = Field(description="otpauth:// address, for a QR code")


class Confirm(BaseModel):
    """The first code of a new second factor."""

    code: Code


class RemoveFactor(BaseModel):
    """Password and code, before the second factor is removed."""

    password: Password
    code: Code


routes = APIRouter(tags=["session"], responses=RESPONSES)


@routes.post("/v1/session")
async def sign_in(ports: Wired, request: Request, response: Response, given: SignIn) -> Self:
    """Sign in by login and password, and by code where the person has a second factor."""
    accounts, state = ports.reception.accounts, request.state
    held = await run_in_threadpool(
        accounts.sign_in, given.login, given.password, given.code, state.address, state.secret
    )
    return await _go_on(ports, request, response, held)


@routes.get("/v1/session")
async def myself(ports: Wired, request: Request, caller: Annotated[Caller, Depends(allowed("readSelf"))]) -> Self:
    """Tell who calls, and what they may do."""
    return await _shown(ports, caller, request.state.held)


@routes.delete("/v1/session", status_code=204, dependencies=[Depends(allowed("signOut"))])
async def sign_out(ports: Wired, request: Request, response: Response, held: Held) -> None:
    """Sign out: the session ends here, whoever else may hold its cookie."""
    await run_in_threadpool(ports.reception.accounts.sign_out, held)
    set_cookie(response, request.app.state.access, request.headers, None)


@routes.post("/v1/session/password", dependencies=[Depends(allowed("changeSelf"))])
async def set_password(ports: Wired, request: Request, response: Response, held: Held, given: NewPassword) -> Self:
    """Set one's password; all other sessions end."""
    own = ports.reception.own
    changed = await run_in_threadpool(own.set_password, held, given.present, given.new, request.state.address)
    return await _go_on(ports, request, response, changed)


@routes.post("/v1/session/factor", dependencies=[Depends(allowed("changeSelf"))])
async def begin_factor(ports: Wired, request: Request, held: Held, given: BeginFactor) -> Factor:
    """Begin a second factor; it takes effect when its first code is confirmed."""
    own = ports.reception.own
    made = await run_in_threadpool(own.begin_factor, held, given.password, request.state.address, ports.zone)
    return Factor(secret=made[0], address=made[1])


@routes.post("/v1/session/factor/confirm", dependencies=[Depends(allowed("changeSelf"))])
async def confirm_factor(ports: Wired, request: Request, response: Response, held: Held, given: Confirm) -> Self:
    """Let a second factor take effect; all other sessions end, and this one has shown it."""
    own = ports.reception.own
    changed = await run_in_threadpool(own.confirm_factor, held, given.code, request.state.address)
    return await _go_on(ports, request, response, changed)


@routes.post("/v1/session/factor/remove", dependencies=[Depends(allowed("changeSelf"))])
async def remove_factor(ports: Wired, request: Request, response: Response, held: Held, given: RemoveFactor) -> Self:
    """Remove one's second factor; all other sessions end."""
    own = ports.reception.own
    changed = await run_in_threadpool(own.remove_factor, held, given.password, given.code, request.state.address)
    return await _go_on(ports, request, response, changed)


async def _go_on(ports: Ports, request: Request, response: Response, held: SignedIn) -> Self:
    """Give the browser its new session."""
    set_cookie(response, request.app.state.access, request.headers, held)
    return await _shown(ports, held.caller, held)


async def _shown(ports: Ports, caller: Caller, held: SignedIn | None) -> Self:
    policy = ports.reception.policy
    granted = bool(await run_in_threadpool(held_by, ports.records, ports.ground, caller))
    may = policy.may(caller, granted=granted)
    more = [action for action in policy.may(caller, mfa=True, granted=granted) if action not in may]
    tenant = ports.records.tenants.find(caller.tenant)
    began: datetime | None = held.session.made_at if held else None
    return Self(
        id=caller.id,
        name=caller.name,
        login=held.person.login if held else None,
        roles=sorted(caller.roles),
        tenant=caller.tenant,
        mfa=caller.mfa,
        password=held is not None and held.person.password is not None,
        second_factor=held is not None and held.person.factor is not None,
        external=held.person.issuer if held else None,
        signed_in_at=began,
        ends_at=began and began + SESSION_LASTS,
        brand=Brand(title=tenant.title, colour=tenant.colour, logo=tenant.logo) if tenant else Brand(),
        may=may,
        may_with_factor=more if held else [],
    )
