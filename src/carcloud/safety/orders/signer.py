"""The order signer: signs what registered people have authorised, and nothing else, whoever asks.

Rules:
* An order is signed only under a registered key's signature, for a car, a role and a command that the key is
  registered for, within its time, and never after the car has said what became of it.
* Orders for more than ten cars within an hour need the signatures of two people over the same authorisation.
* A signed order lives a minute at most, by the car's own clock; it is signed anew when it is offered anew.
* The session with a car is believed only with the car's tag over a challenge made here, and renewed after an hour.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from carcloud.errors import InputError, MissingError, NotAllowedError
from carcloud.safety.orders.authorisation import PURPOSE, Authorisation, Signature, parse, signed
from carcloud.safety.orders.certificates import check_car_key
from carcloud.safety.orders.keys import OrderKeys
from carcloud.safety.orders.ledger import Finished, Ledger
from carcloud.safety.orders.people import People, PersonKey
from carcloud.safety.orders.session import (
    info_holds,
    open_result,
    public_key,
    seal_order,
    session_key,
    shared,
)
from carcloud.vehicle.commands import REASONS, ROLES, Domain
from carcloud.vehicle.order import (
    CHALLENGE_BYTES,
    U32_MAX,
    OrderError,
    Result,
    SessionInfo,
    SessionRequest,
    SignedOrder,
    canonical,
    read_canonical,
)

SIGNED_LIFE_S = 60
SESSION_LIFE_S = 3600.0
CHALLENGE_LIFE_S = 10.0
CLOCK_SLACK_S = 60
LIMIT_ALONE = 10
ALONE_S = 3600
LIMIT_SESSIONS = 100_000
LIMIT_CHALLENGES = 10_000
FINAL = ("rejected", "done", "failed")
SAID = ("accepted", *FINAL)

Place = tuple[str, int, str]
"""A session's place: vehicle, domain, role."""


@dataclass
class _Session:
    key: bytes
    epoch: bytes
    counter: int
    clock: int
    at: float


@dataclass(frozen=True)
class Outcome:
    """What a car said of an order."""

    order: str
    state: str
    reason: str | None


@dataclass
class OrderSigner:
    """The decisions of the order signer. `clock`: seconds since 1970 UTC; `passing`: seconds that only grow."""

    keys: OrderKeys
    people: People
    ledger: Ledger
    clock: Callable[[], float] = time.time
    passing: Callable[[], float] = time.monotonic
    _sessions: dict[Place, _Session] = field(default_factory=dict)
    _challenges: dict[bytes, tuple[Place, float]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def check(self, text: bytes, signatures: Sequence[Signature]) -> tuple[Authorisation, list[PersonKey]]:
        """Return an authorisation and who signed it, if it may be carried out.

        Raises:
            InputError: it is no authorisation.
            NotAllowedError: its signers may not order this.
        """
        given = parse(text)
        if given.tenant != self.keys.tenant:
            raise NotAllowedError("The authorisation is for another tenant.", "Sign it for this zone's.")
        now = self.clock()
        if now >= given.expires_at:
            raise NotAllowedError("The authorisation has expired.", "Sign a new one.")
        if now < given.not_before - CLOCK_SLACK_S:
            raise NotAllowedError("The authorisation does not hold yet.", "Wait, or set the clock right.")
        people = self._signers(given, signatures)
        self._check_number(given, people, int(now))
        return given, people

    def _signers(self, given: Authorisation, signatures: Sequence[Signature]) -> list[PersonKey]:
        if not 0 < len(signatures) <= 4:
            raise NotAllowedError("An authorisation has one to four signatures.", "Sign it with a registered key.")
        people = []
        for signature in signatures:
            person = self.people.find(signature.key)
            if not signed(person.public, PURPOSE + given.text, signature.value):
                raise NotAllowedError("A signature is not the key's.", "Sign exactly the text that is sent.")
            self._check_rights(given, person)
            people.append(person)
        return people

    def _check_rights(self, given: Authorisation, person: PersonKey) -> None:
        if given.role not in person.roles:
            raise NotAllowedError(f"The key is not registered as {given.role}.", "Order in a role that it has.")
        if given.role not in given.command.roles:
            message = f"The role {given.role} may not order {given.command.name}."
            raise NotAllowedError(message, f"These may: {', '.join(sorted(given.command.roles))}.")
        if person.vehicles and set(given.vehicles) - set(person.vehicles):
            raise NotAllowedError("The key is not registered for this car.", "Order your own cars only.")
        if person.commands and given.command.name not in person.commands:
            message = f"The key is not registered for {given.command.name}."
            raise NotAllowedError(message, f"It is for these: {', '.join(person.commands)}.")
        if person.longest_s and given.expires_at - given.not_before > person.longest_s:
            message = f"The key is for orders that hold {person.longest_s} s at most."
            raise NotAllowedError(message, "Sign one that ends sooner.")

    def _check_number(self, given: Authorisation, people: Sequence[PersonKey], now: int) -> None:
        if self.ledger.knows(given.digest):
            return
        names = {person.name for person in people}
        if len(names) == 1:
            cars = self.ledger.alone(people[0].name, now - ALONE_S) | set(given.vehicles)
            if len(cars) > LIMIT_ALONE:
                message = f"Orders for more than {LIMIT_ALONE} cars within an hour need two people."
                raise NotAllowedError(message, "Have a second person sign the same authorisation.")

    def begin(self, vehicle: str, domain: int, role: str) -> bytes:
        """Return the message that asks a car for a session."""
        if role not in ROLES or domain not in set(Domain):
            raise InputError("There is no such role or domain.", "Use one of docs/orders.md.")
        challenge = os.urandom(CHALLENGE_BYTES)
        with self._lock:
            self._drop_old_challenges()
            self._challenges[challenge] = (vehicle, domain, role), self.passing()
        return SessionRequest(domain, role, challenge, self.keys.certificate(role), self.keys.authority).encode()

    def _drop_old_challenges(self) -> None:
        limit = self.passing() - CHALLENGE_LIFE_S
        if len(self._challenges) >= LIMIT_CHALLENGES:
            self._challenges.clear()
        self._challenges = {key: found for key, found in self._challenges.items() if found[1] >= limit}

    def open(self, vehicle: str, message: bytes) -> None:
        """Take a car's answer to a challenge. Raise NotAllowedError where it is not this car's, or answers none."""
        try:
            info = SessionInfo.decode(message)
            with self._lock:
                place, asked = self._challenges.pop(info.challenge, (None, 0.0))
            if place != (vehicle, info.domain, info.role) or self.passing() - asked > CHALLENGE_LIFE_S:
                raise OrderError("it answers no challenge of mine")
            key = self._agree(vehicle, info)
        except OrderError as error:
            raise NotAllowedError(f"This is no session: {error}.", "Ask the car again.") from None
        with self._lock:
            if len(self._sessions) >= LIMIT_SESSIONS:
                self._sessions.clear()
            found = self._sessions.get(place)
            counter = info.counter
            if found is not None and found.epoch == info.epoch:
                counter = max(counter, found.counter)  # never back within an epoch
            self._sessions[place] = _Session(key, info.epoch, counter, info.clock, self.passing())

    def _agree(self, vehicle: str, info: SessionInfo) -> bytes:
        now = datetime.fromtimestamp(self.clock(), UTC)
        check_car_key(
            self.keys.roots,
            info.certificate,
            info.authority,
            self.keys.tenant,
            vehicle,
            info.point,
            info.proof,
            now,
        )
        secret = shared(self.keys.key(info.role), public_key(info.point))
        key = session_key(secret, vehicle, info.domain, info.role)
        if not info_holds(key, vehicle, info):
            raise OrderError("its tag is wrong")
        return key

    def forget(self, vehicle: str, domain: int, role: str) -> None:
        """Begin anew with a car at the next order: it said that the session does not fit."""
        with self._lock:
            self._sessions.pop((vehicle, domain, role), None)

    def sign(self, vehicle: str, text: bytes, signatures: Sequence[Signature]) -> SignedOrder | Finished | None:
        """Return the signed order for this car, what became of it if it is done, or None where a session is needed.

        Raises:
            InputError, NotAllowedError: it is not authorised; see `check`.
            ConflictError: its nonce was used.
        """
        given, people = self.check(text, signatures)
        if vehicle not in given.vehicles:
            raise NotAllowedError("The authorisation does not name this car.", "Sign one that does.")
        now, order = self.clock(), given.order_id(vehicle)
        names = {person.name for person in people}
        with self._lock:
            self._check_number(given, people, int(now))
            alone = people[0].name if len(names) == 1 else None
            self.ledger.admit(given, [person.key for person in people], alone, int(now))
            if (finished := self.ledger.finished(order.hex())) is not None:
                return finished
            place = vehicle, int(given.command.domain), given.role
            session = self._sessions.get(place)
            if session is None or self.passing() - session.at > SESSION_LIFE_S or session.counter >= U32_MAX:
                self._sessions.pop(place, None)
                return None
            session.counter += 1
            counter = session.counter
        life_s = int(min(given.expires_at - now, SIGNED_LIFE_S))
        expires_at = session.clock + int(self.passing() - session.at) + life_s
        body = canonical(
            {"command": given.command.name, "expires_at": given.expires_at, "parameters": dict(given.parameters)}
        )
        made = seal_order(session.key, vehicle, order, place[1], given.role, session.epoch, counter, expires_at, body)
        self.ledger.note_signing(made.request_hash, order.hex(), vehicle)
        return made

    def result(self, vehicle: str, message: bytes) -> Outcome:
        """Return what a car says of an order that was signed here.

        Raises:
            MissingError: there is no session with the car's domain now; have one opened, and the order offered anew.
            NotAllowedError: the car did not say this, or not of this order.
        """
        try:
            result = Result.decode(message)
            if self.ledger.signed(result.request_hash) != (result.order.hex(), vehicle):
                raise OrderError("it answers no order of mine")
            with self._lock:
                session = self._sessions.get((vehicle, result.domain, result.role))
            if session is None:
                raise MissingError("There is no session with this car.", "Open one, and offer the order again.")
            body = open_result(session.key, vehicle, result)
            if body is None:
                raise OrderError("its seal is broken")
            said = _said(body)
        except OrderError as error:
            raise NotAllowedError(f"This is no result: {error}.", "Offer the order again.") from None
        if said.state in FINAL:
            self.ledger.finish(result.order.hex(), said)
            said = self.ledger.finished(result.order.hex()) or said
        return Outcome(result.order.hex(), said.state, said.reason)


def _said(body: bytes) -> Finished:
    said = read_canonical(body)
    state, reason = said.get("state"), said.get("reason")
    if state not in SAID or (reason is not None and reason not in REASONS) or said.keys() - {"state", "reason"}:
        raise OrderError("it says nothing known")
    return Finished(state, reason)
