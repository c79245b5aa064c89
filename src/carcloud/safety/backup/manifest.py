"""A backup's manifest: the signed word on what the backup is made of, and on where the zone stood.

Rules:
* It is written last, and the backup's folder gets its name only then: half a backup is never taken for one.
* It names no car and no person, and lies open; everything else is encrypted.
* It holds the backup's own name: an older manifest in a newer one's place is found.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from carcloud.errors import ConflictError, InputError
from carcloud.safety.signer import Signature

FORMAT = 1
FILE = "manifest.json"
DO_OTHER = "Take another backup, or another copy of this one."


@dataclass(frozen=True)
class Piece:
    """One encrypted file. `name`: what it is; `file`: where it lies below the folder of backups; hash of the file."""

    name: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    lake_version: of the Delta table. positions: chunk up to which each fold stands. chunk: the newest in the backup.
    leaves: size of the audit log, and its `root`. erasures: lines of the ledger when it was taken, and the `head`, the
    hash of the last. key: the name of the period's key.
    """

    name: str
    zone: str
    tenant: str
    at: str
    period: str
    key: str
    lake_version: int
    positions: dict[str, int]
    chunk: int
    leaves: int
    root: str
    governance: str
    erasures: int
    head: str
    pieces: list[Piece]
    files: list[Piece]
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Return the bytes of all pieces, those included that other backups of the period share."""
        return sum(piece.size for piece in (*self.pieces, *self.files))

    def piece(self, name: str) -> Piece:
        """Return one piece by its name; raise ConflictError where it has none of it."""
        for piece in self.pieces:
            if piece.name == name:
                return piece
        raise ConflictError(f"The backup {self.name} has no piece {name}.", DO_OTHER)

    def dump(self, sign: Callable[[bytes], Signature]) -> bytes:
        """Return the manifest as a file, signed by `sign`."""
        said = asdict(self)
        signature = sign(hashed(said))
        return orjson.dumps({"statement": said, "signature": signature.value.hex(), "key": signature.key_id})


def load(data: bytes, name: str, signed: Callable[[bytes, bytes], bool]) -> Manifest:
    """Read the manifest of the backup of this name. Raise ConflictError where it is none, or not signed."""
    try:
        read = orjson.loads(data)
        said, signature = read["statement"], bytes.fromhex(read["signature"])
        good = signed(hashed(said), signature)
        parts = {each: [Piece(**piece) for piece in said[each]] for each in ("pieces", "files")}
        found = Manifest(**(said | parts))
    except InputError:
        raise  # there is no public key to tell by
    except (ValueError, KeyError, TypeError):
        raise ConflictError(f"The backup {name} has no manifest that can be read.", DO_OTHER) from None
    if not good:
        raise ConflictError(f"The manifest of the backup {name} is not signed by its zone.", DO_OTHER)
    if found.format != FORMAT:
        raise ConflictError(f"The backup {name} has format {found.format}; this carcloud knows {FORMAT}.")
    if found.name != name:
        raise ConflictError(f"The manifest of the backup {name} is that of {found.name}.", DO_OTHER)
    return found


def hashed(said: dict[str, Any]) -> bytes:
    """Return what is signed: the hash of the statement, since a lake's list of files is long."""
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()
