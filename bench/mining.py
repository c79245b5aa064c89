"""Mining: a condition of two clauses over features, beside SQL that was written by hand for the same answer.

Run: python mining.py [--rows 5000000] [--repeats 5] [--folder DIR]. It prints a line of JSON. The rows are of road
users with a row each 0.1 s for 50 s, 20 in a scenario, in Parquet as the lake has them; DuckDB has two threads. What is
written by hand may know that no row is missing within a track, which a condition's SQL cannot. Both are asked in turns;
their answers have to be equal, row by row. `cpu_s` is of this process's own CPU time, `wall_s` by the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from carcloud.research.mining.mining import hits_sql
from carcloud.research.mining.queries import asked

TEXT = "Lead.TTC < 2 s for at least 0.5 s then Track.Acceleration < -3 m/s^2 within 3 s"
LIMIT_RATIO = 3.0
STEPS = 500
"""Rows of a road user."""

MADE = """COPY (
  SELECT substr(md5((i // {each} // 20)::VARCHAR), 1, 20) AS scenario, (i // {each} % 20)::INT AS track,
    (i % {each})::INT AS step, i % {each} * 100000 AS time_us,
    CASE WHEN i % {each} < {each} - 1 THEN (i % {each} + 1) * 100000 END AS next_us,
    8 + 8 * sin(i / 23.0) + 4 * sin(i / 5.0) AS track_speed,
    CASE WHEN hash(i // {each}) % 4 > 0 THEN 9 + 8 * sin(i / 61.0) + (hash(i) % 1000) / 1000.0 END AS lead_ttc,
    3.2 * sin(i / 37.0) + (hash(i + 1) % 1000) / 5000.0 - 0.2 AS track_acceleration,
    CASE WHEN hash(i // {each}) % 4 > 0 THEN (i // {each} + 1)::INT % 20 END AS lead_track
  FROM range({rows}) t(i)
) TO '{file}' (FORMAT parquet, COMPRESSION zstd)"""

BY_HAND = """WITH near AS (
  SELECT scenario, track, min(time_us) + 500000 AS b, least(max(time_us) + 100000, 49900000) AS e
  FROM (SELECT scenario, track, time_us,
      step - row_number() OVER (PARTITION BY scenario, track ORDER BY step) AS island
    FROM features WHERE lead_ttc < 2)
  GROUP BY scenario, track, island HAVING max(time_us) + 100000 > min(time_us) + 500000),
since AS (
  SELECT scenario, track, min(b) AS b, max(e) + 3000000 AS e
  FROM (SELECT *, sum(CASE WHEN b <= before + 3000000 THEN 0 ELSE 1 END) OVER w AS run
    FROM (SELECT *, lag(e) OVER v AS before FROM near WINDOW v AS (PARTITION BY scenario, track ORDER BY b))
    WINDOW w AS (PARTITION BY scenario, track ORDER BY b))
  GROUP BY scenario, track, run),
brakes AS (
  SELECT scenario, track, min(time_us) AS b, least(max(time_us) + 100000, 49900000) AS e
  FROM (SELECT scenario, track, time_us,
      step - row_number() OVER (PARTITION BY scenario, track ORDER BY step) AS island
    FROM features WHERE track_acceleration < -3)
  GROUP BY scenario, track, island)
SELECT brakes.scenario, brakes.track, greatest(brakes.b, since.b) AS begin_us, least(brakes.e, since.e) AS end_us
FROM brakes JOIN since ON brakes.scenario = since.scenario AND brakes.track = since.track
  AND brakes.b < since.e AND brakes.e > since.b
ORDER BY 1, 2, 3"""


def measured(session: duckdb.DuckDBPyConnection, repeats: int) -> dict[str, object]:
    """Ask both ways, in turns; return seconds, medians and their ratios."""
    statements = {"condition": hits_sql(asked(TEXT).condition), "by_hand": BY_HAND}
    wall: dict[str, list[float]] = {name: [] for name in statements}
    cpu: dict[str, list[float]] = {name: [] for name in statements}
    answers: dict[str, pa.Table] = {}
    for _ in range(repeats):
        for name, statement in statements.items():
            began, used = time.perf_counter(), time.process_time()
            answers[name] = session.sql(statement).to_arrow_table()
            wall[name].append(round(time.perf_counter() - began, 3))
            cpu[name].append(round(time.process_time() - used, 3))
    one, other = answers["condition"], answers["by_hand"]
    if not one.select(other.column_names).equals(other.cast(one.select(other.column_names).schema)):
        raise SystemExit(f"The answers differ: {one.num_rows} and {other.num_rows} rows.")
    ratios = {
        f"ratio_{kind}": round(statistics.median(times["condition"]) / statistics.median(times["by_hand"]), 2)
        for kind, times in (("wall", wall), ("cpu", cpu))
    }
    return {"hits": one.num_rows, "wall_s": wall, "cpu_s": cpu, **ratios, "met": ratios["ratio_cpu"] <= LIMIT_RATIO}


def main() -> None:
    """Make the rows, measure and print."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--rows", type=int, default=5_000_000)
    words.add_argument("--repeats", type=int, default=5)
    words.add_argument("--folder", type=Path, help="where the rows lie meanwhile")
    options = words.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, duckdb.connect(config={"threads": "2"}) as session:
        file = f"{folder}/features.parquet"
        session.execute(MADE.format(each=STEPS, rows=options.rows, file=file))
        session.execute(f"CREATE VIEW features AS SELECT * FROM read_parquet('{file}')")
        found = measured(session, options.repeats)
    result = {"condition": TEXT, "rows": options.rows, "limit_ratio": LIMIT_RATIO, **found}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
