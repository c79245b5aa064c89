"""Search: which cars a condition holds for now, by what the twin knows of them.

Rules:
* Asked are the cars that ever reported; of who reaches by grants, the cars in reach, whatever they reported.
* A value that is as old as the condition's `stale after`, or older, is unknown; one from a clock that is ahead holds.
* What is out of reach is unknown, and what is in reach is as exact as the caller may see it: both before the condition
  is worked out, so that an answer says nothing that the values shown do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import acero

from carcloud.errors import InputError
from carcloud.safety.grants.reach import Reach
from carcloud.vehicle.conditions.arrow import expression
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.tree import Held

LIMIT_SEARCH_PATHS = 32


class Columns(Protocol):
    """The twin's values, some cars at once."""

    def columns(self, tenant: str, paths: Sequence[str]) -> AsyncGenerator[pa.Table, None]:
        """Yield tables as `TwinState.columns` makes them."""


@dataclass(frozen=True)
class Found:
    """The ids of the cars a condition holds for, sorted; and for how many it is unknown."""

    vehicles: tuple[str, ...]
    unknown: int


async def search(twin: Columns, condition: Condition, reach: Reach, at_us: int) -> Found:
    """Return for which cars in reach a condition holds at a moment, in µs since 1970 UTC.

    Raises:
        InputError: the condition has time in it, or asks about too many signals.
        TryLaterError: the twin is away.
    """
    paths = condition.paths
    if len(paths) > LIMIT_SEARCH_PATHS:
        raise InputError(f"The condition asks about {len(paths)} signals.", f"Ask about at most {LIMIT_SEARCH_PATHS}.")
    asked = expression(condition)
    told: dict[str, bool | None] = {}
    if reach.cars is not None:
        told.update(dict.fromkeys(reach.cars, condition.initial))
    async for rows in twin.columns(reach.tenant, paths):
        told.update(await asyncio.to_thread(_told, rows, condition, asked, reach, at_us))
    found = sorted(car for car, holds in told.items() if holds)
    return Found(tuple(found), sum(holds is None for holds in told.values()))


def _told(
    rows: pa.Table, condition: Condition, asked: pc.Expression, reach: Reach, at_us: int
) -> dict[str, bool | None]:
    if reach.cars is not None:
        rows = rows.filter(pc.is_in(rows["vehicle"], pa.array(sorted(reach.cars), pa.string())))
    rows = known(rows, condition, reach, at_us)
    if not rows.num_columns or not rows.num_rows:
        return {}
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(rows))
    project = acero.Declaration("project", acero.ProjectNodeOptions([pc.field("vehicle"), asked], ["vehicle", "holds"]))
    told = acero.Declaration.from_sequence([source, project]).to_table(use_threads=False)
    return dict(zip(told["vehicle"].to_pylist(), told["holds"].to_pylist(), strict=True))


def known(rows: pa.Table, condition: Condition, reach: Reach, at_us: int) -> pa.Table:
    """Return what is known at a moment within reach: the column vehicle, and one for each path of the condition."""
    texts = {node.path for node in condition.tree.all() if isinstance(node, Held) and node.text}
    held = {"vehicle": rows["vehicle"]}
    for at, path in enumerate(condition.paths):
        values, times = rows[f"{'text' if path in texts else 'value'}_{at}"], rows[f"time_{at}"]
        fresh = np.asarray(times.fill_null(0)) > at_us - condition.stale_us
        if reach.parts is None:
            held[path] = pc.if_else(pa.array(fresh), values, pa.scalar(None, values.type))
            continue
        cells = zip(rows["vehicle"].to_pylist(), times.to_pylist(), values.to_pylist(), fresh.tolist(), strict=True)
        seen = [
            reach.seen(car, path, time_us, value) if is_fresh and value is not None else None
            for car, time_us, value, is_fresh in cells
        ]
        held[path] = pa.array(seen, values.type)
    return pa.table(held)
