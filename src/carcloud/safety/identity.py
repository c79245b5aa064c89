"""Who is who: the zone's own authority, and what a vehicle's certificate says.

Rules:
* root → vehicle-ca (cars) and root → server-ca (doors); P-256 throughout, the two never stand in for each other.
* root → operator-ca (orders): its key is not here but in the order signer's folder; see `carcloud.safety.orders`.
* A vehicle's certificate names its id twice, as CN and as spiffe://tenant/vehicle/id, and both must agree.
* The authority is made on first use, whole or not at all; certificates near their end are issued again.
* Revocation is not in the certificate but in the records, which every door asks.

Source: RFC 5280 (profile), SPIFFE ID specification (URI), RFC 9525 (server names).
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from carcloud.errors import MissingError, NotAllowedError
from carcloud.safety.keys import PRIVATE_FOLDER, private_folder, read_key, write_file
from carcloud.safety.orders.certificates import ORDER_PURPOSE
from carcloud.vehicle.batch import TOKEN

ROOT_AGE = timedelta(days=20 * 365)
AUTHORITY_AGE = timedelta(days=3 * 365)
SERVER_AGE = timedelta(days=90)
VEHICLE_DAYS = 30
LIMIT_DAYS = 398  # a car's certificate is short-lived: about a year at the very most
CLOCK_SLACK = timedelta(hours=1)
"""Certificates hold from an hour ago, for cars whose clock is behind."""

_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_SPIFFE = re.compile(r"spiffe://([^/]+)/vehicle/([^/]+)")
_MARGIN = 3  # issued again when less than this part (a third) of its life is left


@dataclass(frozen=True)
class Identity:
    """What a vehicle's certificate says."""

    tenant: str
    vehicle: str
    serial: str
    not_after: datetime


@dataclass(frozen=True)
class Issued:
    """A certificate for a key that its owner keeps: the chain, PEM, and what is recorded of it."""

    chain: bytes
    serial: str
    issued_at: datetime
    not_after: datetime


@dataclass(frozen=True)
class Credentials:
    """A vehicle's certificate chain and key, PEM. The key is not kept by the zone."""

    chain: bytes
    key: bytes
    serial: str
    issued_at: datetime
    not_after: datetime


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def new_vehicle_id() -> str:
    """Return a random vehicle id: 16 characters of a-z and 2-7, 80 bits."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(16))


def renewable_from(certificate: x509.Certificate) -> datetime:
    """Return when the last third of a certificate's life begins: from then on it is renewed."""
    begins = certificate.not_valid_before_utc + CLOCK_SLACK
    return certificate.not_valid_after_utc - (certificate.not_valid_after_utc - begins) / _MARGIN


def vehicle_identity(certificate: x509.Certificate) -> Identity:
    """Read a vehicle's certificate, whose chain has been verified. Raise NotAllowedError where it names no vehicle."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        raise _no_vehicle() from None
    uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    match = _SPIFFE.fullmatch(uris[0]) if len(uris) == 1 and len(alternatives) == 1 else None
    if match is None or len(names) != 1 or names[0].value != match[2] or not all(map(TOKEN.fullmatch, match.groups())):
        raise _no_vehicle()
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise _no_vehicle()
    return Identity(match[1], match[2], f"{certificate.serial_number:x}", certificate.not_valid_after_utc)


def _no_vehicle() -> NotAllowedError:
    return NotAllowedError("The certificate names no vehicle.", "Use the one `carcloud enrol` wrote, unchanged.")


@dataclass(frozen=True)
class Trust:
    """The public side of the authority: for a process that answers cars, and holds none of its keys."""

    keys: Path

    @property
    def vehicles(self) -> Path:
        """What a door trusts: root and vehicle-ca."""
        return self.keys / "authority" / "vehicle-trust.pem"

    @property
    def servers(self) -> Path:
        """What a car trusts: root and server-ca."""
        return self.keys / "authority" / "server-trust.pem"

    @property
    def certificate(self) -> Path:
        """The doors' own certificate, with its chain."""
        return self.keys / "server.pem"

    @property
    def key(self) -> Path:
        """The key of the doors' own certificate."""
        return self.keys / "server.key"

    def authorities(self) -> dict[str, x509.Certificate]:
        """Return every authority's certificate by its name, such as `vehicle-ca`."""
        files = sorted((self.keys / "authority").glob("*.pem"))
        found = {file.stem: file for file in files if not file.stem.endswith("-trust")}
        return {name: x509.load_pem_x509_certificate(file.read_bytes()) for name, file in found.items()}


class Authority:
    """The zone's own certificate authority, kept in `keys/authority`. Those who only answer cars use `Trust`.

    `vehicle_trust` (root + vehicle-ca) is what a door trusts; `server_trust` (root + server-ca) is what a car trusts.
    """

    def __init__(self, keys: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._keys = private_folder(keys)
        self._folder = keys / "authority"
        self._clock = clock
        self._held: dict[str, ec.EllipticCurvePrivateKey] = {}
        if not self._folder.exists():
            self._make()
        for name in ("vehicle-ca", "server-ca"):
            self._renew_authority(name)
        self.vehicle_trust = self._folder / "vehicle-trust.pem"
        self.server_trust = self._folder / "server-trust.pem"

    def issue_vehicle(self, vehicle: str, tenant: str, days: int = VEHICLE_DAYS) -> Credentials:
        """Return a new key and certificate for a vehicle. Nothing is kept here: the caller records the serial."""
        key = ec.generate_private_key(ec.SECP256R1())
        given = self.issue_for(key.public_key(), vehicle, tenant, days)
        return Credentials(given.chain, _key_pem(key), given.serial, given.issued_at, given.not_after)

    def issue_for(self, key: ec.EllipticCurvePublicKey, vehicle: str, tenant: str, days: int = VEHICLE_DAYS) -> Issued:
        """Return a vehicle's certificate for a key that it made itself; the caller records the serial."""
        now = self._clock()
        uri = x509.UniformResourceIdentifier(f"spiffe://{tenant}/vehicle/{vehicle}")
        leaf = self._leaf(vehicle, key, "vehicle-ca", [uri], ExtendedKeyUsageOID.CLIENT_AUTH, timedelta(days=days))
        chain = _pem(leaf) + self._read("vehicle-ca.pem")
        return Issued(chain, f"{leaf.serial_number:x}", now, leaf.not_valid_after_utc)

    def server_certificate(self, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Return the files (chain, key) of a server certificate for these names and addresses.

        It is issued again when a third of its life is left, or the hosts are others.
        """
        chain, key_file = self._keys / "server.pem", self._keys / "server.key"
        if not self._serves(chain, key_file, hosts):
            key = ec.generate_private_key(ec.SECP256R1())
            names = [_general_name(host) for host in hosts]
            leaf = self._leaf(
                hosts[0], key.public_key(), "server-ca", names, ExtendedKeyUsageOID.SERVER_AUTH, SERVER_AGE
            )
            write_file(key_file, _key_pem(key))
            write_file(chain, _pem(leaf) + self._read("server-ca.pem"))
        return chain, key_file

    def certify_orders(self, key: ec.EllipticCurvePrivateKey, tenant: str) -> tuple[bytes, bytes]:
        """Return the certificate of a tenant's authority of orders, whose key its order signer keeps, and the root's.

        Raises:
            MissingError: the root's key is kept elsewhere.
        """
        root, root_key = self._load("root")
        name = str(root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value).removesuffix(" root")
        common, uri = f"{name} operator-ca", x509.UniformResourceIdentifier(f"spiffe://{tenant}")
        certificate = _authority_certificate(common, key, root, root_key, self._clock(), ORDER_PURPOSE, uri)
        return _pem(certificate), _pem(root)

    def _serves(self, chain: Path, key_file: Path, hosts: Sequence[str]) -> bool:
        if not (chain.exists() and key_file.exists()):
            return False
        leaf = x509.load_pem_x509_certificate(chain.read_bytes())
        key = serialization.load_pem_private_key(read_key(key_file), None)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        same_names = set(names) == {_general_name(host) for host in hosts}
        return same_names and key.public_key() == leaf.public_key() and not _near_end(leaf, self._clock())

    def _leaf(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        issuer: str,
        alternatives: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        age: timedelta,
    ) -> x509.Certificate:
        authority, authority_key = self._load(issuer)
        age = min(age, authority.not_valid_after_utc - self._clock())
        builder = _certificate(name, key, authority.subject, authority_key, self._clock(), age)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    def _load(self, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return an authority's certificate as it is now, and its key, which is read once and held from then on."""
        if name not in self._held:
            path = self._folder / f"{name}.key"
            if not path.exists():
                do = "Bring it back from where you keep it, then start again."
                raise MissingError(f"The key {path} is missing.", do)
            key = serialization.load_pem_private_key(read_key(path), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._held[name] = key
        return x509.load_pem_x509_certificate(self._read(f"{name}.pem")), self._held[name]

    def _read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def _make(self) -> None:
        draft = self._keys / f".authority-{secrets.token_hex(8)}"
        draft.mkdir(mode=PRIVATE_FOLDER)
        keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "vehicle-ca", "server-ca")}
        zone = secrets.token_hex(4)
        root = _authority_certificate(f"carcloud {zone} root", keys["root"], None, keys["root"], self._clock())
        certificates = {"root": root}
        for name in ("vehicle-ca", "server-ca"):
            certificates[name] = _authority_certificate(
                f"carcloud {zone} {name}", keys[name], root, keys["root"], self._clock()
            )
        for name, key in keys.items():
            write_file(draft / f"{name}.key", _key_pem(key))
            write_file(draft / f"{name}.pem", _pem(certificates[name]))
        for side in ("vehicle", "server"):
            write_file(draft / f"{side}-trust.pem", _pem(root) + _pem(certificates[f"{side}-ca"]))
        try:
            draft.rename(self._folder)
        except OSError:
            shutil.rmtree(draft)
            if not self._folder.exists():  # else another process was first; its authority is the authority
                raise

    def _renew_authority(self, name: str) -> None:
        certificate, key = self._load(name)
        if not _near_end(certificate, self._clock()):
            return
        root, root_key = self._load("root")
        common_name = certificate.subject.rfc4514_string().removeprefix("CN=")
        renewed = _authority_certificate(common_name, key, root, root_key, self._clock())
        write_file(self._folder / f"{name}.pem", _pem(renewed))
        write_file(self._folder / f"{name.removesuffix('-ca')}-trust.pem", _pem(root) + _pem(renewed))


def _authority_certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    purpose: x509.ObjectIdentifier | None = None,
    alternative: x509.GeneralName | None = None,
) -> x509.Certificate:
    subject = issuer.subject if issuer is not None else _name(name)
    age, path_length = (ROOT_AGE, 1) if issuer is None else (AUTHORITY_AGE, 0)
    builder = _certificate(name, key.public_key(), subject, issuer_key, now, age)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if alternative is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    age: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + age)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _near_end(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life / _MARGIN


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
