"""The gate: may this car come in? Asked at every door, with the same answer.

Rules:
* A certificate whose chain holds is not enough: its vehicle must be active, its serial recorded and not revoked.
* A car of a suspended tenant is kept out for a while, whatever its own state: it keeps what it has.
* A quarantined car may come in to say hello, and is refused for a while everywhere else.
* Whatever cannot be decided is refused (fail closed).
* What the records said is believed for 30 seconds, and forgotten at once on a revocation notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from carcloud.backends.records import Records
from carcloud.errors import MissingError, NotAllowedError, TryLaterError
from carcloud.safety.identity import Identity, vehicle_identity
from carcloud.vehicle.life import ADMITTED

BELIEVE_S = 30.0
LIMIT_REMEMBERED = 200_000
"""Certificates remembered at once, about 2 kB each; beyond, all are forgotten and asked for again."""


@dataclass(frozen=True)
class _Standing:
    """What the records said about a certificate, until when it is believed, and why it is refused, if it is."""

    vehicle: str
    until: float
    refused: str | None
    quarantined: bool
    suspended: bool


@dataclass(frozen=True)
class Guest:
    """Who came in. A quarantined one may say hello and hear what it is told, and nothing more."""

    identity: Identity
    quarantined: bool


class Gate:
    """Decides who comes in. `clock` gives seconds since 1970 UTC."""

    def __init__(self, records: Records, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock = clock
        self._identities: dict[bytes, Identity] = {}
        self._standings: dict[str, _Standing] = {}
        self._refused_until: dict[str, float] = {}
        self._notices = 0

    def admit(self, certificate: bytes) -> Identity:
        """Return whose certificate (PEM or DER, chain already verified) this is, if it may come in and speak.

        Raises:
            NotAllowedError: never with this certificate.
            TryLaterError: refused for a while, quarantined, or the records are away.
        """
        guest = self.greet(certificate)
        if guest.quarantined:
            raise TryLaterError("The vehicle is in quarantine.", "Keep what you have until it is released.")
        return guest.identity

    def greet(self, certificate: bytes) -> Guest:
        """Return whose certificate this is, also where it is quarantined; raise as `admit` does."""
        identity = self._identity(certificate)
        now = self._clock()
        if identity.not_after <= datetime.fromtimestamp(now, UTC):
            raise NotAllowedError("The certificate has expired.", "Give the car a new one: carcloud renew.")
        standing = self._standing(identity, now)
        if standing.refused is not None:
            raise NotAllowedError(standing.refused, "Enrol the car (again) with `carcloud enrol`.")
        if standing.suspended:
            raise TryLaterError("The vehicle's tenant is suspended.", "Keep what you have until it is resumed.")
        if (wait_s := self._refused_until.get(identity.vehicle, 0.0) - now) > 0:
            raise TryLaterError(f"The vehicle sent too much; refused for {wait_s:.0f} s more.", "Send less, later.")
        return Guest(identity, standing.quarantined)

    def refuse(self, vehicle: str, seconds: float) -> None:
        """Keep a vehicle out for a while."""
        now = self._clock()
        self._refused_until = {car: until for car, until in self._refused_until.items() if until > now}
        self._refused_until[vehicle] = now + seconds

    def forget(self, vehicle: str) -> None:
        """Ask the records again about this vehicle: its state was changed."""
        self._notices += 1  # so that an answer on its way from before the notice is not believed
        serials = [serial for serial, standing in self._standings.copy().items() if standing.vehicle == vehicle]
        for serial in serials:
            self._standings.pop(serial, None)

    def forget_all(self) -> None:
        """Ask the records again about every vehicle: a tenant was suspended, or resumed."""
        self._notices += 1
        self._standings.clear()

    def _identity(self, certificate: bytes) -> Identity:
        known = self._identities.get(certificate)
        if known is None:
            known = vehicle_identity(_parse(certificate))
            if len(self._identities) >= LIMIT_REMEMBERED:
                self._identities.clear()
            self._identities[certificate] = known
        return known

    def _standing(self, identity: Identity, now: float) -> _Standing:
        standing = self._standings.get(identity.serial)
        if standing is None or standing.until < now:
            notices = self._notices
            standing = _Standing(identity.vehicle, now + BELIEVE_S, *self._look_up(identity))
            if len(self._standings) >= LIMIT_REMEMBERED:
                self._standings.clear()
            if notices == self._notices:
                self._standings[identity.serial] = standing
        return standing

    def _look_up(self, identity: Identity) -> tuple[str | None, bool, bool]:
        """Return why the records refuse this certificate, or None; whether its vehicle is quarantined, or suspended."""
        try:
            certificate, vehicle = self._records.standing(identity.serial)
        except MissingError:
            return "This zone did not issue the certificate.", False, False
        if (vehicle.id, vehicle.tenant) != (identity.vehicle, identity.tenant):
            return "The certificate was issued to another vehicle.", False, False
        if vehicle.state not in ADMITTED or certificate.revoked_at is not None:
            return "The vehicle or its certificate is revoked.", False, False
        return None, vehicle.state == "quarantined", not self._records.tenants.stands(vehicle.tenant)


def _parse(certificate: bytes) -> x509.Certificate:
    try:
        if certificate.startswith(b"-----"):
            return x509.load_pem_x509_certificate(certificate)
        return x509.load_der_x509_certificate(certificate)
    except ValueError:
        raise NotAllowedError("The certificate cannot be read.", "Use the one `carcloud enrol` wrote.") from None
