"""Signed notes, checkpoints and cosignatures: what a log and its witnesses put their names to. Pure.

Rules:
* A key is known by name and id together. A signature of an unknown key says nothing; a false one of a known key
  makes the note worthless.
* A log signs the note's text as it is. A witness signs the text below a line that says so and one with the time.

Source: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from carcloud.errors import InputError
from carcloud.safety.audit.tree import HASH_BYTES

LOG: Literal[1] = 1
WITNESS: Literal[4] = 4
LIMIT_NOTE_BYTES = 64 * 1024
LIMIT_SIGNATURES = 64
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+]{1,128}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME = struct.Struct(">Q")


@dataclass(frozen=True)
class Key:
    """A public key with the name it signs under. `kind`: of a log, over the text; of a witness, with the time."""

    name: str
    kind: Literal[1, 4]
    public: bytes

    @property
    def id(self) -> bytes:
        """Return the key's id, 4 bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed()).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self._typed()).decode()}"

    def _typed(self) -> bytes:
        return bytes([self.kind]) + self.public


def parse_key(text: str) -> Key:
    """Read a key as `str` writes it: name, id and typed key with a plus between. Raise InputError where it is none."""
    name, _, rest = text.strip().partition("+")
    given, _, encoded = rest.partition("+")
    data = _decoded(encoded)
    if not _NAME.fullmatch(name) or data is None or len(data) != 33 or data[0] not in (LOG, WITNESS):
        raise InputError(f"{text.strip()[:80]!r} is no key of a log or witness.", "Give NAME+ID+KEY, on one line.")
    key = Key(name, LOG if data[0] == LOG else WITNESS, data[1:])
    if key.id.hex() != given.lower():
        raise InputError(f"The key of {name} does not fit its id {given[:8]}.", "Copy it again from where it was made.")
    return key


@dataclass(frozen=True)
class Line:
    """One signature line: whose it says it is, and the signature."""

    name: str
    id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text and the signatures under it."""

    text: str
    lines: tuple[Line, ...]

    def __bytes__(self) -> bytes:
        return "".join([self.text, "\n", *map(str, self.lines)]).encode()

    def of(self, key: Key) -> Line | None:
        """Return this key's signature, None where there is none. Raise InputError where one is there that is false."""
        found = [line for line in self.lines if (line.name, line.id) == (key.name, key.id)]
        for line in found:
            if not holds(key, self.text, line.signature):
                raise InputError(f"The signature of {key.name} under the checkpoint is false.")
        return found[0] if found else None

    def with_lines(self, lines: Iterable[Line]) -> Note:
        """Return the note with further signatures; one of the same key replaces the older."""
        every = {(line.name, line.id): line for line in (*self.lines, *lines)}
        return Note(self.text, tuple(every.values()))


def parse_note(data: bytes) -> Note:
    """Read a signed note; raise InputError where the bytes are none."""
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise _no_note("it is no text") from None
    text, blank, below = whole.rpartition("\n\n")
    if len(data) > LIMIT_NOTE_BYTES or any(sign < " " and sign != "\n" for sign in whole):
        raise _no_note("it is too long, or has control characters")
    if not blank or not below.endswith("\n"):
        raise _no_note("it has no signatures behind an empty line")
    return Note(f"{text}\n", parse_lines(below))


def parse_lines(text: str) -> tuple[Line, ...]:
    """Read signature lines, each with its line's end; raise InputError where one is none."""
    rows = text.removesuffix("\n").split("\n")
    if len(rows) > LIMIT_SIGNATURES:
        raise _no_note(f"it has more than {LIMIT_SIGNATURES} signatures")
    return tuple(map(_line, rows))


def _line(row: str) -> Line:
    name, _, encoded = row.removeprefix(_DASH).partition(" ")
    data = _decoded(encoded)
    if not row.startswith(_DASH) or not _NAME.fullmatch(name) or data is None or len(data) <= 4:
        raise _no_note(f"{row[:40]!r} is no signature")
    return Line(name, data[:4], data[4:])


def origin_of(zone: str) -> str:
    """Return the origin of a zone's log, which is also the name that the zone signs it under."""
    return f"carcloud/{zone}"


@dataclass(frozen=True)
class Checkpoint:
    """What a log claims to be: its origin, how many leaves it has, and their root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text; raise InputError where it is none. What further lines say is not looked at."""
    rows = text.removesuffix("\n").split("\n")
    if len(rows) < 3 or not text.endswith("\n") or not all(rows):
        raise _no_note("it has not the three lines of a checkpoint")
    root = _decoded(rows[2])
    if not _SIZE.fullmatch(rows[1]) or root is None or len(root) != HASH_BYTES:
        raise _no_note("its second line is no size, or its third no root")
    return Checkpoint(rows[0], int(rows[1]), root)


def holds(key: Key, text: str, signature: bytes) -> bool:
    """Say whether this key made the signature, in the form of its kind."""
    said = text.encode()
    if key.kind == WITNESS:
        if len(signature) != _TIME.size + 64:
            return False
        said, signature = cosigned(cosigned_at(signature), text), signature[_TIME.size :]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, said)
    except (InvalidSignature, ValueError):
        return False
    return True


def cosigned(at: int, text: str) -> bytes:
    """Return what a witness signs, seconds since 1970 and a checkpoint's text."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def cosignature(key: Key, at: int, signature: bytes) -> Line:
    """Return the line of a witness who signed at this second."""
    return Line(key.name, key.id, _TIME.pack(at) + signature)


def cosigned_at(signature: bytes) -> int:
    """Return when a witness signed, in seconds since 1970."""
    at: int = _TIME.unpack_from(signature)[0]
    return at


def _decoded(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _no_note(reason: str) -> InputError:
    return InputError(
        f"This is no signed checkpoint: {reason}.", "Give the file as the log or `carcloud audit` wrote it."
    )
