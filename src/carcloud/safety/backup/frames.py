"""The pieces of a backup: streams of any length, encrypted so that nothing in them can be changed, moved or left out.

Rules:
* A piece is a magic, a random salt of 32 bytes, and frames of 1 MiB, of which the last may be shorter. Its key is
  derived from the period's key, the salt and the piece's own name (`BACKUP/PIECE`): no two pieces share one, and a
  piece under another name does not open.
* A frame's nonce is its number and whether it is the last: frames that were swapped, repeated, dropped or cut off do
  not open.
* No more than two frames are in memory.

Source: NIST SP 800-38D (AES-GCM); RFC 5869 (HKDF); Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015 (STREAM).
"""

from __future__ import annotations

import hashlib
import os
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carcloud.errors import ConflictError

MAGIC = b"CCBACK1\n"
SALT_BYTES = 32
FRAME_BYTES = 1 << 20
TAG_BYTES = 16
DO_OTHER = "Take another backup, or another copy of this one."


class FrameWriter:
    """Writes a piece into `sink`. `close()` writes the last frame; without it the piece counts as cut short."""

    def __init__(self, sink: IO[bytes], key: bytes, name: str) -> None:
        self._sink, self._digest, self._number, self._waiting = sink, hashlib.sha256(), 0, bytearray()
        self._head = MAGIC + os.urandom(SALT_BYTES)
        self._cipher = _cipher(key, self._head, name)
        self.size = 0
        self._put(self._head)

    def write(self, data: bytes) -> int:
        """Take bytes in; return how many."""
        self._waiting += data
        while len(self._waiting) > FRAME_BYTES:  # a full frame may be the last, so it waits for what comes behind
            self._frame(bytes(self._waiting[:FRAME_BYTES]), last=False)
            del self._waiting[:FRAME_BYTES]
        return len(data)

    def close(self) -> None:
        """Write the last frame."""
        self._frame(bytes(self._waiting), last=True)

    @property
    def sha256(self) -> str:
        """Return the hash of all that was written, in hexadecimal."""
        return self._digest.hexdigest()

    def _frame(self, data: bytes, *, last: bool) -> None:
        self._put(self._cipher.encrypt(_nonce(self._number, last), data, self._head))
        self._number += 1

    def _put(self, data: bytes) -> None:
        self._sink.write(data)
        self._digest.update(data)
        self.size += len(data)


class FrameReader:
    """Reads what a `FrameWriter` wrote. Nothing is given out that was not checked.

    Raises:
        ConflictError: the piece is none, was changed or cut short, or has another key or name.
    """

    def __init__(self, source: IO[bytes], key: bytes, name: str) -> None:
        self._source, self._name, self._number, self._ready, self._ended = source, name, 0, b"", False
        self._head = source.read(len(MAGIC) + SALT_BYTES)
        if not self._head.startswith(MAGIC) or len(self._head) < len(MAGIC) + SALT_BYTES:
            raise ConflictError(f"{name} is no piece of a backup.", DO_OTHER)
        self._cipher = _cipher(key, self._head, name)
        self._ahead = source.read(FRAME_BYTES + TAG_BYTES)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end."""
        parts, have = [], 0
        while have < size and (self._ready or self._next()):
            part = self._ready[: size - have]
            self._ready = self._ready[len(part) :]
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def _next(self) -> bool:
        """Open the next frame; tell whether there was one with something in it."""
        if self._ended:
            return False
        frame, self._ahead = self._ahead, self._source.read(FRAME_BYTES + TAG_BYTES)
        self._ended = not self._ahead
        try:
            self._ready = self._cipher.decrypt(_nonce(self._number, self._ended), frame, self._head)
        except InvalidTag:
            raise ConflictError(f"{self._name} {self._fault(frame)}.", DO_OTHER) from None
        self._number += 1
        return bool(self._ready)

    def _fault(self, frame: bytes) -> str:
        try:
            self._cipher.decrypt(_nonce(self._number, not self._ended), frame, self._head)
        except InvalidTag:
            return f"does not open at frame {self._number}: it was changed, or has another key"
        return f"is cut short behind frame {self._number}" if self._ended else "goes on behind its end"


def _cipher(key: bytes, head: bytes, name: str) -> AESGCM:
    info = f"carcloud/backup/piece/v1\n{name}".encode()
    return AESGCM(HKDF(SHA256(), 32, head[len(MAGIC) :], info).derive(key))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
