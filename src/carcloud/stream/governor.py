"""The governor: reads RAW, governs, writes GOVERNED, and acknowledges. One per partition.

Rules:
* RAW is read from the governor's own position, which stands in the metadata of its last chunk; RAW is purged behind it.
* A chunk is written with the expected last sequence of its subject. On any doubt the governor forgets everything and
  starts again from the last chunk: what was not acknowledged is sent again by the cars, and marks drop what came twice.
* A chunk that it did not sign, or that repeats one, it takes out of GOVERNED, keeps as evidence, and raises an alarm.
* A car is told of a batch only after the chunk is flushed. Quarantine, id tables, names and keys are stored before it.
* Little room on the disk is a state, not a crash: reading stops, an alarm stands, cars are held back, later it goes on.
* GOVERNED is purged to the lowest position of the folds named here, never by age; its last chunk always stays.
* Where the governance lets rows expire, each UTC day begins a new block of the broker's file, so that older ones go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from carcloud.backends.files import write_flushed
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import ConflictError, InputError, MissingError, TryLaterError
from carcloud.safety.governance.table import Table
from carcloud.safety.grants.grant import ground_of
from carcloud.safety.signer import SignerClient
from carcloud.stream import subjects
from carcloud.stream.chunk import RawPosition, Record, assembled, content, encoded_rows
from carcloud.stream.consents import Standing
from carcloud.stream.digest_keys import MakingKeys
from carcloud.stream.draft import Draft, draft
from carcloud.stream.evidence import Evidence
from carcloud.stream.genuine import FORGED, Verify
from carcloud.stream.guards import QUARANTINED, Terms
from carcloud.stream.intake import Intake, Refusal
from carcloud.stream.marks import Marks
from carcloud.stream.pseudonyms import Pseudonyms
from carcloud.stream.quarantine import Quarantine
from carcloud.stream.raw import prepare
from carcloud.stream.receipts import root, statement
from carcloud.stream.restored import ALARM as LOST
from carcloud.stream.restored import KEY as RESTORED
from carcloud.stream.restored import Restored
from carcloud.stream.settings import GovernorSettings
from carcloud.stream.tenants import TenantsStanding
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.catalogue import Catalogue
from carcloud.vehicle.life import HEARD

log = logging.getLogger(__name__)

FOLDS = ("marks", "lake", "twin", "audit")
FURTHER_FOLDS = ("relay",)
"""Those that not every zone has: the stream waits for them once they keep a position."""
MESSAGES_A_READ = 1000
BYTES_A_READ = 16 * 1024 * 1024
SNAPSHOT_EVERY_S = 10.0
BLOCK_BYTES = 8 * 1024 * 1024 + 1  # the broker purges a block whole, or leaves the bytes in it
DAY_NS = 86_400_000_000_000
UNANSWERED = 2  # appends in a row, 10 s each, before the broker is taken for stuck
RENEWAL_BYTES = 16 * 1024 * 1024
PURGE_EVERY_S = ERASE_EVERY_S = 2.0


@dataclass
class Totals:
    """What has been governed since the zone began; a fold of the chunks' records."""

    batches: int = 0
    samples_in: int = 0
    samples_kept: int = 0
    samples_transformed: int = 0
    chunks: int = 0
    lost: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count one chunk."""
        self.batches += record.batches
        self.samples_in += record.samples_in
        self.samples_kept += record.samples_kept
        self.samples_transformed += record.samples_transformed
        self.chunks += 1
        self.lost += record.lost
        self.refused.update(record.refused)


class Governor:
    """One partition's governor. `folder` keeps the snapshot of the marks, and in `forged` what others wrote.

    `signed(statement, signature)` tells whether this zone's signer made the signature. `whose`: whose the signals are
    that not every tenant has.
    """

    def __init__(
        self,
        vehicles: Bus,
        cloud: Bus,
        records: Records,
        catalogue: Catalogue,
        table: Table,
        signer: SignerClient,
        signed: Verify,
        quarantine: Quarantine,
        folder: Path,
        settings: GovernorSettings,
        zone: str,
        partition: int = 0,
        whose: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._vehicles, self._cloud, self._records, self._signer = vehicles, cloud, records, signer
        self._quarantine, self._catalogue, self._settings, self._partition = quarantine, catalogue, settings, partition
        self._terms = Terms(catalogue, settings.time, table)
        self._consents = Standing(records, table, ground_of(zone, table.policy, catalogue))
        self._pseudonyms = Pseudonyms(records, table)
        self._keys = MakingKeys(records)
        self._evidence = Evidence(cloud, folder / "forged", partition, signed)
        self._subject = subjects.governed(partition)
        self._snapshot = folder / f"marks-{partition}.json"
        self._tenants: dict[str, str] = {}
        self._standing = TenantsStanding(records, whose or {})
        self._alarms: dict[str, dict[str, str]] = {}
        self._totals = Totals()
        self._number = self._sequence = self._stream_last = self._purged = 0
        self._raw_bytes = self._governed_bytes = 0
        self._intake = self._new_intake(Marks(), {})
        self._erase_at = 0.0
        self._day = 0

    async def run(self) -> None:
        """Govern until cancelled, starting again from durable state after every failure."""
        await self._cloud.listen(subjects.REVOKED, self._on_revoked)
        await self._cloud.listen(subjects.GRANT, self._consents.changed)
        await self._cloud.listen(subjects.ERASE, self._on_erase)
        await self._cloud.listen(subjects.TENANT, self._on_tenant)
        await self._standing.read()
        while True:
            try:
                await self._recover()
                await self._govern()
            except TryLaterError as error:
                log.warning("starting again from the last chunk", extra={"reason": str(error)})
                if self._cloud.unanswered >= UNANSWERED or self._free_bytes() < RENEWAL_BYTES:
                    await self._renew_broker()
                await asyncio.sleep(0.2)
            except ConflictError as error:
                log.error("another wrote; starting again from the last chunk", extra={"reason": str(error)})
                await asyncio.sleep(1.0)

    def metrics(self) -> dict[str, Any]:
        """Return the counters and alarms for the bus."""
        stream = asdict(self._totals) | {"refused": dict(self._totals.refused), "raw_bytes": self._raw_bytes}
        stream |= {"governed_bytes": self._governed_bytes, "raw_waiting": self._intake.waiting}
        alarms = [*self._alarms.values(), *self._standing.alarms, *self._consents.alarms]
        return {"stream": stream, "alarms": alarms, "chunk": self._number}

    # recovery

    async def _recover(self) -> None:
        settings = self._settings
        await self._consents.read()
        await prepare(self._vehicles, settings.raw_bytes)
        await self._cloud.ensure_stream(
            subjects.GOVERNED, [subjects.GOVERNED_SUBJECTS], memory=False, limit_bytes=settings.governed_bytes
        )
        snapshot = self._load_snapshot()
        marks, self._totals = Marks.load(snapshot["marks"]), Totals(**snapshot["totals"])
        self._totals.refused = Counter(self._totals.refused)
        self._number, raw = int(snapshot["chunk"]), RawPosition(**snapshot["raw"])
        self._snapshot_number, self._snapshot_at = self._number, time.monotonic()
        said = await asyncio.to_thread(self._records.get_meta, RESTORED)
        restored = Restored(said, snapshot.get("restored"))
        governed = await self._cloud.state(subjects.GOVERNED)
        self._stream_last, self._sequence = governed.last, int(snapshot.get("sequence", 0))
        known = 0 < self._sequence <= governed.last
        after = (self._sequence, self._number) if known else (0, 0)
        async for sequence, record in self._evidence.records(*after):
            self._sequence = sequence
            if record.number <= self._number:
                continue
            if record.number != self._number + 1:
                raise InputError(
                    f"The marks stand at chunk {self._number}, the stream begins with {record.number}.",
                    f"Restore {self._snapshot.name} from a backup.",
                )
            for vehicle, queue, number in record.marks:
                marks.advance(vehicle, int(queue, 16), number)
            restored.fold(record)
            self._totals.add(record)
            self._number, raw = record.number, record.raw
        last = await self._cloud.last(subjects.GOVERNED, self._subject)
        self._sequence = min(self._sequence, last.sequence) if last else 0
        self._tell_forged()
        state = await self._vehicles.state(subjects.RAW)
        self._raw_created = state.created
        self._raw_next = raw.sequence + 1 if raw.created == state.created else max(state.first, 1)
        tables = await asyncio.to_thread(self._records.tables)
        parsed = {bytes.fromhex(name): IdTable.parse(orjson.loads(text)) for name, text in tables.items()}
        self._intake = self._new_intake(marks, parsed, restored)
        self._purge_at = time.monotonic()

    def _load_snapshot(self) -> dict[str, Any]:
        empty = {"chunk": 0, "sequence": 0, "raw": asdict(RawPosition()), "marks": {}, "totals": {}}
        try:
            loaded: dict[str, Any] = orjson.loads(self._snapshot.read_bytes())
        except FileNotFoundError:
            return empty
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"The marks in {self._snapshot.name} are damaged.", "Restore them from a backup."
            ) from error
        return loaded

    # governing

    async def _govern(self) -> None:
        began: float | None = None
        while True:
            await self._wait_for_room()
            if time.monotonic() >= self._erase_at:
                await self._erase()
            if self._terms.table.expires and time.time_ns() // DAY_NS != self._day:
                await self._begin_day()
            limit = self._messages_wanted()
            messages = await self._vehicles.read(subjects.RAW, subjects.RAW_UP, self._raw_next, limit, BYTES_A_READ)
            for message in messages:
                if self._intake.full:
                    break  # the rest is read again for the next chunk
                self._intake.take(message.subject, message.data, message.received_us)
                self._raw_next = message.sequence + 1
            await self._standing.refresh()
            if began is None and (messages or self._intake.needs_chunk):
                began = time.monotonic()
            full = self._intake.full or self._intake.samples >= self._settings.chunk_samples
            if began is not None and (full or time.monotonic() - began >= self._settings.rhythm_s):
                await self._close_chunk()
                began = None
            elif not messages:
                await self._housekeep()
                await asyncio.sleep(0.01 if began else 0.02)

    def _messages_wanted(self) -> int:
        """Return how many messages the chunk has room for, going by those it has."""
        have, samples = len(self._intake.arrivals), self._intake.samples
        if not have:
            return 64
        room = self._settings.chunk_samples - samples
        return max(1, min(MESSAGES_A_READ, room * have // max(samples, 1) + 1))

    async def _close_chunk(self, least_bytes: int = 0) -> None:
        intake = self._intake
        if intake.needs_chunk or least_bytes:
            names = await self._pseudonyms.of(intake.arrivals)
            made = draft(intake.arrivals, self._terms, self._consents.now(), names)
            refusals = [*intake.refusals, *self._row_refusals(made.refused)]
            record, rows = self._record(made, refusals), encoded_rows(made.rows)
            keys = await self._keys.of(made.rows, made.tenants, record.number, record.at_us)
            merkle_root = root(made.rows, made.tenants, record.number, keys)
            record.receipt = await self._receipt(record, merkle_root, content(record, rows))
            await self._store_first(refusals)
            self._stream_last = self._sequence = await self._cloud.append(
                self._subject, assembled(record, rows, least_bytes), expected_last=self._sequence
            )
            self._number = record.number
            self._totals.add(record)
            self._alarms.pop("stream_stopped", None)
            await self._cloud.publish(f"{subjects.CHUNK}.{self._partition}", str(record.number).encode())
        else:
            await self._store_first([])
            refusals = []
        await self._answer(refusals)
        intake.clear()
        await self._housekeep()

    def _row_refusals(self, refused: dict[str, Any]) -> list[Refusal]:
        """Return one refusal for each arrival and cause, with the payload to be kept."""
        found = []
        for cause, counts in refused.items():
            for at in counts.nonzero()[0].tolist():
                arrival, count = self._intake.arrivals[at], int(counts[at])
                detail = f"{count} of {len(arrival.values)} rows"
                found.append(Refusal(arrival.origin, cause, count, detail, arrival.payload, arrival.received_us))
        return found

    def _record(self, made: Draft, refusals: list[Refusal]) -> Record:
        intake, refused = self._intake, Counter[str]()
        for refusal in refusals:
            refused[refusal.cause] += refusal.count
        return Record(
            number=self._number + 1,
            partition=self._partition,
            at_us=time.time_ns() // 1000,
            raw=RawPosition(self._raw_created, self._raw_next - 1),
            batches=len(intake.arrivals),
            samples_in=intake.samples,
            samples_kept=made.rows.num_rows,
            samples_transformed=made.transformed,
            received_us=min((arrival.received_us for arrival in intake.arrivals), default=0),
            lost=sum(lost.numbers for lost in intake.lost),
            refused=dict(refused),
            marks=[(vehicle, f"{queue:016x}", number) for (vehicle, queue), number in intake.moved.items()],
            tenants=made.tenants,
            salt=secrets.token_hex(16),
        )

    async def _receipt(self, record: Record, merkle_root: bytes, said: str) -> dict[str, Any]:
        fields = {
            "partition": record.partition,
            "chunk": record.number,
            "at_us": record.at_us,
            "catalogue": self._catalogue.hash,
            "policy": self._terms.table.hash,
            "batches": record.batches,
            "in": record.samples_in,
            "kept": record.samples_kept,
            "transformed": record.samples_transformed,
            "refused": record.refused,
            "root": merkle_root.hex(),
            "content": said,
        }
        signature = await asyncio.to_thread(self._signer.sign, "receipt", statement(fields))
        return {"statement": fields, "signature": signature.value.hex(), "key": signature.key_id}

    async def _store_first(self, refusals: list[Refusal]) -> None:
        """Store what must stand before the chunk does: refused payloads, new id tables, and word of what is lost."""
        if lost := self._intake.lost:
            await asyncio.to_thread(self._records.audit.add, *(one.entry() for one in lost))
        kept = [refusal for refusal in refusals if refusal.cause in QUARANTINED and refusal.payload]
        if kept:
            await asyncio.to_thread(self._quarantine.keep, kept)
        for name, table in self._intake.new_tables.items():
            await asyncio.to_thread(self._records.put_table, name.hex(), table.canonical().decode())

    async def _answer(self, refusals: list[Refusal]) -> None:
        """Tell cars what is durable and what was refused; ask for id tables; close the sessions of flooding cars."""
        lost: dict[str, Counter[str]] = {}
        for refusal in refusals:
            lost.setdefault(refusal.origin.vehicle, Counter())[refusal.cause] += refusal.count
        for (origin, queue), want in self._intake.answers.items():
            body: dict[str, Any] = {"queue": f"{queue:016x}", "number": self._intake.marks.mark(origin.vehicle, queue)}
            if want:
                body["want"] = want
            if refused := lost.pop(origin.vehicle, None):
                body["refused"] = refused
            await self._vehicles.publish(subjects.ack(origin.tenant, origin.vehicle), orjson.dumps(body))
        unanswered = {origin.vehicle: origin for origin in (refusal.origin for refusal in refusals) if origin.vehicle}
        for vehicle in lost.keys() & unanswered.keys():
            subject = subjects.ack(unanswered[vehicle].tenant, vehicle)
            await self._vehicles.publish(subject, orjson.dumps({"refused": lost[vehicle]}))
        self._standing.note(refusals)
        for origin in self._intake.flooding:
            log.warning("a car floods; its session is closed", extra={"vehicle": origin.vehicle})
            await self._cloud.publish(subjects.FLOODING, origin.vehicle.encode())

    # erasing

    async def _on_erase(self, _: str, vehicle: bytes) -> None:
        await self._on_revoked(_, vehicle)
        self._erase_at = 0.0

    async def _erase(self) -> None:
        """Drop what is held of cars that are to be erased, and write a chunk from which on the stream has none of them.

        That chunk is too large for the block of the broker's file that is being written, so it begins a new one; once
        every fold is past it and what lies before it is purged, the older blocks are deleted from the disk.
        """
        self._erase_at = time.monotonic() + ERASE_EVERY_S
        if begun := await asyncio.to_thread(self._records.erasures.unfenced):
            for erasure in begun:
                self._tenants.pop(erasure.vehicle, None)
                self._consents.forget(erasure.vehicle)
                self._intake.drop(erasure.vehicle)
                self._pseudonyms.forget(erasure.vehicle)
                self._keys.forget((erasure.vehicle, *erasure.names))
                for name in (erasure.vehicle, *erasure.names):
                    await asyncio.to_thread(self._evidence.erase, name)
            await self._close_chunk(BLOCK_BYTES)
            await self._take_snapshot()
            for erasure in begun:
                await asyncio.to_thread(self._records.erasures.set_fence, erasure.id, self._number)
        for erasure in await asyncio.to_thread(self._records.erasures.open, "stream"):
            if self._purged >= (erasure.fence or 0):
                done = {"fence": erasure.fence}
                with contextlib.suppress(TryLaterError):  # asked again in a moment
                    await asyncio.to_thread(self._records.erasures.finish, erasure.id, "stream", done)

    async def _begin_day(self) -> None:
        """Let what came before today leave the broker's file soon, also where hardly anything comes.

        No row expires on the day it came, so what lies in a block of an earlier day may be expired, and what is in one
        of today is not.
        """
        self._day = time.time_ns() // DAY_NS
        await self._close_chunk()
        await self._close_chunk(BLOCK_BYTES)

    # keeping house

    async def _renew_broker(self) -> None:
        """Have the broker started again once there is room: after one failed write it gives a stream up for good."""
        log.error("the broker stores nothing; it is started again once there is room")
        self._raise_alarm(
            "stream_stopped",
            "The disk is full, so broker or records store nothing: ingestion has stopped.",
            "Make room on the zone's disk; the broker is then started again, and cars send what they kept.",
        )
        while self._free_bytes() < RENEWAL_BYTES:  # noqa: ASYNC110 (a disk tells nobody)
            await asyncio.sleep(0.5)
        self._cloud.unanswered = 0
        await self._cloud.publish(subjects.STUCK, b"")

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._snapshot.parent).free

    def _raise_alarm(self, code: str, message: str, do: str) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._alarms.setdefault(code, {"code": code, "message": message, "do": do, "since": since})

    def _tell_forged(self) -> None:
        if said := self._evidence.alarm():
            self._raise_alarm(FORGED, *said)
        else:
            self._alarms.pop(FORGED, None)

    def _tell_lost(self) -> None:
        if said := self._intake.restored.alarm(self._totals.lost):
            self._raise_alarm(LOST, *said)
            self._alarms[LOST]["message"] = said[0]
        else:
            self._alarms.pop(LOST, None)

    async def _wait_for_room(self) -> None:
        """Stop while the disk has less than the reserve."""
        while (free := self._free_bytes()) < self._settings.reserve_bytes:
            if "disk_full" not in self._alarms:
                log.error("the disk is nearly full; ingestion stops until there is room", extra={"free_bytes": free})
                needed = self._settings.reserve_bytes
                self._raise_alarm(
                    "disk_full",
                    f"{free >> 20} MiB free, {needed >> 20} MiB needed: ingestion has stopped.",
                    "Make room on the zone's disk; ingestion goes on by itself, and cars send what they kept.",
                )
            await asyncio.sleep(0.5)
        if self._alarms.pop("disk_full", None):
            log.warning("there is room again; ingestion goes on")

    async def _housekeep(self) -> None:
        now = time.monotonic()
        if now - self._purge_at < PURGE_EVERY_S or self._intake.needs_chunk:  # marks are ahead of GOVERNED then
            return
        self._purge_at = now
        await self._consents.refresh()
        if now - self._snapshot_at >= SNAPSHOT_EVERY_S and self._number != self._snapshot_number:
            await self._take_snapshot()
            self._snapshot_at = now
        await self._vehicles.purge(subjects.RAW, subjects.RAW_UP, self._raw_next)
        positions = await asyncio.to_thread(self._records.positions)
        folds = [*FOLDS, *(name for name in FURTHER_FOLDS if (name, self._partition) in positions)]
        lowest = min(positions.get((name, self._partition), 0) for name in folds)
        governed = await self._cloud.state(subjects.GOVERNED)
        if governed.last != self._stream_last:
            raise ConflictError("The governed stream ends with a chunk that this governor did not write.")
        self._tell_forged()
        self._tell_lost()
        below = min(self._sequence - (self._number - lowest) + 1 - governed.removed, self._sequence)
        if below > 1:
            await self._cloud.purge(subjects.GOVERNED, self._subject, below)
        self._purged = lowest
        raw = await self._vehicles.state(subjects.RAW)
        if raw.created != self._raw_created:
            raise TryLaterError("The broker began a new RAW.")
        self._raw_bytes = raw.bytes
        self._governed_bytes = governed.bytes
        await asyncio.to_thread(self._quarantine.trim)

    async def _take_snapshot(self) -> None:
        raw = asdict(RawPosition(self._raw_created, self._raw_next - 1))
        totals = asdict(self._totals) | {"refused": dict(self._totals.refused)}
        marks, restored = self._intake.marks.dump(), self._intake.restored.dump()
        body = {
            "restored": restored,
            "chunk": self._number,
            "sequence": self._sequence,
            "raw": raw,
            "marks": marks,
            "totals": totals,
        }
        await asyncio.to_thread(write_flushed, self._snapshot, orjson.dumps(body))
        self._snapshot_number = self._number
        await asyncio.to_thread(self._records.set_position, "marks", self._partition, self._number)

    def _tenant_of(self, vehicle: str) -> str | None:
        if vehicle not in self._tenants:
            try:
                found = self._records.vehicle(vehicle)
            except MissingError:
                return None
            if found.state not in HEARD or not self._standing.stands(found.tenant):
                return None
            self._tenants[vehicle] = found.tenant
        return self._tenants[vehicle]

    def _new_intake(self, marks: Marks, tables: dict[bytes, IdTable], restored: Restored | None = None) -> Intake:
        about = self._tenant_of, self._settings.flood, restored, self._standing.quota, self._standing.hidden
        return Intake(self._catalogue, marks, tables, *about)

    async def _on_tenant(self, _: str, __: bytes) -> None:
        await self._standing.read()
        self._tenants.clear()
        self._intake.forget_all()

    async def _on_revoked(self, _: str, vehicle: bytes) -> None:
        name = vehicle.decode()
        self._tenants.pop(name, None)
        self._intake.forget(name)
