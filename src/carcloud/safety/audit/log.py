"""The log's only writer: from what waits to leaves on the disk under a signed checkpoint, each exactly once.

Rules:
* What is about to be written is drafted and flushed first: where it begins, the leaves, and what they came from. Then
  come tiles, the checkpoint, the records, and the draft goes. After a crash the draft is done again from where it
  stands, and gives the same files and the same signature: the log never signs two histories.
* Before it goes on the log looks at itself: the checkpoint is signed by its key, the tiles give its root, and the
  records know no leaf beyond it.
* Witnesses are asked before a checkpoint is shown. One that is away holds nothing up: it is asked again later.
"""

from __future__ import annotations

import base64
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from carcloud.backends.files import flush, write_flushed
from carcloud.backends.records import Records
from carcloud.backends.records.audit import Details, Pending
from carcloud.errors import ConflictError, InputError
from carcloud.safety.audit.leaf import SALT_BYTES, act_leaf, indexed
from carcloud.safety.audit.note import Checkpoint, Key, Line, Note, holds, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import WIDTH, Tiles, width_of
from carcloud.safety.audit.tree import EMPTY_ROOT, root

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint"
DRAFT = "draft"
DO_RESTORE = "Restore the audit folder and the records from the same backup; find out who changed them."
Witnessing = Callable[[Note, Checkpoint, Tiles], Sequence[Line]]


@dataclass(frozen=True)
class Draft:
    """Leaves that are about to be written from `start` on; `done`: ids of the acts that then wait no more."""

    start: int
    leaves: list[bytes]
    details: list[Details]
    done: list[int]

    def dump(self) -> bytes:
        """Return the draft as a file."""
        kept = [[one.number, base64.b64encode(one.salt).decode(), one.text] for one in self.details]
        leaves = [leaf.decode() for leaf in self.leaves]
        return orjson.dumps({"start": self.start, "leaves": leaves, "details": kept, "done": self.done})

    @classmethod
    def load(cls, data: bytes) -> Draft:
        """Read what `dump` wrote."""
        said = orjson.loads(data)
        details = [Details(number, base64.b64decode(salt), text) for number, salt, text in said["details"]]
        return cls(said["start"], [leaf.encode() for leaf in said["leaves"]], details, said["done"])


def drafted(start: int, acts: Sequence[Pending], receipts: Sequence[bytes]) -> Draft:
    """Return the draft of acts and, behind them, leaves of receipts."""
    leaves, details = list[bytes](), list[Details]()
    for number, act in enumerate(acts, start):
        salt = secrets.token_bytes(SALT_BYTES)
        leaves.append(act_leaf(act, salt))
        if act.details is not None:
            details.append(Details(number, salt, act.details))
    return Draft(start, [*leaves, *receipts], details, [act.id for act in acts])


class AuditLog:
    """The log in `folder`. `recover()` first; after any error again, before the next `write`.

    `sign(text)` returns the signature of `key` over a checkpoint's text. `witness` returns the lines of those who
    cosigned a checkpoint.
    """

    def __init__(
        self, folder: Path, records: Records, sign: Callable[[bytes], bytes], key: Key, witness: Witnessing
    ) -> None:
        self._folder, self._records, self._sign, self._key, self._witness = folder, records, sign, key, witness
        self._tiles = Tiles(folder)
        self._alone = threading.Lock()  # a write whose caller was cancelled goes on in its thread
        self._note: Note | None = None
        self.checkpoint = Checkpoint(key.name, 0, EMPTY_ROOT)

    @property
    def note(self) -> Note | None:
        """Return the newest checkpoint with its signatures; None before the first."""
        return self._note

    def recover(self) -> None:
        """Finish what a crash has cut short, and see that log and records are one.

        Raises:
            ConflictError: the log was changed by another, or is not this zone's.
            TryLaterError: the signer or the records are away, or the disk is full.
        """
        with self._alone:
            self._recover()

    def write(self, acts: Sequence[Pending], receipts: Sequence[bytes]) -> None:
        """Write acts and receipts as the log's next leaves, under a new checkpoint. Raises as `recover` does."""
        with self._alone:
            draft = drafted(self.checkpoint.size, acts, receipts)
            write_flushed(self._folder / DRAFT, draft.dump())
            self._finish(draft)

    def ask_again(self) -> None:
        """Ask witnesses for what they have not cosigned yet. Raise TryLaterError where the disk is full."""
        with self._alone:
            if self._note is not None:
                lines = self._witness(self._note, self.checkpoint, self._tiles)
                if lines:
                    self._show(self._note.with_lines(lines), self.checkpoint)

    def _recover(self) -> None:
        self._read_checkpoint()
        draft = self._folder / DRAFT
        if draft.exists():
            self._finish(Draft.load(draft.read_bytes()))
        size = self.checkpoint.size
        if root(size, self._tiles.hash_of(size)) != self.checkpoint.root:
            raise ConflictError("The tiles of the audit log do not give its checkpoint's root.", DO_RESTORE)
        known = self._records.audit.size()
        if known > size:
            raise ConflictError(f"The audit log has {size} leaves, the records know of {known}.", DO_RESTORE)
        if known < size:
            self._index(known)

    def _finish(self, draft: Draft) -> None:
        end = draft.start + len(draft.leaves)
        if self.checkpoint.size == draft.start:
            self._tiles.append(draft.start, draft.leaves)
            found = Checkpoint(self._key.name, end, root(end, self._tiles.hash_of(end)))
            text = found.text()
            note = Note(text, (Line(self._key.name, self._key.id, self._sign(text.encode())),))
            if not holds(self._key, text, note.lines[0].signature):
                raise ConflictError("The signer has another key than the audit log.", DO_RESTORE)
            self._show(note.with_lines(self._witness(note, found, self._tiles)), found)
        elif self.checkpoint.size != end:
            message = f"The audit log has {self.checkpoint.size} leaves, and was about to write {draft.start} to {end}."
            raise ConflictError(message, DO_RESTORE)
        self._tiles.tidy(draft.start, end)
        acts, runs = indexed(draft.start, draft.leaves)
        self._records.audit.settle(draft.start, acts, draft.details, runs, draft.done)
        (self._folder / DRAFT).unlink()
        flush(self._folder)

    def _show(self, note: Note, checkpoint: Checkpoint) -> None:
        write_flushed(self._folder / CHECKPOINT, bytes(note))
        self._note, self.checkpoint = note, checkpoint

    def _read_checkpoint(self) -> None:
        try:
            data = (self._folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            if (self._folder / "tile").exists() and not (self._folder / DRAFT).exists():
                raise ConflictError("The audit log has lost its checkpoint.", DO_RESTORE) from None
            self._note, self.checkpoint = None, Checkpoint(self._key.name, 0, EMPTY_ROOT)
            return
        try:
            note = parse_note(data)
            signed, found = note.of(self._key), parse_checkpoint(note.text)
        except InputError as error:
            raise ConflictError(error.message, DO_RESTORE) from None
        if not signed or found.origin != self._key.name:
            raise ConflictError(
                f"The audit log's checkpoint is not signed by {self._key.name} with this zone's key.", DO_RESTORE
            )
        self._note, self.checkpoint = note, found

    def _index(self, known: int) -> None:
        """Index leaves that the records have lost, as after an older copy of them was put back."""
        size = self.checkpoint.size
        log.warning("leaves are indexed again", extra={"from": known, "to": size})
        while known < size:
            index, within = divmod(known, WIDTH)
            entries = self._tiles.entries(index, width_of(0, index, size))[within:]
            acts, runs = indexed(known, entries)
            self._records.audit.settle(known, acts, [], runs, [])
            known += len(entries)
