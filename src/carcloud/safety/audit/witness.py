"""A witness: cosigns a log's checkpoints, and never two histories of one log.

Rules:
* It signs only what continues the newest checkpoint it has signed; that one is flushed before the answer goes out.
* It knows logs by origin and key, and asks nobody who sends a checkpoint: what is signed by the log may come from
  anyone.
* Key and state lie in one folder, which one process at a time may use.

Source: c2sp.org/tlog-witness, c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.backends.files import write_flushed
from carcloud.errors import ConflictError, InputError
from carcloud.safety.audit.note import (
    WITNESS,
    Checkpoint,
    Key,
    Note,
    cosignature,
    cosigned,
    parse_checkpoint,
    parse_note,
)
from carcloud.safety.audit.tree import verify_consistency
from carcloud.safety.keys import private_folder, read_or_make_key, write_file

LIMIT_REQUEST_BYTES = 96 * 1024
LIMIT_PROOF = 63
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Answer:
    """What a witness answers: an HTTP status, a body, and the body's type."""

    status: int
    body: str
    type: str = TEXT_TYPE


@dataclass(frozen=True)
class Request:
    """What is asked: to cosign a checkpoint that continues one of size `old`, by this proof."""

    old: int
    proof: list[bytes]
    note: Note
    checkpoint: Checkpoint


def parse_request(body: bytes) -> Request:
    """Read a request to add a checkpoint; raise InputError where it is none."""
    head, blank, rest = body.partition(b"\n\n")
    rows = head.decode("ascii", "replace").split("\n")
    old = _OLD.fullmatch(rows[0])
    if not blank or old is None or len(rows) - 1 > LIMIT_PROOF:
        raise InputError("The request has no old size, too long a proof, or no checkpoint behind an empty line.")
    try:
        proof = [base64.b64decode(row, validate=True) for row in rows[1:]]
    except binascii.Error:
        raise InputError("A line of the proof is no base64.") from None
    note = parse_note(rest)
    return Request(int(old[1]), proof, note, parse_checkpoint(note.text))


class Witness:
    """The witness whose key and state are in `state`; it knows the `logs` of these keys. `name`: its key's.

    Raises:
        ConflictError: another process uses the folder, or its key has another name.
    """

    def __init__(self, state: Path, logs: Sequence[Key], name: str, clock: Callable[[], float] = time.time) -> None:
        self._state, self._logs, self._clock = private_folder(state), list(logs), clock
        self._alone = (state / "lock").open("a")
        try:
            fcntl.flock(self._alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"Another witness uses {state}.", "Stop it, or give another folder.") from None
        secret = read_or_make_key(state / "witness.key", lambda: Ed25519PrivateKey.generate().private_bytes_raw())
        self._secret = Ed25519PrivateKey.from_private_bytes(secret)
        self.key = Key(name, WITNESS, self._secret.public_key().public_bytes_raw())
        public = state / "witness.pub"
        if public.exists() and public.read_text() != f"{self.key}\n":
            do = "Use its own name and key, or begin another witness in another folder."
            raise ConflictError(f"The witness in {state} has another name or key.", do)
        write_file(public, f"{self.key}\n".encode(), 0o644)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the folder back."""
        self._alone.close()

    def answer(self, body: bytes) -> Answer:
        """Answer a request to add a checkpoint; what is signed is on the disk first."""
        try:
            request = parse_request(body)
        except InputError as error:
            return Answer(400, f"{error.message}\n")
        found = request.checkpoint
        known = [key for key in self._logs if key.name == found.origin]
        if not known:
            return Answer(404, "This witness does not know the log.\n")
        if not any(_signed(request.note, key) for key in known):
            return Answer(403, "No known key of the log has signed this.\n")
        if request.old > found.size:
            return Answer(400, "The old size is beyond the checkpoint's.\n")
        with self._lock:
            return self._judged(request)

    def newest(self, origin: str) -> Checkpoint | None:
        """Return the newest checkpoint it has cosigned of a log; None before the first."""
        try:
            return parse_checkpoint(parse_note(self._file(origin).read_bytes()).text)
        except FileNotFoundError:
            return None

    def _judged(self, request: Request) -> Answer:
        found, newest = request.checkpoint, self.newest(request.checkpoint.origin)
        size = newest.size if newest else 0
        if request.old != size:
            return Answer(409, f"{size}\n", SIZE_TYPE)
        if newest and found.size == size and found.root != newest.root:
            return Answer(409, f"{size}\n", SIZE_TYPE)
        if not _continues(newest, found, request.proof):
            return Answer(422, "The proof does not show that this continues what was cosigned last.\n")
        write_flushed(self._file(found.origin), bytes(request.note))
        at = int(self._clock())
        line = cosignature(self.key, at, self._secret.sign(cosigned(at, request.note.text)))
        return Answer(200, str(line))

    def _file(self, origin: str) -> Path:
        return self._state / f"newest-{hashlib.sha256(origin.encode()).hexdigest()[:32]}"


def _continues(newest: Checkpoint | None, found: Checkpoint, proof: Sequence[bytes]) -> bool:
    if newest is None or newest.size == 0:
        return not proof
    return verify_consistency(newest.size, found.size, newest.root, found.root, proof)


def _signed(note: Note, key: Key) -> bool:
    try:
        return note.of(key) is not None
    except InputError:
        return False
