"""Scenarios read back from their files: the tables as views of a DuckDB connection of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from carcloud.lake.recorded import view
from carcloud.research.rows import scenario_of
from carcloud.research.scenario import Scenario
from carcloud.research.schemas import SCHEMAS
from carcloud.research.tables import FILED

PLACES_AT_ONCE = 1 << 20
"""Road users times steps that are read in one go."""
SCENARIOS_AT_ONCE = 512
WHOLE = ("scenarios", "tracks", "lanes", "series")
"""The tables of which a scenario is made."""


@dataclass(frozen=True)
class ScenarioRow:
    """What the table `scenarios` says of one.

    Args:
        id: of the scenario. recording: that it came in.
        step_s, duration_s: seconds.
        tracks: how many road users.
        ego: its track number; None where nobody stands out.
        latitude, longitude: of the frame's origin, degrees.
        map: the format of its roads; None where it has none.
    """

    id: str
    recording: str
    name: str
    step_s: float
    steps: int
    duration_s: float
    tracks: int
    ego: int | None
    begin: datetime | None
    latitude: float | None
    longitude: float | None
    map: str | None
    simulated: bool
    tags: tuple[str, ...]
    parameters: Mapping[str, float]


def opened(files: Mapping[str, Sequence[str]]) -> duckdb.DuckDBPyConnection:
    """Return a connection with each table as a view of its files; empty where it has none."""
    session = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    session.execute("SET TimeZone = 'UTC'")
    for name, paths in files.items():
        if paths:
            session.execute(f"CREATE VIEW {name} AS {view(SCHEMAS[name].names, paths)}")
        else:
            session.register(name, SCHEMAS[name].empty_table())
    return session


def summaries(session: duckdb.DuckDBPyConnection, ids: Sequence[str] | None = None) -> list[ScenarioRow]:
    """Return all scenarios by recording and id, or those of some ids."""
    names = [field.name for field in SCHEMAS["scenarios"] if field.name not in ("tenant", "users", "times", "goal")]
    some = "true" if ids is None else f"scenario IN {_quoted(set(ids))}" if ids else "false"
    sql = f"SELECT {_listed(names)} FROM scenarios WHERE {some} ORDER BY recording, scenario"  # noqa: S608 quoted
    rows = session.sql(sql)
    return [_summary(row) for row in rows.to_arrow_table().to_pylist()]


def scenarios_of(session: duckdb.DuckDBPyConnection, rows: Sequence[ScenarioRow]) -> Iterator[Scenario]:
    """Yield the scenarios of these rows, in their order."""
    for some in _groups(rows):
        tables = {name: _by_scenario(_read(session, name, some)) for name in WHOLE}
        for row in some:
            about, *others = (tables[name].get(row.id, tables[name][""]) for name in WHOLE)
            yield scenario_of(about.to_pylist()[0], *others)


def _summary(row: dict[str, Any]) -> ScenarioRow:
    known = {"tags": tuple(row.pop("tags")), "parameters": json.loads(row.pop("parameters"))}
    return ScenarioRow(id=row.pop("scenario"), **row, **known)


def _groups(rows: Iterable[ScenarioRow]) -> Iterator[list[ScenarioRow]]:
    """Yield as many rows as are read in one go."""
    some: list[ScenarioRow] = []
    places = 0
    for row in rows:
        if some and (places + row.tracks * row.steps > PLACES_AT_ONCE or len(some) == SCENARIOS_AT_ONCE):
            yield some
            some, places = [], 0
        some.append(row)
        places += row.tracks * row.steps
    if some:
        yield some


def _read(session: duckdb.DuckDBPyConnection, name: str, rows: Iterable[ScenarioRow]) -> pa.Table:
    """Return a table's rows of some scenarios, each one's together and in the order in which they were written."""
    columns = _listed([column for column in SCHEMAS[name].names if column not in FILED])
    wanted = [_quoted({row.recording for row in rows}), _quoted({row.id for row in rows})]
    sql = f"SELECT {columns} FROM {name} WHERE recording IN {wanted[0]} AND scenario IN {wanted[1]}"  # noqa: S608 quoted
    return session.sql(sql).to_arrow_table()


def _by_scenario(rows: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each scenario, and under no name none."""
    rows = rows.combine_chunks()
    ids = rows["scenario"].combine_chunks().dictionary_encode()
    begins = [0, *(np.flatnonzero(np.diff(ids.indices.to_numpy())) + 1).tolist(), rows.num_rows]
    names = ids.take(pa.array(begins[:-1], pa.int64())).to_pylist() if rows.num_rows else []
    spans = pairwise(begins)
    return {"": rows.slice(0, 0)} | {name: rows.slice(a, b - a) for name, (a, b) in zip(names, spans, strict=False)}


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _quoted(texts: Iterable[str]) -> str:
    return "(" + ", ".join("'" + text.replace("'", "''") + "'" for text in sorted(texts)) + ")"
