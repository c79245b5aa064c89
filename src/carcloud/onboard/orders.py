"""The car's side of orders: it believes a role's certificate, its own clock, its own state, and nothing else.

Rules:
* An order is taken only in a session of this boot (the epoch), once (the counter), within its time by the car's own
  clock, for this car, from a role that may order it, and only where the car's own state does not forbid it.
* It is carried out once at most: the journal is flushed before, and a repeated order is answered from it.
* An order to take a plan names its document. Where that is not here, nothing is noted, and the order can come again.
* The car's key for orders is made at each start and never leaves its memory; its certificate's key vouches for it.
* What cannot be proved to come from the order signer is answered without proof, and changes nothing.

Source: docs/orders.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from carcloud.errors import CarcloudError, InputError
from carcloud.onboard.credentials import Credentials
from carcloud.onboard.journal import Journal
from carcloud.onboard.plans import Plans
from carcloud.safety.keys import read_key
from carcloud.safety.orders.certificates import check_role, order_key_statement, roots_of
from carcloud.safety.orders.session import info_tag, open_order, point, seal_result, session_key, shared
from carcloud.vehicle.commands import COMMANDS, CarState, Command, Domain, Parameters, command_of, interlock
from carcloud.vehicle.order import (
    EPOCH_BYTES,
    Fault,
    OrderError,
    Refused,
    SessionInfo,
    SessionRequest,
    SignedOrder,
    canonical,
    read,
    read_canonical,
)

WINDOW = 64
LIMIT_UNTIL_S = 2 * 24 * 3600
"""No order says a time further away than this; else the journal would keep it for ever."""


class Body(Protocol):
    """What of the car can be ordered about."""

    def state(self) -> CarState:
        """Return the car's state now."""

    def carry_out(self, command: str, parameters: Parameters) -> None:
        """Do what is ordered, soon: batches wait meanwhile. Raise CarcloudError where it cannot be done."""


@dataclass
class Window:
    """The counters of a session: each is taken once, up to 64 behind the highest."""

    highest: int = 0
    _seen: int = 0

    def take(self, counter: int) -> bool:
        """Take a counter; False where it was taken before, or is too old."""
        if counter > self.highest:
            self._seen = (self._seen << min(counter - self.highest, WINDOW) | 1) & (1 << WINDOW) - 1
            self.highest = counter
            return True
        bit = 1 << self.highest - counter
        if self.highest - counter >= WINDOW or self._seen & bit or counter < 1:
            return False
        self._seen |= bit
        return True


@dataclass
class _Session:
    key: bytes
    window: Window = field(default_factory=Window)


def _passing() -> float:
    """Return seconds that only grow, while the car sleeps too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Orders:
    """Hears orders. One object is one boot of the car: its epoch, key, clock and counters begin with it."""

    def __init__(
        self,
        credentials: Path,
        journal: Journal,
        body: Body | None,
        clock: Callable[[], float] = time.time,
        passing: Callable[[], float] = _passing,
        plans: Plans | None = None,
    ) -> None:
        self.epoch = os.urandom(EPOCH_BYTES)
        self.refused = 0
        self._folder, self._journal, self._body, self._plans = credentials, journal, body, plans
        self._clock, self._passing, self._boot = clock, passing, passing()
        self._sessions: dict[tuple[int, str], _Session] = {}
        car = Credentials.read(credentials)
        self._vehicle, self._tenant = car.vehicle, car.tenant
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def clock_s(self) -> int:
        """Return the car's clock: seconds since it started."""
        return int(self._passing() - self._boot)

    def hear(self, message: bytes) -> Iterator[bytes]:
        """Yield the answers to a message, each to be sent before the next is asked for."""
        try:
            asked = read(message)
            if isinstance(asked, SessionRequest):
                yield self._open(asked).encode()
            elif isinstance(asked, SignedOrder):
                yield from self._take(asked)
            else:
                self.refused += 1
        except (OrderError, CarcloudError, OSError, ValueError):  # no message, or credentials or journal cannot be read
            self.refused += 1

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _open(self, asked: SessionRequest) -> SessionInfo | Refused:
        try:
            roots = roots_of((self._folder / "ca.pem").read_bytes())
            now = datetime.fromtimestamp(self._clock(), UTC)
            role_key = check_role(roots, asked.certificate, asked.authority, self._tenant, asked.role, now)
        except (OrderError, OSError, ValueError):
            return self._refuse(asked.domain, asked.role, asked.challenge, Fault.ROLE)
        key = session_key(shared(self._key, role_key), self._vehicle, asked.domain, asked.role)
        session = self._sessions.setdefault((asked.domain, asked.role), _Session(key))
        session.key = key  # the role's key may be new; the counters go on
        return self._info(asked, session)

    def _info(self, asked: SessionRequest, session: _Session) -> SessionInfo:
        own = point(self._key.public_key())
        chain = x509.load_pem_x509_certificates((self._folder / "vehicle.pem").read_bytes())
        certificate, authority = (one.public_bytes(serialization.Encoding.DER) for one in chain[:2])
        proof = _prove(_load_key(read_key(self._folder / "vehicle.key")), order_key_statement(self._vehicle, own))
        parts = (asked.domain, asked.role, asked.challenge, self.epoch, session.window.highest, self.clock_s, own)
        draft = SessionInfo(*parts, proof, certificate, authority, bytes(32))
        tag = info_tag(session.key, self._vehicle, asked.challenge, draft.signed)
        return SessionInfo(*parts, proof, certificate, authority, tag)

    def _take(self, asked: SignedOrder) -> Iterator[bytes]:
        session = self._sessions.get((asked.domain, asked.role))
        fault, body = self._check(asked, session)
        if body is not None and self._lacks_document(asked, body):
            fault, body = Fault.DOCUMENT, None
        if session is None or body is None:
            yield self._refuse(asked.domain, asked.role, asked.order, fault).encode()
            return
        for count, said in enumerate(self._do(asked, body), 1):
            yield seal_result(session.key, self._vehicle, asked, count, said).encode()

    def _check(self, asked: SignedOrder, session: _Session | None) -> tuple[Fault, bytes | None]:
        """Return the order's content, if it comes from the order signer, now, for the first time."""
        if session is None:
            return Fault.SESSION, None
        if asked.epoch != self.epoch:
            return Fault.EPOCH, None
        body = open_order(session.key, self._vehicle, asked)
        if body is None:
            return Fault.SEAL, None
        if self.clock_s > asked.expires_at:
            return Fault.EXPIRED, None
        if not session.window.take(asked.counter):
            return Fault.COUNTER, None
        return Fault.NONE, body

    def _lacks_document(self, asked: SignedOrder, body: bytes) -> bool:
        """Say whether this is a new order to take a plan whose document is not here."""
        if self._plans is None or self._journal.result(asked.order) is not None:
            return False
        try:
            _, command, parameters = _content(body)
        except (OrderError, InputError):
            return False
        return command.name == "plan-take" and not self._plans.knows(str(parameters["plan"]))

    def _do(self, asked: SignedOrder, body: bytes) -> Iterator[bytes]:
        """Yield what becomes of an order that is the order signer's."""
        if (known := self._journal.result(asked.order)) is not None:
            yield known
            return
        now = int(self._clock())
        try:
            until, command, parameters = _content(body)
        except (OrderError, InputError):
            until, command, parameters = now, None, {}
        if not self._journal.begin(asked.order, min(until, now + LIMIT_UNTIL_S), now):
            yield _said("rejected", "full")
            return
        reason = self._forbids(asked, command, parameters)
        if command is None or reason is not None:
            said = _said("rejected", reason or "malformed")
        else:
            yield _said("accepted")
            said = self._carry_out(command.name, parameters)
        self._journal.end(asked.order, said)
        yield said

    def _forbids(self, asked: SignedOrder, command: Command | None, parameters: Parameters) -> str | None:
        if command is None:
            return "malformed"
        if asked.role not in command.roles or asked.domain != command.domain:
            return "not_allowed"
        if command.domain is Domain.COLLECTION:
            return self._forbids_plan(command, str(parameters["plan"]))
        if self._body is None:
            return "unsupported"
        return interlock(command.name, parameters, self._body.state())

    def _forbids_plan(self, command: Command, digest: str) -> str | None:
        if self._plans is None:
            return "unsupported"
        return self._plans.forbids(digest) if command.name == "plan-take" else None

    def _carry_out(self, command: str, parameters: Parameters) -> bytes:
        try:
            if self._plans is not None and COMMANDS[command].domain is Domain.COLLECTION:
                act = self._plans.take if command == "plan-take" else self._plans.drop
                act(str(parameters["plan"]))
                return _said("done")
            assert self._body is not None
            self._body.carry_out(command, parameters)
        except CarcloudError:
            return _said("failed", "broken")
        return _said("done")

    def _refuse(self, domain: int, role: str, challenge: bytes, fault: Fault) -> Refused:
        self.refused += 1
        return Refused(domain, role, challenge, fault)


def _content(body: bytes) -> tuple[int, Command, Parameters]:
    found = read_canonical(body)
    until, parameters = found.get("expires_at"), found.get("parameters")
    if found.keys() != {"command", "expires_at", "parameters"} or not isinstance(until, int):
        raise OrderError("other fields than an order has")
    return until, command_of(found["command"], parameters), parameters or {}


def _said(state: str, reason: str | None = None) -> bytes:
    return canonical({"state": state} | ({"reason": reason} if reason else {}))


def _prove(key: ec.EllipticCurvePrivateKey, statement: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(statement, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError("The car's key is not of the curve P-256.", "Have the car enrolled anew.")
    return key
