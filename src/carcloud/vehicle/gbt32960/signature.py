"""Signatures of the edition of 2025: of reports, and of activations.

Rules:
* RSA is PKCS #1 v1.5 with SHA-256, in `r` alone; ECC is ECDSA on P-256 with SHA-256; SM2 is by the extra `sm`.
* A key signs by its own algorithm only: a signature that says another is not believed.
* An RSA key as an activation carries it is its modulus with the exponent 65537 behind it, in three bytes.

Source: GB/T 32960.3-2025, 7.2.2, as public implementations cite it; RFC 8017, FIPS 186-5.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.chinese import Sm2Key
from carcloud.vehicle.gbt32960.forms import Activation, Report, Signature

SM2, RSA, ECC = 1, 2, 3
EXPONENT = (65537).to_bytes(3, "big")
ECC_BYTES = 32
LEAST_RSA_BITS = 2048

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Sm2Key
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Sm2Key


def verify(said: Report | Activation, key: PublicKey) -> bool:
    """Tell whether what was read is signed by this key."""
    signature = said.signature
    if signature is None or not said.signed:
        return False
    if isinstance(key, Sm2Key):
        return signature.algorithm == SM2 and key.verify(said.signed, signature.r, signature.s)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if signature.algorithm != RSA or signature.s:
                return False
            key.verify(signature.r, said.signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        if signature.algorithm != ECC or not _fits(signature):
            return False
        pair = int.from_bytes(signature.r, "big"), int.from_bytes(signature.s, "big")
        key.verify(encode_dss_signature(*pair), said.signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _fits(signature: Signature) -> bool:
    return 0 < len(signature.r) <= ECC_BYTES and 0 < len(signature.s) <= ECC_BYTES


def signer(key: PrivateKey) -> Callable[[bytes], Signature]:
    """Return what signs bytes by this key, for `write`."""

    def sign(data: bytes) -> Signature:
        if isinstance(key, Sm2Key):
            return Signature(SM2, *key.sign(data))
        if isinstance(key, rsa.RSAPrivateKey):
            return Signature(RSA, key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return Signature(ECC, r.to_bytes(ECC_BYTES, "big"), s.to_bytes(ECC_BYTES, "big"))

    return sign


def activated_key(activation: Activation) -> PublicKey:
    """Return the key an activation brings, of the algorithm it is signed by.

    Raises:
        InputError: it is no key. MissingError: it is one of SM2, and the extra is not installed.
    """
    raw, algorithm = activation.key, activation.signature.algorithm
    if algorithm == SM2:
        return Sm2Key(raw)
    try:
        if algorithm == RSA and raw.endswith(EXPONENT) and len(raw) * 8 >= LEAST_RSA_BITS:
            modulus = int.from_bytes(raw[: -len(EXPONENT)], "big")
            return rsa.RSAPublicNumbers(65537, modulus).public_key()
        if algorithm == ECC:
            point = b"\x04" + raw if len(raw) == 2 * ECC_BYTES else raw
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        pass
    raise InputError("The activation brings no key.", "Send the public key the algorithm of its signature wants.")


def key_of_pem(pem: bytes) -> PublicKey:
    """Return a public key of RSA or P-256 from PEM. Raise InputError where it is none."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise InputError("This is no public key for signatures.", "Give RSA from 2,048 bits, or P-256, as PEM.")


def key_bytes(key: PublicKey) -> bytes:
    """Return a public key as an activation carries it."""
    if isinstance(key, Sm2Key):
        return key.public
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_numbers().n.to_bytes(key.key_size // 8, "big") + EXPONENT
    numbers = key.public_numbers()
    return numbers.x.to_bytes(ECC_BYTES, "big") + numbers.y.to_bytes(ECC_BYTES, "big")
