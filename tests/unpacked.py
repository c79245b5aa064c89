"""Looking for something in every byte a zone keeps: files as they are, and what is packed in them."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import zstandard

from carcloud.errors import InputError
from carcloud.stream.chunk import decode

MAGIC = b"carcloud"
FRAME = (0xFD2FB528).to_bytes(4, "little")


def spellings(number: float) -> list[bytes]:
    """Return how a number may lie in bytes."""
    return [struct.pack("<d", number), struct.pack(">d", number), repr(number).encode()]


def holding(folder: Path, words: list[bytes]) -> list[str]:
    """Return every place below a folder where one of these byte strings is found, packed or not."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            for place, data in _layers(file):
                found += [f"{file.relative_to(folder)} ({place}): {word!r}" for word in words if word in data]
    return found


def tables(folder: Path) -> Iterator[pa.Table]:
    """Yield all rows below a folder, of Parquet files and of chunks wherever they lie."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            with suppress(FileNotFoundError):
                if file.suffix == ".parquet":
                    yield pq.read_table(file)
                else:
                    yield from map(pa.Table.from_batches, _chunks(file.read_bytes()))


def _chunks(data: bytes) -> Iterator[list[pa.RecordBatch]]:
    at = data.find(MAGIC)
    while at >= 0:
        with suppress(InputError, pa.ArrowException, ValueError):
            yield [decode(data[at:]).rows]
        at = data.find(MAGIC, at + 1)


def _layers(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        data = file.read_bytes()
    except FileNotFoundError:  # it was a temporary one
        return
    yield "as it is", data
    if file.suffix == ".parquet":
        yield "rows", _said(pq.read_table(file))
    elif data.startswith(b"SQLite format 3"):
        yield "tables", _tables(file)
    yield from _packed(data)


def _packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    for rows in _chunks(data):
        yield "chunk", _said(pa.Table.from_batches(rows))
    at = data.find(FRAME)
    while at >= 0:
        with suppress(zstandard.ZstdError):
            yield "zstd", zstandard.ZstdDecompressor().decompressobj().decompress(data[at:])
        at = data.find(FRAME, at + 1)
    if data[:4] == b"\xff\xff\xff\xff":
        with suppress(pa.ArrowException, OSError), ipc.open_stream(data) as reader:
            yield "arrow", str(reader.schema.metadata).encode() + _said(reader.read_all())


def _said(table: pa.Table) -> bytes:
    """Return a table's values as bytes: numbers as they lie in memory, all else as text."""
    parts = []
    for name in table.schema.names:
        column = table[name]
        if pa.types.is_floating(column.type):
            parts.append(column.drop_null().to_numpy().astype("<f8").tobytes())
        parts.append(repr(column.to_pylist()).encode())
    return b"\n".join(parts)


def _tables(file: Path) -> bytes:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        return "\n".join(db.iterdump()).encode()
