"""Which erasures a restore applies: those of every ledger that can be read, where at least one is known to be whole.

Rules:
* A ledger is whole where it has, for each backup beside it, the lines that the backup's manifest says. The one beside
  the backup is measured so, and a copy of it; one from another folder of backups, by the backups beside itself.
* A restored zone knows the folders that it knew, and the one it comes from. A folder that holds a copy of a ledger only
  is none of them.

Source: docs/backup.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from carcloud.backends.files import flush
from carcloud.backends.records import Records
from carcloud.errors import CarcloudError, ConflictError, MissingError
from carcloud.safety.backup.keeper import folders, set_folders
from carcloud.safety.backup.ledger import FILE, Line
from carcloud.safety.backup.manifest import Manifest
from carcloud.safety.backup.store import Store

HARMED = ".harmed"
Said = Callable[[str], None]


def manifests(store: Store) -> Iterator[Manifest]:
    """Yield the manifests in a folder of backups that are as they were signed."""
    for name in store.names():
        try:
            yield store.manifest(name)
        except (ConflictError, MissingError):
            continue


def find(
    store: Store, beside: list[Manifest], file: Path | None, accept_short: bool, said: Said
) -> tuple[list[Line], Path | None]:
    """Return the lines of all ledgers that can be read, and the one that is whole; none where that is accepted.

    Raises:
        ConflictError: none is whole, and that was not accepted.
    """
    whole, error = None, None
    for ledger in filter(None, (file, store.ledger)):
        try:
            _measure(store, ledger, beside)
            whole = ledger
            break
        except (MissingError, ConflictError) as reason:
            error = error or reason
    if whole is None and error is not None:
        if not accept_short:
            insist = "To restore all the same, and have erased cars back: --accept-short-ledger."
            raise ConflictError(error.message, f"{error.do} {insist}".strip())
        said(f"{error.message} Accepted: cars erased since the backup may come back.")
    return union(_read(store, ledger) for ledger in (whole, file, store.ledger) if ledger), whole


def union(ledgers: Iterable[list[Line]]) -> list[Line]:
    """Return the lines of several ledgers, each erasure once."""
    found, known = list[Line](), set[str]()
    for lines in ledgers:
        for line in lines:
            about = line.said.get("erasure", {}).get("id") or line.said.get("backup", line.hash)
            if about not in known:
                known.add(about)
                found.append(line)
    return found


def settle_folders(store: Store, records: Records, said: Said) -> list[Line]:
    """Let restored records know the folders of backups they knew, and this one; return what the ledgers there say."""
    known = folders(records)
    set_folders(records, known if store.folder in known else [*known, store.folder])
    found = list[list[Line]]()
    for folder in known:
        if folder != store.folder:
            try:
                found.append(store.lines(folder / FILE))
            except (CarcloudError, OSError):
                said(f"The ledger of erasures in {folder} cannot be read now. The zone goes on writing erasures there,")
                said(f"and waits for it; where the folder is gone for good: carcloud backup forget {folder}")
    return union(found)


def mend(store: Store, beside: list[Manifest], whole: Path | None, said: Said) -> None:
    """Put a copy of the ledger in the place of the one beside the backups, where that one is not whole."""
    if whole is None or whole == store.ledger or not _fits(store, whole, beside) or _fits(store, store.ledger, beside):
        return
    fresh = store.ledger.with_suffix(".new")
    shutil.copyfile(whole, fresh)
    fresh.chmod(0o600)
    flush(fresh)
    if store.ledger.exists():
        os.replace(store.ledger, store.ledger.with_name(FILE + HARMED))
    fresh.replace(store.ledger)
    flush(store.folder)
    said(f"The ledger in {store.folder} was not whole: the copy is in its place now.")


def _measure(store: Store, ledger: Path, beside: list[Manifest]) -> None:
    lines = store.lines(ledger)
    short = _short(lines, beside)
    if short is None:
        return
    others = [] if ledger == store.ledger else list(manifests(Store(ledger.parent, store.periods)))
    others = [found for found in others if found.zone == beside[0].zone and ledger.name == FILE]
    if others and max(found.name for found in others) >= beside[0].name and _short(lines, others) is None:
        return
    message = f"The ledger of erasures has not the {short.erasures} lines it had at {short.name}."
    raise ConflictError(message, "Name another copy of the ledger with --ledger.")


def _short(lines: list[Line], beside: list[Manifest]) -> Manifest | None:
    """Return a backup at which the ledger had lines that it has not, if there is one."""
    for known in beside:
        if len(lines) < known.erasures or (known.erasures and lines[known.erasures - 1].hash != known.head):
            return known
    return None


def _fits(store: Store, ledger: Path, beside: list[Manifest]) -> bool:
    try:
        return _short(store.lines(ledger), beside) is None
    except (MissingError, ConflictError):
        return False


def _read(store: Store, ledger: Path) -> list[Line]:
    try:
        return store.lines(ledger)
    except (MissingError, ConflictError):
        return []
