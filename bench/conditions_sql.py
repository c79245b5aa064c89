"""Conditions over the lake: their SQL beside the best that was written by hand for the same answer.

Run: python conditions_sql.py [--samples 100000000] [--repeats 3] [--memory-gib 8] [--folder DIR]. It prints a line of
JSON, and each part of it as it is known to stderr. The samples are of two signals, half of each, of cars that send ten
a second, with gaps, in Parquet as the lake sorts it; DuckDB has two threads. What is written by hand may know that no
two samples have the same time, which a condition's SQL cannot. Both are asked in turns; their answers have to be equal,
row by row. Seconds are of this process's own CPU time, so that other work on the machine does not enter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions.columnar import sql
from carcloud.vehicle.conditions.text import parse

SPEED, ANGLE = "Vehicle.Speed", "Vehicle.Chassis.SteeringWheel.Angle"
SIGNALS = {SPEED: Signal(SPEED, "float", "km/h"), ANGLE: Signal(ANGLE, "float", "degrees")}
SAMPLES_A_CAR = 100_000
LIMIT_RATIO = 3.0
STALE = 60_000_000

MADE = """COPY (
  SELECT printf('car%013d', i // {each}) AS vehicle,
    CASE WHEN i % {each} < {half} THEN '{angle}' ELSE '{speed}' END AS signal,
    make_timestamptz(1790000000000000 + tick * 100000 + (tick // 3000) * 120000000 + (hash(i) % 20000)::BIGINT) AS time,
    round(60 + 50 * sin(tick / 37.0) + 10 * sin(i / 5.0), 1)::DOUBLE AS value,
    NULL::VARCHAR AS text, 'simulated' AS provenance, tick // 24000 AS chunk
  FROM (SELECT i, i % {half} AS tick FROM range({samples}) t(i))
) TO '{file}' (FORMAT parquet, COMPRESSION zstd)"""

LEVEL = f"""WITH s AS (
  SELECT vehicle, t, a, lag(a) OVER w AS was, lag(t) OVER w AS pt, lead(t) OVER w AS nt
  FROM (SELECT vehicle, epoch_us(time) AS t, value > 100 AS a FROM samples WHERE signal = '{SPEED}')
  WINDOW w AS (PARTITION BY vehicle ORDER BY t)
  QUALIFY a IS DISTINCT FROM was OR t - pt > {STALE} OR nt IS NULL OR nt - t > {STALE})
SELECT vehicle, t AS time_us, a AS "now", a AS "after" FROM s WHERE a IS DISTINCT FROM was OR t - pt > {STALE}
UNION ALL SELECT vehicle, t + {STALE}, NULL, NULL FROM s WHERE nt IS NULL OR nt - t > {STALE} ORDER BY 1, 2"""

RATE = f"""WITH s AS (
  SELECT vehicle, t, v, lag(v) OVER w AS v1, lag(t) OVER w AS t1, lag(v, 2) OVER w AS v2, lag(t, 2) OVER w AS t2,
    lead(t) OVER w AS nt
  FROM (SELECT vehicle, epoch_us(time) AS t, value AS v FROM samples WHERE signal = '{ANGLE}')
  WINDOW w AS (PARTITION BY vehicle ORDER BY t)),
r AS (
  SELECT vehicle, t, t1, nt, CASE WHEN t - t1 <= {STALE} THEN (v - v1) / ((t - t1) / 1e6) > 90 END AS a,
    CASE WHEN t - t1 <= {STALE} AND t1 - t2 <= {STALE} THEN (v1 - v2) / ((t1 - t2) / 1e6) > 90 END AS was FROM s),
c AS (SELECT * FROM r WHERE a IS DISTINCT FROM was OR a IS NOT NULL AND (nt IS NULL OR nt - t > {STALE}))
SELECT vehicle, t AS time_us, a AS "now", a AS "after" FROM c WHERE a IS DISTINCT FROM was
UNION ALL SELECT vehicle, t + {STALE}, NULL, NULL FROM c WHERE a IS NOT NULL AND (nt IS NULL OR nt - t > {STALE})
ORDER BY 1, 2"""

BOTH = f"""WITH s AS (
  SELECT vehicle, signal, t, a, lag(a) OVER w AS was, lag(t) OVER w AS pt, lead(t) OVER w AS nt
  FROM (
    SELECT vehicle, signal, epoch_us(time) AS t, CASE WHEN signal = '{SPEED}' THEN value > 100 ELSE value > 90 END AS a
    FROM samples WHERE signal IN ('{SPEED}', '{ANGLE}'))
  WINDOW w AS (PARTITION BY vehicle, signal ORDER BY t)
  QUALIFY a IS DISTINCT FROM was OR t - pt > {STALE} OR nt IS NULL OR nt - t > {STALE}),
e AS (
  SELECT vehicle, signal, t, CASE WHEN a THEN 2 ELSE 0 END AS k FROM s
  UNION ALL SELECT vehicle, signal, t + {STALE}, 1 FROM s WHERE nt IS NULL OR nt - t > {STALE}),
f AS (
  SELECT vehicle, t, last_value(CASE WHEN signal = '{SPEED}' THEN k END IGNORE NULLS) OVER w AS x,
    last_value(CASE WHEN signal = '{ANGLE}' THEN k END IGNORE NULLS) OVER w AS y
  FROM e WINDOW w AS (PARTITION BY vehicle ORDER BY t) QUALIFY lead(t) OVER w IS DISTINCT FROM t),
g AS (SELECT vehicle, t, CASE least(coalesce(x, 1), coalesce(y, 1)) WHEN 2 THEN true WHEN 0 THEN false END AS a FROM f)
SELECT vehicle, t AS time_us, a AS "now", a AS "after" FROM g WINDOW w AS (PARTITION BY vehicle ORDER BY t)
QUALIFY a IS DISTINCT FROM lag(a) OVER w ORDER BY 1, 2"""

MEAN = f"""WITH s AS (
  SELECT vehicle, epoch_us(time) AS t, CAST(floor(value * 1e6 + 0.5) AS BIGINT) AS q
  FROM samples WHERE signal = '{SPEED}'),
e AS (SELECT vehicle, t, q, 1 AS k FROM s UNION ALL SELECT vehicle, t + 5000000, -q, -1 FROM s),
m AS (
  SELECT vehicle, t, sum(q) OVER w AS total, sum(k) OVER w AS n FROM e
  WINDOW w AS (PARTITION BY vehicle ORDER BY t) QUALIFY lead(t) OVER w IS DISTINCT FROM t),
a AS (SELECT vehicle, t, CASE WHEN n > 0 THEN CAST(total AS DOUBLE) / (n * 1e6) > 80 END AS a FROM m)
SELECT vehicle, t AS time_us, a AS "now", a AS "after" FROM a WINDOW w AS (PARTITION BY vehicle ORDER BY t)
QUALIFY a IS DISTINCT FROM lag(a) OVER w ORDER BY 1, 2"""

ASKED = {
    f"{SPEED} > 100 km/h": LEVEL,
    f"rate of {ANGLE} > 90 degrees/s": RATE,
    f"{SPEED} > 100 km/h and {ANGLE} > 90 degrees": BOTH,
    f"mean of {SPEED} over 5 s > 80 km/h": MEAN,
}


def measured(session: duckdb.DuckDBPyConnection, repeats: int) -> dict[str, object]:
    """Ask everything both ways, in turns; return seconds, ratios and the number of changes."""
    found: dict[str, object] = {}
    for text, by_hand in ASKED.items():
        statements = {"condition_s": sql(parse(text, SIGNALS)), "by_hand_s": by_hand}
        seconds: dict[str, list[float]] = {name: [] for name in statements}
        answers: dict[str, pa.Table] = {}
        for _ in range(repeats):
            for name, statement in statements.items():
                began = time.process_time()
                answers[name] = session.sql(statement).to_arrow_table()
                seconds[name].append(round(time.process_time() - began, 2))
        one, other = answers.values()
        if not one.equals(other):
            raise SystemExit(f"The answers to {text} differ: {one.num_rows} and {other.num_rows} rows.")
        ratio = statistics.median(seconds["condition_s"]) / statistics.median(seconds["by_hand_s"])
        found[text] = {"changes": one.num_rows, **seconds, "ratio": round(ratio, 2), "met": ratio <= LIMIT_RATIO}
        print(json.dumps({text: found[text]}), file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Make the samples, measure and print."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--samples", type=int, default=100_000_000)
    words.add_argument("--repeats", type=int, default=3)
    words.add_argument("--memory-gib", type=int, default=8, help="for DuckDB; beyond it lies on disk")
    words.add_argument("--folder", type=Path, help="where samples and what does not fit into memory lie meanwhile")
    options = words.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        limits = {"memory_limit": f"{options.memory_gib}GiB", "threads": "2", "temp_directory": f"{folder}/spilt"}
        with duckdb.connect(config=limits) as session:  # type: ignore[arg-type]
            session.execute("SET TimeZone = 'UTC'")
            file, each = f"{folder}/samples.parquet", min(2 * SAMPLES_A_CAR, options.samples)
            names = {"angle": ANGLE, "speed": SPEED, "file": file, "samples": options.samples}
            session.execute(MADE.format(each=each, half=each // 2, **names))
            session.execute(f"CREATE VIEW samples AS SELECT * FROM read_parquet('{file}')")
            result = {"samples": options.samples, "limit_ratio": LIMIT_RATIO, **measured(session, options.repeats)}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
