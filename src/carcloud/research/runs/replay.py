"""A scenario of a run seen again: driven once more by the planner and settings of the run, in a process of its own.

Rules:
* Only a planner that comes along is driven here; nobody's file or program is run because a page was opened. It must be
  what it was when it was run.
* The digest says whether it went as in the run, bit by bit.
* The process ends with who asked, and after `LIMIT_S`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from carcloud.backends.processes import end_with_parent
from carcloud.errors import (
    FAMILIES,
    CarcloudError,
    ConflictError,
    InputError,
    MissingError,
    NotAllowedError,
    TryLaterError,
)
from carcloud.research.mining import features
from carcloud.research.mining.catalogue import COLUMNS
from carcloud.research.runs.results import folder_of, results_of
from carcloud.research.simulation.builtin import CODES
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.references import planner_hash, planner_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store
from carcloud.research.viewing import LIMIT_PLACES, SHOWN, columns_of, told

LIMIT_S = 60.0
LIMIT_BYTES = 64 << 20
LIMIT_SIZE = 8 * LIMIT_PLACES
"""Road users times steps of a scenario that is driven again."""
_LEAVES = 70


async def replayed(lake: Path, tenant: str, scenario: str, run: Mapping[str, Any]) -> bytes:
    """Return as JSON how a run's planner drove a scenario: its motion, the ego's features, and what came of it.

    Args:
        run: `id`, `planner`, `planner_hash` and `settings` of the run.

    Raises:
        MissingError: no such scenario, in the lake or in the run. InputError: the scenario is too large.
        NotAllowedError: the planner is somebody's file or program. ConflictError: it is another one by now.
        TryLaterError: it took too long, or the process died.
    """
    command = [sys.executable, "-m", "carcloud.research.runs.replay"]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    asked = orjson.dumps({"lake": str(lake), "tenant": tenant, "scenario": scenario, "run": dict(run)})
    try:
        async with asyncio.timeout(LIMIT_S):
            answer, _ = await process.communicate(asked)
    except TimeoutError:
        raise TryLaterError(f"It took longer than {LIMIT_S:g} s.", "Use `carcloud research simulate`.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == _LEAVES:
        raise _error(json.loads(answer))
    if process.returncode or len(answer) > LIMIT_BYTES:
        raise TryLaterError("The scenario could not be driven again.", "Use `carcloud research simulate`.")
    return answer


def replay(lake: Path, tenant: str, scenario: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """Drive a scenario as a run did; return what `replayed` says of it."""
    store, planner = Store(lake, tenant), str(run["planner"])
    results = results_of(folder_of(lake, tenant, str(run["id"])))
    kept = next((row for row in results.to_pylist() if row["scenario"] == scenario), None)
    if kept is None:
        raise MissingError(f"Run {run['id']} has no scenario {scenario:.64}.", "Look which it has.")
    row = store.scenarios([scenario])[0]
    if row.tracks * row.steps > LIMIT_SIZE:
        raise InputError("It is too large to be driven again here.", "Use `carcloud research simulate`.")
    if planner not in CODES:
        raise NotAllowedError(
            "A planner of a file or program is not run for a page.",
            "Look at the scenario as recorded, or use `carcloud research simulate`, as you.",
        )
    if planner_hash(planner) != run["planner_hash"]:
        raise ConflictError(f"{planner} is another one by now than was run.", "Run it again, then look at that run.")
    found = store.load(scenario)
    outcome = simulate([found], planner_of(planner), Settings(**run["settings"]))[0]
    if outcome.motion is None:
        raise MissingError("Nothing moved: the scenario has no ego.", "Look at the recording.")
    driven = dataclasses.replace(found, motion=outcome.motion)
    rows = features.of(driven).select(["track", "time_us", *(COLUMNS[path] for path in SHOWN)])
    said = {
        "run": run["id"],
        "planner": planner,
        "same": outcome.digest == kept["digest"],
        "ego": outcome.ego,
        "fault": outcome.fault,
        "collided_s": None if outcome.collided_us is None else outcome.collided_us / 1e6,
        "collided_with": outcome.collided_with,
        "off_road_s": None if outcome.off_road_us is None else outcome.off_road_us / 1e6,
    }
    ego = rows.filter(pa.array(rows["track"].to_numpy() == outcome.ego))
    return said | columns_of(outcome.motion) | {"features": told(ego, [outcome.ego], SHOWN)}


def _error(said: Mapping[str, str]) -> CarcloudError:
    return FAMILIES.get(said["code"], CarcloudError)(said["message"], said["do"])


def main() -> None:
    """Answer the question on standard input."""
    end_with_parent()
    asked = json.load(sys.stdin)
    try:
        answer = replay(Path(asked["lake"]), asked["tenant"], asked["scenario"], asked["run"])
    except CarcloudError as error:
        sys.stdout.buffer.write(orjson.dumps({"code": error.code, "message": error.message, "do": error.do}))
        sys.stdout.flush()
        sys.exit(_LEAVES)
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    main()
