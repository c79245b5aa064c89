"""The container: records of an MCAP file one after another, without trusting a length or a chunk.

Rules:
* The file is read once, from its beginning, one chunk in memory at a time; its index is not needed.
* A chunk says how much it unpacks to; no more than that is unpacked, and no more than 256 MiB.
* Checksums of chunks are checked where there are some. At the first record that is cut off, or does not fit its length
  or its checksum, reading stops: `broken` says where and why, and what came before stands.

Source: MCAP format specification, version 0 (mcap.dev/spec).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel as ChannelRecord
from mcap.records import Chunk, Metadata
from mcap.records import Schema as SchemaRecord

from carcloud.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
LIMIT_RECORD_BYTES = 256 << 20
LIMIT_CHUNK_BYTES = 256 << 20
LIMIT_UNPACKED_BYTES = 256 << 30
LIMIT_CHANNELS = 4096
WINDOW_BYTES = 128 << 20
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
WRONG = (McapError, struct.error, ValueError, UnicodeDecodeError, EOFError, zstandard.ZstdError, RuntimeError, KeyError)


@dataclass(frozen=True)
class Channel:
    """Where messages of one sort stand.

    Args:
        encoding: of the messages: `protobuf`, `json`, `cdr` …
        schema, schema_encoding, definition: what they are, in what language that is written, and the text of it.
    """

    topic: str
    encoding: str
    schema: str
    schema_encoding: str
    definition: bytes


@dataclass(frozen=True)
class Message:
    """One message, and when it was logged: microseconds."""

    channel: Channel
    time_us: int
    data: bytes


class Container:
    """An MCAP file.

    Attributes:
        metadata: what its metadata records say, by their names.
        channels: those that were met so far, by their ids.
        broken: why reading stopped before the end; None where it did not.
    """

    def __init__(self, path: Path, progress: Callable[[float], None]) -> None:
        self.path, self._progress = path, progress
        self.metadata: dict[str, dict[str, str]] = {}
        self.channels: dict[int, Channel] = {}
        self.broken: InputError | None = None
        self._schemas: dict[int, SchemaRecord] = {}
        self._unpacked = 0

    def messages(self) -> Iterator[Message]:
        """Yield the messages as they stand in the file.

        Raises:
            InputError: it is no MCAP file.
        """
        size = max(1, self.path.stat().st_size)
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise InputError(f"{self.path.name} is no MCAP file.", "Give one that begins with its eight bytes.")
            at = file.tell()
            try:
                for code, data in _records(file):
                    yield from self._record(code, data)
                    at = file.tell()
                    self._progress(min(1.0, at / size))
            except WRONG as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                what = f"{self.path.name} breaks off at byte {at} of {size}: {reason.rstrip('.')}."
                self.broken = InputError(what, "Copy the whole file again, or let `mcap recover` close it.")

    def _record(self, code: int, data: bytes) -> Iterator[Message]:
        if code == Opcode.CHUNK:
            inner = BytesIO(self._unpack(Chunk.read(ReadDataStream(BytesIO(data)))))
            for each, part in _records(inner):
                yield from self._plain(each, part)
        else:
            yield from self._plain(code, data)

    def _plain(self, code: int, data: bytes) -> Iterator[Message]:
        if code == Opcode.MESSAGE:
            channel, _, logged, _ = _MESSAGE.unpack_from(data)
            if channel not in self.channels:
                raise ValueError(f"a message of channel {channel}, which is not described")
            yield Message(self.channels[channel], logged // 1000, data[_MESSAGE.size :])
        elif code == Opcode.SCHEMA:
            schema = SchemaRecord.read(ReadDataStream(BytesIO(data)))
            self._schemas[schema.id] = schema
        elif code == Opcode.CHANNEL:
            self._describe(ChannelRecord.read(ReadDataStream(BytesIO(data))))
        elif code == Opcode.METADATA:
            told = Metadata.read(ReadDataStream(BytesIO(data)))
            self.metadata[told.name] = told.metadata

    def _describe(self, record: ChannelRecord) -> None:
        if record.id in self.channels:
            return
        if len(self.channels) >= LIMIT_CHANNELS:
            raise ValueError(f"more than {LIMIT_CHANNELS} channels")
        schema = self._schemas.get(record.schema_id)
        name, encoding, text = (schema.name, schema.encoding, schema.data) if schema else ("", "", b"")
        self.channels[record.id] = Channel(record.topic, record.message_encoding, name, encoding, text)

    def _unpack(self, chunk: Chunk) -> bytes:
        most = chunk.uncompressed_size
        self._unpacked += most
        if most > LIMIT_CHUNK_BYTES or self._unpacked > LIMIT_UNPACKED_BYTES:
            raise ValueError(f"a chunk that unpacks to {most} bytes, where {LIMIT_CHUNK_BYTES} may be")
        data = _unpacked(chunk.compression, chunk.data, most)
        if len(data) != most:
            raise ValueError(f"a chunk that says it unpacks to {most} bytes, and does not")
        if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
            raise ValueError("a chunk that does not fit its checksum")
        return data


def _unpacked(compression: str, data: bytes, most: int) -> bytes:
    """Return at most one byte more than `most`, whatever the data says of itself."""
    if compression == "":
        return data
    if compression == "zstd":
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(BytesIO(data))
        return reader.read(most + 1)
    if compression == "lz4":
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=most + 1))
    raise ValueError(f"a chunk packed by {compression[:20]!r}, which is not known")


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the code and the bytes of each record, up to the footer."""
    while True:
        head = file.read(_HEAD.size)
        if not head and isinstance(file, BytesIO):
            return
        if len(head) < _HEAD.size:
            raise EOFError("the file ends before its footer")
        code, length = _HEAD.unpack(head)
        if length > LIMIT_RECORD_BYTES:
            raise ValueError(f"a record of {length} bytes, where {LIMIT_RECORD_BYTES} may be")
        data = file.read(length)
        if len(data) < length:
            raise EOFError(f"a record of {length} bytes is cut off after {len(data)}")
        if code == Opcode.FOOTER:
            return
        yield code, data
