"""Building blocks for tests of the stream: a small catalogue, batches, chunks, and a real broker."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from carcloud.backends.nats_server import executable
from carcloud.backends.records import Records
from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.safety.signer import Signer
from carcloud.stream import subjects
from carcloud.stream.chunk import SCHEMA, Chunk, RawPosition, Record, content, encoded_rows
from carcloud.stream.digest_keys import ChunkKeys, needed
from carcloud.stream.guards import Terms
from carcloud.stream.receipts import Keys, root, statement
from carcloud.stream.settings import TimeLimits
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from carcloud.vehicle.catalogue import Catalogue, Signal

NOW_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000
CAR, OTHER = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
CATALOGUE = Catalogue(
    [
        Signal("Vehicle.Speed", "float", "km/h", 0, 250),
        Signal("Vehicle.Gear", "int8", None, -1, 8),
        Signal("Vehicle.IsOn", "boolean"),
        Signal("Vehicle.Mode", "string", allowed=("ECO", "SPORT")),
        Signal("Vehicle.Name", "string"),
        Signal("Vehicle.Level", "uint8", allowed=(1, 2, 4)),
        Signal("Vehicle.Tags", "string[]"),
        Signal("Vehicle.Free", "double"),
    ]
)
POLICY = parse(
    """
name: tests
purposes:
  operation: {basis: contract, why: So that tests have something lawful.}
rules:
  - {paths: ["**"], class: operational, purposes: [operation]}
""",
    "tests",
)
TERMS = Terms(CATALOGUE, TimeLimits(), Table(POLICY, CATALOGUE))
TABLE = IdTable(
    (
        ("Vehicle.Speed", "km/h"),
        ("Vehicle.Gear", None),
        ("Vehicle.IsOn", None),
        ("Vehicle.Mode", None),
        ("Vehicle.Name", None),
        ("Vehicle.Level", None),
        ("Vehicle.Free", None),
        ("Vehicle.Unknown", None),
        ("Vehicle.Tags", "km"),
    )
)

Value = float | str
Sent = tuple[str, int, Value]  # path, time in µs, value
Row = tuple[str, str, int, Value, int]  # vehicle, path, time in µs, value, provenance


def batch(rows: Sequence[Sent], queue: int = 1, number: int = 1, provenance: int = 0, table: IdTable = TABLE) -> bytes:
    """Return the payload of a batch, its rows sorted as the wire wants them."""
    place = {path: at for at, (path, _) in enumerate(table.signals)}
    ordered = sorted(rows, key=lambda row: (place[row[0]], row[1]))
    base = min((row[1] for row in rows), default=0)
    signals, counts = np.unique([place[row[0]] for row in ordered], return_counts=True)
    return encode(
        Batch(
            table.hash,
            queue,
            number,
            base,
            signals.astype(np.uint16),
            counts.astype(np.uint32),
            np.array([row[1] - base for row in ordered], np.int32),
            np.array([np.nan if isinstance(row[2], str) else row[2] for row in ordered], np.float64),
            Provenance(provenance),
            {at: row[2] for at, row in enumerate(ordered) if isinstance(row[2], str)},
        )
    )


def up(vehicle: str = CAR, kind: str = "batch", tenant: str = "default") -> str:
    """Return the subject of a car's message."""
    return subjects.raw(tenant, vehicle, kind)


def hello(queue: int = 1, table: IdTable | None = TABLE, acked: int = 0) -> bytes:
    """Return a hello event."""
    event = {"event": "hello", "queue": f"{queue:016x}", "acked": acked}
    if table:
        event["table"] = json.loads(table.canonical())
    return json.dumps(event).encode()


def governed(rows: Sequence[Row]) -> pa.RecordBatch:
    """Return rows in the schema and order of a chunk."""
    ordered = sorted(rows, key=lambda row: row[:3])
    cars, paths = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    texts = [row[3] if isinstance(row[3], str) else None for row in ordered]
    columns = [
        pa.DictionaryArray.from_arrays(pa.array([cars.index(row[0]) for row in ordered], pa.int32()), cars),
        pa.DictionaryArray.from_arrays(pa.array([paths.index(row[1]) for row in ordered], pa.int32()), paths),
        pa.array([row[2] for row in ordered], pa.int64()).cast(pa.timestamp("us", "UTC")),
        pa.array([None if isinstance(row[3], str) else float(row[3]) for row in ordered], pa.float64()),
        pa.array(texts, pa.string()),
        pa.array([row[4] for row in ordered], pa.uint8()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


class FixedKeys:
    """Keys of digests that need no records: each is told by what it is the key of."""

    def car(self, name: str) -> bytes:
        """Return the key of a car's name."""
        return hashlib.sha256(name.encode()).digest()[:16]

    def day(self, tenant: str, path: str, day: int) -> bytes:
        """Return the key of a signal's day."""
        return hashlib.sha256(f"{tenant}/{path}/{day}".encode()).digest()[:16]


def chunk(
    number: int,
    rows: Sequence[Row] = (),
    received_us: int = NOW_US,
    signer: Signer | None = None,
    tenants: dict[str, list[str]] | None = None,
    records: Records | None = None,
) -> Chunk:
    """Return a chunk; signed where a signer is given. `tenants`: whose the cars are; one tenant's where not said.

    `records`: where the keys of the receipt's digests are made; they are `FixedKeys` where not said.
    """
    batch = governed(rows) if rows else pa.RecordBatch.from_pylist([], SCHEMA)
    record = Record(number, 0, NOW_US, RawPosition("x", number), 1, len(rows), len(rows), received_us=received_us)
    record.tenants = tenants or {"default": sorted({row[0] for row in rows})}
    if signer is not None:
        keys: Keys = FixedKeys()
        if records is not None:
            keys = ChunkKeys(*records.digest_keys.made(*needed(batch, record.tenants), number))
        record.receipt = receipt(number, batch, signer, content(record, encoded_rows(batch)), record.tenants, keys)
    return Chunk(record, batch)


def receipt(
    number: int,
    rows: pa.RecordBatch,
    signer: Signer,
    said: str = "",
    tenants: Mapping[str, Sequence[str]] | None = None,
    keys: Keys | None = None,
) -> dict[str, object]:
    """Return a signed receipt over a chunk's rows. `said`: the hash of its content; `tenants`: whose the cars are."""
    whose = {"default": rows["vehicle"].dictionary.to_pylist()} if tenants is None else tenants
    merkle_root = root(rows, whose, number, keys or FixedKeys()).hex()
    signed = {"kept": rows.num_rows, "root": merkle_root, "content": said}
    fields = {"partition": 0, "chunk": number, "at_us": NOW_US} | signed
    answer = signer.answer(b"\x07receipt" + statement(fields))
    return {"statement": fields, "signature": answer[17:].hex(), "key": answer[1:17].decode()}


class Broker:
    """A real nats-server with JetStream, on a port of its own that it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{folder}/js" }}\nmax_payload: {32 << 20}\n'
        )
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [executable(), "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("nats-server does not listen")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Run a broker for a while."""
    broker = Broker(folder)
    try:
        yield broker
    finally:
        broker.kill()
