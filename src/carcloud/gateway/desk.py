"""The desk: where cars are given certificates, their first by a claim, later ones by the certificate they have.

Rules:
* What a car may get is decided here; the signer issues it. The gateway holds no key of an authority.
* Whoever does not prove that he holds a claim's token learns nothing of it, and after a few tries has to wait.
* Every certificate is recorded with the act that gave it, and every refusal is noted, as far as notes are bounded.

Source: RFC 7030 (enrolment over secure transport) for the two acts; docs/identity.md for what differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carcloud.backends.records import Certificate, Claim, Entry, Records, Vehicle
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.gateway.enrolment import Endpoints, card_of
from carcloud.safety.claim import proves
from carcloud.safety.identity import Identity, Issued, renewable_from
from carcloud.safety.request import CertificateRequest, read_request

Issue = Callable[[bytes, str, str], Issued]
"""`issue(key, vehicle, tenant)`: a certificate for a key; raises TryLaterError while the signer is away."""

LIMIT_CERTIFICATES = 8
"""Certificates of one car that hold at the same time: enough for renewals whose answer was lost."""

LIMIT_WRONG, WRONG_S = 5, 60.0
"""So many wrong tries from one address within so many seconds; then it waits."""

LIMIT_ADDRESSES = 10_000
LIMIT_NOTED = 60
"""Refusals noted in the audit log in a minute: strangers must not fill it."""


class OverError(MissingError):
    """It was there, and its time is over."""

    status = 410


class TooOftenError(TryLaterError):
    """The caller tried too often."""

    status = 429


class Desk:
    """Gives certificates. `clock` gives seconds since 1970 UTC; `server_trust` is what cars trust, PEM."""

    def __init__(
        self,
        records: Records,
        issue: Issue,
        endpoints: Endpoints,
        server_trust: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records, self._issue, self._endpoints = records, issue, endpoints
        self._server_trust, self._clock = server_trust, clock
        self._wrong: dict[str, list[float]] = {}
        self._noted: list[float] = []

    def enrol(self, body: bytes, address: str) -> dict[str, Any]:
        """Return the first certificate of a car that proves a claim, with all that its folder of credentials holds.

        Args:
            body: the car's request for a certificate. address: where it comes from.

        Raises:
            InputError: the request is not as it must be.
            NotAllowedError: it proves no claim. ConflictError: the claim was used. OverError: it ended.
            TooOftenError: too many wrong tries from this address. TryLaterError: the signer or the records are away.
        """
        self._check_patience(address)
        claim: Claim | None = None
        try:
            request = read_request(body)
            claim = self._claim(request)
            return self._join(claim, request)
        except TryLaterError:
            raise
        except CarcloudError as error:
            self._refused(error, claim, address)
            raise

    def renew(self, body: bytes, certificate: bytes, identity: Identity) -> dict[str, Any]:
        """Return a new certificate for a car that came in with one (DER), for the new key it made.

        Raises:
            InputError: the request is not as it must be, or is for the old key.
            ConflictError: it is too early, or the car has too many certificates.
            TryLaterError: the signer or the records are away.
        """
        current = x509.load_der_x509_certificate(certificate)
        begins, now = renewable_from(current), self._now()
        if now < begins:
            do = f"Ask again from {begins:%Y-%m-%dT%H:%M:%SZ} on."
            raise ConflictError("A certificate is renewed in the last third of its life.", do)
        request = read_request(body)
        if request.vehicle not in (None, identity.vehicle):
            raise InputError("The request names another vehicle.", "Leave its name empty, or give your own id.")
        if request.key == current.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
            raise InputError("The request is for the key that the car has already.", "Make a new one.")
        holding = [each for each in self._records.certificates(identity.vehicle) if _holds(each, now)]
        if len(holding) >= LIMIT_CERTIFICATES:
            do = "Use the newest; the older ones end by themselves."
            raise ConflictError(f"The car has {len(holding)} certificates that hold.", do)
        given = self._issue(request.key, identity.vehicle, identity.tenant)
        facts = {"serial": given.serial, "not_after": given.not_after.isoformat(), "before": identity.serial}
        entry = _entry(identity.vehicle, identity.tenant, "renewVehicle", facts)
        recorded = Certificate(given.serial, identity.vehicle, given.issued_at, given.not_after)
        vehicle = self._records.life.renew(identity.serial, recorded, entry)
        return self._answer(vehicle, given)

    def _claim(self, request: CertificateRequest) -> Claim:
        """Return the claim that a request proves."""
        if request.vehicle is None or request.proof is None:
            do = "Send the vehicle's id as CN and the claim's proof as challengePassword; docs/identity.md shows how."
            raise InputError("The request proves no claim.", do)
        for claim in self._records.claims.of(request.vehicle):
            if proves(claim.verifier, request.proof, request.key):
                return claim
        raise NotAllowedError("The claim is wrong.", "Check the token; ask the zone's operator for a new one.")

    def _join(self, claim: Claim, request: CertificateRequest) -> dict[str, Any]:
        do = "Ask the zone's operator for a new one: carcloud vehicle rekey."
        if claim.used_at is not None:
            raise ConflictError("The claim was used already.", do)
        if claim.withdrawn_at is not None or claim.ends_at <= self._now():
            raise OverError("The claim's time is over.", do)
        if claim.serial_hash is not None and claim.serial_hash != request.serial_hash:
            raise NotAllowedError("The claim is for a car with another control unit.", "Join from that car.")
        vehicle = self._records.vehicle(claim.vehicle)
        given = self._issue(request.key, vehicle.id, vehicle.tenant)
        recorded = Certificate(given.serial, vehicle.id, given.issued_at, given.not_after)
        facts = {"serial": given.serial, "not_after": given.not_after.isoformat(), "claim": claim.id}
        entry = _entry(vehicle.id, vehicle.tenant, "enrolVehicle", facts)
        return self._answer(self._records.life.join(claim, recorded, entry), given)

    def _answer(self, vehicle: Vehicle, given: Issued) -> dict[str, Any]:
        card = card_of(vehicle, self._endpoints)
        return {"vehicle": card, "certificate": given.chain.decode(), "ca": self._server_trust.decode()}

    def _check_patience(self, address: str) -> None:
        now = self._clock()
        recent = [at for at in self._wrong.get(address, []) if now - at < WRONG_S]
        if len(recent) >= LIMIT_WRONG:
            wait_s = WRONG_S - (now - recent[0])
            raise TooOftenError("Too many wrong claims from this address.", f"Try again in {wait_s:.0f} s.")

    def _refused(self, error: CarcloudError, claim: Claim | None, address: str) -> None:
        """Note a refusal: of one that proved a claim with the car's name, else it counts against the address."""
        now = self._clock()
        if claim is None:
            recent = [at for at in self._wrong.get(address, []) if now - at < WRONG_S]
            if len(self._wrong) >= LIMIT_ADDRESSES:
                self._wrong.clear()
            self._wrong[address] = [*recent, now]
        self._noted = [at for at in self._noted if now - at < WRONG_S]
        if len(self._noted) < LIMIT_NOTED:
            self._noted.append(now)
            object_ = f"vehicle:{claim.vehicle}" if claim else "zone"
            facts = {"cause": error.code} | ({"claim": claim.id} if claim else {})
            details = {"address": address, "said": error.message}
            self._records.audit.add(Entry("process:gateway", "enrolVehicle", object_, "denied", facts, details))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _holds(certificate: Certificate, now: datetime) -> bool:
    return certificate.revoked_at is None and certificate.not_after > now


def _entry(vehicle: str, tenant: str, action: str, facts: dict[str, str]) -> Entry:
    return Entry(f"vehicle:{vehicle}", action, f"vehicle:{vehicle}", facts=facts, tenant=tenant)
