"""Taking a backup of a running zone: a cut through all that it keeps, such that a zone can go on from it.

Rules, in this order:
* The ledger of erasures knows the folder before anything is read: what is erased from here on stands in it.
* Files of the lake's table go first, while nothing else is held up; a file never changes, so those that the table still
  has at the cut need no second look.
* GOVERNED is read from the lowest fold on, along with everything below, so that no chunk is purged before it was read.
* Marks and twin, then a version of the table, are fixed before the chunks end: no fold is ahead of the stream.
* The records are seen in one state, at a moment at which they know every leaf that the log's checkpoint covers, and the
  witness none beyond it. So an act stands in the log or waits in the records, never both and never neither.
* The chunks end at that moment. The log has no receipt of a later one, and receipts of the lake that are beyond its
  version are left out: the lake writes them again from the chunks. So a restored zone gives no number twice.
* Everything else of the zone's folder goes along as it is, known to us or not: keys, governance, tombstones. Where
  files of the lake were replaced since its version was fixed, it is cut once more: so tombstones and rows stand to each
  other as they may after a crash.
* What recordings brought is fixed after the records; see recorded.py.
* What is acknowledged before the command began is in the backup. A car enrolled within the moment between the records
  and the last chunk may have rows and no entry.

Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carcloud.assembly.backup import recorded
from carcloud.assembly.backup.reading import Receipts, cosigned, files_below
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.delta_cut import Cut, cut
from carcloud.backends.nats import Bus
from carcloud.backends.records import Entry, Records
from carcloud.backends.records.dump import Snapshot, snapshot
from carcloud.errors import CarcloudError, ConflictError, TryLaterError
from carcloud.safety.audit.log import CHECKPOINT
from carcloud.safety.audit.note import Checkpoint, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import ENTRIES, WIDTH, Tiles, bundled, levels, tile_path, width_of
from carcloud.safety.backup import ledger
from carcloud.safety.backup.keeper import know_folder, sayings
from carcloud.safety.backup.manifest import Manifest
from carcloud.safety.backup.months import know_keys
from carcloud.safety.backup.parcel import Packing
from carcloud.safety.backup.periods import name_of
from carcloud.safety.backup.store import Store, Taking
from carcloud.safety.seal import NameVault
from carcloud.safety.signer import SignerClient, Verifier
from carcloud.settings import RECORDS, Folder, Settings
from carcloud.stream import subjects
from carcloud.stream.chunk import record_of
from carcloud.stream.follower import Follower
from carcloud.stream.governor import FOLDS

log = logging.getLogger(__name__)

LENGTH = struct.Struct("<I")
TURNS = 5
REST_S = 30.0
PARTITION = 0
ORIGIN = "carcloud/"
APART = ("run", "logs", "queues", "scratch", "audit", "witness", "stream", "twin", "objects")
"""What is taken in its own way, or not at all: `run`, `logs`, what driven cars have not delivered, and what lives only
while a recording is imported."""
OF_LAKE = ("lake/samples", "lake/receipts", "lake/research")

Said = Callable[[str], None]


async def take(settings: Settings, folder: Folder, store: Store, said: Said) -> Manifest:
    """Take a backup of the zone that runs on a folder.

    Raises:
        MissingError: no zone runs there. ConflictError: another backup is being written, or the keys are another's.
        TryLaterError: a part of the zone is away, or there is no room; nothing was written.
    """
    bus = await Bus.connect(ZoneFile.read(folder).bus("cloud"), "backup")
    signer = SignerClient(folder.run)
    records = await asyncio.to_thread(open_records, settings, folder)
    try:
        return await _Backup(settings, folder, store, records, signer, bus, said).take()
    finally:
        await bus.close()
        signer.close()
        records.close()


class _Backup:
    """One backup in the making."""

    def __init__(
        self,
        settings: Settings,
        folder: Folder,
        store: Store,
        records: Records,
        signer: SignerClient,
        bus: Bus,
        said: Said,
    ) -> None:
        self._settings, self._folder, self._store, self._records = settings, folder, store, records
        self._signer, self._bus, self._said = signer, bus, said
        self._end: int | None = None
        self._recorded: list[str] = []
        self._loop = asyncio.get_running_loop()

    async def take(self) -> Manifest:
        """Write the backup, and note it for the audit log."""
        at = datetime.now(UTC)
        name, period = f"{at:%Y-%m-%dT%H-%M-%SZ}", f"{at:%Y-%m}"
        with self._store.taking(name, period) as draft:
            await asyncio.to_thread(self._begin, name)
            await asyncio.to_thread(self._share, draft)
            await asyncio.to_thread(self._share_recorded, draft, recorded.shared(self._folder))
            for turn in range(TURNS):
                try:
                    positions, seen, found = await self._cut(draft)
                    break
                except (ConflictError, FileNotFoundError) as error:
                    if turn == TURNS - 1:
                        raise
                    log.warning("the zone moved on; cutting once more", extra={"reason": str(error)})
            made = await asyncio.to_thread(self._manifest, draft, at, positions, seen, found)
            await asyncio.to_thread(draft.finish, made.dump(lambda said: self._signer.sign("backup", said)))
        await asyncio.to_thread(self._records.audit.add, _entry(made, self._settings.tenant))
        return made

    def _begin(self, name: str) -> None:
        """Make the folder known to the zone, and the ledger complete."""
        self._store.periods.know(self._folder.keys)
        know_folder(self._records, self._store.folder)
        know_keys(self._records, self._store.periods)
        erased = sayings(self._records.erasures.all(), NameVault(self._folder.keys))
        signed = Verifier(self._folder.keys, "ledger")
        lines = [*erased, {"backup": name}]
        ledger.append(self._store.ledger, lines, lambda said: self._signer.sign("ledger", said), signed)

    def _share(self, draft: Taking) -> Cut:
        """Put in the files that the lake's table has now."""
        found, table, written = (
            cut(self._folder.lake / "samples", f"lake/{PARTITION}"),
            self._folder.lake / "samples",
            0,
        )
        for number, name in enumerate(found.files, 1):
            with suppress(FileNotFoundError):  # it was replaced meanwhile, and another is cut for
                written += draft.share(name, table / name)
            if number % 100 == 0 or number == len(found.files):
                self._said(f"lake: {number} of {len(found.files)} files, {written / 1e6:,.1f} MB new")
        return found

    def _share_recorded(self, draft: Taking, names: Sequence[str]) -> None:
        """Put in what recordings brought, as far as it is still there."""
        written = 0
        for name in names:
            with suppress(FileNotFoundError):  # it was taken out meanwhile
                written += draft.share(name, self._folder.path / name)
        if names:
            self._said(f"recordings: {len(names)} files, {written / 1e6:,.1f} MB new")

    async def _cut(self, draft: Taking) -> tuple[dict[str, int], Checkpoint, Cut]:
        self._end = None
        positions = await asyncio.to_thread(self._records.positions)
        low = min(positions.get((name, PARTITION), 0) for name in FOLDS)
        follower = Follower(self._bus, Verifier(self._folder.keys, "receipt"), PARTITION)
        reading = asyncio.create_task(self._chunks(draft, follower.messages(low), low))
        try:
            found = await asyncio.to_thread(self._state, draft)
            seen = await asyncio.to_thread(self._records_and_log, draft)
            await asyncio.to_thread(self._lake, draft, found)
            await asyncio.to_thread(self._rest, draft, found)
            count = await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, CarcloudError, OSError):
                await reading  # the file of a piece has one writer
        self._said(f"stream: {count} chunks from {low + 1} on, up to {self._end}")
        names = (*FOLDS, "stream")
        stand = {name: positions.get((name, PARTITION), 0) for name in names if name != "stream"}
        return stand | {"lake": found.position}, seen, found

    async def _chunks(self, draft: Taking, messages: AsyncGenerator[tuple[int, bytes], None], low: int) -> int:
        """Write the chunks behind `low` up to the end, once that is known; where all folds are level there are none."""
        count = 0
        with draft.piece("chunks") as piece:
            async with aclosing(_until_idle(messages)) as coming:
                number = low
                async for message in coming:
                    if message is not None:
                        number, data = message
                        await asyncio.to_thread(piece.write, LENGTH.pack(len(data)) + data)
                        count += 1
                    if self._end is not None and number >= self._end:
                        break
        return count

    def _state(self, draft: Taking) -> Cut:
        """Take marks and twin, then fix a version of the lake."""
        with draft.piece("state") as piece, Packing(piece) as packing:
            for part in (self._folder.stream, self._folder.twin):
                for file in files_below(part, apart=("jetstream",)):
                    self._put(packing, file)
        return self._share(draft)

    def _records_and_log(self, draft: Taking) -> Checkpoint:
        """Find a moment at which records, log and witness agree, let the chunks end there, and write all three."""
        until = time.monotonic() + REST_S
        while True:
            witness = self._witness()
            with snapshot(self._records) as view:
                leaves, note, found = view.leaves(), *self._checkpoint()
                if found.size == leaves and cosigned(witness) <= leaves:
                    self._end = asyncio.run_coroutine_threadsafe(self._newest(), self._loop).result()
                    self._write_records(draft, view)
                    self._write_log(draft, note, found, witness)
                    return found
            if time.monotonic() > until:
                raise TryLaterError("Records and audit log did not come to rest.", "Look into the audit process's log.")
            time.sleep(0.02)

    async def _newest(self) -> int:
        last = await self._bus.last(subjects.GOVERNED, subjects.governed(PARTITION))
        return record_of(last.data).number if last else 0

    def _checkpoint(self) -> tuple[bytes, Checkpoint]:
        try:
            note = (self._folder.audit / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            raise TryLaterError("The audit log has not begun yet.", "Wait a second.") from None
        return note, parse_checkpoint(parse_note(note).text)

    def _witness(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in files_below(self._folder.witness) if file.name != "lock"}

    def _write_records(self, draft: Taking, view: Snapshot) -> None:
        with draft.piece("records") as piece:
            for line in view.lines():
                piece.write(line)
        self._said("records: taken")

    def _write_log(self, draft: Taking, note: bytes, found: Checkpoint, witness: dict[str, bytes]) -> None:
        tiles = Tiles(self._folder.audit)
        with draft.piece("audit") as piece, Packing(piece) as packing:
            for name, data in witness.items():
                packing.put(f"witness/{name}", data)
            for index in range(-(-found.size // WIDTH)):
                width = width_of(0, index, found.size)
                packing.put(f"audit/{tile_path(ENTRIES, index, width)}", bundled(tiles.entries(index, width)))
            for level in levels(found.size):
                for index in range(-(-(found.size >> 8 * level) // WIDTH)):
                    width = width_of(level, index, found.size)
                    packing.put(f"audit/{tile_path(level, index, width)}", b"".join(tiles.hashes(level, index, width)))
            packing.put(f"audit/{CHECKPOINT}", note)
        self._said(f"audit log: {found.size} leaves")

    def _lake(self, draft: Taking, found: Cut) -> None:
        """Take the log of the table's version, and the receipts of what the version holds."""
        table = self._folder.lake / "samples"
        for name in found.files:
            draft.share(name, table / name)
        with draft.piece("lake") as piece, Packing(piece) as packing:
            for name in found.log:
                packing.put_file(f"lake/samples/{name}", table / name)
            for file in files_below(self._folder.lake / "receipts"):
                receipts = Receipts(file, found.position)
                packing.put_from(f"lake/receipts/{file.name}", receipts.size, receipts)
            tables = recorded.fixed(self._folder, packing)
        for name in tables:
            draft.share(name, self._folder.path / name)
        whole = recorded.objects(self._folder)
        self._share_recorded(draft, whole)
        self._recorded = [*tables, *whole]

    def _rest(self, draft: Taking, found: Cut) -> None:
        with draft.piece("zone") as piece, Packing(piece) as packing:
            for file in files_below(self._folder.path, apart=(*APART, *OF_LAKE)):
                if not file.name.startswith(RECORDS):
                    self._put(packing, file)
        if cut(self._folder.lake / "samples", f"lake/{PARTITION}").replaced != found.replaced:
            raise ConflictError("Files of the lake were replaced meanwhile.")

    def _put(self, packing: Packing, file: Path) -> None:
        with suppress(FileNotFoundError):  # a draft that has become a file, or was given up
            packing.put_file(str(file.relative_to(self._folder.path)), file)

    def _manifest(
        self, draft: Taking, at: datetime, positions: dict[str, int], seen: Checkpoint, found: Cut
    ) -> Manifest:
        lines = self._store.lines()
        named = {*found.files, *self._recorded}
        files = [piece for name, piece in draft.files.items() if name in named]
        return Manifest(
            name=draft.name,
            zone=seen.origin.removeprefix(ORIGIN),
            tenant=self._settings.tenant,
            at=at.isoformat(timespec="seconds"),
            period=draft.period,
            key=name_of(draft.key),
            lake_version=found.version,
            positions=positions,
            chunk=self._end or 0,
            leaves=seen.size,
            root=seen.root.hex(),
            governance=self._records.get_meta("governance") or "",
            erasures=len(lines),
            head=lines[-1].hash,
            pieces=list(draft.pieces.values()),
            files=files,
        )


async def _until_idle(
    messages: AsyncGenerator[tuple[int, bytes], None],
) -> AsyncGenerator[tuple[int, bytes] | None, None]:
    """Yield messages, and None now and then while there are none."""
    async with aclosing(messages):
        coming: asyncio.Future[tuple[int, bytes]] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(messages))
                done, _ = await asyncio.wait({coming}, timeout=0.1)
                if not done:
                    yield None
                    continue
                message, coming = coming.result(), None
                yield message
        finally:
            if coming is not None:
                coming.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration, CarcloudError):
                    await coming


def _entry(made: Manifest, tenant: str) -> Entry:
    facts: dict[str, Any] = {name: getattr(made, name) for name in ("name", "period", "chunk", "leaves", "size")}
    return Entry("machine", "backup", "zone", facts=facts | {"lake": made.lake_version}, tenant=tenant)
