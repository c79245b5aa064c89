"""Keys in a hardware token: they are made in it, used in it, and never leave it.

Rules:
* The maker's library is loaded from the path given; the Python side is the optional package `python-pkcs11`.
* One question at a time; a process logs in to a token once.
* What is worked out with a key is an answer like a file key's: a signature, or the shared x coordinate.

Source: PKCS #11 v2.40 (CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CKM_ECDH1_DERIVE); RFC 5480 (points).
"""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from carcloud.errors import CarcloudError, InputError, MissingError, TryLaterError

EXTRA = "pip install 'carcloud[pkcs11]'"
_P256 = bytes.fromhex("06082a8648ce3d030107")  # DER: the curve's object identifier
_OCTETS_OF_POINT = b"\x04\x41"  # DER: an octet string of 65 bytes
_BITS = 256


class Token:
    """A hardware token that is logged in to. `module`: its maker's library; `label`: the token's; `pin`: the user's.

    Raises:
        MissingError: the package, the library or the token is not there.
        InputError: the PIN is wrong.
        TryLaterError: the token does not answer.
    """

    def __init__(self, module: Path, label: str, pin: str) -> None:
        try:
            self._api: Any = importlib.import_module("pkcs11")
        except ModuleNotFoundError:
            raise MissingError("Hardware tokens need the package python-pkcs11.", f"Install it: {EXTRA}") from None
        self._lock, self._keys, self._label = threading.Lock(), dict[str, ec.EllipticCurvePrivateKey](), label
        with self._asking():
            token = self._library(module).get_token(token_label=label)
            try:
                self._session = token.open(user_pin=pin, rw=True)
            except self._api.exceptions.UserAlreadyLoggedIn:  # a process logs in once, for all its sessions
                self._session = token.open(rw=True)

    def key(self, name: str, *, make: bool = True) -> ec.EllipticCurvePrivateKey:
        """Return the P-256 key of this name, made in the token on first use.

        Raises:
            MissingError: there is none, and none is to be made.
            TryLaterError: the token does not answer.
        """
        with self._asking():
            if name not in self._keys:
                self._keys[name] = self._found(name, make)
            return self._keys[name]

    def _library(self, module: Path) -> Any:
        try:
            return self._api.lib(os.fspath(module))
        except (RuntimeError, OSError) as error:
            raise MissingError(f"{module} is no PKCS#11 library: {error}.", "Give its maker's library.") from None

    def _found(self, name: str, make: bool) -> ec.EllipticCurvePrivateKey:
        kinds, attribute = self._api.ObjectClass, self._api.Attribute
        wanted = {attribute.LABEL: name, attribute.KEY_TYPE: self._api.KeyType.EC}
        private = list(self._session.get_objects(wanted | {attribute.CLASS: kinds.PRIVATE_KEY}))
        public = list(self._session.get_objects(wanted | {attribute.CLASS: kinds.PUBLIC_KEY}))
        if not private and make:
            pair = self._new_pair(name)
            public, private = [pair[0]], [pair[1]]
        if not private or not public:
            raise MissingError(f"The token {self._label} holds no key {name}.", "Give the token that it was made in.")
        return _HardwareKey(self, private[0], _point(bytes(public[0][attribute.EC_POINT])))

    def _new_pair(self, name: str) -> tuple[Any, Any]:
        known = {self._api.Attribute.EC_PARAMS: _P256}
        parameters = self._session.create_domain_parameters(self._api.KeyType.EC, known, local=True)
        attribute = self._api.Attribute
        kept = {attribute.SENSITIVE: True, attribute.EXTRACTABLE: False}
        pair: tuple[Any, Any] = parameters.generate_keypair(store=True, label=name, private_template=kept)
        return pair

    def signature(self, key: Any, digest: bytes) -> bytes:
        """Return r and s, 32 bytes each, over a digest."""
        with self._asking():
            return bytes(key.sign(digest, mechanism=self._api.Mechanism.ECDSA))

    def agreed(self, key: Any, point: bytes) -> bytes:
        """Return the x coordinate that the key and a point, 65 bytes, come to: 32 bytes."""
        attribute = self._api.Attribute
        shown = {attribute.SENSITIVE: False, attribute.EXTRACTABLE: True, attribute.VALUE_LEN: _BITS // 8}
        asked = (self._api.KDF.NULL, None, point)
        with self._asking():
            secret = key.derive_key(self._api.KeyType.GENERIC_SECRET, _BITS, mechanism_param=asked, template=shown)
            try:
                return bytes(secret[attribute.VALUE])
            finally:
                secret.destroy()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """One question at a time; what the token says against it becomes an error of ours."""
        with self._lock:
            try:
                yield
            except CarcloudError:
                raise
            except self._api.exceptions.PinIncorrect:
                raise InputError(f"The PIN of the token {self._label} is wrong.", "Mend the PIN file.") from None
            except (self._api.exceptions.NoSuchToken, self._api.exceptions.MultipleTokensReturned):
                do = "Initialise it with its maker's tool; its label must be its own."
                raise MissingError(f"There is no one token {self._label}.", do) from None
            except self._api.exceptions.PKCS11Error as error:
                do = "See that it is plugged in and lets its user in; then start again."
                raise TryLaterError(f"The token {self._label} refused: {type(error).__name__}.", do) from None


class _HardwareKey(ec.EllipticCurvePrivateKey):
    """A key that stays in its token, as a key of `cryptography`."""

    def __init__(self, token: Token, key: Any, point: bytes) -> None:
        self._token, self._key = token, key
        self._public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return _BITS

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        return self._token.agreed(self._key, peer_public_key.public_bytes(encoding, form))

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise NotImplementedError("a token signs SHA-256 only")
        both = self._token.signature(self._key, hashlib.sha256(data).digest())
        half = len(both) // 2
        return encode_dss_signature(int.from_bytes(both[:half], "big"), int.from_bytes(both[half:], "big"))

    def private_numbers(self) -> NoReturn:
        raise NotImplementedError("the key never leaves its token")

    def private_bytes(self, *_: Any) -> NoReturn:
        raise NotImplementedError("the key never leaves its token")

    def __copy__(self) -> _HardwareKey:
        return self

    def __deepcopy__(self, _: Any) -> _HardwareKey:
        return self


def _point(said: bytes) -> bytes:
    """Return a point of 65 bytes, with or without the DER around it: tokens differ."""
    return said.removeprefix(_OCTETS_OF_POINT) if len(said) == len(_OCTETS_OF_POINT) + 65 else said
