"""A chunk: rows that passed the guards, with everything needed to go on after a crash.

Rules:
* Rows are sorted by (vehicle, signal, time). Vehicles and signals are named in the chunk itself, so no shared table of
  ids can go out of step and a change of the catalogue breaks nothing that is under way.
* The metadata carry the chunk's number, the RAW positions it covers, the marks it moved, and refusals by cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
_KEY = b"carcloud"


@dataclass(frozen=True)
class RawPosition:
    """A place in RAW: the stream's creation time and a sequence; a restarted broker begins a new RAW."""

    created: str = ""
    sequence: int = 0


@dataclass
class Record:
    """A chunk's metadata.

    `marks`: (vehicle, queue as 16 hex digits, number) moved by this chunk. `refused`: rows or batches by cause.
    `received_us`: broker's receive time of the oldest batch in it, µs UTC. `receipt`: see receipts.py.
    """

    number: int
    partition: int
    at_us: int
    raw: RawPosition
    batches: int = 0
    samples_in: int = 0
    samples_kept: int = 0
    received_us: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    marks: list[tuple[str, str, int]] = field(default_factory=list)
    receipt: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """Governed rows (see SCHEMA) and their record."""

    record: Record
    rows: pa.RecordBatch


def encode(chunk: Chunk) -> bytes:
    """Return the chunk as an Arrow IPC stream, buffers compressed with zstd."""
    schema = SCHEMA.with_metadata({_KEY: orjson.dumps(asdict(chunk.record))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=_OPTIONS) as writer:
        writer.write_batch(chunk.rows.replace_schema_metadata(schema.metadata))
    return bytes(sink.getvalue())


def decode(data: bytes) -> Chunk:
    """Read a chunk; raise InputError where the bytes are none."""
    with _readable(data) as reader:
        return Chunk(_record(reader.schema), reader.read_next_batch())


def record_of(data: bytes) -> Record:
    """Read only a chunk's record; raise InputError where the bytes are none."""
    with _readable(data) as reader:
        return _record(reader.schema)


@contextmanager
def _readable(data: bytes) -> Iterator[pa.ipc.RecordBatchStreamReader]:
    try:
        with pa.ipc.open_stream(data) as reader:
            yield reader
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise InputError(f"Not a chunk of the governed stream: {type(error).__name__}.") from error


def _record(schema: pa.Schema) -> Record:
    fields = orjson.loads(schema.metadata[_KEY])
    fields["raw"] = RawPosition(**fields["raw"])
    fields["marks"] = [tuple(mark) for mark in fields["marks"]]
    return Record(**fields)
