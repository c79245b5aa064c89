"""Peer (b): the best-tuned PostgreSQL sink we can write. Our batches from mosquitto, binary COPY of NumPy blocks.

Rows (vehicle int2, signal int2, time timestamptz, value float8): vectorised from decode to COPY, no index,
synchronous_commit off, wal_level minimal; measured with an ordinary and with an unlogged table. Nothing is checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg

from peers.columns import SIGNALS, Vehicles, columns
from peers.sink import Message, median_s, serve

TABLE = "TABLE samples (vehicle int2, signal int2, time timestamptz, value float8)"
COPY = "COPY samples (vehicle, signal, time, value) FROM STDIN (FORMAT binary)"
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
EPOCH_US = 946_684_800_000_000
ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("vehicle_bytes", ">i4"),
        ("vehicle", ">i2"),
        ("signal_bytes", ">i4"),
        ("signal", ">i2"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
    ]
)
AGGREGATE = "SELECT signal, count(*), avg(value), max(value) FROM samples GROUP BY signal"
POINT = "SELECT time, value FROM samples WHERE vehicle = %s AND signal = %s ORDER BY time"


class BinaryStore:
    """Blocks of rows by binary COPY, one transaction a group."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._db = psycopg.connect(config["uri"])
        self._vehicles = Vehicles()
        self._db.execute("DROP TABLE IF EXISTS samples")
        self._db.execute(f"CREATE {'UNLOGGED' if config['unlogged'] else ''} {TABLE}")
        self._db.commit()

    def write(self, messages: list[Message]) -> int:
        source, signals, times, values = columns([payload for _, payload in messages])
        rows = np.empty(len(values), ROW)
        rows["fields"], rows["vehicle_bytes"], rows["signal_bytes"] = 4, 2, 2
        rows["time_bytes"], rows["value_bytes"] = 8, 8
        rows["vehicle"] = self._vehicles.ids([vehicle for vehicle, _ in messages])[source]
        rows["signal"], rows["time"], rows["value"] = signals, times - EPOCH_US, values
        with self._db.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.write(HEADER + rows.tobytes() + END)
        self._db.commit()
        return len(rows)

    def finish(self) -> None:
        self._db.commit()

    def measures(self) -> dict[str, Any]:
        self._db.execute("ANALYZE samples")
        size = self._db.execute("SELECT pg_total_relation_size('samples')").fetchone()[0]  # type: ignore[index]
        key = (0, SIGNALS.index("Vehicle.Speed"))
        point = lambda: self._db.execute(POINT, key).fetchall()  # noqa: E731
        aggregate = lambda: self._db.execute(AGGREGATE).fetchall()  # noqa: E731
        return {"bytes": size, "aggregate_s": median_s(aggregate, 3), "point_s": median_s(point, 3)}


if __name__ == "__main__":
    serve(BinaryStore, 240_000)
