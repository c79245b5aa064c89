"""Coverage: how much of what may happen is there, by what happens, how fast, on which road and to whom.

Rules:
* With `event` among what is counted by, a cell counts hits, each where it begins; else it counts road users that were
  at least once in it.
* All bands and names of what is counted by are told, so that what is missing is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import duckdb
import pyarrow as pa

from carcloud.errors import InputError
from carcloud.research.mining.catalogue import ROADS
from carcloud.research.mining.mining import LIMIT_HITS, hits_in
from carcloud.research.mining.queries import Query, shipped
from carcloud.research.motion import KINDS
from carcloud.research.store import Store

SPEEDS = {"standing": 0.3, "up to 30 km/h": 30 / 3.6, "up to 60 km/h": 60 / 3.6, "up to 100 km/h": 100 / 3.6}
FASTER = "over 100 km/h"
GAPS = {"up to 10 m": 10.0, "up to 30 m": 30.0, "up to 100 m": 100.0}
FARTHEST = list(GAPS)[-1]
NO_LEAD = "no lead"
NO_ROAD = "no map"
BY = ("event", "speed", "road", "kind", "gap")


@dataclass(frozen=True)
class Coverage:
    """How often each cell is there. by: what is counted by; values: of each, all that there may be.

    cells: (a value of each) → how often, of those that are there; missing: those that are not, in order.
    """

    by: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    cells: Mapping[tuple[str, ...], int]
    missing: tuple[tuple[str, ...], ...]


def coverage(
    store: Store, rows: str, columns: str, pages: str | None = None, queries: Mapping[str, Query] | None = None
) -> Coverage:
    """Return how much is there.

    Args:
        rows, columns, pages: of BY.
        queries: the events; those that are shipped where None.

    Raises:
        InputError: there is no counting by that.
    """
    by = tuple(one for one in (rows, columns, pages) if one is not None)
    if len(set(by)) < len(by) or not set(by) <= set(BY):
        raise InputError(f"Nothing is counted by {' and '.join(by)[:99]}.", f"Use two or three of {', '.join(BY)}.")
    queries = shipped() if queries is None else queries
    values = tuple(_values(one, queries) for one in by)
    with store.session() as session:
        cells = _hits(session, by, queries) if "event" in by else _users(session, by)
    missing = tuple(cell for cell in product(*values) if cell not in cells)
    return Coverage(by, values, dict(sorted(cells.items())), missing)


def _values(by: str, queries: Mapping[str, Query]) -> tuple[str, ...]:
    return {
        "event": tuple(sorted(queries)),
        "speed": (*SPEEDS, FASTER),
        "road": (*ROADS, NO_ROAD),
        "kind": KINDS,
        "gap": (*GAPS, NO_LEAD),
    }[by]


def _expression(by: str) -> str:
    """Return which value a row of features has, as SQL."""
    if by == "speed":
        return f"CASE {_cases('abs(track_speed)', SPEEDS)} ELSE '{FASTER}' END"
    if by == "gap":
        return f"CASE WHEN lead_gap IS NULL THEN '{NO_LEAD}' {_cases('lead_gap', GAPS)} ELSE '{FARTHEST}' END"
    return f"coalesce(track_road, '{NO_ROAD}')" if by == "road" else f"track_{by}"


def _cases(value: str, bands: Mapping[str, float]) -> str:
    return " ".join(f"WHEN {value} <= {most!r} THEN '{name}'" for name, most in bands.items())


def _users(session: duckdb.DuckDBPyConnection, by: Sequence[str]) -> Counter[tuple[str, ...]]:
    named = ", ".join(f"{_expression(one)} AS {one}" for one in by)
    listed = ", ".join(by)
    told = f"SELECT {listed}, count(*) FROM (SELECT DISTINCT scenario, track, {named} FROM features) GROUP BY {listed}"  # noqa: S608
    return Counter({tuple(row[:-1]): row[-1] for row in session.execute(told).fetchall()})


def _hits(
    session: duckdb.DuckDBPyConnection, by: Sequence[str], queries: Mapping[str, Query]
) -> Counter[tuple[str, ...]]:
    found = [
        {"event": name, "scenario": hit.scenario, "track": hit.track, "begin_us": hit.begin_us}
        for name, query in sorted(queries.items())
        for hit in hits_in(session, query, LIMIT_HITS)
    ]
    schema = [("event", pa.string()), ("scenario", pa.string()), ("track", pa.int32()), ("begin_us", pa.int64())]
    session.register("found", pa.Table.from_pylist(found, pa.schema(schema)))
    named = ", ".join("event" if one == "event" else f"{_expression(one)} AS {one}" for one in by)
    told = (
        f"SELECT {', '.join(by)}, count(*) FROM (SELECT {named} FROM found h JOIN features f "  # noqa: S608
        "ON f.scenario = h.scenario AND f.track = h.track AND f.time_us <= h.begin_us "
        f"AND coalesce(f.next_us, f.time_us + 1) > h.begin_us) GROUP BY {', '.join(by)}"
    )
    return Counter({tuple(row[:-1]): row[-1] for row in session.execute(told).fetchall()})
