"""The one question by which a flow reads the lake, and the place in it up to which it has read.

Rules:
* All that comes from outside is a parameter, never a part of the SQL.
* Rows come in the order of their chunks, so what the lake takes later stands behind every place given out before.
* A chunk waits whole while a row of it is held: the place says up to which chunk all was given.
* A page ends between two rows that differ in chunk, car, signal or time: whoever goes on from its place misses none
  and gets none twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import InputError

LIMIT_ROWS = 100_000
SQL = """
SELECT vehicle, signal, time, value, text, provenance, chunk
FROM samples
WHERE signal IN (SELECT unnest($signals::VARCHAR[]))
  AND vehicle IN (SELECT unnest($vehicles::VARCHAR[]))
  AND time >= make_timestamptz($since::BIGINT) AND time < make_timestamptz($until::BIGINT)
  AND day >= $first AND day <= $last
  AND chunk >= $chunk
  AND (chunk > $chunk OR (vehicle, signal, time) > ($vehicle, $signal, make_timestamptz($time::BIGINT)))
  AND chunk < coalesce((
    SELECT min(chunk) FROM samples
    WHERE signal IN (SELECT unnest($signals::VARCHAR[]))
      AND vehicle IN (SELECT unnest($vehicles::VARCHAR[]))
      AND time >= make_timestamptz($held_since::BIGINT) AND time < make_timestamptz($held_until::BIGINT)
      AND day >= $held_first AND day <= $held_last
      AND chunk >= $chunk), $never)
  AND chunk <= $to_chunk
  AND (chunk < $to_chunk OR (vehicle, signal, time) <= ($to_vehicle, $to_signal, make_timestamptz($to_time::BIGINT)))
ORDER BY chunk, vehicle, signal, time, value, text, provenance
"""


@dataclass(frozen=True)
class Place:
    """The last row that was read. `time`: microseconds since 1970 UTC."""

    chunk: int = -1
    vehicle: str = ""
    signal: str = ""
    time: int = 0

    def dump(self) -> bytes:
        """Return the place as bytes."""
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, content: bytes) -> Place:
        """Return the place that was dumped."""
        return cls(**orjson.loads(content))


BEGIN, END = Place(), Place(chunk=1 << 62)
"""The places before the first row, and behind every row."""


def parameters(
    signals: Collection[str],
    vehicles: Collection[str],
    since_us: int,
    until_us: int,
    after: Place,
    to: Place = END,
    held_us: tuple[int, int] = (0, 0),
) -> Mapping[str, Any]:
    """Return the parameters of `SQL`; `since_us` and the place `to` are in, `until_us` and `after` are not.

    held_us: rows from this time on, up to that, hold back the chunks from theirs on.
    """
    return {
        "signals": sorted(signals),
        "vehicles": sorted(vehicles),
        "since": since_us,
        "until": until_us,
        "first": _day(since_us),
        "last": _day(until_us),
        "held_since": held_us[0],
        "held_until": held_us[1],
        "held_first": _day(held_us[0]),
        "held_last": _day(held_us[1]),
        "never": END.chunk + 1,
        **asdict(after),
        **{f"to_{key}": value for key, value in asdict(to).items()},
    }


def page(rows: pa.Table, limit: int, after: Place) -> tuple[pa.Table, Place, bool]:
    """Return at most `limit` of the rows, the place of the last of them, and whether more follow.

    Args:
        rows: the answer to `SQL`, asked for one row more than the limit.

    Raises:
        InputError: more rows than the limit say the same of one car, signal and time.
    """
    more = rows.num_rows > limit
    if more:
        rows = rows.slice(0, _boundary(rows, limit))
        if rows.num_rows == 0:
            raise InputError(f"More than {limit} rows stand at one place.", "Ask for more rows at once.")
    if rows.num_rows:
        last = rows.num_rows - 1
        chunk, vehicle, signal = (rows[name][last].as_py() for name in ("chunk", "vehicle", "signal"))
        after = Place(chunk, vehicle, signal, rows["time"][last].value)
    return rows, after, more


def _boundary(rows: pa.Table, limit: int) -> int:
    """Return the last row at or before the limit that differs from the one before it."""
    differ: NDArray[np.bool_] = np.zeros(limit, np.bool_)
    for name in ("chunk", "vehicle", "signal", "time"):
        column = rows[name].combine_chunks()
        if name != "chunk":
            column = column.dictionary_encode().indices
        values = np.asarray(column)[: limit + 1]
        differ |= values[1:] != values[:-1]
    places = np.flatnonzero(differ)
    return int(places[-1]) + 1 if len(places) else 0


def _day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%d")
