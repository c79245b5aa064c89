"""Key files: made once, whole or not at all, readable by their owner only.

Rules:
* Many processes may ask for the same key at the same first moment: one makes it, all read that one.
* A key that others can read is not used.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from carcloud.backends.files import flush
from carcloud.errors import NotAllowedError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

RENEWED = "renewed.json"
"""In a car's folder of credentials: a new key and certificate, kept whole until they are in the place of the old."""


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, where there is none."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return path


def write_file(path: Path, content: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write a file at once: a reader sees the old content or the new, also after a power cut."""
    draft = _draft(path, content, mode)
    os.replace(draft, path)
    flush(path.parent)


def write_files(contents: Mapping[Path, bytes], modes: Mapping[Path, int]) -> None:
    """Write several files: where one finds no room, all stay as they were. Modes not given are 0600."""
    drafts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            drafts[path] = _draft(path, content, modes.get(path, PRIVATE_FILE))
        for path, draft in drafts.items():
            os.replace(draft, path)
        for folder in {path.parent for path in drafts}:
            flush(folder)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def read_or_make_key(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the key kept at `path`, made on first use. Raise NotAllowedError where others can read it."""
    if not path.exists():
        draft = _draft(path, make(), PRIVATE_FILE)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first; its key is the key
        finally:
            draft.unlink()
        flush(path.parent)
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Return a key file's content. Raise NotAllowedError where others can read it."""
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            do = f"Find out who read it; to keep using it: chmod 600 {path}"
            raise NotAllowedError(f"Others can read the key file {path}.", do)
        return file.read()


def _draft(path: Path, content: bytes, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft
