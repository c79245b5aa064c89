"""Restoring a zone from a backup into a new folder, with the erasures since applied before it can open.

Rules:
* Everything is checked before anything is written: the manifest's signature, every piece's hash, the ledger.
* The zone grows in `.NAME.restoring` beside its folder and gets its name in the end: half a zone cannot be started.
  One restore at a time has it; what a killed one left is named.
* Erasures that were under way when the backup was begun are done once more, and those of the ledger since: what a part
  had done in the records may have been taken a moment earlier.
* The chunks go into a new stream, the folds and the erasures are the zone's own parts', run closed.
* A car knows numbers as acknowledged that the restored marks are behind of; see `restored` in the governor.
* The log goes on from the backup's checkpoint with an act `restore`, which says so: whoever kept a newer checkpoint
  sees that the leaves behind are gone, and since which act.

Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from carcloud.assembly.backup import ledgers
from carcloud.assembly.backup.closed import settle
from carcloud.assembly.backup.drafts import alone, draft_of, leftovers, warning
from carcloud.assembly.backup.recorded import BELOW
from carcloud.assembly.backup.taking import LENGTH
from carcloud.assembly.records import open_records
from carcloud.backends.files import flush, write_flushed
from carcloud.backends.records import Entry, Records
from carcloud.backends.records.dump import check_empty, clear, load
from carcloud.errors import CarcloudError, ConflictError, InputError
from carcloud.safety.backup.frames import FrameReader
from carcloud.safety.backup.keeper import erasure_of
from carcloud.safety.backup.ledger import Line
from carcloud.safety.backup.manifest import DO_OTHER, Manifest
from carcloud.safety.backup.months import know_keys
from carcloud.safety.backup.parcel import unpack
from carcloud.safety.backup.periods import name_of
from carcloud.safety.backup.store import Store
from carcloud.safety.seal import NameVault
from carcloud.settings import Folder, Settings
from carcloud.settings import load as load_settings
from carcloud.stream.restored import KEY as RESTORED

SNAPSHOT = "marks-0.json"
READ_BYTES = 1 << 20
Said = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is restored, from where, and what is erased from it.

    `ledger`: the one that is whole, if one is. `beside`: the manifests of all backups there, this one's first.
    """

    store: Store
    manifest: Manifest
    key: bytes
    lines: list[Line]
    ledger: Path | None
    beside: list[Manifest]

    @property
    def known(self) -> int:
        """Return how many leaves the newest checkpoint had that is known."""
        return max(found.leaves for found in self.beside)


def plan(store: Store, name: str, ledger: Path | None, accept_short: bool, said: Said) -> Plan:
    """Check a backup and the ledger of erasures, and say what a restore would do.

    Raises:
        MissingError: no such backup, or its period's key is not there.
        ConflictError: a piece was changed; or the ledger is gone, changed or too short, and that was not accepted.
    """
    manifest = store.manifest(name)
    key = store.periods.key(manifest.period)
    if name_of(key) != manifest.key:
        raise ConflictError(f"The key of {manifest.period} is not the one that {name} was encrypted with.")
    beside = [manifest, *(found for found in ledgers.manifests(store) if found.zone == manifest.zone)]
    lines, file = ledgers.find(store, beside, ledger and ledger.absolute(), accept_short, said)
    newer = [line.said["backup"] for line in lines if line.said.get("backup", "") > name]
    if newer:
        said(f"The ledger knows of {len(newer)} newer backups, the last of them {newer[-1]}.")
    store.check(manifest)
    said(f"{name}: {len(manifest.pieces) + len(manifest.files)} pieces, {manifest.size / 1e6:,.1f} MB, as signed")
    return Plan(store, manifest, key, lines, file, beside)


def restore(plan: Plan, config: Path | None, target: Path, said: Said) -> None:
    """Write the zone into a new folder, apply the erasures, and let it come to rest.

    Raises:
        ConflictError: the folder or the database is not empty, the configuration is another zone's, or another restore
            to the folder is under way.
        TryLaterError: no room, or a part of the zone does not work.
    """
    settings, folder = _settings(plan.manifest, config), Folder(target.absolute())
    draft = Folder(draft_of(folder.path))
    with alone(draft.path):
        for left in leftovers(folder.path.parent):
            if left != draft.path:
                said(warning(left))
        _check_free(settings, folder)
        if draft.path.exists():
            shutil.rmtree(draft.path)
        try:
            _unpack(plan, draft, said)
            with _log_to(draft.logs / "restore.log"):
                _settle(plan, settings, draft, said)
        except BaseException:
            shutil.rmtree(draft.path, ignore_errors=True)
            raise
        os.sync()
        draft.path.rename(folder.path)
        flush(folder.path.parent)


def _check_free(settings: Settings, folder: Folder) -> None:
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise ConflictError(f"{folder.path} is not empty.", "Give a new folder with --data.")
    if settings.records:
        with closing(Records.open(settings.records)) as records:
            check_empty(records)


def _settings(manifest: Manifest, config: Path | None) -> Settings:
    settings = load_settings(config)
    if config is None:
        return replace(settings, zone=manifest.zone, tenant=manifest.tenant)
    if (settings.zone, settings.tenant) != (manifest.zone, manifest.tenant):
        message = f"The backup is of the zone {manifest.zone} of the tenant {manifest.tenant}, which {config} is not."
        raise ConflictError(message, "Give the zone's own configuration with --config.")
    return settings


def _unpack(plan: Plan, folder: Folder, said: Said) -> None:
    manifest = plan.manifest
    folder.make()
    for name in ("zone", "audit", "lake", "state"):
        with plan.store.opened(manifest, manifest.piece(name), plan.key) as piece:
            unpack(piece, folder.path)
    for number, file in enumerate(manifest.files, 1):
        below = next((folder.path / top for top in BELOW if file.name.startswith(top)), folder.lake / "samples")
        path = folder.path / file.name if file.name.startswith(BELOW) else below / file.name
        if not path.resolve().is_relative_to(below.resolve()):
            raise ConflictError(f"{file.name!r} in the backup is no file of a lake.", DO_OTHER)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with plan.store.opened(manifest, file, plan.key) as piece, path.open("wb") as sink:
            while part := piece.read(READ_BYTES):
                sink.write(part)
        if number % 100 == 0 or number == len(manifest.files):
            said(f"lake: {number} of {len(manifest.files)} files")
    _let_marks_find_the_new_stream(folder.stream / SNAPSHOT)


def _let_marks_find_the_new_stream(file: Path) -> None:
    """Have the governor read the new stream from its beginning: the old one's sequence means nothing in it."""
    if file.exists():
        write_flushed(file, orjson.dumps(orjson.loads(file.read_bytes()) | {"sequence": 0}))


@contextmanager
def _log_to(file: Path) -> Iterator[None]:
    """Have what the parts log written to a file for a while: the caller's own logging comes back."""
    root, chatty = logging.getLogger(), [logging.getLogger(name) for name in ("httpx", "uvicorn.error", "numexpr")]
    before = root.handlers[:], root.level, [logger.level for logger in chatty]
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for logger in chatty:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        for logger, level in zip(chatty, before[2], strict=True):
            logger.setLevel(level)
        handler.close()


def _settle(plan: Plan, settings: Settings, folder: Folder, said: Said) -> None:
    manifest, records = plan.manifest, open_records(settings, folder)
    try:
        with plan.store.opened(manifest, manifest.piece("records"), plan.key) as piece:
            said(f"records: {load(records, _lines(piece))} rows")
    except BaseException:
        records.close()
        raise
    try:
        records.erasures.reopen(datetime.fromisoformat(manifest.at))
        vault, erased = NameVault(folder.keys), 0
        know_keys(records, plan.store.periods)
        ledgers.mend(plan.store, plan.beside, plan.ledger, said)
        for line in ledgers.union([plan.lines, ledgers.settle_folders(plan.store, records, said)]):
            if "erasure" in line.said:
                records.erasures.begin_again(erasure_of(line.said, vault))
                erased += 1
        now = datetime.now(UTC)
        records.put_meta(RESTORED, orjson.dumps({"backup": manifest.name, "chunk": manifest.chunk, "at": now}).decode())
        facts = {"backup": manifest.name, "leaves": manifest.leaves, "known": plan.known, "erasures": erased}
        facts |= {"chunk": manifest.chunk, "lake": manifest.lake_version, "ledger": plan.ledger is not None}
        records.audit.add(Entry("machine", "restore", "zone", facts=facts, tenant=settings.tenant))
        with plan.store.opened(manifest, manifest.piece("chunks"), plan.key) as piece:
            asyncio.run(settle(settings, folder, records, _chunks(piece), said))
    except BaseException as error:
        if settings.records:  # those in the folder go with it
            _clear(records, error)
        raise
    finally:
        records.close()


def _clear(records: Records, error: BaseException) -> None:
    """Empty a database that lies elsewhere again: else it keeps what was erased, and takes no other restore."""
    try:
        clear(records)
        what = "The database of the records is as empty as before."
    except CarcloudError as reason:
        what = f"The database of the records could not be emptied again, which you must do: {reason.message}"
    if isinstance(error, CarcloudError):
        error.do = f"{error.do} {what}".strip()
    else:
        error.add_note(what)


def _lines(piece: FrameReader) -> Iterator[bytes]:
    rest = b""
    while part := piece.read(READ_BYTES):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _chunks(piece: FrameReader) -> Iterator[bytes]:
    while head := piece.read(LENGTH.size):
        (length,) = LENGTH.unpack(head)
        chunk = piece.read(length)
        if len(chunk) < length:
            raise InputError("The backup's chunks end too early.", DO_OTHER)
        yield chunk
