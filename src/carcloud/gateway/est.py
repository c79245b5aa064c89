"""Certificates over HTTPS: /v1/est/enroll at the claims' door, /v1/est/renew at the second door.

Rules:
* A car that joins has no certificate yet, so the claims' door is a listener of its own, with this one route. The second
  door goes on to end every connection without a certificate in the handshake, before any code of ours reads a byte.
* A body is PKCS#10 (PEM, DER, or DER in base64), at most 4 KiB, and comes within 10 s; an address has few connections.
* The answer is JSON: what the car's folder of credentials holds, but for its key, which it made itself.

Source: RFC 7030 §4.2 for the acts; docs/identity.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from carcloud.gateway.desk import Desk
from carcloud.gateway.gate import Gate
from carcloud.gateway.https import ERROR_HANDLERS, CertificateProtocol, certificate_of, read_body
from carcloud.safety.request import LIMIT_REQUEST_BYTES

ENROLL, RENEW = "/v1/est/enroll", "/v1/est/renew"
NETWORK_BITS_V6 = 64


class AddressProtocol(CertificateProtocol):
    """HTTP at the claims' door: connections are bounded by address, since nobody has a certificate."""

    def _whose(self, transport: asyncio.Transport) -> Any:
        peer = transport.get_extra_info("peername")
        return network_of(peer[0] if peer else "")


def claims_door(desk: Desk) -> Starlette:
    """Return the app of the claims' door; serve it with `AddressProtocol`, without asking for certificates."""

    async def enroll(request: Request) -> Response:
        body = await read_body(request, LIMIT_REQUEST_BYTES)
        address = network_of(request.client.host if request.client else "")
        return _given(await asyncio.to_thread(desk.enrol, body, address))

    return Starlette(routes=[Route(ENROLL, enroll, methods=["POST"])], exception_handlers=ERROR_HANDLERS)


def renewal(gate: Gate, desk: Desk) -> Route:
    """Return the route of the second door by which a car renews its certificate."""

    async def renew(request: Request) -> Response:
        certificate = certificate_of(request)
        identity = await asyncio.to_thread(gate.admit, certificate)
        body = await read_body(request, LIMIT_REQUEST_BYTES)
        return _given(await asyncio.to_thread(desk.renew, body, certificate, identity))

    return Route(RENEW, renew, methods=["POST"])


def network_of(address: str) -> str:
    """Return the address, or of IPv6 the network, that one caller counts as."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network(f"{found}/{NETWORK_BITS_V6}", strict=False))
    return address


def _given(body: dict[str, Any]) -> Response:
    return JSONResponse(body, 201, {"cache-control": "no-store"})
