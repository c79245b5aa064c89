"""Who may stand in for a role or a car: certificates, checked link by link.

Rules:
* An order's certificate comes from the root by way of an authority that carries the order purpose, which neither the
  vehicle authority nor the server authority does: they cannot stand in.
* The authority is a tenant's own, named in its certificate: it certifies no role of another tenant.
* A car's key for orders is signed by the key of the car's own certificate, which comes from the vehicle authority.

Source: RFC 5280; the purpose is an object identifier of our own under 2.25 (ITU-T X.667, a UUID).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from carcloud.safety.orders.authorisation import signed
from carcloud.vehicle.commands import ROLES
from carcloud.vehicle.order import OrderError

ORDER_PURPOSE = x509.ObjectIdentifier("2.25.277332607368981341241169225160294428938")
T = TypeVar("T", bound=x509.ExtensionType)
_ORDER_URI = re.compile(r"spiffe://([A-Za-z0-9_-]{1,64})/order/([a-z]{1,16})")
_VEHICLE_URI = re.compile(r"spiffe://([A-Za-z0-9_-]{1,64})/vehicle/([A-Za-z0-9_-]{1,64})")
KEY_PURPOSE = b"carcloud/order-key/v1\n"

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever a library says of a broken certificate into one error."""
    try:
        yield
    except _UNREADABLE as error:
        raise OrderError("a certificate cannot be read") from error


def order_key_statement(vehicle: str, point: bytes) -> bytes:
    """Return what a car's certificate key signs, so that a key for orders is the car's."""
    return KEY_PURPOSE + vehicle.encode() + b"\n" + point


def authority_uri(tenant: str) -> str:
    """Return the name that a tenant's authority of orders has in its certificate."""
    return f"spiffe://{tenant}"


def roots_of(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a trust file that sign themselves."""
    return [found for found in x509.load_pem_x509_certificates(pem) if found.subject == found.issuer]


def check_role(
    roots: Iterable[x509.Certificate], certificate: bytes, authority: bytes, tenant: str, role: str, now: datetime
) -> ec.EllipticCurvePublicKey:
    """Return the key of a role's certificate (DER). Raise OrderError unless it is this tenant's, and holds now."""
    with _reading():
        return _role_key(roots, certificate, authority, tenant, role, now)


def _role_key(
    roots: Iterable[x509.Certificate], certificate: bytes, authority: bytes, tenant: str, role: str, now: datetime
) -> ec.EllipticCurvePublicKey:
    leaf, issuer = x509.load_der_x509_certificate(certificate), x509.load_der_x509_certificate(authority)
    _check_chain(roots, leaf, issuer, now)
    if not {ORDER_PURPOSE} == set(_purposes(leaf)) == set(_purposes(issuer)):
        raise OrderError("the certificate or its authority is not for orders")
    if _uri(issuer) != authority_uri(tenant):
        raise OrderError("the authority is another tenant's")
    found = _ORDER_URI.fullmatch(_uri(leaf))
    if found is None or found.groups() != (tenant, role) or role not in ROLES:
        raise OrderError("the certificate names another role or tenant")
    return _key(leaf)


def check_car_key(
    roots: Iterable[x509.Certificate],
    certificate: bytes,
    authority: bytes,
    tenant: str,
    vehicle: str,
    point: bytes,
    proof: bytes,
    now: datetime,
) -> None:
    """Raise OrderError unless this car's own certificate (DER) says that this key for orders is the car's."""
    with _reading():
        key = _car_key(roots, certificate, authority, tenant, vehicle, now)
    if not signed(key, order_key_statement(vehicle, point), proof):
        raise OrderError("the car's key for orders is not signed by its certificate's key")


def _car_key(
    roots: Iterable[x509.Certificate], certificate: bytes, authority: bytes, tenant: str, vehicle: str, now: datetime
) -> ec.EllipticCurvePublicKey:
    leaf, issuer = x509.load_der_x509_certificate(certificate), x509.load_der_x509_certificate(authority)
    _check_chain(roots, leaf, issuer, now)
    names = issuer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not str(names[0].value).endswith(" vehicle-ca"):
        raise OrderError("the car's certificate is not from the vehicle authority")
    found = _VEHICLE_URI.fullmatch(_uri(leaf))
    if found is None or found.groups() != (tenant, vehicle) or ExtendedKeyUsageOID.CLIENT_AUTH not in _purposes(leaf):
        raise OrderError("the certificate names another car")
    return _key(leaf)


def _check_chain(
    roots: Iterable[x509.Certificate], leaf: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> None:
    if not any(_issued(issuer, root) for root in roots) or not _issued(leaf, issuer):
        raise OrderError("the certificate does not come from the zone's root")
    for one in (leaf, issuer):
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise OrderError("the certificate does not hold now")
    above, below = _constraints(issuer), _constraints(leaf)
    if not above.ca or above.path_length != 0 or below.ca:
        raise OrderError("the certificate's authority is none")


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    return _extension(certificate, x509.BasicConstraints)


def _purposes(certificate: x509.Certificate) -> x509.ExtendedKeyUsage:
    return _extension(certificate, x509.ExtendedKeyUsage)


def _uri(certificate: x509.Certificate) -> str:
    names = _extension(certificate, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or len(names) != 1:
        raise OrderError("the certificate names not exactly one thing")
    return uris[0]


def _extension(certificate: x509.Certificate, kind: type[T]) -> T:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        raise OrderError("the certificate lacks what it needs") from None


def _key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise OrderError("the certificate's key is not of the curve P-256")
    return key
