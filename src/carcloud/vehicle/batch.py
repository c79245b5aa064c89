"""What a car sends: a batch of samples, and the id table that names its signals.

Rules:
* A batch is self-describing: header, then columns sorted by (signal, time), compressed as one zstd frame.
* The decoder believes nothing: sizes are checked before memory is taken, checksums before content.
* A batch whose header can be read but not its body still has a number, so that it can be quarantined and passed by.
* JSON rows are the other codec, for people and for small programs.

Source: docs/wire.md, which has the test vectors.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import threading
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from itertools import pairwise
from typing import Any

import google_crc32c
import numpy as np
import zstandard
from numpy.typing import NDArray

MAGIC = b"CCB1"
HEADER = struct.Struct("<4sBBH8sQQqIIII")
CODEC_COLUMNS = 1
FLAG_TEXTS = 1
LIMIT_PAYLOAD_BYTES = 128 * 1024
LIMIT_BODY_BYTES = 4 * 1024 * 1024
LIMIT_TEXT_BYTES = 8 * 1024
LIMIT_TABLE = 4096
JSON_WEIGHT = 32
"""A byte of JSON rows costs about as much to read as this many bytes of columns."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

I64_MIN, I64_MAX = -(2**63), 2**63 - 1


class Provenance(IntEnum):
    """Where samples come from; it travels with them to the lake."""

    MEASURED = 0
    REPLAY = 1
    SIMULATED = 2


class BatchError(Exception):
    """A payload that is no batch. `cause` is one of the wire's refusal causes.

    `queue` and `number` are set where the header could be read, so that the batch can use up its number.
    """

    def __init__(self, cause: str, detail: str, queue: int = 0, number: int = 0) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause, self.detail, self.queue, self.number = cause, detail, queue, number


@dataclass(frozen=True)
class IdTable:
    """The signals a batch's indices stand for: (path, unit or None), at most 4,096; named by its content's hash."""

    signals: tuple[tuple[str, str | None], ...]

    def canonical(self) -> bytes:
        """Return the JSON text the hash is taken over."""
        rows = {"signals": [list(pair) for pair in self.signals]}
        return json.dumps(rows, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()

    @property
    def hash(self) -> bytes:
        """Return the first 8 bytes of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical()).digest()[:8]

    @classmethod
    def parse(cls, value: object) -> IdTable:
        """Read a table from parsed JSON; raise BatchError("bad_json") where it is none."""
        rows = value.get("signals") if isinstance(value, dict) else None
        if not isinstance(rows, list) or not 0 < len(rows) <= LIMIT_TABLE:
            raise BatchError(
                "bad_json", f"an id table is {{'signals': [[path, unit or null], …]}} of 1 to {LIMIT_TABLE} rows"
            )
        table = cls(tuple(_table_row(row) for row in rows))
        if len({path for path, _ in table.signals}) < len(rows):
            raise BatchError("bad_json", "a path stands twice in the id table")
        return table


def _table_row(row: object) -> tuple[str, str | None]:
    if isinstance(row, list) and len(row) == 2 and _is_name(row[0]) and (row[1] is None or _is_name(row[1])):
        return row[0], row[1]
    raise BatchError("bad_json", f"each row of an id table is [path, unit or null], {_NAME_RULE}")


_NAME_RULE = "1 to 256 characters without control characters, quotation marks and backslashes"
_NAME = re.compile(r'[^\x00-\x1f\x7f"\\\ud800-\udfff]{1,256}')


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


@dataclass(frozen=True)
class Batch:
    """A decoded batch of the columns codec; rows sorted by (signal, time).

    `signals`: (runs,) uint16, index into the id table; `counts`: (runs,) uint32, rows of each run.
    `times`: (samples,) int32, microseconds after `base_us`; `values`: (samples,) float64, NaN where the value is text.
    `texts`: row → text, for signals whose value is not a number.
    """

    table: bytes
    queue: int
    number: int
    base_us: int
    signals: NDArray[np.uint16]
    counts: NDArray[np.uint32]
    times: NDArray[np.int32]
    values: NDArray[np.float64]
    provenance: Provenance = Provenance.MEASURED
    texts: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class JsonSample:
    """One row of the JSON codec; `time_us` is None where the sender leaves the time to the broker's clock."""

    signal: str
    time_us: int | None
    value: float | str
    unit: str | None


@dataclass(frozen=True)
class JsonBatch:
    """A decoded batch of the JSON codec. `queue` and `number` are 0 where the sender does not number."""

    samples: list[JsonSample]
    queue: int
    number: int
    provenance: Provenance


class _Zstd(threading.local):
    """Compression contexts of one thread; zstd allows no context to be used by two at once."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=3, write_content_size=True)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


def encode(batch: Batch) -> bytes:
    """Return the batch as a payload. Raise BatchError("too_large") beyond the wire's limits: split it and try again."""
    parts = [
        batch.signals.astype("<u2", copy=False).tobytes(),
        batch.counts.astype("<u4", copy=False).tobytes(),
        batch.times.astype("<i4", copy=False).tobytes(),
        batch.values.astype("<f8", copy=False).tobytes(),
        _encode_texts(batch.texts) if batch.texts else b"",
    ]
    raw = b"".join(parts)
    body = _zstd.compressor.compress(raw)
    if len(raw) > LIMIT_BODY_BYTES or HEADER.size + len(body) > LIMIT_PAYLOAD_BYTES:
        raise BatchError("too_large", f"{len(raw)} bytes, {len(body)} compressed", batch.queue, batch.number)
    flags = FLAG_TEXTS if batch.texts else 0
    return _header(batch.provenance, flags, batch, google_crc32c.value(body)) + body


def renumber(payload: bytes, queue: int, number: int) -> bytes:
    """Return a columns payload under another queue and number, its body untouched."""
    magic, codec, provenance, flags, table, _, _, base, runs, samples, body, _ = HEADER.unpack_from(payload)
    head = HEADER.pack(magic, codec, provenance, flags, table, queue, number, base, runs, samples, body, 0)[:-4]
    return head + struct.pack("<I", google_crc32c.value(head)) + payload[HEADER.size :]


def tombstone(queue: int, number: int, table: bytes = bytes(8)) -> bytes:
    """Return an empty batch that uses up a number whose content was lost before it was sent."""
    empty = np.empty(0)
    columns = (empty.astype(np.uint16), empty.astype(np.uint32), empty.astype(np.int32), empty)
    return encode(Batch(table, queue, number, 0, *columns))


def _header(provenance: int, flags: int, batch: Batch, crc: int) -> bytes:
    fields = (batch.table, batch.queue, batch.number, batch.base_us, len(batch.signals), len(batch.values), crc)
    head = HEADER.pack(MAGIC, CODEC_COLUMNS, provenance, flags, *fields, 0)[:-4]
    return head + struct.pack("<I", google_crc32c.value(head))


def _encode_texts(texts: dict[int, str]) -> bytes:
    rows = sorted(texts)
    data = [texts[row].encode() for row in rows]
    if max(map(len, data)) > LIMIT_TEXT_BYTES:
        raise BatchError("too_large", f"a text has at most {LIMIT_TEXT_BYTES} bytes")
    numbers = np.array([len(rows), *rows, *map(len, data)], "<u4")
    return numbers.tobytes() + b"".join(data)


def decode(payload: bytes) -> Batch:
    """Read a columns payload. Raise BatchError with the wire's cause, and the number where the header was readable."""
    if len(payload) > LIMIT_PAYLOAD_BYTES:
        raise BatchError("too_large", f"{len(payload)} bytes; a batch has at most {LIMIT_PAYLOAD_BYTES}")
    if len(payload) < HEADER.size or payload[:4] != MAGIC:
        raise BatchError("unreadable", "no batch header (magic CCB1) and no JSON object")
    head = HEADER.unpack_from(payload)
    _, codec, provenance, flags, table, queue, number, base_us, runs, samples, body_crc, head_crc = head
    if google_crc32c.value(payload[: HEADER.size - 4]) != head_crc:
        raise BatchError("unreadable", "the header's CRC32C does not match")
    if codec != CODEC_COLUMNS or provenance > Provenance.SIMULATED or flags & ~FLAG_TEXTS:
        raise BatchError(
            "bad_header", f"codec {codec}, provenance {provenance} or flags {flags} unknown", queue, number
        )
    if not queue or not 0 < number <= I64_MAX:
        raise BatchError("bad_header", "queue and number start at 1")
    body = payload[HEADER.size :]
    if google_crc32c.value(body) != body_crc:
        raise BatchError("bad_body", "the body's CRC32C does not match", queue, number)
    try:
        signals, counts, times, values, texts = _columns(_unpack(body), runs, samples, flags)
    except BatchError as error:
        raise BatchError(error.cause, error.detail, queue, number) from None
    return Batch(table, queue, number, base_us, signals, counts, times, values, Provenance(provenance), texts)


def weight(payload: bytes) -> int:
    """Return what reading a payload would cost, in bytes of columns; asked before anything is unpacked."""
    if payload[:1] == b"{":
        return len(payload) * JSON_WEIGHT
    try:
        unpacked = zstandard.frame_content_size(payload[HEADER.size : HEADER.size + 18])
    except zstandard.ZstdError:
        unpacked = 0
    return max(len(payload), min(unpacked, LIMIT_BODY_BYTES))


def _unpack(body: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(body)
        if size < 0:
            raise BatchError("bad_body", "the zstd frame does not declare its unpacked size")
        if size > LIMIT_BODY_BYTES:
            raise BatchError("too_large", f"{size} bytes unpacked; at most {LIMIT_BODY_BYTES}")
        return _zstd.decompressor.decompress(body, max_output_size=LIMIT_BODY_BYTES, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BatchError("bad_body", f"not one zstd frame: {error}") from None


def _columns(raw: bytes, runs: int, samples: int, flags: int) -> tuple[Any, Any, Any, Any, dict[int, str]]:
    fixed = runs * 6 + samples * 12
    if len(raw) < fixed or (len(raw) != fixed and not flags & FLAG_TEXTS):
        raise BatchError("bad_body", f"{len(raw)} bytes for {runs} runs and {samples} samples: need {fixed}")
    signals = np.frombuffer(raw, "<u2", runs)
    counts = np.frombuffer(raw, "<u4", runs, runs * 2)
    times = np.frombuffer(raw, "<i4", samples, runs * 6)
    values = np.frombuffer(raw, "<f8", samples, runs * 6 + samples * 4)
    ends = counts.cumsum(dtype=np.int64)
    if (int(ends[-1]) if runs else 0) != samples or not counts.all():
        raise BatchError("bad_body", "run counts must be positive and add up to the number of samples")
    if not (signals[1:] > signals[:-1]).all():
        raise BatchError("bad_body", "signals must rise, one run each")
    if samples > runs:  # else each signal has one time
        falls = times[1:] < times[:-1]
        falls[ends[:-1] - 1] = False  # the next signal's run may start earlier
        if falls.any():
            raise BatchError("bad_body", "times must not fall within a signal")
    return signals, counts, times, values, _decode_texts(raw[fixed:], values) if flags & FLAG_TEXTS else {}


def _decode_texts(raw: bytes, values: NDArray[np.float64]) -> dict[int, str]:
    n = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 + 8 * n:
        raise BatchError("bad_body", "the texts section is cut short")
    rows = np.frombuffer(raw, "<u4", n, 4)
    lengths = np.frombuffer(raw, "<u4", n, 4 + 4 * n)
    if (lengths > LIMIT_TEXT_BYTES).any():
        raise BatchError("too_large", f"a text has at most {LIMIT_TEXT_BYTES} bytes")
    ends = lengths.cumsum(dtype=np.int64)
    data = raw[4 + 8 * n :]
    if (int(ends[-1]) if n else 0) != len(data) or not (rows[1:] > rows[:-1]).all() or (n and rows[-1] >= len(values)):
        raise BatchError("bad_body", "the texts section must name rising rows and hold their texts, no more")
    if not np.isnan(values[rows]).all():
        raise BatchError("bad_body", "a row with a text has NaN as its value")
    try:
        texts = [data[start:end].decode() for start, end in pairwise([0, *ends.tolist()])]
    except UnicodeDecodeError:
        raise BatchError("bad_body", "a text is not UTF-8") from None
    return dict(zip(rows.tolist(), texts, strict=True))


def decode_json(payload: bytes) -> JsonBatch:
    """Read a JSON payload. Raise BatchError("bad_json" | "too_large"), with the number where it could be read."""
    if len(payload) > LIMIT_PAYLOAD_BYTES:
        raise BatchError("too_large", f"{len(payload)} bytes; a batch has at most {LIMIT_PAYLOAD_BYTES}")
    try:
        body = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise BatchError("bad_json", f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BatchError("bad_json", "a JSON batch is an object with 'samples'")
    queue, number = _json_number(body)
    try:
        name = body.get("provenance", "measured")
        provenance = Provenance[name.upper()] if isinstance(name, str) else None
        rows = body["samples"]
        if provenance is None or not isinstance(rows, list):
            raise KeyError
        return JsonBatch([_json_sample(row) for row in rows], queue, number, provenance)
    except KeyError:
        hint = "'samples' must be a list and 'provenance' measured, replay or simulated"
        raise BatchError("bad_json", hint, queue, number) from None
    except BatchError as error:
        raise BatchError(error.cause, error.detail, queue, number) from None


def parse_queue(value: object) -> int:
    """Read a queue id, 16 hexadecimal digits; raise BatchError("bad_json")."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16}", value) and int(value, 16):
        return int(value, 16)
    raise BatchError("bad_json", "'queue' is 16 lower-case hexadecimal digits, not all zero")


def _json_number(body: dict[str, Any]) -> tuple[int, int]:
    if "queue" not in body and "number" not in body:
        return 0, 0
    number = body.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= I64_MAX:
        raise BatchError("bad_json", "'queue' and 'number' go together; 'number' is 1, 2, 3 …")
    return parse_queue(body.get("queue")), number


def _json_sample(row: object) -> JsonSample:
    if not isinstance(row, dict) or not _is_name(row.get("signal")) or "value" not in row:
        raise BatchError("bad_json", "each sample is {'signal': path, 'value': …} and may have 'time' and 'unit'")
    unit = row.get("unit")
    if not (unit is None or _is_name(unit)):
        raise BatchError("bad_json", f"'unit' is a text of {_NAME_RULE}")
    return JsonSample(row["signal"], _json_time(row.get("time")), _json_value(row["value"]), unit)


def _json_value(value: object) -> float | str:
    if isinstance(value, bool | float):
        return float(value)
    if isinstance(value, int):
        return float(value) if abs(value) <= 2**53 else math.inf
    if not isinstance(value, str | list):
        raise BatchError("bad_json", "'value' is a number, true, false, a text or a list")
    try:
        text = value if isinstance(value, str) else _list_text(value)
        size = len(text.encode())
    except (ValueError, RecursionError):
        raise BatchError("bad_json", "a text is not valid Unicode, or a list holds NaN or lists too deep") from None
    if size > LIMIT_TEXT_BYTES:
        raise BatchError("too_large", f"a text has at most {LIMIT_TEXT_BYTES} bytes")
    return text


def _list_text(value: list[Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _json_time(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and I64_MIN <= value <= I64_MAX:
        return value
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BatchError("bad_json", "'time' is RFC 3339 with an offset, or integer microseconds since 1970")
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    delta = at - epoch
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
