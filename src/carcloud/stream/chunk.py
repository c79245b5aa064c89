"""A chunk: rows that passed the guards, with everything needed to go on after a crash.

Rules:
* Rows are sorted by (vehicle, signal, time). Vehicles and signals are named in the chunk itself, so no shared table of
  ids can go out of step and a change of the catalogue breaks nothing that is under way.
* The metadata carry the chunk's number, the RAW positions it covers, the marks it moved, and refusals by cause.
* On the stream a chunk is `carcloud`, the record's length (u32, little endian), the record as JSON, padded with spaces
  to a multiple of 8 bytes in all, and the rows as an Arrow IPC stream. So the hash of rows, schema included, can be
  signed before the record is written.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from carcloud.errors import InputError

SCHEMA = pa.schema(
    [
        ("vehicle", pa.dictionary(pa.int32(), pa.string())),
        ("signal", pa.dictionary(pa.int32(), pa.string())),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("provenance", pa.uint8()),
    ]
)
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")
_MAGIC = b"carcloud"
_HEAD = struct.Struct("<8sI")


@dataclass(frozen=True)
class RawPosition:
    """A place in RAW: the stream's creation time and a sequence; a restarted broker begins a new RAW."""

    created: str = ""
    sequence: int = 0


@dataclass
class Record:
    """A chunk's metadata.

    `marks`: (vehicle, queue as 16 hex digits, number) moved by this chunk. `refused`: rows or batches by cause.
    `lost`: numbers of queues that are gone with a restore.
    `received_us`: broker's receive time of the oldest batch in it, µs UTC. `tenants`: tenant → names of its cars that
    have rows. `receipt`: see receipts.py. `salt`: random, so that nobody can tell by the content's hash, which the
    receipt keeps, what a chunk said that is gone.
    """

    number: int
    partition: int
    at_us: int
    raw: RawPosition
    batches: int = 0
    samples_in: int = 0
    samples_kept: int = 0
    samples_transformed: int = 0
    received_us: int = 0
    lost: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    marks: list[tuple[str, str, int]] = field(default_factory=list)
    tenants: dict[str, list[str]] = field(default_factory=dict)
    receipt: dict[str, Any] = field(default_factory=dict)
    salt: str = ""


@dataclass(frozen=True)
class Chunk:
    """Governed rows (see SCHEMA) and their record."""

    record: Record
    rows: pa.RecordBatch


def encode(chunk: Chunk) -> bytes:
    """Return the chunk's bytes, the rows' buffers compressed with zstd."""
    return assembled(chunk.record, encoded_rows(chunk.rows))


def encoded_rows(rows: pa.RecordBatch) -> memoryview:
    """Return the rows as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=_OPTIONS) as writer:
        writer.write_batch(rows.replace_schema_metadata(None))
    return memoryview(sink.getvalue())


def assembled(record: Record, rows: memoryview, least_bytes: int = 0) -> bytes:
    """Return a chunk's bytes, given its rows as `encoded_rows` made them; at least so many, filled up with blanks."""
    said = orjson.dumps(_fields(record))
    said += b" " * max(least_bytes - _HEAD.size - len(said), 0)
    said += b" " * (-(_HEAD.size + len(said)) % 8)
    return b"".join((_HEAD.pack(_MAGIC, len(said)), said, rows))


def content(record: Record, rows: memoryview) -> str:
    """Return the SHA-256, in hexadecimal, of all a chunk says but its receipt: the record and the encoded rows."""
    said = {name: value for name, value in _fields(record).items() if name != "receipt"}
    digest = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))
    digest.update(hashlib.sha256(rows).digest())
    return digest.hexdigest()


def _fields(record: Record) -> dict[str, Any]:
    """Return what a record says, nothing in it copied: it may name thousands of cars."""
    return vars(record) | {"raw": asdict(record.raw)}


def content_of(data: bytes) -> tuple[Record, str]:
    """Return a chunk's record and its content's hash; raise InputError where the bytes are none."""
    record, rows = _parts(data)
    return record, content(record, rows)


def decode(data: bytes) -> Chunk:
    """Read a chunk; raise InputError where the bytes are none."""
    record, rows = _parts(data)
    try:
        with pa.ipc.open_stream(pa.py_buffer(rows)) as reader:
            return Chunk(record, reader.read_next_batch())
    except (pa.ArrowException, OSError, TypeError, ValueError, StopIteration) as error:
        raise InputError(f"Not a chunk of the governed stream: {type(error).__name__}.") from error


def record_of(data: bytes) -> Record:
    """Read only a chunk's record; raise InputError where the bytes are none."""
    return _parts(data)[0]


def _parts(data: bytes) -> tuple[Record, memoryview]:
    try:
        magic, length = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError("another magic")
        whole, end = memoryview(data), _HEAD.size + length
        fields = orjson.loads(whole[_HEAD.size : end])
        fields["raw"] = RawPosition(**fields["raw"])
        fields["marks"] = [tuple(mark) for mark in fields["marks"]]
        return Record(**fields), whole[end:]
    except (struct.error, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"Not a chunk of the governed stream: {type(error).__name__}.") from error
