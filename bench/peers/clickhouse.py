"""Peer (d): ClickHouse as the store (chdb, in process). Our batches from mosquitto, Arrow blocks into a MergeTree.

ORDER BY (vehicle, signal, time); codecs as its users would choose: LowCardinality names, DoubleDelta time, Gorilla or
plain zstd values, whichever is smaller on this data. It runs in its own environment, since its package brings a whole
server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chdb.session import Session

from peers.columns import Vehicles, table
from peers.sink import Message, median_s, serve

TABLE = """
CREATE TABLE samples (
  vehicle LowCardinality(String), signal LowCardinality(String),
  time DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(3)), value Float64 CODEC({codec})
) ENGINE = MergeTree ORDER BY (vehicle, signal, time)
"""
AGGREGATE = "SELECT signal, count(), avg(value), max(value) FROM samples GROUP BY signal"
POINT = "SELECT time, value FROM samples WHERE vehicle = '{vehicle}' AND signal = 'Vehicle.Speed' ORDER BY time"
SIZE = "SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'samples' AND active"


class MergeTreeStore:
    """Blocks of a million rows, sorted by us as the table is."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._session, self._vehicles = Session(str(Path(config["folder"]))), Vehicles()
        self._session.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self._session.query("USE bench")
        self._session.query(TABLE.format(codec=config["codec"]))

    def write(self, messages: list[Message]) -> int:
        block = table(messages, self._vehicles)
        self._session.query("INSERT INTO samples SELECT * FROM Python(block)")
        return int(block.num_rows)

    def finish(self) -> None:
        """Every insert is a part on disk already."""

    def measures(self) -> dict[str, Any]:
        before = int(str(self._session.query(SIZE)).strip())
        self._session.query("OPTIMIZE TABLE samples FINAL")
        after = int(str(self._session.query(SIZE)).strip())
        point = POINT.format(vehicle=self._vehicles.names[0])
        return {
            "bytes": after,
            "bytes_before_merge": before,
            "aggregate_s": median_s(lambda: self._session.query(AGGREGATE)),
            "point_s": median_s(lambda: self._session.query(point, "ArrowTable")),
        }


if __name__ == "__main__":
    serve(MergeTreeStore, 1_000_000, wait_s=1.5)
