"""Objects in a local folder: a file an object, and beside it a folder of its parts while it comes in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from carcloud.backends.files import flush, make_folder
from carcloud.backends.objects import PIECE_BYTES, checked, part_name, parts_of
from carcloud.errors import MissingError, TryLaterError

PARTS = ".parts"
DRAFT = ".new"


class FileObjects:
    """The objects below a folder, which is made when the first comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_part(self, key: str, number: int, data: bytes) -> None:
        """Keep a part; raise as `Objects.put_part`."""
        _write(self._folder / part_name(key, number), [data])

    def parts(self, key: str) -> dict[int, int]:
        """Return the parts that are there: number → bytes."""
        return {int(file.name): file.stat().st_size for file in self._part_files(key)}

    def join(self, key: str) -> str:
        """Make the object of its parts; return its SHA-256; raise as `Objects.join`."""
        files, told = self._part_files(key), hashlib.sha256()
        if not files:
            raise _missing(key)

        def pieces() -> Iterator[bytes]:
            for file in files:
                for piece in _pieces(file, 0, None):
                    told.update(piece)
                    yield piece

        _write(self._folder / key, pieces())
        return told.hexdigest()

    def drop_parts(self, key: str) -> None:
        """Delete the parts; the object stays."""
        shutil.rmtree(self._folder / parts_of(key), ignore_errors=True)

    def size(self, key: str) -> int | None:
        """Return the object's bytes; None where there is none."""
        path = self._folder / checked(key)
        return path.stat().st_size if path.is_file() else None

    def read(self, key: str, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes; raise as `Objects.read`."""
        return _pieces(self._found(key), begin, end)

    def fetch(self, key: str, begin: int, end: int, path: Path) -> None:
        """Write a stretch of the object to a new file; the whole of it costs nothing: the file is linked."""
        found = self._found(key)
        if begin == 0 and end == found.stat().st_size:
            with contextlib.suppress(OSError):  # another disk
                os.link(found, path)
                return
        with _told(path), path.open("xb") as sink:
            sink.writelines(_pieces(found, begin, end))

    def delete(self, key: str) -> None:
        """Delete the object and its parts."""
        self.drop_parts(key)
        (self._folder / checked(key)).unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all objects below a prefix."""
        below = self._folder / checked(prefix)
        files = (file for file in below.rglob("*") if file.is_file() and file.suffix != DRAFT)
        names = (file.relative_to(self._folder).as_posix() for file in files)
        return sorted({name.partition(f"{PARTS}/")[0] for name in names})

    def _found(self, key: str) -> Path:
        path = self._folder / checked(key)
        if not path.is_file():
            raise _missing(key)
        return path

    def _part_files(self, key: str) -> list[Path]:
        folder = self._folder / parts_of(key)
        return sorted(file for file in folder.glob("[0-9]*") if file.suffix != DRAFT)


def _missing(key: str) -> MissingError:
    return MissingError(f"There is no object {key}.", "Send its parts first.")


def _pieces(path: Path, begin: int, end: int | None) -> Iterator[bytes]:
    with path.open("rb") as source:
        source.seek(begin)
        left = (path.stat().st_size if end is None else end) - begin
        while left > 0 and (piece := source.read(min(left, PIECE_BYTES))):
            left -= len(piece)
            yield piece


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file whole or not at all, flushed."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT}")
    with _told(draft):
        make_folder(path.parent)
        with draft.open("xb") as sink:
            sink.writelines(pieces)
            sink.flush()
            os.fsync(sink.fileno())
        draft.replace(path)
        flush(path.parent)


@contextlib.contextmanager
def _told(draft: Path) -> Iterator[None]:
    """Turn the system's errors into ours, and leave no draft behind."""
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise TryLaterError(f"An object cannot be kept: {error.strerror}.", "Make room on the disk.") from error
