"""A small certificate authority for the peers, so that they meet the same 2,000 cars over the same mutual TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def make(folder: Path, names: list[str]) -> list[dict[str, str]]:
    """Write an authority, a server certificate and one certificate for each name; return the cars' credentials."""
    folder.mkdir(parents=True, exist_ok=True)
    root_key, root_name = ec.generate_private_key(ec.SECP256R1()), _name("bench root")
    root = _builder(root_name, root_name, root_key).add_extension(x509.BasicConstraints(True, 0), True)
    (folder / "ca.pem").write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    addresses = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    _leaf(folder, "server", root_name, root_key, ExtendedKeyUsageOID.SERVER_AUTH, addresses)
    return [_leaf(folder, name, root_name, root_key, ExtendedKeyUsageOID.CLIENT_AUTH, None) for name in names]


def _leaf(
    folder: Path,
    name: str,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    usage: x509.ObjectIdentifier,
    addresses: x509.SubjectAlternativeName | None,
) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _builder(_name(name), issuer, key).add_extension(x509.ExtendedKeyUsage([usage]), False)
    if addresses:
        leaf = leaf.add_extension(addresses, False)
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(leaf.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"id": name, "cert": str(cert), "key": str(private)}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
    )
