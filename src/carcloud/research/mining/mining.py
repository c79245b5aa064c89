"""Mining: where a query holds, of whom, and in which scenario.

Rules:
* A hit is a stretch of time in which the condition is true, from when it fires on; it lies between the first and the
  last step at which the road user is there.
* Hits come by scenario, track and time; the same store and text give the same hits.
* A preview looks at so many rows and takes so long, and says whether that was all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import duckdb
import pyarrow as pa

from carcloud.errors import InputError, TryLaterError
from carcloud.research.mining.catalogue import CATALOGUE, COLUMNS
from carcloud.research.mining.queries import Query, asked
from carcloud.research.store import Store
from carcloud.research.tables import EVENTS, FILED
from carcloud.vehicle.conditions import stretches
from carcloud.vehicle.conditions.aligned import Rows
from carcloud.vehicle.conditions.columnar_terms import quoted
from carcloud.vehicle.conditions.condition import Condition

LIMIT_HITS = 1_000_000
KEPT = pa.schema([field for field in EVENTS if field.name not in FILED])
LIMIT_PREVIEW_ROWS = 2_000_000
LIMIT_PREVIEW_S = 5.0


@dataclass(frozen=True)
class Hit:
    """Where a query holds. track: of whom; other: whom it is about besides; times in µs since the scenario began."""

    scenario: str
    recording: str
    track: int
    begin_us: int
    end_us: int
    other: int | None = None


@dataclass(frozen=True)
class Preview:
    """The first hits, how long it took (seconds), and in how many of how many scenarios they were looked for."""

    hits: tuple[Hit, ...]
    seconds: float
    scenarios: int
    of_scenarios: int


def mine(
    store: Store,
    query: Query | str,
    limit: int = LIMIT_HITS,
    recordings: Collection[str] | None = None,
    scenarios: Collection[str] | None = None,
) -> list[Hit]:
    """Return where a query holds: one as it is, one that is shipped by its name, or a condition's text.

    Raises:
        ConditionError: the text is no condition.
        InputError: the limit is none.
    """
    if not 1 <= limit <= LIMIT_HITS:
        raise InputError(f"{limit} is no number of hits.", f"Ask for 1 to {LIMIT_HITS}.")
    query = asked(query) if isinstance(query, str) else query
    with store.session() as session:
        return hits_in(session, query, limit, recordings, scenarios)


def preview(
    store: Store, query: Query | str, limit: int = 50, rows: int = LIMIT_PREVIEW_ROWS, seconds: float = LIMIT_PREVIEW_S
) -> Preview:
    """Return the first hits of a query, from as many whole scenarios as have so many rows.

    Raises:
        ConditionError: the text is no condition.
        TryLaterError: it took too long.
    """
    query = asked(query) if isinstance(query, str) else query
    began = time.monotonic()
    known = store.scenarios()
    sums = list(accumulate(row.tracks * row.steps for row in known))
    some = [row.id for row, until in zip(known, sums, strict=True) if until <= rows] or [row.id for row in known[:1]]
    with store.session() as session, _ended_after(session, seconds):
        hits = hits_in(session, query, limit, None, None if len(some) == len(known) else some)
    return Preview(tuple(hits), round(time.monotonic() - began, 3), len(some), len(known))


def hits_in(
    session: duckdb.DuckDBPyConnection,
    query: Query,
    limit: int,
    recordings: Collection[str] | None = None,
    scenarios: Collection[str] | None = None,
) -> list[Hit]:
    """Return where a query holds, over a store's session."""
    statement = hits_sql(query.condition, recordings, scenarios)
    found = session.sql(f"{statement} LIMIT {int(limit)}").to_arrow_table()
    session.register("found", found)
    try:
        rows = session.execute(_with_others(query)).fetchall()
    finally:
        session.unregister("found")
    return [Hit(*row) for row in rows]


def hits_sql(
    condition: Condition, recordings: Collection[str] | None = None, scenarios: Collection[str] | None = None
) -> str:
    """Return the statement: rows (scenario, track, begin_us, end_us) by scenario, track and time.

    Args:
        recordings, scenarios: only in these; None for all.
    """
    wanted = {"recording": recordings, "scenario": scenarios}
    of = [f"{name} IN ({_listed(some)})" for name, some in wanted.items() if some is not None]
    source = f"(SELECT * FROM features WHERE {' AND '.join(of)})" if of else "features"  # noqa: S608 quoted below
    columns = {path: _value(path) for path in condition.paths}
    texts = frozenset(path for path in columns if CATALOGUE[path].is_text)
    rows = Rows(source, "scenario || '/' || track", "time_us", columns, texts, "next_us")
    return (
        "SELECT split_part(vehicle, '/', 1) AS scenario, CAST(split_part(vehicle, '/', 2) AS INT) AS track, "  # noqa: S608
        f"b // 2 AS begin_us, e // 2 AS end_us FROM ({stretches.sql(condition, rows)}) ORDER BY ALL"
    )


def _value(path: str) -> str:
    """Return a feature as conditions have it: a number, or a text."""
    return f"CAST({COLUMNS[path]} AS {'VARCHAR' if CATALOGUE[path].is_text else 'DOUBLE'})"


def _listed(names: Collection[str]) -> str:
    return ", ".join(quoted(name) for name in sorted(names)) or "NULL"


def _with_others(query: Query) -> str:
    """Return the statement that tells of each hit the recording, and whom it is about besides.

    That is who it is at the hit's beginning, else who it is first within it.
    """
    known = "SELECT f.*, s.recording FROM found f JOIN scenarios s USING (scenario)"
    if not query.other:
        return f"SELECT scenario, recording, track, begin_us, end_us, NULL FROM ({known}) ORDER BY ALL"  # noqa: S608
    other = COLUMNS[query.other]
    return (
        f"SELECT k.scenario, k.recording, k.track, k.begin_us, k.end_us, arg_min(w.{other}, w.time_us) "  # noqa: S608
        f"FROM ({known}) k LEFT JOIN (SELECT scenario, track, time_us, next_us, {other} FROM features "
        f"WHERE {other} IS NOT NULL AND scenario IN (SELECT scenario FROM found)) w "
        "ON w.scenario = k.scenario AND w.track = k.track AND w.time_us <= k.end_us "
        "AND coalesce(w.next_us, w.time_us + 1) > k.begin_us "
        "GROUP BY ALL ORDER BY ALL"
    )


@contextmanager
def _ended_after(session: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """End what a session is asked within the block, once it took so long."""
    timer = threading.Timer(seconds, session.interrupt)
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        message = f"The preview took more than {seconds:g} s."
        raise TryLaterError(message, "Ask about fewer recordings, or mine it whole: carcloud research find.") from None
    finally:
        timer.cancel()


def keep(store: Store, query: Query, hits: Sequence[Hit]) -> None:
    """Keep hits in the table `events`, in the place of those that were kept under the query's name before."""
    of: dict[str, list[Hit]] = {row.recording: [] for row in store.scenarios()}
    for hit in hits:
        of[hit.recording].append(hit)
    for recording, some in of.items():
        rows = [
            {"scenario": hit.scenario, "track": hit.track, "begin_us": hit.begin_us, "end_us": hit.end_us}
            | {"query": query.name, "digest": query.digest, "other": hit.other}
            for hit in some
        ]
        store.note(recording, query.name, pa.Table.from_pylist(rows, KEPT))
