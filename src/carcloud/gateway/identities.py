"""What can be seen of identities: of the zone as a whole, and of one car."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.backends.records import Certificate, Claim, Records, Suspicion, Vehicle
from carcloud.safety.identity import Trust
from carcloud.vehicle.life import State

SOON = timedelta(days=10)
LIMIT_LISTED = 1000


@dataclass(frozen=True)
class AuthorityShown:
    """One of the zone's authorities."""

    algorithm: str
    begins: datetime
    ends: datetime
    serial: str


@dataclass(frozen=True)
class ZoneIdentity:
    """The identities of a zone: cars by state, and what someone may have to look at.

    ending: the last certificates of cars, where they end within 10 days: such a car does not renew by itself.
    """

    states: Mapping[State, int]
    ending: list[Certificate]
    clones: list[Suspicion]
    claims: list[Claim]
    authorities: Mapping[str, AuthorityShown]


@dataclass(frozen=True)
class VehicleIdentity:
    """The life of one car's identity, the newest first."""

    vehicle: Vehicle
    certificates: list[Certificate]
    claims: list[Claim]
    suspicions: list[Suspicion]


def zone_identity(records: Records, trust: Trust, tenant: str) -> ZoneIdentity:
    """Return what can be seen of a zone's authorities and of a tenant's cars; of each list the first thousand."""
    now = datetime.now(UTC)
    authorities = {name: _shown(certificate) for name, certificate in trust.authorities().items()}
    return ZoneIdentity(
        records.life.counts(tenant),
        records.life.ending(tenant, now + SOON, LIMIT_LISTED),
        records.suspicions.open(LIMIT_LISTED, tenant),
        records.claims.open(tenant, now, LIMIT_LISTED),
        authorities,
    )


def identity_of(records: Records, vehicle: str) -> VehicleIdentity:
    """Return what can be seen of one car's identity. Raise MissingError."""
    found = records.vehicle(vehicle)
    return VehicleIdentity(
        found, records.certificates(vehicle), records.claims.of(vehicle), records.suspicions.of(vehicle)
    )


def claim_standing(claim: Claim, now: datetime) -> Literal["open", "used", "withdrawn", "over"]:
    """Return what became of a claim."""
    if claim.used_at is not None:
        return "used"
    if claim.withdrawn_at is not None:
        return "withdrawn"
    return "open" if claim.ends_at > now else "over"


def certificate_standing(certificate: Certificate, now: datetime) -> Literal["holds", "revoked", "ended"]:
    """Return whether a certificate holds."""
    if certificate.revoked_at is not None:
        return "revoked"
    return "holds" if certificate.not_after > now else "ended"


def _shown(certificate: x509.Certificate) -> AuthorityShown:
    key = certificate.public_key()
    algorithm = f"ECDSA {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return AuthorityShown(algorithm, begins, ends, f"{certificate.serial_number:x}")
