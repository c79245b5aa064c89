"""The door: which requests may come in at all, and what every answer carries.

- Host must be one of ours, so that a foreign page cannot reach a loopback server under its own name (DNS rebinding).
- `/v1` needs the token, as `Authorization: Bearer` or as the cookie that `GET /?token=…` sets.
- A cookie that changes or asks something by POST must come from our own pages (Origin), beside SameSite=Strict.
- Every route of `/v1` says by `allowed` which act it is; only who may do that act gets an answer.
- A body is at most 1 MB, whatever Content-Length says, and comes within 10 s.
"""

import asyncio
import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carcloud.api.errors import error_response
from carcloud.api.ports import Access
from carcloud.errors import CarcloudError, InputError, NotAllowedError
from carcloud.safety.people.caller import Caller

__all__ = ["Allowed", "Caller", "Door", "allowed"]

BODY_TIMEOUT_S = 10.0
LIMIT_BODY_BYTES = 1_000_000
READING = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; style-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class TooLargeError(InputError):
    """The body is larger than the API takes."""

    status = 413


class StrangerError(NotAllowedError):
    """The token is missing or wrong."""

    status = 401


class Allowed:
    """A dependency that lets a request through to its route, or refuses it, by the act it asks for."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Caller:
        """Return who calls, where they may do this act."""
        caller: Caller = request.state.caller
        return caller


def allowed(action: str) -> Allowed:
    """Return the dependency of a route that does this act, a word of the policies: `Depends(allowed("readTwin"))`."""
    return Allowed(action)


class Door:
    """ASGI middleware that lets in who may come in."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._machine = Caller("token:machine", "the zone's own token", frozenset({"operator"}), access.tenant)
        self.cookie = f"carcloud_{hashlib.sha256(access.token.encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_security_headers(send)
        try:
            response = self._answer(scope)
        except CarcloudError as error:
            response = error_response(error)
        if response is not None:
            await response(scope, receive, send)
            return
        await self._app(scope, _limited(receive), send)

    def _answer(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LIMIT_BODY_BYTES:
            raise TooLargeError(f"The body is larger than {LIMIT_BODY_BYTES} bytes.", "Send less at once.")
        if scope["path"] == "/" and b"token=" in scope["query_string"]:
            return self._welcome(scope)
        if scope["path"] == "/v1" or scope["path"].startswith("/v1/"):
            self._check_token(scope["method"], headers)
            scope.setdefault("state", {})["caller"] = self._machine
        return None

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in self._access.hosts:
            raise NotAllowedError(
                "The API does not answer to this host name.", "Use the address that `carcloud up` printed."
            )

    def _check_token(self, method: str, headers: Headers) -> None:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._fits(bearer.strip()):
            return
        if not self._fits(_cookie(headers.get("cookie", ""), self.cookie)):
            raise StrangerError(
                "The token is missing or wrong.",
                "Open the address that `carcloud up` printed, or send `Authorization: Bearer TOKEN`.",
            )
        if method not in READING and headers.get("origin", "").partition("://")[2] != headers.get("host"):
            raise NotAllowedError("This request comes from another site.", "Send it from the console itself.")

    def _fits(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._access.token.encode())

    def _welcome(self, scope: Scope) -> Response:
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if not self._fits(dict(query).get("token", "")):
            raise StrangerError("The token in the address is wrong.", "Open the address that `carcloud up` printed.")
        rest = urlencode([(key, value) for key, value in query if key != "token"])
        response = RedirectResponse(f"/?{rest}" if rest else "/", 303)
        response.headers["cache-control"] = "no-store"
        response.set_cookie(self.cookie, self._access.token, httponly=True, samesite="strict", path="/")
        return response


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _limited(receive: Receive) -> Receive:
    """Let a body be short and come soon; what is received after it may take its time."""
    taken, whole, end = 0, False, asyncio.get_running_loop().time() + BODY_TIMEOUT_S

    async def read() -> Message:
        nonlocal taken, whole
        try:
            async with asyncio.timeout_at(None if whole else end):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        whole = not message.get("more_body", False)
        taken += len(message.get("body", b""))
        if taken > LIMIT_BODY_BYTES:
            raise HTTPException(413)
        return message

    return read


def _with_security_headers(send: Send) -> Send:
    async def write(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if "cache-control" not in headers:
                headers["cache-control"] = "no-store"
        await send(message)

    return write
