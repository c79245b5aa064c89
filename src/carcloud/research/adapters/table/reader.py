"""Reads tables of tracks, CSV, Parquet or Feather, one row a road user and time, by a mapping.

Rules:
* Rows may come in any order of road users; within one road user's the times may not go back.
* A cell that is empty or no finite number is not known. A row without a position is a gap.
* A position on the front or the rear is moved to the middle of the box, along the angle.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.adapter import LIMIT_SCENARIOS, Options, Progress, Refused
from carcloud.research.adapters.roadside import road_beside
from carcloud.research.adapters.table.mapping import TrackMapping, read_mapping
from carcloud.research.adapters.table.tracks import scenario_of
from carcloud.research.scenario import Scenario

FORMAT = "table"
ABOUT = "Tables of tracks (CSV, Parquet, Feather), one row a road user and time, by a mapping."

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".feather")
EMPTY = ["", "NaN", "nan", "NA", "N/A", "n/a", "null", "NULL", "-"]
LIMIT_ROWS = 50_000_000
LIMIT_BYTES = 8 << 30


def recognises(path: Path) -> bool:
    """Tell by the name."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the scenarios of a table, and each that was refused."""
    if options.mapping is None:
        raise InputError(f"{path.name} needs a mapping.", "Say --mapping; ready ones are in examples/mappings.")
    mapping = read_mapping(options.mapping)
    table = _table(path, mapping)
    progress(0.3)
    if mapping.only:
        table = table.filter(pc.equal(_words(table[mapping.only[0]]), mapping.only[1]))
    parts = _parts(table, mapping)
    if not parts:
        raise InputError(f"{path.name} has no rows that count.", "Check the mapping's `only`, or give one with data.")
    road = road_beside(path, options, needed=True)
    for number, (name, part) in enumerate(parts, 1):
        called = f"{path.name.partition('.')[0]}{':' if name else ''}{name}"
        try:
            scenario, left_out = scenario_of(called, part, mapping, road)
            yield scenario
            if left_out:
                yield Refused(f"{called}: a part", InputError(f"{'; '.join(left_out[:20])}.", "Check those rows."))
        except CarcloudError as error:
            yield Refused(called, error)
        progress(0.3 + 0.7 * number / len(parts))


def _table(path: Path, mapping: TrackMapping) -> pa.Table:
    """Return the columns that the mapping names: texts as texts, all others as numbers."""
    try:
        table = _open(path, mapping)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path.name} cannot be read: {reason}.", "Mend or cut the file there.") from None
    texts = set(mapping.texts)
    columns = [_words(table[name]) if name in texts else _numbers(table[name], name) for name in mapping.columns]
    return pa.table(columns, names=mapping.columns)


def _open(path: Path, mapping: TrackMapping) -> pa.Table:
    if ".csv" in path.name.lower():
        convert = pa.csv.ConvertOptions(null_values=EMPTY, strings_can_be_null=True)
        with pa.csv.open_csv(pa.input_stream(path, compression="detect"), convert_options=convert) as reader:
            _check(reader.schema.names, path, mapping)
            batches, rows, size = [], 0, 0
            for batch in reader:
                batches.append(batch.select(mapping.columns))
                rows, size = rows + batch.num_rows, size + batches[-1].nbytes
                _bound(rows, size, path)
            return pa.Table.from_batches(batches, pa.schema([reader.schema.field(name) for name in mapping.columns]))
    if path.suffix.lower() == ".feather":
        with pa.memory_map(str(path)) as source:
            file = pa.ipc.open_file(source)
            _check(file.schema.names, path, mapping)
            _bound(0, path.stat().st_size, path)
            return pa.feather.read_table(path, columns=mapping.columns, memory_map=True)
    with pa.parquet.ParquetFile(path) as parquet:
        _check(parquet.schema_arrow.names, path, mapping)
        size = sum(parquet.metadata.row_group(at).total_byte_size for at in range(parquet.num_row_groups))
        _bound(parquet.metadata.num_rows, size, path)
        return parquet.read(columns=mapping.columns)


def _check(there: list[str], path: Path, mapping: TrackMapping) -> None:
    for name in mapping.columns:
        if name not in there:
            do = f"It has {', '.join(sorted(there)[:40])}."
            raise InputError(f"{mapping.file.name} names the column {name!r}, which {path.name} has not.", do)


def _bound(rows: int, size: int, path: Path) -> None:
    if rows > LIMIT_ROWS or size > LIMIT_BYTES:
        most = f"{LIMIT_ROWS} rows and {LIMIT_BYTES >> 30} GiB"
        raise InputError(f"{path.name} has {rows} rows and {size >> 20} MiB.", f"At most {most} may be: cut it.")


def _words(column: Any) -> Any:
    """Return a column as texts, whole numbers without a point, so that 1, 1.0 and "1" are one."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_floating(column.type) and bool(pc.all(pc.equal(column, pc.floor(column))).as_py()):
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def _numbers(column: Any, name: str) -> Any:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.int64()).cast(pa.float64())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise InputError(f"The column {name!r} has {column.type}.", "Map a column of numbers.")
    return column.cast(pa.float64(), safe=False)


def _parts(table: pa.Table, mapping: TrackMapping) -> list[tuple[str, pa.Table]]:
    """Return each scenario's rows with its name, in the order in which they begin."""
    if not table.num_rows:
        return []
    if not mapping.scenario:
        return [("", table)]
    keys = pc.binary_join_element_wise(*[pc.fill_null(table[name], "") for name in mapping.scenario], "/")
    encoded = keys.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if len(names) > LIMIT_SCENARIOS:
        raise InputError(f"The table has {len(names)} scenarios.", f"At most {LIMIT_SCENARIOS} may be: cut it.")
    codes = encoded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    table = table.take(pa.array(order))
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return [(name, table.slice(edges[at], edges[at + 1] - edges[at])) for at, name in enumerate(names)]
