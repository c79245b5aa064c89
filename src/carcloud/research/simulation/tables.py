"""Outcomes as a table, and in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from carcloud.errors import InputError
from carcloud.research.simulation.outcome import Outcome

OUTCOMES = pa.schema(
    [
        ("scenario", pa.string()),
        ("ego", pa.int32()),
        ("steps", pa.int64()),
        ("collided_us", pa.int64()),
        ("collided_with", pa.int32()),
        ("impact_mps", pa.float64()),
        ("off_road_us", pa.int64()),
        ("crashes", pa.int64()),
        ("fault", pa.string()),
        ("digest", pa.string()),
    ]
)


def table_of(outcomes: Sequence[Outcome]) -> pa.Table:
    """Return one row an outcome, without its motion."""
    rows = [{name: getattr(one, name) for name in OUTCOMES.names} for one in outcomes]
    return pa.Table.from_pylist(rows, schema=OUTCOMES)


def keep(table: pa.Table, file: Path) -> None:
    """Write a table to a file: Parquet or JSON, by its name.

    Raises:
        InputError: its name ends in neither, or it cannot be written.
    """
    try:
        if file.suffix == ".parquet":
            pq.write_table(table, file, compression="zstd")
        elif file.suffix == ".json":
            file.write_text(json.dumps(table.to_pylist(), indent=1) + "\n")
        else:
            raise InputError(f"{file.name} is to be what?", "End its name in .parquet or .json.")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}.", "Give another file.") from None
