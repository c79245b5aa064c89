"""Signing in by an OpenID Connect provider. A browser is led there and back."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse

from carcloud.api.door import cookie_name, is_https, set_cookie
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.errors import MissingError
from carcloud.safety.people.oidc import LASTS, Oidc

HERE = "/v1/session/oidc"
ANSWER = f"{HERE}/answer"
LIMIT_PARAMETER = 4096


class Ways(BaseModel):
    """The ways to sign in that this zone offers."""

    password: bool = True
    oidc: str | None = Field(description="The issuer, where one is set up; then begin at /v1/session/oidc")


routes = APIRouter(tags=["session"], responses=RESPONSES)


@routes.get("/v1/session/ways")
async def ways(ports: Wired) -> Ways:
    """Tell how one may sign in here."""
    oidc = ports.reception.oidc
    return Ways(oidc=oidc.issuer if oidc else None)


@routes.get(HERE, status_code=303, response_class=RedirectResponse)
async def begin(ports: Wired, request: Request) -> RedirectResponse:
    """Lead the browser to the provider."""
    scheme = "https" if is_https(request.headers) else "http"
    redirect = f"{scheme}://{request.headers['host']}{ANSWER}"
    where, binding = await run_in_threadpool(_oidc(ports).begin, redirect)
    response = RedirectResponse(where, 303)
    response.set_cookie(
        _cookie(request),
        binding,
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="lax",  # it comes back with an answer that another site sends the browser with
        secure=scheme == "https",
        path=HERE,
    )
    return response


@routes.get(ANSWER, status_code=303, response_class=RedirectResponse)
async def answer(ports: Wired, request: Request) -> RedirectResponse:
    """Take the provider's answer, and sign in."""
    given = {name: value[:LIMIT_PARAMETER] for name, value in request.query_params.items()}
    binding = request.cookies.get(_cookie(request), "")
    signed_in = await run_in_threadpool(_oidc(ports).finish, given, binding, request.state.secret)
    response = RedirectResponse("/", 303)
    response.delete_cookie(_cookie(request), path=HERE)
    set_cookie(response, request.app.state.access, request.headers, signed_in)
    return response


def _oidc(ports: Ports) -> Oidc:
    if ports.reception.oidc is None:
        raise MissingError("This zone knows no provider.", "Sign in by password or link.")
    return ports.reception.oidc


def _cookie(request: Request) -> str:
    return f"{cookie_name(request.app.state.access)}_oidc"
