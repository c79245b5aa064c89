"""A folder of backups: where their pieces lie, and how one is written so that half of it is never taken for whole.

Rules:
* `NAME/` holds a backup's own pieces and its manifest; `YYYY-MM/files/` the lake's files that the period's backups
  share, since a lake's file never changes. Before it is whole a backup lies in `.NAME.partial`.
* One backup is written at a time. What an interrupted one left goes with the next; files of the lake stay, and count.
* A file that is there already is read, and written anew where it is not what the earlier backup was made of.
* Every file is flushed before the manifest, and the manifest before the backup gets its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from carcloud.backends.files import flush, make_folder, write_flushed
from carcloud.errors import ConflictError, InputError, MissingError, TryLaterError
from carcloud.safety.backup import manifest
from carcloud.safety.backup.frames import FrameReader, FrameWriter
from carcloud.safety.backup.ledger import FILE as LEDGER
from carcloud.safety.backup.ledger import Line
from carcloud.safety.backup.ledger import read as read_ledger
from carcloud.safety.backup.manifest import DO_OTHER, Manifest, Piece
from carcloud.safety.backup.periods import Periods
from carcloud.safety.keys import private_folder

NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z")
PARTIAL = ".partial"
COPY_BYTES = 1 << 20


class Store:
    """The backups in a folder, and the keys that open them."""

    def __init__(self, folder: Path, periods: Periods) -> None:
        self.folder, self.periods = folder.absolute(), periods

    @property
    def ledger(self) -> Path:
        """The ledger of erasures beside the backups."""
        return self.folder / LEDGER

    def names(self) -> list[str]:
        """Return the whole backups, the oldest first."""
        return sorted(
            file.parent.name for file in self.folder.glob(f"*/{manifest.FILE}") if NAME.fullmatch(file.parent.name)
        )

    def manifest(self, name: str) -> Manifest:
        """Return a backup's manifest. Raise MissingError where there is no such backup, ConflictError as `load`."""
        if not NAME.fullmatch(name):
            raise InputError(f"{name[:64]!r} is no backup's name.", "List them with `carcloud backup list`.")
        try:
            data = (self.folder / name / manifest.FILE).read_bytes()
        except FileNotFoundError:
            do = "List them with `carcloud backup list`."
            raise MissingError(f"There is no backup {name} in {self.folder}.", do) from None
        return manifest.load(data, name, lambda said, signature: self.periods.signed("backup", said, signature))

    def lines(self, file: Path | None = None) -> list[Line]:
        """Return the lines of the ledger, or of a copy; raise as `read_ledger`."""
        return read_ledger(file or self.ledger, lambda said, signature: self.periods.signed("ledger", said, signature))

    def check(self, found: Manifest, said: Callable[[int], None] = lambda _: None) -> None:
        """Read every piece, and see that it is the one the manifest names; `said` hears of bytes.

        Raises:
            ConflictError: a piece is gone or another one.
        """
        for piece in (*found.pieces, *found.files):
            try:
                same = _same(self._file(piece), piece, said)
            except FileNotFoundError:
                raise ConflictError(f"{piece.file} is gone from the backups.", DO_OTHER) from None
            if not same:
                message = f"{piece.file} ({piece.name}) is not the piece that {found.name} was made of."
                raise ConflictError(message, DO_OTHER)

    @contextmanager
    def opened(self, found: Manifest, piece: Piece, key: bytes) -> Iterator[FrameReader]:
        """Read what is in a piece."""
        owner = found.period if piece in found.files else found.name
        with self._file(piece).open("rb") as source:
            yield FrameReader(source, key, f"{owner}/{piece.name}")

    @contextmanager
    def taking(self, name: str, period: str) -> Iterator[Taking]:
        """Write a backup; where the block ends in an error, nothing of it stays.

        Raises:
            ConflictError: another one is being written, or has this name. TryLaterError: there is no room.
        """
        key = self.periods.made(period)
        try:
            private_folder(self.folder)
            with (self.folder / ".lock").open("a") as lock:
                self._alone(lock.fileno(), name)
                with self._drafted(name) as draft:
                    yield Taking(self, draft, name, period, key)
        except OSError as error:
            do = "Make room in the folder of backups; the zone is as it was."
            raise TryLaterError(f"The backup cannot be written: {error.strerror or error}.", do) from error

    @contextmanager
    def _drafted(self, name: str) -> Iterator[Path]:
        for left in self.folder.glob(f".*{PARTIAL}"):
            shutil.rmtree(left)
        draft = self.folder / f".{name}{PARTIAL}"
        draft.mkdir(mode=0o700)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _alone(self, lock: int, name: str) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"Another backup is being written to {self.folder}.", "Wait for it.") from None
        if (self.folder / name).exists():
            raise ConflictError(f"There is a backup {name} already.", "Wait a second.")

    def _file(self, piece: Piece) -> Path:
        file = (self.folder / piece.file).resolve()
        if not file.is_relative_to(self.folder.resolve()):
            raise ConflictError(f"The piece {piece.name} lies outside of the backups.", DO_OTHER)
        return file


class Taking:
    """A backup in the making."""

    def __init__(self, store: Store, draft: Path, name: str, period: str, key: bytes) -> None:
        self._store, self._draft, self.name, self.period, self.key = store, draft, name, period, key
        self.pieces = dict[str, Piece]()
        self.files = dict[str, Piece]()
        self._known = self._shared()

    @contextmanager
    def piece(self, name: str) -> Iterator[FrameWriter]:
        """Write one of the backup's own pieces; one of the same name is written anew."""
        with self._sealed(self._draft / f"{name}.piece", f"{self.name}/{name}") as writer:
            yield writer
        self.pieces[name] = Piece(name, f"{self.name}/{name}.piece", writer.size, writer.sha256)

    def share(self, name: str, source: Path) -> int:
        """Put a file of the lake in, unless the period's backups have it unharmed; return the bytes written."""
        if name in self.files:
            return 0
        known = self._known.get(name)
        if known is not None and (path := self._store.folder / known.file).exists() and _same(path, known):
            self.files[name] = known
            return 0
        file = f"{self.period}/files/{hashlib.sha256(name.encode()).hexdigest()[:40]}.piece"
        path = self._store.folder / file
        make_folder(path.parent)
        draft = path.with_suffix(".new")
        with source.open("rb") as data, self._sealed(draft, f"{self.period}/{name}") as writer:
            shutil.copyfileobj(data, writer, COPY_BYTES)
        draft.replace(path)
        self.files[name] = Piece(name, file, writer.size, writer.sha256)
        return writer.size

    def finish(self, data: bytes) -> None:
        """Write the manifest, and give the backup its name."""
        for folder in {(self._store.folder / piece.file).parent for piece in self.files.values()}:
            flush(folder)
        write_flushed(self._draft / manifest.FILE, data)
        self._draft.rename(self._store.folder / self.name)
        flush(self._store.folder)

    @contextmanager
    def _sealed(self, file: Path, name: str) -> Iterator[FrameWriter]:
        with open(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as sink:
            writer = FrameWriter(sink, self.key, name)
            yield writer
            writer.close()
            sink.flush()
            os.fsync(sink.fileno())

    def _shared(self) -> dict[str, Piece]:
        """Return what earlier backups of the period hold of the lake."""
        known = dict[str, Piece]()
        for name in self._store.names():
            with contextlib.suppress(ConflictError, MissingError):
                found = self._store.manifest(name)
                if found.period == self.period:
                    known |= {piece.name: piece for piece in found.files}
        return known


def _same(file: Path, piece: Piece, said: Callable[[int], None] = lambda _: None) -> bool:
    """Tell whether a file is the piece; `said` hears of bytes read. Raise FileNotFoundError where it is gone."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as source:
        while part := source.read(COPY_BYTES):
            digest.update(part)
            size += len(part)
            said(len(part))
    return (size, digest.hexdigest()) == (piece.size, piece.sha256)
