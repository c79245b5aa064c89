"""The intake: reads messages from RAW one by one, until there is enough for a chunk.

Rules:
* A message is decoded, identified and put in turn here; what is wrong with it becomes a `Refusal`, never an exception.
* A batch whose turn has not come, or whose id table is not known yet, waits unacknowledged. Waiting is bounded: beyond
  it the queue that has waited longest is let go, since its car keeps it and sends it again.
* All bounds count what a batch takes unpacked, so that a small payload cannot stand for much memory.
* A batch that can never pass uses up its number, so that the car's queue moves on.
* Nothing here is durable. After a failure a new intake starts from the last chunk.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from carcloud.stream.guards import UNKNOWN_SIGNAL, WRONG_UNIT
from carcloud.stream.marks import Marks, Turn
from carcloud.stream.restored import Lost, Restored
from carcloud.stream.settings import FloodLimits
from carcloud.stream.subjects import Origin, origin
from carcloud.vehicle.batch import (
    Batch,
    BatchError,
    IdTable,
    JsonBatch,
    JsonSample,
    Provenance,
    decode,
    decode_json,
    parse_queue,
    weight,
)
from carcloud.vehicle.catalogue import Catalogue

LIMIT_WAITING = 256
LIMIT_WAITING_BYTES = 64 * 1024 * 1024
LIMIT_TABLES = 64
LIMIT_SIZE = 16 * 1024 * 1024
"""Beyond this many bytes unpacked a chunk is full; with one more batch it still fits the broker's largest message."""

ROW_BYTES = 32
LIMIT_BASE_US = 1 << 62
"""No time is accepted so far from 1970; a base is cut to it, so that base plus offset stays within 64 bits."""


@dataclass(frozen=True)
class Refusal:
    """What does not go on of what a car sent: how many rows (or 1 batch), why, and the payload to be kept."""

    origin: Origin
    cause: str
    count: int
    detail: str = ""
    payload: bytes = b""
    received_us: int = 0


@dataclass(frozen=True)
class Arrival:
    """A batch in its turn, its signals as positions in the catalogue; `number` is 0 where not numbered."""

    origin: Origin
    received_us: int
    payload: bytes
    provenance: Provenance
    queue: int
    number: int
    signals: NDArray[np.int32]
    counts: NDArray[np.uint32]
    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    texts: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Waiting:
    origin: Origin
    received_us: int
    payload: bytes
    batch: Batch | JsonBatch

    @cached_property
    def size(self) -> int:
        """Return about how many bytes it takes while it waits."""
        if isinstance(self.batch, JsonBatch):
            return 16 * len(self.payload)
        return len(self.payload) + _size(len(self.batch), self.batch.texts)


@dataclass(frozen=True)
class Quota:
    """What a tenant's cars may send in a second of the broker's time, None without a limit; `full`: nothing at all."""

    messages_per_s: int | None = None
    bytes_per_s: int | None = None
    full: bool = False


class Intake:
    """What arrived since the last chunk. `tenant_of` answers a vehicle's tenant, None where it may not speak.

    `quota_of` answers a tenant's quota, None where it has none, and the set of paths hidden from it. What is over a
    quota is left undecoded and unacknowledged: the car keeps it and sends it again.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        marks: Marks,
        tables: dict[bytes, IdTable],
        tenant_of: Callable[[str], str | None],
        flood: FloodLimits,
        restored: Restored | None = None,
        quota_of: Callable[[str], Quota | None] = lambda _: None,
        hidden: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        self.catalogue, self.marks, self.tables = catalogue, marks, tables
        self.restored = restored or Restored()
        self._tenant_of, self._flood, self._quota_of, self._hidden = tenant_of, flood, quota_of, hidden
        self._positions: dict[tuple[bytes, frozenset[str]], NDArray[np.int32]] = {}
        self._taken: dict[str, tuple[int, int, int]] = {}
        self._origins: dict[str, Origin | None] = {}
        self._waiting: dict[tuple[str, int], dict[int, _Waiting]] = {}
        self._waiting_bytes = 0
        self._rates: dict[str, tuple[int, int, int]] = {}
        self._announced: Counter[str] = Counter()
        self._delayed: set[tuple[str, int]] = set()
        self.clear()

    def clear(self) -> None:
        """Begin the next chunk; what waits keeps waiting, and what found no room in the last one comes first."""
        self.arrivals: list[Arrival] = []
        self.refusals: list[Refusal] = []
        self.answers: dict[tuple[Origin, int], str] = {}
        self.new_tables: dict[bytes, IdTable] = {}
        self.flooding: set[Origin] = set()
        self.moved: dict[tuple[str, int], int] = {}
        self.lost: list[Lost] = []
        self.samples = self.size = 0
        delayed, self._delayed = self._delayed, set()
        for vehicle, queue in delayed:
            self._release(vehicle, queue)

    @property
    def full(self) -> bool:
        """Tell whether a chunk can hold no more."""
        return self.size >= LIMIT_SIZE

    @property
    def waiting(self) -> int:
        """Return how many batches wait for their turn or their table."""
        return sum(map(len, self._waiting.values()))

    @property
    def needs_chunk(self) -> bool:
        """Tell whether something happened that must be made durable."""
        return bool(self.arrivals or self.refusals or self.moved)

    def take(self, subject: str, payload: bytes, received_us: int) -> None:
        """Take one message as the broker stored it."""
        sender = self._origins.get(subject) or self._identify(subject)
        if sender is None:
            stranger = origin(subject) or Origin("", "", "")
            self.refusals.append(Refusal(stranger, "not_enrolled" if stranger.vehicle else "wrong_vehicle", 1))
        elif self._floods(sender, weight(payload), received_us):
            self.refusals.append(Refusal(sender, "flood", 1))
        elif sender.kind == "batch" and self._over_quota(sender.tenant, payload, received_us):
            self.refusals.append(Refusal(sender, "quota", 1))
        elif sender.kind == "event":
            self._event(sender, payload, received_us)
        else:
            self._batch(sender, payload, received_us)

    def forget(self, vehicle: str) -> None:
        """Ask again who a vehicle is, since it was revoked or enrolled."""
        self._origins = {subject: who for subject, who in self._origins.items() if who and who.vehicle != vehicle}

    def forget_all(self) -> None:
        """Ask again who every vehicle is: a tenant was suspended, or resumed."""
        self._origins = {}

    def drop(self, vehicle: str) -> None:
        """Drop all there is of a car whose data are erased: what waits, and what has arrived for the next chunk."""
        self.forget(vehicle)
        self.marks.forget(vehicle)
        self.restored.forget(vehicle)
        self.lost = [lost for lost in self.lost if lost.origin.vehicle != vehicle]
        mine = [arrival for arrival in self.arrivals if arrival.origin.vehicle == vehicle]
        self.arrivals = [arrival for arrival in self.arrivals if arrival.origin.vehicle != vehicle]
        self.samples -= sum(len(arrival.values) for arrival in mine)
        self.size -= sum(_size(len(arrival.values), arrival.texts) for arrival in mine)
        self.refusals = [refusal for refusal in self.refusals if refusal.origin.vehicle != vehicle]
        self.answers = {key: want for key, want in self.answers.items() if key[0].vehicle != vehicle}
        self.moved = {key: number for key, number in self.moved.items() if key[0] != vehicle}
        self._delayed = {key for key in self._delayed if key[0] != vehicle}
        for key in [key for key in self._waiting if key[0] == vehicle]:
            self._waiting_bytes -= sum(waiting.size for waiting in self._waiting.pop(key).values())
        self._rates.pop(vehicle, None)
        self._announced.pop(vehicle, None)

    def _identify(self, subject: str) -> Origin | None:
        sender = origin(subject)
        if sender is None or self._tenant_of(sender.vehicle) != sender.tenant:
            return None
        self._origins[subject] = sender
        return sender

    def _floods(self, sender: Origin, size: int, received_us: int) -> bool:
        second = received_us // 1_000_000
        since, messages, volume = self._rates.get(sender.vehicle, (second, 0, 0))
        if since != second:
            messages = volume = 0
        self._rates[sender.vehicle] = (second, messages + 1, volume + size)
        if messages < self._flood.messages_per_s and volume < self._flood.bytes_per_s:
            return False
        self.flooding.add(sender)
        return True

    def _over_quota(self, tenant: str, payload: bytes, received_us: int) -> bool:
        quota = self._quota_of(tenant)
        if quota is None:
            return False
        second = received_us // 1_000_000
        since, messages, volume = self._taken.get(tenant, (second, 0, 0))
        if since != second:
            messages = volume = 0
        most, bytes_ = quota.messages_per_s, quota.bytes_per_s
        if quota.full or (most is not None and messages >= most) or (bytes_ is not None and volume >= bytes_):
            return True
        self._taken[tenant] = (second, messages + 1, volume + weight(payload))
        return False

    def _event(self, sender: Origin, payload: bytes, received_us: int) -> None:
        try:
            event = json.loads(payload)
            if not isinstance(event, dict) or event.get("event") != "hello":
                raise BatchError("bad_json", "an event is {'event': 'hello', 'queue': …, 'table': …}")
            queue = parse_queue(event["queue"]) if "queue" in event else 0
            table = IdTable.parse(event["table"]) if "table" in event else None
            acked = _number(event.get("acked", 0))
        except BatchError as error:
            self._refuse(sender, error, payload, received_us)
        except (ValueError, RecursionError):
            self._refuse(sender, BatchError("bad_json", "not JSON"), payload, received_us)
        else:
            if table and table.hash not in self.tables:
                self._learn(sender, table)
            if queue:
                self._resume(sender, queue, acked)
                self.answers.setdefault((sender, queue), "")
                self._release(sender.vehicle, queue)

    def _resume(self, sender: Origin, queue: int, acked: int) -> None:
        """In a restored zone, go on where the car was told it stood, and count what is lost: see restored.py."""
        if lost := self.restored.lost(self.marks, sender, queue, acked):
            self.lost.append(lost)
            waiting = self._waiting.get((sender.vehicle, queue), {})
            for number in [number for number in waiting if number < acked]:
                self._waiting_bytes -= waiting.pop(number).size
            self._move(sender, queue, acked)

    def _learn(self, sender: Origin, table: IdTable) -> None:
        self._announced[sender.vehicle] += 1
        if self._announced[sender.vehicle] > LIMIT_TABLES:
            self.refusals.append(Refusal(sender, "unknown_table", 1, f"more than {LIMIT_TABLES} new id tables"))
            return
        self.tables[table.hash] = self.new_tables[table.hash] = table

    def _batch(self, sender: Origin, payload: bytes, received_us: int) -> None:
        try:
            batch = decode_json(payload) if payload[:1] == b"{" else decode(payload)
        except BatchError as error:
            self._refuse(sender, error, payload, received_us)
            return
        waiting = _Waiting(sender, received_us, payload, batch)
        if not batch.number:
            self._accept(waiting)
            return
        turn = self.marks.turn(sender.vehicle, batch.queue, batch.number)
        if turn is Turn.EARLIER:
            self.refusals.append(Refusal(sender, "duplicate", 1))
            self.answers.setdefault((sender, batch.queue), "")
        elif turn is Turn.LATER or self._lacks_table(batch):
            self._wait(waiting)
        else:
            self._accept(waiting)
            self._release(sender.vehicle, batch.queue)

    def _lacks_table(self, batch: Batch | JsonBatch) -> bool:
        return isinstance(batch, Batch) and batch.table not in self.tables and len(batch) > 0

    def _wait(self, waiting: _Waiting) -> None:
        batch = waiting.batch
        wanted = batch.table.hex() if isinstance(batch, Batch) and self._lacks_table(batch) else ""
        self.answers[waiting.origin, batch.queue] = wanted or self.answers.get((waiting.origin, batch.queue), "")
        key = waiting.origin.vehicle, batch.queue
        queue = self._waiting.get(key, {})
        if batch.number in queue or len(queue) >= LIMIT_WAITING:
            return
        while self._waiting and self._waiting_bytes + waiting.size > LIMIT_WAITING_BYTES:
            longest = next(iter(self._waiting))
            self._waiting_bytes -= sum(other.size for other in self._waiting.pop(longest).values())
        self._waiting.setdefault(key, {})[batch.number] = waiting
        self._waiting_bytes += waiting.size

    def _release(self, vehicle: str, queue: int) -> None:
        """Accept what waited for the number before it, or for its table."""
        waiting = self._waiting.get((vehicle, queue))
        while waiting:
            following = waiting.get(self.marks.mark(vehicle, queue) + 1)
            if following is None or self._lacks_table(following.batch):
                break
            if self.full:
                self._delayed.add((vehicle, queue))
                break
            self._accept(following)
        if not waiting:
            self._waiting.pop((vehicle, queue), None)

    def _accept(self, waiting: _Waiting) -> None:
        batch, sender = waiting.batch, waiting.origin
        if batch.number:
            self._move(sender, batch.queue, batch.number)
        hidden = self._hidden(sender.tenant)
        columns = (
            self._from_json(batch, waiting.received_us, hidden)
            if isinstance(batch, JsonBatch)
            else self._from_columns(batch, hidden)
        )
        signals, counts, times, values, texts = columns
        if not len(values) and not batch.number:
            self.refusals.append(Refusal(sender, "empty", 1, "a batch without samples and without a number"))
        elif len(values):
            common = (sender, waiting.received_us, waiting.payload, batch.provenance, batch.queue, batch.number)
            self.arrivals.append(Arrival(*common, signals, counts, times, values, texts))
            self.samples += len(values)
            self.size += _size(len(values), texts)

    def _move(self, sender: Origin, queue: int, number: int) -> None:
        self.marks.advance(sender.vehicle, queue, number)
        self.restored.moved(sender.vehicle, queue)
        self.moved.pop((sender.vehicle, queue), None)  # the order of last use is what a restart must find
        self.moved[sender.vehicle, queue] = number
        self.answers[sender, queue] = ""
        waited = self._waiting.get((sender.vehicle, queue), {}).pop(number, None)
        if waited:
            self._waiting_bytes -= waited.size

    def _refuse(self, sender: Origin, error: BatchError, payload: bytes, received_us: int) -> None:
        self.refusals.append(Refusal(sender, error.cause, 1, error.detail, payload, received_us))
        if not error.number:
            return
        if self.marks.turn(sender.vehicle, error.queue, error.number) is Turn.NEXT:
            self._move(sender, error.queue, error.number)
            self._release(sender.vehicle, error.queue)
        else:
            self.answers.setdefault((sender, error.queue), "")

    def _from_columns(self, batch: Batch, hidden: frozenset[str]) -> _Columns:
        if not len(batch):
            return _EMPTY
        positions = self._positions.get((batch.table, hidden))
        if positions is None:
            positions = self._table_positions(self.tables[batch.table], hidden)
            self._positions[batch.table, hidden] = positions
        signals = positions[np.minimum(batch.signals, len(positions) - 1)]
        base_us = np.int64(min(max(batch.base_us, -LIMIT_BASE_US), LIMIT_BASE_US))
        return signals, batch.counts, batch.times + base_us, batch.values, batch.texts

    def _table_positions(self, table: IdTable, hidden: frozenset[str]) -> NDArray[np.int32]:
        found = [self._position(path, unit, hidden) for path, unit in table.signals]
        return np.array([*found, UNKNOWN_SIGNAL], np.int32)

    def _position(self, path: str, unit: str | None, hidden: frozenset[str]) -> int:
        signal = self.catalogue.get(path)
        if signal is None or path in hidden:
            return UNKNOWN_SIGNAL
        return WRONG_UNIT if unit is not None and unit != signal.unit else self.catalogue.index[path]

    def _from_json(self, batch: JsonBatch, received_us: int, hidden: frozenset[str]) -> _Columns:
        def key(sample: JsonSample) -> tuple[str, str, int]:
            return sample.signal, sample.unit or "", received_us if sample.time_us is None else sample.time_us

        rows = sorted(batch.samples, key=key)
        runs: dict[tuple[str, str | None], int] = {}
        for row in rows:
            runs[row.signal, row.unit] = runs.get((row.signal, row.unit), 0) + 1
        texts = {at: row.value for at, row in enumerate(rows) if isinstance(row.value, str)}
        return (
            np.array([self._position(*run, hidden) for run in runs], np.int32),
            np.array(list(runs.values()), np.uint32),
            np.array([key(row)[2] for row in rows], np.int64),
            np.array([np.nan if isinstance(row.value, str) else row.value for row in rows], np.float64),
            texts,
        )


def _number(said: object) -> int:
    """Read the number up to which a car was told that all is done."""
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < 1 << 63:
        raise BatchError("bad_json", "acked is a number of the queue, 0 where none is acknowledged yet")
    return said


def _size(samples: int, texts: dict[int, str]) -> int:
    return ROW_BYTES * samples + 4 * sum(map(len, texts.values()))  # a character has at most 4 bytes


_Columns = tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64], dict[int, str]]
_EMPTY: _Columns = (np.empty(0, np.int32), np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0), {})
