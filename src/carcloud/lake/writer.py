"""The lake writer: a fold of the governed stream into one Delta table, exactly once.

Rules:
* The number of the last chunk stands in the same commit as the rows; after any failure the writer asks the table.
* Receipts of a commit's chunks, empty ones too, are flushed beside it first: no chunk of the lake is without one.
* A commit is made this long after its first chunk, or when enough rows are there. It holds all tenants' rows, in files
  of each; a chunk says, signed, whose each car is.
* Small files are joined in the background, in windows in which one car's rows come to lie together.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from carcloud.backends.delta import AddAction, LiveFile, Table
from carcloud.backends.files import flush
from carcloud.backends.nats import Bus
from carcloud.backends.records import Erasure, Records, Use
from carcloud.errors import ConflictError, TryLaterError
from carcloud.lake.eraser import Eraser
from carcloud.lake.expiring import Expiring
from carcloud.lake.exports import erase_exports
from carcloud.lake.retention import Retention
from carcloud.lake.rows import PARTITIONS, SCHEMA, Part, bins, by_day, by_tenant, joined, part_of_chunk, part_of_file
from carcloud.lake.settings import LakeSettings
from carcloud.lake.tombstones import Sign
from carcloud.lake.windows import DICTIONARIES
from carcloud.safety.governance.policy import Policy
from carcloud.stream.chunk import Chunk
from carcloud.stream.delays import Delays
from carcloud.stream.digest_keys import StoredKeys
from carcloud.stream.follower import Follower
from carcloud.stream.genuine import FORGED, ForgedError, Verify

log = logging.getLogger(__name__)

ERASE_EVERY_S = 2.0
TENANTS_A_SHARE = 10


class LakeWriter:
    """One partition's writer. `folder` holds the table `samples` and the folder `receipts`.

    `signed(statement, signature)` tells whether the governor's key made the signature; `sign` signs tombstones, and
    `buried` tells whether a signature on some is the signer's. `governance` returns the one in force.
    `patience_s`: how long a query may still read a file that was replaced. `recordings`: takes out what a car recorded,
    and returns how much it was.
    """

    def __init__(
        self,
        cloud: Bus,
        records: Records,
        folder: Path,
        settings: LakeSettings,
        signed: Verify,
        sign: Sign,
        buried: Verify,
        governance: Callable[[], Policy],
        patience_s: float,
        partition: int = 0,
        recordings: Callable[[Erasure], dict[str, Any]] = lambda _: {},
    ) -> None:
        self._recordings = recordings
        self._cloud, self._records, self._settings, self._partition = cloud, records, settings, partition
        self._signed = signed
        self._folder, self._application = folder, f"lake/{partition}"
        self._table = Table(folder / "samples", SCHEMA, PARTITIONS)
        self._table.tidy()
        self._receipts = folder / "receipts"
        self._receipts.mkdir(exist_ok=True)
        self._sign, self._buried, self._patience_s = sign, buried, patience_s
        self._replacing = threading.Lock()
        self._erasing: dict[str, str] | None = None
        retention = Retention(folder, sign, buried, signed, lambda: StoredKeys(records))
        opened, replacing = self._opened, self._replacing
        self._expiring = Expiring(records, retention, governance, opened, replacing, patience_s, folder, partition)
        self._delays = Delays()
        self._alarm: dict[str, str] | None = None
        self._position = 0
        self._totals = self._table.totals()
        self._compacted = self._writing = 0
        self._uses: dict[str, Use] = {}

    async def run(self) -> None:
        """Write and compact until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_forever())
            tasks.create_task(self._compact_forever())
            tasks.create_task(self._erase_forever())
            tasks.create_task(self._expiring.run())

    def metrics(self) -> dict[str, Any]:
        """Return what the lake holds and how far behind it is, for the bus."""
        totals = self._totals
        lake = {"rows": totals.rows, "bytes": totals.bytes, "files": totals.files, "version": totals.version}
        alarms = [alarm for alarm in (self._alarm, self._erasing, self._expiring.alarm) if alarm]
        return {"lake": lake, "delay": self._delays.spread(), "chunk": self._position, "alarms": alarms}

    async def _write_forever(self) -> None:
        """Write; after any failure ask the table where it stands and go on from there."""
        while True:
            try:
                await self._write_from(await asyncio.to_thread(self._table.position, self._application))
            except ConflictError as error:
                code = FORGED if isinstance(error, ForgedError) else "lake_conflict"
                self._raise_alarm(code, error.message, error.do)
            except TryLaterError as error:
                self._raise_alarm("lake_stopped", error.message, error.do)
            await asyncio.sleep(1.0)

    async def _write_from(self, position: int) -> None:
        self._position = position
        arrived: asyncio.Queue[Chunk] = asyncio.Queue(4)
        reading = asyncio.create_task(self._read(position, arrived))
        try:
            while True:
                chunks = await self._gathered(arrived, reading)
                await self._committed(chunks)
        finally:
            reading.cancel()

    async def _read(self, position: int, arrived: asyncio.Queue[Chunk]) -> None:
        async for chunk in Follower(self._cloud, self._signed, self._partition).chunks(position):
            await arrived.put(chunk)

    async def _gathered(self, arrived: asyncio.Queue[Chunk], reading: asyncio.Task[None]) -> list[Chunk]:
        """Wait for the chunks of the next commit; raise what ended the reading."""
        chunks, rows, deadline = list[Chunk](), 0, None
        while rows < self._settings.commit_rows:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            getting = asyncio.create_task(arrived.get())
            await asyncio.wait({getting, reading}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                if reading.done():
                    reading.result()
                break
            chunks.append(getting.result())
            rows += chunks[-1].rows.num_rows
            deadline = deadline or time.monotonic() + self._settings.rhythm_s
        return chunks

    async def _committed(self, chunks: list[Chunk]) -> None:
        await asyncio.to_thread(self._commit, chunks)
        self._alarm = None
        self._delays.note(chunk.record.received_us for chunk in chunks)

    def _commit(self, chunks: list[Chunk]) -> None:
        first, last = chunks[0].record.number, chunks[-1].record.number
        divided = _divided(chunks)
        self._keep_receipts(chunks)
        name = f"{self._partition}-{first:012}"
        files = [
            self._table.write((tenant, day), rows, name)
            for tenant, parts in divided.items()
            for day, rows in by_day(joined(parts))
        ]
        self._table.commit(files, self._application, last, {"chunks": f"{first}-{last}"})
        self._writing = max(self._writing, len(divided))
        self._records.set_position("lake", self._partition, last)
        self._totals = self._table.totals()
        self._position = last
        self._tell_uses()

    def _tell_uses(self) -> None:
        """Record what each tenant takes in the lake, where that has changed."""
        uses = dict[str, Use]()
        for file in self._table.live():
            before = uses.get(file.partition[0], Use())
            uses[file.partition[0]] = Use(before.lake_bytes + file.bytes, before.lake_rows + file.rows)
        changed = {tenant: use for tenant, use in uses.items() if self._uses.get(tenant) != use}
        self._records.tenants.set_uses(changed | {tenant: Use() for tenant in self._uses.keys() - uses.keys()})
        self._uses = uses

    def _keep_receipts(self, chunks: list[Chunk]) -> None:
        """Append the receipts to the file of the day on which the first was made; a repeated one is harmless.

        Each begins on a line of its own, since a crash or a full disk may have cut the last one short.
        """
        day = time.strftime("%Y-%m-%d", time.gmtime(chunks[0].record.at_us / 1e6))
        lines = b"".join(b"\n" + orjson.dumps(chunk.record.receipt) for chunk in chunks)
        path = self._receipts / f"{day}-{self._partition}.jsonl"
        fresh = not path.exists()
        try:
            with path.open("ab") as sink:
                sink.write(lines)
                sink.flush()
                os.fsync(sink.fileno())
        except OSError as error:
            raise TryLaterError(f"The lake cannot write: {error.strerror}.", "Make room on its disk.") from error
        if fresh:
            flush(self._receipts)

    def _raise_alarm(self, code: str, message: str, do: str) -> None:
        if self._alarm is None or self._alarm["message"] != message:
            log.error("the lake writer waits", extra={"reason": message})
            self._alarm = _alarm(code, message, do)

    # erasing

    async def _erase_forever(self) -> None:
        """Erase the cars that the ledger names, once the lake stands beyond the last chunk that may hold them."""
        while True:
            await asyncio.sleep(ERASE_EVERY_S)
            try:
                for erasure in await asyncio.to_thread(self._records.erasures.open, "lake"):
                    if self._position >= (erasure.fence or 0):
                        facts = await asyncio.to_thread(self._erase, erasure)
                        await asyncio.to_thread(self._records.erasures.finish, erasure.id, "lake", facts)
                        log.info("a car is erased from the lake", extra=facts)
                self._erasing = None
            except (ConflictError, TryLaterError) as error:
                if self._erasing is None:
                    log.warning("erasing waits", extra={"reason": str(error)})
                    self._erasing = _alarm("erasing_waits", error.message, error.do)

    def _erase(self, erasure: Erasure) -> dict[str, Any]:
        with self._replacing:
            folder, keys = self._folder / "erased", StoredKeys(self._records)
            eraser = Eraser(self._opened(), folder, self._sign, self._buried, self._patience_s, keys)
            facts = eraser.erase(erasure.id, erasure.vehicle, erasure.names)
        names, recorded = (erasure.vehicle, *erasure.names, *erasure.recordings), self._recordings(erasure)
        return facts | recorded | {"exports": erase_exports(self._records, erasure.id, erasure.tenant, names)}

    def _opened(self) -> Table:
        """Open the table once more, for whoever replaces files beside the writer."""
        return Table(self._table.path, SCHEMA, PARTITIONS)

    # compaction

    async def _compact_forever(self) -> None:
        due = time.monotonic() + self._settings.compact_every_s
        while True:
            await asyncio.sleep(2.0)
            if time.monotonic() < due and self._totals.files - self._compacted < self._many():
                continue
            due = time.monotonic() + self._settings.compact_every_s
            try:
                await asyncio.to_thread(self.compact)
            except (ConflictError, TryLaterError) as error:
                log.warning("small files stay for now", extra={"reason": str(error)})

    def _many(self) -> int:
        """Return how many new files are too many; more where many tenants send, each into files of its own."""
        return self._settings.small_files * max(self._writing, TENANTS_A_SHARE) // TENANTS_A_SHARE

    def compact(self) -> int:
        """Join small files day by day; return how many were replaced. Runs beside the writer, on its own handle."""
        with self._replacing:
            return self._compact()

    def _compact(self) -> int:
        table, gone = self._opened(), 0
        by_partition: dict[tuple[str, ...], list[LiveFile]] = {}
        for file in table.live():
            if file.rows < self._settings.window_rows // 2:
                by_partition.setdefault(file.partition, []).append(file)
        old, new = list[LiveFile](), list[AddAction]()
        for partition, files in by_partition.items():
            for first, end in bins([file.rows for file in files], self._settings.window_rows):
                old += files[first:end]
                new.append(self._join(table, partition, files[first:end]))
                gone += end - first
            if sum(file.rows for file in old) >= self._settings.commit_rows:
                table.replace(old, new)
                old, new = [], []
        if old:
            table.replace(old, new)
        self._compacted, self._writing = table.totals().files, 0
        table.checkpoint()
        table.sweep()
        return gone

    def _join(self, table: Table, partition: tuple[str, ...], files: list[LiveFile]) -> AddAction:
        rows = joined([part_of_file(table.read(file, DICTIONARIES)) for file in files])
        return table.write(partition, rows, Path(files[0].name).name.rsplit("-", 1)[0])


def _divided(chunks: list[Chunk]) -> dict[str, list[Part]]:
    """Return the chunks' rows by tenant."""
    parts: dict[str, list[Part]] = {}
    for chunk in chunks:
        if chunk.rows.num_rows:
            tenant_of = {name: tenant for tenant, names in chunk.record.tenants.items() for name in names}
            for tenant, part in by_tenant(part_of_chunk(chunk), tenant_of):
                parts.setdefault(tenant, []).append(part)
    return parts


def _alarm(code: str, message: str, do: str) -> dict[str, str]:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"code": code, "message": message, "do": do, "since": since}
