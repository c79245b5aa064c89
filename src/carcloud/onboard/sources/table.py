"""Tables: CSV and Parquet. One file may hold a fleet, and drives that lie one beside another.

Rules:
* The first pass reads only what decides about time and vehicle. A file that is in the order of time then streams;
  one that is not (a fleet written car by car) is read whole and put in order.
* A row without time or vehicle gives no sample, a broken CSV line neither: both are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from carcloud.errors import InputError, MissingError
from carcloud.onboard.mapping import TIME_UNITS_US, DriveMapping, Signal, Time
from carcloud.onboard.source import Block, Slice, mapped_column, number_column, recording_name
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column

ROWS = 65_536
NO_TIME = np.iinfo(np.int64).min
EMPTY = ["", "NaN", "nan", "NA", "N/A", "n/a", "null", "NULL", "-"]


class Table:
    """A CSV or Parquet file as a source."""

    live = False

    def __init__(self, file: Path, mapping: DriveMapping) -> None:
        if mapping.time is None:
            raise InputError(f"{mapping.file} says nothing about time.", "Add a `time` section.")
        self.file, self.mapping, self.time = file, mapping, mapping.time
        self.table: IdTable = mapping.table
        self.provenance = mapping.provenance if mapping.provenance is not None else Provenance.REPLAY
        self.skipped: Counter[str] = Counter()
        self._reader = _Reader(file, mapping, self.skipped)
        self.recording: str | None = recording_name(file, mapping.table)
        self._order: _Order | None = None

    def vehicles(self) -> list[str]:
        """Return the vehicles the file names, in the order they appear."""
        return self._first_pass().names

    def slices(self) -> Iterator[Slice]:
        """Yield the rows in the order of time."""
        order = self._first_pass()
        batches = self._reader.batches(self.mapping.columns)
        if not order.in_order:
            whole = pa.Table.from_batches(batches).take(pa.array(order.rows)).combine_chunks()
            batches = iter(whole.to_batches(max_chunksize=ROWS))
            times, codes = order.times_us[order.rows], order.codes[order.rows]
        else:
            times, codes = order.times_us, order.codes
        start = 0
        for batch in batches:
            end = start + batch.num_rows
            known = (times[start:end] != NO_TIME) & (codes[start:end] >= 0)
            if known.any():
                yield self._slice(batch, times[start:end], np.where(known, codes[start:end], -1), order.names)
            start = end

    def _first_pass(self) -> _Order:
        if self._order is None:
            self._order = _read_order(self._reader, self.mapping, self.time, self.skipped)
        return self._order

    def _slice(
        self, batch: pa.RecordBatch, times: NDArray[np.int64], codes: NDArray[np.int32], names: list[str]
    ) -> Slice:
        cells = {name: batch.column(name) for name in self.mapping.columns}
        raw = [_raw(signal, cells) for signal in self.mapping.signals]
        blocks = []
        for code in np.unique(codes[codes >= 0]):
            rows = np.flatnonzero(codes == code)
            columns = [self._column(index, raw[index], times[rows], rows) for index in range(len(raw))]
            blocks.append(Block(names[code], [column for column in columns if len(column)]))
        return Slice(blocks, int(times[codes >= 0].max()))

    def _column(self, index: int, raw: Any, times: NDArray[np.int64], rows: NDArray[np.int64]) -> Column:
        signal = self.mapping.signals[index]
        if isinstance(raw, list):
            return mapped_column(index, signal, times, [raw[row] for row in rows], self.skipped)
        return number_column(index, signal, times, raw[rows], self.skipped)


def _raw(signal: Signal, cells: dict[str, pa.Array]) -> Any:
    """Return a signal's cells: float64, or a list where they go through `values` or are texts."""
    if signal.values is not None or signal.text:
        return cells[signal.sources[0]].to_pylist()
    return sum(_numbers(cells[name], signal.path, name) for name in signal.sources)


def _numbers(column: pa.Array, path: str, name: str) -> NDArray[np.float64]:
    if not _is_number(column.type):
        raise InputError(f"{path}: column {name!r} has {column.type}.", "Map a column of numbers, or set `text: true`.")
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


class _Reader:
    """Reads columns of a file, batch by batch, always cut at the same rows."""

    def __init__(self, file: Path, mapping: DriveMapping, skipped: Counter[str]) -> None:
        if not file.is_file():
            raise MissingError(f"There is no file {file}.", "Give the path of a recording.")
        self.file, self.mapping, self.skipped = file, mapping, skipped
        self._broken_lines: set[tuple[int | None, str]] = set()
        self.is_csv = ".csv" in [suffix.lower() for suffix in file.suffixes]
        self._check()

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of every row."""
        try:
            if self.is_csv:
                yield from self._open_csv(columns)
            else:
                with pa.parquet.ParquetFile(self.file) as parquet:
                    yield from parquet.iter_batches(ROWS, columns=columns)
        except (pa.ArrowException, OSError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.file} cannot be read: {reason}.", "Mend or cut the file there.") from None

    def _check(self) -> None:
        needed = self.mapping.columns + _key_columns(self.mapping)
        there = self._names()
        for name in needed:
            if name not in there:
                do = f"It has {', '.join(sorted(there)[:40])}."
                raise InputError(f"{self.mapping.file} names the column {name!r}, which {self.file} has not.", do)

    def _names(self) -> list[str]:
        try:
            if self.is_csv:
                with self._open(None) as reader:
                    return list(reader.schema.names)
            return list(pa.parquet.read_schema(self.file).names)
        except (pa.ArrowException, OSError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.file} is no readable table: {reason}.", "Give a CSV or a Parquet file.") from None

    def _open_csv(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        types = {name: pa.float64() for name in columns}
        text = [signal.sources[0] for signal in self.mapping.signals if signal.text or signal.values is not None]
        types |= {name: pa.string() for name in [*text, *_key_columns(self.mapping)] if name in columns}
        time = self.mapping.time
        if time is not None and time.unit != "rfc3339" and time.column in columns:
            types[time.column] = pa.float64() if time.unit in ("s", "ms") else pa.int64()
        convert = pa.csv.ConvertOptions(
            column_types=types, include_columns=columns, null_values=EMPTY, strings_can_be_null=True
        )
        with self._open(convert) as reader:
            yield from reader

    def _open(self, convert: pa.csv.ConvertOptions | None) -> Any:
        parse = pa.csv.ParseOptions(invalid_row_handler=self._broken)
        stream = pa.input_stream(self.file, compression="detect")
        return pa.csv.open_csv(stream, parse_options=parse, convert_options=convert)

    def _broken(self, row: Any) -> str:
        # Both passes meet the same lines, and the threads of a pass in any order: a line is counted once.
        self._broken_lines.add((row.number, row.text))
        self.skipped["broken lines"] = len(self._broken_lines)
        return "skip"


def _key_columns(mapping: DriveMapping) -> list[str]:
    time = mapping.time
    names = [
        *((mapping.vehicle_column,) if mapping.vehicle_column else ()),
        *((time.column, *time.keys) if time else ()),
    ]
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class _Order:
    """When and whose every row is; `rows` puts them in the order of time."""

    names: list[str]
    times_us: NDArray[np.int64]
    codes: NDArray[np.int32]
    rows: NDArray[np.int64]
    in_order: bool


def _read_order(reader: _Reader, mapping: DriveMapping, time: Time, skipped: Counter[str]) -> _Order:
    names, drives = _Codes(), _Codes()
    times_parts, code_parts, drive_parts = [], [], []
    for batch in reader.batches(_key_columns(mapping)):
        times_parts.append(_times(batch.column(time.column), time))
        code_parts.append(_vehicle_codes(batch, mapping, names))
        drive_parts.append(drives.of([batch.column(name) for name in time.keys], batch.num_rows))
    if not times_parts:
        raise InputError(f"{reader.file} has no rows.", "Give a recording with data.")
    times, codes = np.concatenate(times_parts), np.concatenate(code_parts)
    times = _lay(times, np.concatenate(drive_parts), drives.tuples, time, mapping)
    lost = int((times == NO_TIME).sum())
    if lost:
        skipped["rows without time"] += lost
    nobody = int(((codes < 0) & (times != NO_TIME)).sum())
    if nobody:
        skipped["rows without vehicle"] += nobody
    rows = np.argsort(times, kind="stable")
    return _Order([str(name) for (name,) in names.tuples], times, codes, rows, bool((np.diff(rows) == 1).all()))


class _Codes:
    """Numbers the combinations of some columns' values in the order they appear."""

    def __init__(self) -> None:
        self.tuples: list[tuple[Any, ...]] = []
        self._known: dict[tuple[Any, ...], int] = {}

    def of(self, columns: list[pa.Array], rows: int) -> NDArray[np.int32]:
        """Return each row's number."""
        joint = np.zeros(rows, np.int64)
        dictionaries = []
        for column in columns:
            encoded = column.dictionary_encode(null_encoding="encode")
            joint = joint * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy(zero_copy_only=False)
            dictionaries.append(encoded.dictionary.to_pylist())
        unique, first, inverse = np.unique(joint, return_index=True, return_inverse=True)
        numbers = np.empty(len(unique), np.int32)
        for place in np.argsort(first):
            numbers[place] = self._number(_split(int(unique[place]), dictionaries))
        return numbers[inverse]

    def _number(self, values: tuple[Any, ...]) -> int:
        if values not in self._known:
            self._known[values] = len(self.tuples)
            self.tuples.append(values)
        return self._known[values]


def _split(joint: int, dictionaries: list[list[Any]]) -> tuple[Any, ...]:
    values = []
    for dictionary in reversed(dictionaries):
        joint, place = divmod(joint, max(1, len(dictionary)))
        values.append(dictionary[place])
    return tuple(reversed(values))


def _vehicle_codes(batch: pa.RecordBatch, mapping: DriveMapping, names: _Codes) -> NDArray[np.int32]:
    if mapping.vehicle_column is None:
        return names.of([pa.repeat(mapping.vehicle, batch.num_rows)], batch.num_rows)
    column = batch.column(mapping.vehicle_column)
    codes = np.full(batch.num_rows, -1, np.int32)
    known = np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False))
    codes[known] = names.of([column.take(pa.array(known)).cast(pa.string())], len(known))
    return codes


def _times(column: pa.Array, time: Time) -> NDArray[np.int64]:
    if time.unit == "rfc3339" or pa.types.is_timestamp(column.type):
        return (
            _round(_timestamps(column, time).astype(np.float64), time)
            if time.resolution_us > 1
            else _timestamps(column, time)
        )
    if not _is_number(column.type):
        raise InputError(f"The time column {time.column!r} has {column.type}.", "Set `time.unit: rfc3339` for texts.")
    if pa.types.is_integer(column.type) and time.unit in ("us", "ns"):
        exact = column.fill_null(NO_TIME).cast(pa.int64()).to_numpy(zero_copy_only=False)
        micros = np.where(exact == NO_TIME, NO_TIME, exact // 1000 if time.unit == "ns" else exact)
        return _round(micros.astype(np.float64), time) if time.resolution_us > 1 else micros
    seconds = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return _round(seconds * TIME_UNITS_US[time.unit], time)


def _round(micros: NDArray[np.float64], time: Time) -> NDArray[np.int64]:
    good = np.isfinite(micros) & (np.abs(micros) < 2.0**62)
    whole = np.rint(np.where(good, micros, 0) / time.resolution_us).astype(np.int64) * time.resolution_us
    return np.where(good, whole, NO_TIME)


def _timestamps(column: pa.Array, time: Time) -> NDArray[np.int64]:
    try:
        stamps = column if pa.types.is_timestamp(column.type) else column.cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        do = "Times are RFC 3339 with a zone, such as 2019-10-08T07:00:00Z."
        raise InputError(f"The time column {time.column!r} is not RFC 3339: {reason}.", do) from None
    micros = stamps.cast(pa.timestamp("us", tz=stamps.type.tz), safe=False).cast(pa.int64()).fill_null(NO_TIME)
    return np.asarray(micros.to_numpy(zero_copy_only=False), np.int64)


def _lay(
    times: NDArray[np.int64], drives: NDArray[np.int32], keys: list[tuple[Any, ...]], time: Time, mapping: DriveMapping
) -> NDArray[np.int64]:
    """Return the times with each drive's start added, the drives of one start laid one after another."""
    shifts = np.zeros(len(keys), np.int64)
    ends: dict[int, int] = {}
    low, high = np.full(len(keys), np.iinfo(np.int64).max), np.full(len(keys), NO_TIME)
    known = times != NO_TIME
    np.minimum.at(low, drives[known], times[known])
    np.maximum.at(high, drives[known], times[known])
    for number, values in enumerate(keys):
        start = _start(values, time, mapping)
        if time.lay_by and high[number] != NO_TIME:
            begin = ends.get(start, start)
            shifts[number] = begin - low[number]
            ends[start] = int(begin + high[number] - low[number] + time.gap_us)
        else:
            shifts[number] = start
    return np.where(known, times + shifts[drives], NO_TIME)


def _start(values: tuple[Any, ...], time: Time, mapping: DriveMapping) -> int:
    if time.start_column is None:
        return time.start_us
    if str(values[0]) not in time.starts_us:
        what = (
            f"{mapping.file}: time.start.values has nothing for {values[0]!r}, which column {time.start_column!r} has."
        )
        raise InputError(what, "Add a start for it.")
    return time.starts_us[str(values[0])]
