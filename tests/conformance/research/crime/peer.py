"""Asks CommonRoad-CriMe, in an environment of its own, for its measures of all pairs of a scenario.

    python peer.py FILE.xml EGOS OUT.json

EGOS: how many of the road users that are there from the first step are taken as the ego, 0 for all of them.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import commonroad_crime.measure as known
from commonroad.common.file_reader import CommonRoadFileReader
from commonroad_crime.data_structure.configuration import CriMeConfiguration

MEASURES = ("HW", "TTC", "THW", "WTTC", "ALongReq", "DCE", "TTCE")


def asked(scenario: Any, ego: int) -> tuple[dict[str, list[list[float]]], dict[str, list[float]]]:
    """Return [other, step, value] of each measure, and how many were asked in how many seconds."""
    config = CriMeConfiguration()
    config.update(ego_id=ego, sce=scenario)
    values: dict[str, list[list[float]]] = {}
    times: dict[str, list[float]] = {}
    mine = scenario.obstacle_by_id(ego)
    for name in MEASURES:
        measure = getattr(known, name)(config)
        began, values[name] = time.perf_counter(), []
        for other in scenario.dynamic_obstacles:
            if other.obstacle_id == ego:
                continue
            for step in range(mine.prediction.final_time_step + 1):
                if other.state_at_time(step) is None or mine.state_at_time(step) is None:
                    continue
                try:
                    value = float(measure.compute(vehicle_id=other.obstacle_id, time_step=step, verbose=False))
                except Exception as error:  # noqa: BLE001 (its own failures are told as such)
                    values[name].append([other.obstacle_id, step, type(error).__name__])  # type: ignore[list-item]
                    continue
                said = value if math.isfinite(value) else str(value)
                values[name].append([other.obstacle_id, step, said])  # type: ignore[list-item]
        times[name] = [len(values[name]), time.perf_counter() - began]
    return values, times


def main(file: str, egos: str, out: str) -> None:
    """Write what it answers, ego by ego."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    scenario, _ = CommonRoadFileReader(file).open(lanelet_assignment=True)
    there = [one.obstacle_id for one in scenario.dynamic_obstacles if one.initial_state.time_step == 0]
    found: dict[str, Any] = {"scenario": Path(file).stem, "egos": {}}
    for ego in there[: int(egos) or None]:
        try:
            values, times = asked(scenario, ego)
        except Exception as error:  # noqa: BLE001 (as above)
            found["egos"][ego] = {"error": type(error).__name__}
            continue
        found["egos"][ego] = {"values": values, "times": times}
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:4])
