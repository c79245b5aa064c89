"""Local files that survive a power cut: flushed before anyone is told."""

from __future__ import annotations

import os
from pathlib import Path

from carcloud.errors import TryLaterError


def flush(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_flushed(path: Path, data: bytes) -> None:
    """Replace a file's content so that after a crash it is either the old or the new.

    Raises:
        TryLaterError: there is no room; the old content stands.
    """
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TryLaterError(f"{path.name} cannot be written: {error.strerror}.", "Make room on its disk.") from error
