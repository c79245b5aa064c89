"""Where an order signer's private keys are: files labelled development, or a hardware token.

Rules:
* A folder says in `pkcs11.json` which token it uses; without that file its keys are files of its own.
* The PIN stands in a file of its own that only the order signer's user can read, outside the folder.
* In a token every folder has names of its own, so that two order signers can share one.

Source: PKCS #11 v2.40.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.backends.pkcs11 import Token
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.safety.keys import private_folder, read_key, read_or_make_key, write_file

HARDWARE = "pkcs11.json"
FILES_LABEL = b"These are development keys: files, guarded by nothing but the owner's mode. Never copy them.\n"
HARDWARE_LABEL = b"The keys are in a hardware token, named in pkcs11.json.\n"


class Keyring(Protocol):
    """Gives private keys by name. `label`: a sentence on how they are guarded."""

    label: bytes

    def key(self, name: str, *, make: bool = True) -> ec.EllipticCurvePrivateKey:
        """Return the key of this name; raise MissingError where there is none and none is to be made."""


def keyring(folder: Path) -> Keyring:
    """Return the keyring of an order signer's folder.

    Raises:
        InputError: `pkcs11.json` is damaged, or the PIN is wrong.
        MissingError: the token, its library or the PIN file is not there.
    """
    named = folder / HARDWARE
    if not named.exists():
        return _Files(folder)
    try:
        said = json.loads(named.read_bytes())
        module, label, pin_file, prefix = (str(said[key]) for key in ("module", "token", "pin_file", "prefix"))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{named} is damaged.", "Make the folder again: carcloud operator init.") from None
    return _Hardware(Token(Path(module), label, _pin(Path(pin_file))), prefix)


def use_token(folder: Path, module: Path, token: str, pin_file: Path) -> None:
    """Say that a new folder's keys are in a token. Raise ConflictError where it has keys elsewhere already."""
    wanted = {"module": str(module.absolute()), "token": token, "pin_file": str(pin_file.absolute())}
    named = folder / HARDWARE
    if named.exists():
        known = json.loads(named.read_bytes())
        if {key: known.get(key) for key in wanted} != wanted:
            raise ConflictError(f"{folder} uses another token already.", "Make a new folder.")
        return
    if (folder / "operator-ca.key").exists():
        raise ConflictError(f"{folder} has its keys in files already.", "Make a new folder.")
    Token(module, token, _pin(pin_file))
    private_folder(folder)
    write_file(named, json.dumps(wanted | {"prefix": secrets.token_hex(4)}, indent=1).encode())


def new_key() -> bytes:
    """Return a new P-256 key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a P-256 key. Raise MissingError where it is none."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MissingError("This file holds no private key of the curve P-256.", "Give another, or make a new one.")
    return key


class _Files:
    label = FILES_LABEL

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(self, name: str, *, make: bool = True) -> ec.EllipticCurvePrivateKey:
        path = self._folder / f"{name}.key"
        if not make and not path.exists():
            raise MissingError(f"There is no {path.name} in {self._folder}.", "Restore it from a backup.")
        return load_key(read_or_make_key(path, new_key))


class _Hardware:
    label = HARDWARE_LABEL

    def __init__(self, token: Token, prefix: str) -> None:
        self._token, self._prefix = token, prefix

    def key(self, name: str, *, make: bool = True) -> ec.EllipticCurvePrivateKey:
        return self._token.key(f"carcloud {self._prefix} {name}", make=make)


def _pin(path: Path) -> str:
    try:
        return read_key(path).decode().strip()
    except FileNotFoundError:
        raise MissingError(f"There is no PIN file {path}.", "Write the token's PIN into it, mode 0600.") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"The PIN file {path} cannot be read.", "Write the token's PIN into it, mode 0600.") from None
