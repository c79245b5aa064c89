"""Peer (c): our columns batches from mosquitto straight into sorted Parquet files, read by DuckDB.

No governance, no table format, no exactly-once: what is in memory when the sink dies is lost, what is sent again is
stored again. The files have our lake's own columns, order and encodings, so the difference is what our guarantees cost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from peers.columns import Vehicles, table
from peers.sink import Message, median_s, serve

ROWS = 1_000_000
GROUP = 256 * 1024
SETTINGS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "row_group_size": GROUP,
    "max_rows_per_page": GROUP,
    "data_page_size": 64 << 20,
    "use_dictionary": ["vehicle", "signal"],
    "column_encoding": {"time": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
    "write_statistics": ["vehicle", "signal", "time"],
}
AGGREGATE = "SELECT signal, count(*), avg(value), max(value) FROM read_parquet($files) GROUP BY signal"
POINT = """
SELECT time, value FROM read_parquet($files) WHERE vehicle = $vehicle AND signal = 'Vehicle.Speed' ORDER BY time
"""


class ParquetStore:
    """One file for each million rows."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._folder = Path(config["folder"])
        self._folder.mkdir(parents=True, exist_ok=True)
        self._vehicles = Vehicles()
        self._files: list[str] = []

    def write(self, messages: list[Message]) -> int:
        rows = table(messages, self._vehicles)
        file = self._folder / f"{len(self._files):06d}.parquet"
        pq.write_table(rows, file, **SETTINGS)
        self._files.append(str(file))
        return int(rows.num_rows)

    def finish(self) -> None:
        """Nothing is left open."""

    def measures(self) -> dict[str, Any]:
        size = sum(Path(file).stat().st_size for file in self._files)
        db = duckdb.connect()
        files = {"files": self._files}
        key = files | {"vehicle": self._vehicles.names[0]}
        point = lambda: db.sql(POINT, params=key).to_arrow_table()  # noqa: E731
        aggregate = lambda: db.execute(AGGREGATE, files).fetchall()  # noqa: E731
        return {"bytes": size, "aggregate_s": median_s(aggregate), "point_s": median_s(point)}


if __name__ == "__main__":
    serve(ParquetStore, ROWS, wait_s=1.5)
