"""A witness's HTTP: `POST /add-checkpoint`, and nothing else.

Source: c2sp.org/tlog-witness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from carcloud.errors import TryLaterError
from carcloud.safety.audit.witness import LIMIT_REQUEST_BYTES, Answer, Witness

BODY_TIMEOUT_S = 10.0
PATH = "/add-checkpoint"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def witness_app(witness: Witness) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Return the ASGI application of a witness."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        answer = await _answered(witness, scope, receive)
        body = answer.body.encode()
        headers = [(b"content-type", answer.type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _answered(witness: Witness, scope: Message, receive: Receive) -> Answer:
    if scope["type"] != "http" or scope["path"] != PATH:
        return Answer(404, f"Only {PATH} is here.\n")
    if scope["method"] != "POST":
        return Answer(405, "Only POST is taken.\n")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _body(receive)
    except TimeoutError:
        return Answer(408, "The request did not arrive in time.\n")
    if body is None:
        return Answer(413, f"A request has at most {LIMIT_REQUEST_BYTES} bytes.\n")
    try:
        return await asyncio.to_thread(witness.answer, body)
    except TryLaterError as error:
        return Answer(503, f"{error.message}\n")


async def _body(receive: Receive) -> bytes | None:
    """Return the request's body; None where it is too long, or its sender has left."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LIMIT_REQUEST_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)
