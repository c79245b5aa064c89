"""The door: which requests may come in at all, and what every answer carries.

- Host must be one of ours, so that a foreign page cannot reach a loopback server under its own name (DNS rebinding).
- `/v1` needs a token, as `Authorization: Bearer`, or a session, as the cookie that signing in sets; only signing in
  itself needs neither. `GET /?link=…` signs in by a one-time link. A token in an address is refused.
- A WebSocket may be opened by who is not known yet, for the VISS door only: there each request can say who asks.
- What a browser sends by POST, PUT, PATCH or DELETE, and a WebSocket that it opens, must come from our own pages
  (Origin), beside SameSite=Strict.
- A body is at most 1 MB, whatever Content-Length says, and comes within 10 s; a part of a recording is at most 8 MiB
  and comes within 120 s.
"""

import asyncio
import hashlib
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from carcloud.api.bearers import Bearers
from carcloud.api.errors import VISS, answer_of
from carcloud.api.lasting import ending
from carcloud.api.ports import Access
from carcloud.api.recordings import PART_PATH, PART_TIMEOUT_S
from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError
from carcloud.research.manifest import PART_BYTES
from carcloud.safety.people.accounts import SESSION_LASTS, Accounts, SignedIn, StrangerError
from carcloud.safety.people.caller import Caller

BODY_TIMEOUT_S = 10.0
LIMIT_BODY_BYTES = 1_000_000
READING = frozenset({"GET", "HEAD", "OPTIONS"})
FOR_STRANGERS = frozenset(
    {
        ("POST", "/v1/session"),
        ("GET", "/v1/session/ways"),
        ("GET", "/v1/session/oidc"),
        ("GET", "/v1/session/oidc/answer"),
    }
)
"""What one calls to become known, and so before one is."""
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


class Door:
    """ASGI middleware that lets in who may come in, and says in `request.state` who that is."""

    def __init__(self, app: ASGIApp, access: Access, accounts: Accounts) -> None:
        self._app, self._access, self._accounts = app, access, accounts
        self._bearers = Bearers(access, accounts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_security_headers(send)
        try:
            response = await self._answer(scope)
        except CarcloudError as error:
            response = answer_of(scope["path"], error)
        if response is not None:
            await response(scope, receive, send)
            return
        receive = _limited(receive, *_bounds(scope))
        caller = scope.get("state", {}).get("caller")
        if caller not in (None, self._bearers.machine) and scope["method"] in READING:
            receive, send = ending(receive, send, lambda: self._still(scope, caller))
        await self._app(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a WebSocket in that is for a door of ours; who calls may be said later, by each request."""
        headers, socket = Headers(scope=scope), WebSocket(scope, receive, send)
        try:
            self._check_host(headers)
            _check_origin(headers, known=False)
            if not VISS.fullmatch(scope["path"]):
                raise MissingError("Nothing is at this address.", "See docs/doors.md for what there is.")
            state = scope.setdefault("state", {})
            state["secret"] = secret = _cookie(headers.get("cookie", ""), cookie_name(self._access))
            if secret and not headers.get("origin"):
                raise NotAllowedError("A browser says where it comes from.", "Send Origin, or a token.")
            state["caller"], _ = caller, _ = await self._who(headers, secret)
            if caller is None and "authorization" in headers:
                raise StrangerError("The access token is invalid.", "Connect with a valid one.")
            state["still"], state["by_token"] = lambda: self._still(scope, caller), self._bearers.caller
        except CarcloudError as error:
            await socket.send_denial_response(answer_of(scope["path"], error))
            return
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        length = headers.get("content-length", "0")
        limit_bytes, _ = _bounds(scope)
        if not length.isdecimal() or int(length) > limit_bytes:
            raise TooLargeError(f"The body is larger than {limit_bytes} bytes.", "Send less at once.")
        if scope["path"] == "/" and scope["query_string"]:
            return await self._welcome(scope, headers)
        if scope["path"] == "/v1" or scope["path"].startswith("/v1/"):
            await self._identify(scope, headers)
        return None

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in self._access.hosts:
            raise NotAllowedError(
                "The API does not answer to this host name.", "Use the address that `carcloud up` printed."
            )

    async def _identify(self, scope: Scope, headers: Headers) -> None:
        """Say in the request's state who calls; raise StrangerError where nobody known does."""
        state = scope.setdefault("state", {})
        state["address"] = scope["client"][0] if scope.get("client") else ""
        state["secret"] = secret = _cookie(headers.get("cookie", ""), cookie_name(self._access))
        state["caller"], state["held"] = caller, _ = await self._who(headers, secret)
        state["still"] = lambda: self._still(scope, caller)
        scheme = headers.get("authorization", "").partition(" ")[0]
        known = state["caller"] is not None
        if not known and VISS.fullmatch(scope["path"]):
            told = "Access token is invalid." if "authorization" in headers else "Access token is missing."
            raise StrangerError(told, "Send `Authorization: Bearer TOKEN` with a valid one.")
        if not known and (scope["method"], scope["path"]) not in FOR_STRANGERS:
            raise StrangerError(
                "You are not signed in, or the token is wrong.",
                "Sign in, open a link that `carcloud link` prints, or send `Authorization: Bearer TOKEN`.",
            )
        if scheme.lower() != "bearer" and scope["method"] not in READING:
            _check_origin(headers, known=bool(secret))

    async def _who(self, headers: Headers, secret: str) -> tuple[Caller | None, SignedIn | None]:
        """Return who calls, and their session where it is a person."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self._bearers.caller(bearer.strip()), None
        held = await run_in_threadpool(self._accounts.by_session, secret) if secret else None
        return (held.caller if held else None), held

    async def _still(self, scope: Scope, caller: Caller | None) -> bool:
        """Tell whether who called is still let in, and still the same."""
        return (await self._who(Headers(scope=scope), scope["state"]["secret"]))[0] == caller

    async def _welcome(self, scope: Scope, headers: Headers) -> Response | None:
        """Sign in by a one-time link, and take it out of the address."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = dict(query)
        if "token" in given:
            raise StrangerError("A token in an address is not taken.", "Open a link that `carcloud link` prints.")
        if "link" not in given or scope["method"] != "GET":
            return None
        old = _cookie(headers.get("cookie", ""), cookie_name(self._access))
        address = scope["client"][0] if scope.get("client") else ""
        signed_in = await run_in_threadpool(self._accounts.sign_in_by_link, given["link"], address, old)
        rest = urlencode([(key, value) for key, value in query if key != "link"])
        response = RedirectResponse(f"/?{rest}" if rest else "/", 303)
        response.headers["cache-control"] = "no-store"
        set_cookie(response, self._access, headers, signed_in)
        return response


def cookie_name(access: Access) -> str:
    """Return the name of the session's cookie; each zone on a machine has its own."""
    return f"carcloud_{hashlib.sha256(access.token.encode()).hexdigest()[:8]}"


def set_cookie(response: Response, access: Access, headers: Headers, signed_in: SignedIn | None) -> None:
    """Give the browser its session, or take it away."""
    response.set_cookie(
        cookie_name(access),
        signed_in.secret if signed_in else "",
        max_age=int(SESSION_LASTS.total_seconds()) if signed_in else 0,
        httponly=True,
        samesite="strict",
        secure=is_https(headers),
        path="/",
    )


def is_https(headers: Headers) -> bool:
    """Tell whether the browser came by TLS, through a proxy that ended it."""
    return headers.get("x-forwarded-proto", "").lower() == "https"


def _check_origin(headers: Headers, *, known: bool) -> None:
    """Refuse what another site sends; a program that is no browser sends neither cookie nor Origin."""
    origin = headers.get("origin", "")
    if (known or origin) and origin.partition("://")[2] != headers.get("host"):
        raise NotAllowedError("This request comes from another site.", "Send it from the console itself.")


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _bounds(scope: Scope) -> tuple[int, float]:
    """Return how large the body of a request may be, bytes, and within how many seconds it comes."""
    if scope["method"] == "PUT" and PART_PATH.fullmatch(scope["path"]):
        return PART_BYTES, PART_TIMEOUT_S
    return LIMIT_BODY_BYTES, BODY_TIMEOUT_S


def _limited(receive: Receive, limit_bytes: int, limit_s: float) -> Receive:
    """Let a body be short and come soon; what is received after it may take its time."""
    taken, whole, end = 0, False, asyncio.get_running_loop().time() + limit_s

    async def read() -> Message:
        nonlocal taken, whole
        try:
            async with asyncio.timeout_at(None if whole else end):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        whole = not message.get("more_body", False)
        taken += len(message.get("body", b""))
        if taken > limit_bytes:
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
