"""Peer (a): the chain most teams run. JSON rows from mosquitto, a Python subscriber, text COPY into PostgreSQL.

One table (vehicle text, signal text, time timestamptz, value double precision), no index, synchronous_commit off: kind
to it, since nearly every team would have at least one index. Nothing is checked, and a crash loses what is in flight.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg

from peers.sink import Message, median_s, serve

TABLE = "CREATE TABLE samples (vehicle text, signal text, time timestamptz, value double precision)"
COPY = "COPY samples (vehicle, signal, time, value) FROM STDIN"
AGGREGATE = "SELECT signal, count(*), avg(value), max(value) FROM samples GROUP BY signal"
POINT = "SELECT time, value FROM samples WHERE vehicle = %s AND signal = %s ORDER BY time"


class RowStore:
    """Rows by text COPY, one transaction a group."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._db = psycopg.connect(config["uri"])
        self._db.execute("DROP TABLE IF EXISTS samples")
        self._db.execute(TABLE)
        self._db.commit()
        self._vehicle = ""

    def write(self, messages: list[Message]) -> int:
        count = 0
        with self._db.cursor() as cursor, cursor.copy(COPY) as copy:
            for vehicle, payload in messages:
                lines = [
                    f"{vehicle}\t{row['signal']}\t{datetime.fromtimestamp(row['time'] / 1e6, UTC)}\t{row['value']!r}\n"
                    for row in orjson.loads(payload)["samples"]
                ]
                copy.write("".join(lines))
                count += len(lines)
                self._vehicle = vehicle
        self._db.commit()
        return count

    def finish(self) -> None:
        self._db.commit()

    def measures(self) -> dict[str, Any]:
        self._db.execute("ANALYZE samples")
        size = self._db.execute("SELECT pg_total_relation_size('samples')").fetchone()[0]  # type: ignore[index]
        point = lambda: self._db.execute(POINT, (self._vehicle, "Vehicle.Speed")).fetchall()  # noqa: E731
        aggregate = lambda: self._db.execute(AGGREGATE).fetchall()  # noqa: E731
        return {"bytes": size, "aggregate_s": median_s(aggregate, 3), "point_s": median_s(point, 3)}


if __name__ == "__main__":
    serve(RowStore, 24_000)
