"""Requests for certificates as an attacker or a careless maker builds them."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Builder = x509.CertificateSigningRequestBuilder


def named(*names: tuple[x509.ObjectIdentifier, str]) -> Builder:
    return Builder().subject_name(x509.Name([x509.NameAttribute(oid, text) for oid, text in names]))


def signed(
    builder: Builder, key: CertificateIssuerPrivateKeyTypes | None = None, algorithm: hashes.HashAlgorithm | None = None
) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    chosen = None if isinstance(key, ed25519.Ed25519PrivateKey) else algorithm or hashes.SHA256()
    return builder.sign(key, chosen).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def wrong_requests(vehicle: str) -> Iterator[tuple[str, bytes]]:
    """Yield (what is wrong, the request), each for the name of this vehicle."""
    plain = named((NameOID.COMMON_NAME, vehicle))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.UniformResourceIdentifier("spiffe://x/y")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    yield "CA:TRUE", signed(plain.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True))
    yield "names of its own", signed(plain.add_extension(names, critical=False))
    yield "a server's usage", signed(plain.add_extension(usage, critical=False))
    yield "RSA 1024", _weak_rsa()
    yield "RSA 2048", signed(plain, rsa.generate_private_key(65537, 2048))
    yield "P-384", signed(plain, ec.generate_private_key(ec.SECP384R1()))
    yield "P-224", signed(plain, ec.generate_private_key(ec.SECP224R1()))
    yield "secp256k1", signed(plain, ec.generate_private_key(ec.SECP256K1()))
    yield "Ed25519", signed(plain, ed25519.Ed25519PrivateKey.generate())
    yield "SHA-224", signed(plain, algorithm=hashes.SHA224())
    yield "an organisation", signed(named((NameOID.COMMON_NAME, vehicle), (NameOID.ORGANIZATION_NAME, "maker")))
    yield "two names", signed(named((NameOID.COMMON_NAME, vehicle), (NameOID.COMMON_NAME, "other")))
    good = signed(plain)
    yield "bad proof of possession", good[:-1] + bytes([good[-1] ^ 1])
    yield "another's key", _with_anothers_key(good, signed(plain))
    yield "name changed after signing", good.replace(vehicle.encode(), b"z" * len(vehicle))
    yield "cut short", good[:-20]
    yield "something behind it", good + b"\0"
    yield "too long", good + b"\0" * 5000
    yield "a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    yield "a private key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    yield "nothing", b""
    yield "text", b"give me a certificate"


def _weak_rsa() -> bytes:
    """Return a request with an RSA key of 1024 bits, as `openssl req` once made them, by hand: no library makes one."""
    number = (1 << 1023) | 1
    modulus = b"\x02\x81\x81\x00" + number.to_bytes(128, "big")
    rsa_key = _tag(0x30, modulus + b"\x02\x03\x01\x00\x01")
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    key = _tag(0x30, algorithm + _tag(0x03, b"\0" + rsa_key))
    body = _tag(0x30, b"\x02\x01\x00" + b"\x30\x00" + key + b"\xa0\x00")
    return _tag(0x30, body + bytes.fromhex("300d06092a864886f70d01010b0500") + _tag(0x03, b"\0" + b"\x01" * 128))


def _with_anothers_key(one: bytes, other: bytes) -> bytes:
    """Return a request whose public key was exchanged, its signature left as it was."""
    mine, theirs = (x509.load_der_x509_csr(der).public_key() for der in (one, other))
    assert isinstance(mine, ec.EllipticCurvePublicKey)
    assert isinstance(theirs, ec.EllipticCurvePublicKey)
    old, new = (
        key.public_numbers().x.to_bytes(32, "big") + key.public_numbers().y.to_bytes(32, "big")
        for key in (mine, theirs)
    )
    return one.replace(old, new)


def _tag(tag: int, content: bytes) -> bytes:
    size = len(content)
    head = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + head + content
