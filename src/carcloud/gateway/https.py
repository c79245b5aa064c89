"""The second door: POST /v1/vehicles/{id}/batches over mutual TLS, for cars and people without MQTT.

Rules:
* The same gate as the first door, asked at every request; a car's path is its own.
* A body is taken as it is into the same stream, and meets the same guards; the door only bounds its size and reads
  its number, to wait for its ack.
* 200 with the ack means durable; 202 means taken, not yet known to be durable: send it again until it is.

Source: docs/wire.md.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from carcloud.backends.http import PromptHttp
from carcloud.errors import (
    CarcloudError,
    ConflictError,
    InputError,
    MissingError,
    NotAllowedError,
    TryLaterError,
)
from carcloud.gateway.gate import Gate
from carcloud.safety.identity import Identity, Trust
from carcloud.vehicle.batch import HEADER, LIMIT_PAYLOAD_BYTES, MAGIC, BatchError, decode_json

Publish = Callable[[str, bytes], Awaitable[None]]
"""`publish(subject, payload)`: returns when RAW holds it; raises TryLaterError when RAW is full or away."""

WaitAck = Callable[[str, str, int, int, float], Awaitable[dict[str, Any] | None]]
"""`wait_ack(tenant, vehicle, queue, number, timeout_s)`: the first ack that covers this number, or None.
It is started before the batch is published, so that no ack is missed."""

TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
ACK_TIMEOUT_S = 5.0
BODY_TIMEOUT_S = 10.0
LIMIT_CONNECTIONS_A_CAR = 16
EVENT_TYPE = "application/vnd.carcloud.event+json"
BATCH_TYPES = ("application/vnd.carcloud.batch", "application/octet-stream", "application/json")

_STATUS = ((InputError, 400), (NotAllowedError, 403), (MissingError, 404), (ConflictError, 409), (TryLaterError, 503))


class CertificateProtocol(PromptHttp):
    """HTTP for uvicorn that hands the client's certificate, DER, to the app as `request.state.certificate`.

    One certificate opens few connections: no car can take the places of all.
    """

    _open: ClassVar[Counter[Any]] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the car's connections."""
        super().connection_made(transport)
        channel = transport.get_extra_info("ssl_object")
        self._certificate = channel.getpeercert(True) if channel is not None else None
        self._guest = self._whose(transport)
        self._open[self._guest] += 1
        if self._open[self._guest] > LIMIT_CONNECTIONS_A_CAR:
            transport.abort()

    def _whose(self, transport: asyncio.Transport) -> Any:
        """Return what connections are counted by."""
        return self._certificate

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._open[self._guest] -= 1
        if not self._open[self._guest]:
            del self._open[self._guest]
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Open the request's scope, with the certificate in it."""
        super().on_message_begin()
        self.scope["state"]["certificate"] = self._certificate


def ssl_context(trust: Trust, oldest: str, *, ask: bool = True) -> ssl.SSLContext:
    """Return a door's TLS.

    Args:
        oldest: the oldest TLS that is spoken, "1.2" or "1.3".
        ask: let no one in without a certificate from the zone's vehicle authority; else ask nobody for one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS_VERSIONS[oldest]
    context.load_cert_chain(trust.certificate, trust.key)
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(trust.vehicles)
    return context


def second_door(gate: Gate, publish: Publish, wait_ack: WaitAck, more: Sequence[Route] = ()) -> Starlette:
    """Return the app; serve it with `CertificateProtocol` and `ssl_context`. `more`: routes beside that of batches."""
    door = _Door(gate, publish, wait_ack)
    batches = Route("/v1/vehicles/{id}/batches", door.post, methods=["POST"])
    return Starlette(routes=[batches, *more], exception_handlers=ERROR_HANDLERS)


def certificate_of(request: Request) -> bytes:
    """Return the certificate, DER, of whoever sent a request; raise NotAllowedError where there is none."""
    certificate: bytes | None = getattr(request.state, "certificate", None)
    if certificate is None:
        raise NotAllowedError("This door needs a certificate.", "Use the one `carcloud enrol` wrote.")
    return certificate


class _Door:
    def __init__(self, gate: Gate, publish: Publish, wait_ack: WaitAck) -> None:
        self._gate, self._publish, self._wait_ack = gate, publish, wait_ack

    async def post(self, request: Request) -> Response:
        identity = await self._identify(request)
        kind = _kind(request)
        payload = await read_body(request, LIMIT_PAYLOAD_BYTES)
        subject = f"cc.1.{identity.tenant}.{identity.vehicle}.up.{kind}"
        queue, number = _number(payload) if kind == "batch" else (0, 0)
        if not number:
            await self._publish(subject, payload)
            return JSONResponse({}, 202)
        ack = await self._publish_and_wait(subject, payload, identity, queue, number)
        return JSONResponse({"ack": ack}) if ack is not None else JSONResponse({}, 202)

    async def _identify(self, request: Request) -> Identity:
        identity = await asyncio.to_thread(self._gate.admit, certificate_of(request))
        if request.path_params["id"] != identity.vehicle:
            raise NotAllowedError("The path names another vehicle than the certificate.", "Send to your own path.")
        return identity

    async def _publish_and_wait(
        self, subject: str, payload: bytes, identity: Identity, queue: int, number: int
    ) -> dict[str, Any] | None:
        wanted = self._wait_ack(identity.tenant, identity.vehicle, queue, number, ACK_TIMEOUT_S)
        waiting = asyncio.ensure_future(wanted)
        await asyncio.sleep(0)  # it listens before the batch is on its way
        try:
            await self._publish(subject, payload)
            return await waiting
        finally:
            waiting.cancel()


def _kind(request: Request) -> str:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == EVENT_TYPE:
        return "event"
    if content_type in BATCH_TYPES:
        return "batch"
    raise HTTPException(
        415,
        f"Content type {content_type[:80]!r} is not taken. Use one of: " + ", ".join((*BATCH_TYPES, EVENT_TYPE)) + ".",
    )


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read a request's body, never more of it than it may have."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > limit_bytes:
                    raise HTTPException(413, f"A body here has at most {limit_bytes} bytes. Send less at once.")
                parts.append(part)
    except ClientDisconnect:
        raise HTTPException(400, "The body was cut short. Send it again.") from None
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s. Send it again.") from None
    return b"".join(parts)


def _number(payload: bytes) -> tuple[int, int]:
    """Return the batch's queue and number, or zeros where it has none; whether it is sound, the guards decide."""
    if payload[:4] == MAGIC and len(payload) >= HEADER.size:
        queue, number = HEADER.unpack_from(payload)[5:7]
        return queue, number
    try:
        batch = decode_json(payload)
    except BatchError as error:
        return error.queue, error.number
    return batch.queue, batch.number


def _error(status: int, code: str, message: str, do: str = "") -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "do": do}}, status)


def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, CarcloudError)
    family = next((status for family, status in _STATUS if isinstance(error, family)), 500)
    status = getattr(error, "status", family)
    return _error(status, error.code, error.message, error.do)


def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "missing" if error.status_code == 404 else "input"
    message, _separator, do = error.detail.partition(". ")
    return _error(error.status_code, code, message.rstrip(".") + ".", do)


def _on_failure(_: Request, error: Exception) -> Response:
    return _error(500, "error", "The door failed.", "Send it again; if it stays so, tell the zone's operator.")


ERROR_HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    CarcloudError: _on_error,
    HTTPException: _on_http_error,
    Exception: _on_failure,
}
"""Every error in the one JSON shape, at every door for cars."""
