"""An order signer's own folder, of one tenant: its authority of orders, and a key for each role, certified for 90 days.

Rules:
* What is in here is in no other folder: the zone's other processes know nothing secret of it.
* The root certifies the authority once (`certify`); from then on the folder stands alone, and may be given to another
  user or moved to another machine.
* A folder is one tenant's for ever: the root certifies its authority in the tenant's name, and people and ledger in it
  are the tenant's alone.
* Where the private keys are, the keyring says: in files, labelled development, or in a hardware token.

Source: RFC 5280, SPIFFE ID specification (URI).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from carcloud.errors import ConflictError, MissingError
from carcloud.safety.identity import Authority
from carcloud.safety.keys import private_folder, write_file
from carcloud.safety.orders.certificates import ORDER_PURPOSE
from carcloud.safety.orders.keyring import keyring
from carcloud.vehicle.commands import ROLES

ROLE_AGE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
CLOCK_SLACK = timedelta(hours=1)
AUTHORITY = "operator-ca"


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def orders_folder(keys: Path, tenant: str, home: str) -> Path:
    """Return where a tenant's order signer lives among the zone's keys: the home tenant's in `keys/orders`."""
    return keys / "orders" if tenant == home else keys / "tenants" / tenant / "orders"


def is_certified(folder: Path) -> bool:
    """Tell whether an order signer lives in a folder."""
    return (folder / "tenant").exists()


def tenant_of(folder: Path) -> str:
    """Return whose order signer lives in a folder that was certified."""
    return (folder / "tenant").read_text("ascii")


def certify(folder: Path, authority: Authority, tenant: str) -> None:
    """Have the root certify this folder's authority of orders, where it is not certified or soon no longer.

    Raises:
        ConflictError: the folder is another tenant's.
        MissingError: the root's key is kept elsewhere, and is needed now.
    """
    if is_certified(folder) and tenant_of(folder) != tenant:
        raise ConflictError(f"{folder} is the order signer's of tenant {tenant_of(folder)}.", "Make a new folder.")
    keys = keyring(private_folder(folder))
    write_file(folder / "LABEL", keys.label)
    key = keys.key(AUTHORITY)
    found = folder / "operator-ca.pem"
    if not found.exists() or _ends_soon(found.read_bytes(), utc_now(), RENEW_BEFORE):
        certificate, root = authority.certify_orders(key, tenant)
        write_file(folder / "root.pem", root)
        write_file(found, certificate)
    write_file(folder / "tenant", tenant.encode())


class OrderKeys:
    """The keys in a folder that was certified."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = utc_now) -> None:
        for name in ("operator-ca.pem", "root.pem", "tenant"):
            if not (folder / name).exists():
                do = "Have it made by the zone's first start, or by `carcloud operator init --keys FOLDER`."
                raise MissingError(f"There is no {name} in {folder}.", do)
        self.folder, self._clock = folder, clock
        self.tenant = tenant_of(folder)
        self.roots = x509.load_pem_x509_certificates((folder / "root.pem").read_bytes())
        self._authority = x509.load_pem_x509_certificate((folder / "operator-ca.pem").read_bytes())
        self._keyring = keyring(folder)
        self._authority_key = self._keyring.key(AUTHORITY, make=False)
        if self._authority_key.public_key() != self._authority.public_key():
            do = "Give the folder, or the token, that it was certified with."
            raise ConflictError(f"The key of the authority of orders in {folder} is not the certified one.", do)

    @property
    def authority(self) -> bytes:
        """Return the authority's certificate, DER."""
        return self._authority.public_bytes(serialization.Encoding.DER)

    def key(self, role: str) -> ec.EllipticCurvePrivateKey:
        """Return a role's key, made on first use."""
        assert role in ROLES
        return self._keyring.key(role)

    def certificate(self, role: str) -> bytes:
        """Return a role's certificate, DER, issued again 30 days before it ends."""
        path, key = self.folder / f"{role}.pem", self.key(role)
        if path.exists() and not _ends_soon(path.read_bytes(), self._clock(), RENEW_BEFORE):
            found = x509.load_pem_x509_certificate(path.read_bytes())
            if found.public_key() == key.public_key():
                return found.public_bytes(serialization.Encoding.DER)
        issued = self._issue(role, key)
        write_file(path, issued.public_bytes(serialization.Encoding.PEM))
        return issued.public_bytes(serialization.Encoding.DER)

    def _issue(self, role: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        now = self._clock()
        uri = x509.UniformResourceIdentifier(f"spiffe://{self.tenant}/order/{role}")
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"order {role}")]))
            .issuer_name(self._authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SLACK)
            .not_valid_after(min(now + ROLE_AGE, self._authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ORDER_PURPOSE]), critical=True)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(self._authority_key, hashes.SHA256())
        )


def _ends_soon(pem: bytes, now: datetime, before: timedelta) -> bool:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc - now < before
