"""The results of a run: one row a scenario, in Parquet files of one shard each.

Rules:
* A row says what the planner did, by the simulation and the metrics; `fault` says what it did wrong, and then all that
  could not be told is null.
* A file has its place by the shard's number and scenarios, and is there whole or not at all: whoever comes again finds
  what is done.
* The digest is over all rows by scenario, so it is the same however the work was shared.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from carcloud.backends.files import flush

FOLDER = "runs"

_NUMBERS = (
    "collided_s",
    "collided_with",
    "impact_mps",
    "least_ttc_s",
    "least_ttc_accelerated_s",
    "least_thw_s",
    "least_thw_driven_s",
    "least_wttc_s",
    "least_pet_s",
    "least_gap_m",
    "least_distance_m",
    "most_drac_mps2",
    "least_required_acceleration_mps2",
    "tet_s",
    "tit_s2",
    "most_speed_mps",
    "mean_speed_mps",
    "most_acceleration_mps2",
    "most_deceleration_mps2",
    "most_lateral_acceleration_mps2",
    "most_jerk_mps3",
    "most_yaw_rate_radps",
    "comfortable_share",
    "standing_s",
    "progress_m",
    "recorded_progress_m",
    "duration_s",
    "off_road_s",
)

RESULTS = pa.schema(
    [
        ("scenario", pa.string()),
        ("ego", pa.int32()),
        ("steps", pa.int32()),
        ("fault", pa.string()),
        ("collided", pa.bool_()),
        ("at_fault", pa.bool_()),
        ("collided_how", pa.string()),
        ("off_road", pa.bool_()),
        ("reached_goal", pa.bool_()),
        *((name, pa.float64()) for name in _NUMBERS),
        ("crashes", pa.int32()),
        ("digest", pa.string()),
    ]
)
"""digest: of the simulated motion, bit by bit. crashes: of simulated others among themselves. Times and distances that
nothing came near are infinite; null is what could not be told."""


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table, sorted by scenario."""
    found = [{name: _told(row.get(name)) for name in RESULTS.names} for row in rows]
    return pa.Table.from_pylist(sorted(found, key=lambda row: row["scenario"]), schema=RESULTS)


def results_of(folder: Path) -> pa.Table:
    """Return all results that lie in a run's folder, sorted by scenario, in one piece."""
    parts = [pq.read_table(path, schema=RESULTS, partitioning=None) for path in sorted(folder.glob("shard-*.parquet"))]
    whole = pa.concat_tables(parts) if parts else RESULTS.empty_table()
    return whole.sort_by("scenario").combine_chunks()


def bytes_of(table: pa.Table) -> bytes:
    """Return a sorted table as bytes: equal for equal rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def digest_of(table: pa.Table) -> str:
    """Return the SHA-256 of a sorted table, in hexadecimal."""
    return hashlib.sha256(bytes_of(table)).hexdigest()


def totals_of(table: pa.Table) -> dict[str, int]:
    """Return how many scenarios there are, how many collided, and how many were faulty or off the road."""
    return {
        "scenarios": table.num_rows,
        "collided": pc.sum(table["collided"]).as_py() or 0,
        "at_fault": pc.sum(table["at_fault"]).as_py() or 0,
        "off_road": pc.sum(table["off_road"]).as_py() or 0,
        "faults": pc.sum(pc.not_equal(table["fault"], "")).as_py() or 0,
    }


def write(path: Path, table: pa.Table) -> None:
    """Put a shard's results in their place, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    pq.write_table(table, part, compression="zstd")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    flush(path.parent)


def folder_of(lake: Path, tenant: str, run: str) -> Path:
    """Return where in the lake's folder the results of a run lie."""
    return lake / FOLDER / tenant / run


def forget(lake: Path, tenant: str, scenarios: Collection[str]) -> int:
    """Take the results of some scenarios out of all of a tenant's runs; return how many rows there were."""
    shards = sorted((lake / FOLDER / tenant).glob("*/shard-*.parquet")) if scenarios else []
    return sum(_without(path, scenarios) for path in shards)


def _without(path: Path, scenarios: Collection[str]) -> int:
    """Take the rows of some scenarios out of a shard's results; return how many there were."""
    table = pq.read_table(path, schema=RESULTS, partitioning=None)
    kept = table.filter(pc.invert(pc.is_in(table["scenario"], pa.array(sorted(scenarios), pa.string()))))
    if kept.num_rows < table.num_rows:
        write(path, kept)
    return int(table.num_rows - kept.num_rows)


def _told(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
