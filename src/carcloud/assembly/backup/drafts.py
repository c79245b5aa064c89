"""The folder in which a zone grows while it is restored: one restore at a time, and what a killed one left is found.

Rules:
* Beside the draft lies a lock file, held until the folder has its name. It is taken away while it is still held, so
  whoever gets a lock looks whether it is still that of the file.
* A draft that nobody holds is what a killed restore left: half a zone, erased cars' data in it.

Source: flock(2).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carcloud.errors import ConflictError, InputError

DRAFT = ".restoring"
LOCK = ".lock"


def draft_of(target: Path) -> Path:
    """Return where a zone grows that shall lie in `target`."""
    return target.with_name(f".{target.name}{DRAFT}")


@contextmanager
def alone(draft: Path) -> Iterator[None]:
    """Hold a draft; raise ConflictError where another restore has it."""
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(draft)
    except OSError as error:
        message = f"{draft.parent} cannot hold a zone: {error.strerror}."
        raise InputError(message, "Give a folder you may write.") from None
    if lock is None:
        raise ConflictError(f"Another restore to {draft.parent} is under way, of the same name.", "Wait for it.")
    try:
        yield
    finally:
        _lock_file(draft).unlink(missing_ok=True)
        os.close(lock)


def leftovers(folder: Path) -> list[Path]:
    """Return the drafts in a folder that no restore works on."""
    return sorted(draft for draft in _drafts(folder) if not _held(draft))


def warning(draft: Path) -> str:
    """Return what to say of a draft that was left."""
    return (
        f"{draft} is what a restore left that was killed: half a zone, in it data of cars that may have been erased "
        f"since. Remove it: rm -r {draft}"
    )


def _drafts(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.glob(f".*{DRAFT}") if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _lock_file(draft: Path) -> Path:
    return draft.with_name(draft.name + LOCK)


def _locked(draft: Path) -> int | None:
    file = _lock_file(draft)
    while True:
        lock = os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), file.stat()):
                return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except FileNotFoundError:
            pass  # whoever held it has just taken it away
        os.close(lock)


def _held(draft: Path) -> bool:
    try:
        lock = os.open(_lock_file(draft), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
