"""Sealed payloads: what the encryption byte of a frame means, and the keys a session learns by a key exchange.

Rules:
* The whole payload is sealed, and the check byte is taken over what it became.
* AES-128 and SM4 are used block by block (ECB) with padding of PKCS #7. A frame has no place for anything better: no
  nonce, no tag. So equal payloads stay equal, and nobody is kept from changing one; TLS does both.
* RSA is PKCS #1 v1.5, cut into as many blocks as it takes. SM2 is by the extra `sm`, the payload as one piece.
* A key that a key exchange brought holds between its two times only. One of 16 bytes is the key itself; a longer one
  is sealed for the other side's RSA or SM2 key.
* What does not open is a `Fault`; the same one for every reason, so that nobody learns from it.

Source: GB/T 32960.3-2016, 6.2; -2025, 6.2 and 7.6, as public implementations cite them. The standard's public sources
name algorithms, not modes: docs/gbt32960.md says what is chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.chinese import Sm2Key
from carcloud.vehicle.gbt32960.forms import KeyExchange
from carcloud.vehicle.gbt32960.frames import LIMIT_PAYLOAD_BYTES, Cause, Encryption, Fault, Frame

KEY_BYTES = BLOCK_BYTES = 16
RSA_PADDING_BYTES = 11
_ALWAYS = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_NOT_OPENED = "the payload does not open with the keys of this session"


@dataclass(frozen=True)
class Keys:
    """What one side knows. `rsa_own`, `sm2_own` open what came; `rsa_other`, `sm2_other` seal what goes."""

    aes128: bytes | None = None
    sm4: bytes | None = None
    rsa_own: rsa.RSAPrivateKey | None = None
    rsa_other: rsa.RSAPublicKey | None = None
    sm2_own: Sm2Key | None = None
    sm2_other: Sm2Key | None = None
    valid_from: datetime = _ALWAYS[0]
    valid_until: datetime = _ALWAYS[1]

    def __repr__(self) -> str:
        return f"Keys({', '.join(name for name, value in vars(self).items() if value is not None)})"

    def taking(self, exchange: KeyExchange) -> Keys | Fault:
        """Return the keys with the one an exchange brings."""
        key = exchange.key if len(exchange.key) == KEY_BYTES else self._opened(exchange.key)
        if key is None or len(key) != KEY_BYTES or exchange.valid_until <= exchange.valid_from:
            return Fault(Cause.DECRYPTION, "the exchange brings no key of 16 bytes, or none that holds at any time")
        keys = replace(self, valid_from=exchange.valid_from, valid_until=exchange.valid_until)
        if exchange.encryption == Encryption.AES128:
            return replace(keys, aes128=key)
        if exchange.encryption == Encryption.SM4:
            return replace(keys, sm4=key)
        return Fault(Cause.UNSUPPORTED, f"no key is exchanged for encryption {exchange.encryption:#04x}")

    def _opened(self, data: bytes) -> bytes | None:
        found = None
        if self.rsa_own is not None:
            found = _rsa_open(self.rsa_own, data)
        if found is None and self.sm2_own is not None:
            found = self.sm2_own.open(data)
        return found


def seal(frame: Frame, encryption: Encryption, keys: Keys) -> Frame:
    """Return the frame with its payload sealed; an empty one stays empty.

    Raises:
        InputError: the key for it is not known, or the payload becomes too large.
    """
    sealed = b"" if not frame.payload else _sealed(frame.payload, encryption, keys)
    if sealed is None:
        raise InputError(f"There is no key for {encryption.name}.", "Exchange keys first, or send it unsealed.")
    if len(sealed) > LIMIT_PAYLOAD_BYTES:
        raise InputError("The sealed payload does not fit a frame.", "Send less at once.")
    return replace(frame, encryption=encryption, payload=sealed)


def unseal(frame: Frame, keys: Keys, at: datetime) -> Frame | Fault:
    """Return the frame with its payload opened by the keys that hold at a time, or why not."""
    if frame.encryption == Encryption.NONE or not frame.payload:
        return replace(frame, encryption=Encryption.NONE)
    if frame.encryption not in (Encryption.RSA, Encryption.AES128, Encryption.SM2, Encryption.SM4):
        return Fault(Cause.UNSUPPORTED, f"the payload says encryption {frame.encryption:#04x}")
    opened = _unsealed(frame.payload, frame.encryption, keys, keys.valid_from <= at < keys.valid_until)
    return (
        Fault(Cause.DECRYPTION, _NOT_OPENED)
        if opened is None
        else replace(frame, encryption=Encryption.NONE, payload=opened)
    )


def _sealed(data: bytes, encryption: Encryption, keys: Keys) -> bytes | None:
    if encryption is Encryption.NONE:
        return data
    if encryption is Encryption.RSA:
        return None if keys.rsa_other is None else _rsa_seal(keys.rsa_other, data)
    if encryption is Encryption.SM2:
        return None if keys.sm2_other is None else keys.sm2_other.seal(data)
    cipher = _cipher(encryption, keys)
    if cipher is None:
        return None
    padder, encryptor = PKCS7(BLOCK_BYTES * 8).padder(), cipher.encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def _unsealed(data: bytes, encryption: int, keys: Keys, holds: bool) -> bytes | None:
    if encryption == Encryption.RSA:
        return None if keys.rsa_own is None else _rsa_open(keys.rsa_own, data)
    if encryption == Encryption.SM2:
        return None if keys.sm2_own is None else keys.sm2_own.open(data)
    cipher = _cipher(encryption, keys)
    if cipher is None or not holds or len(data) % BLOCK_BYTES:
        return None
    decryptor, unpadder = cipher.decryptor(), PKCS7(BLOCK_BYTES * 8).unpadder()
    try:
        return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        return None


def _cipher(encryption: int, keys: Keys) -> Cipher[modes.ECB] | None:
    if encryption == Encryption.AES128 and keys.aes128 is not None:
        return Cipher(algorithms.AES(keys.aes128), modes.ECB())  # noqa: S305 - the frame has no place for a nonce
    if encryption == Encryption.SM4 and keys.sm4 is not None:
        return Cipher(algorithms.SM4(keys.sm4), modes.ECB())  # noqa: S305
    return None


def _rsa_seal(key: rsa.RSAPublicKey, data: bytes) -> bytes:
    size = key.key_size // 8 - RSA_PADDING_BYTES
    return b"".join(key.encrypt(data[at : at + size], padding.PKCS1v15()) for at in range(0, len(data), size))


def _rsa_open(key: rsa.RSAPrivateKey, data: bytes) -> bytes | None:
    size = key.key_size // 8
    if len(data) % size:
        return None
    try:
        return b"".join(key.decrypt(data[at : at + size], padding.PKCS1v15()) for at in range(0, len(data), size))
    except ValueError:
        return None
