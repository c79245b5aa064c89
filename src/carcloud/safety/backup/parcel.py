"""Many small files in one piece: a tar stream, of plain files with plain names only.

Source: POSIX.1-2008, pax interchange format.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from carcloud.errors import ConflictError
from carcloud.safety.backup.frames import DO_OTHER, FrameReader, FrameWriter

COPY_BYTES = 1 << 20


class Readable(Protocol):
    """What can be read from its beginning to its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class Packing:
    """Puts files into a piece. Use as a context."""

    def __init__(self, piece: FrameWriter) -> None:
        self._tar = tarfile.open(fileobj=cast("Any", piece), mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def __enter__(self) -> Packing:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._tar.close()

    def put(self, name: str, data: bytes, mode: int = 0o600) -> None:
        """Put in what is in memory."""
        self._add(name, len(data), mode, io.BytesIO(data))

    def put_from(self, name: str, size: int, source: Readable) -> None:
        """Put in so many bytes of what can be read."""
        self._add(name, size, 0o600, source)

    def put_file(self, name: str, path: Path) -> None:
        """Put in a file as it is now; raise FileNotFoundError where it is gone."""
        with path.open("rb") as source:
            about = os.fstat(source.fileno())
            self._add(name, about.st_size, about.st_mode & 0o777, source)

    def _add(self, name: str, size: int, mode: int, source: Readable) -> None:
        about = tarfile.TarInfo(name)
        about.size, about.mode = size, mode
        self._tar.addfile(about, cast("Any", source))


def unpack(piece: FrameReader, folder: Path) -> None:
    """Write the files of a piece below a folder, closed to others as they were.

    Raises:
        ConflictError: something in it is no plain file, or would lie outside of the folder.
    """
    try:
        with tarfile.open(fileobj=cast("Any", piece), mode="r|") as tar:
            for about in tar:
                _write(tar, about, folder)
    except tarfile.TarError as error:
        raise ConflictError(f"A piece of the backup cannot be unpacked: {error}.", DO_OTHER) from None


def _write(tar: tarfile.TarFile, about: tarfile.TarInfo, folder: Path) -> None:
    name, source = PurePosixPath(about.name), tar.extractfile(about) if about.isreg() else None
    if source is None or name.is_absolute() or ".." in name.parts:
        raise ConflictError(f"{about.name!r} in the backup is no file of a zone.", DO_OTHER)
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, about.mode & 0o777), "wb") as sink:
        while part := source.read(COPY_BYTES):
            sink.write(part)
