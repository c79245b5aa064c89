"""Simulation alone: vehicle-steps a CPU second beside highway-env's and SUMO's, and the cut-in grid of UN R157.

Run: python bench/simulation.py [--repeats 5] [--without-peers]. It prints one JSON line and the rows of
docs/benchmarks.md. The work is the same: 50 cars on 3 lanes, the intelligent driver model, changes of lanes,
collisions, steps of 0.1 s; ours in batches of 64 scenarios of such. CPU time of one thread, after machine code is made;
"workers" is wall time of whole processes that share the scenarios out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from peers import traffic

from carcloud.research.motion import Motion, RoadUser
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.builtin import BuiltIn
from carcloud.research.simulation.cut_ins import collisions, grid
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.made import LANE_M, straight_road
from carcloud.research.simulation.settings import Settings

BATCH, SECONDS, CROWDS = 64, 40.0, 5
MODELS = ("r157-cc-human", "r157-reg157", "r157-rss", "r157-fsm")
GOALS = {"grid": 1e5, "highway-env": 50.0, "sumo": 5.0, "workers": 1.7}
PLATOON, FOLLOWERS, LEAD_MPS = 150.0, 9, 20.0


def starts(seed: int) -> list[tuple[int, float, float, float]]:
    """Return 50 cars: lane, place of the front, speed, wished speed."""
    rng = np.random.default_rng(seed)
    rows = []
    for at in range(traffic.CARS):
        place = 10.0 + at // traffic.LANES * 25.0 + float(rng.uniform(0, 8))
        rows.append((at % traffic.LANES, place, 20.0, float(rng.uniform(20, 33))))
    return rows


def scenario(rows: list[tuple[int, float, float, float]], lanes: int = traffic.LANES) -> Scenario:
    """Return cars as a scenario of two steps, of which the second says how fast each wants to be."""
    count = len(rows)
    users = tuple(RoadUser(at, str(at), "car", traffic.IDM["length"], 1.85, 1.5) for at in range(count))
    x = np.array([[row[1] - traffic.IDM["length"] / 2] * 2 for row in rows])
    y = np.array([[(row[0] - lanes // 2) * LANE_M] * 2 for row in rows])
    vx = np.array([[row[2], row[3]] for row in rows])
    flat, there = np.zeros((count, 2)), np.ones((count, 2), np.bool_)
    motion = Motion(users, np.array([0, 100_000]), x, y, flat, flat, vx, flat, flat, flat, there)
    return Scenario(f"crowd {rows[0][1]:.3f}", motion, map=straight_road(lanes), simulated=True)


def driven(seeds: list[int]) -> float:
    """Simulate crowds; return the vehicle-steps of one CPU second."""
    crowds = [scenario(starts(seed)) for seed in seeds]
    settings = Settings(duration_s=SECONDS, traffic="idm", keep=False)
    simulate(crowds[:1], BuiltIn("idm"), settings)
    began = time.process_time()
    outcomes = simulate(crowds, BuiltIn("idm"), settings)
    spent = time.process_time() - began
    return sum(one.steps - 1 for one in outcomes) * traffic.CARS / spent


def shared(workers: int) -> float:
    """Return the wall seconds in which so many processes simulate eight batches."""
    parts = [list(range(BATCH * at, BATCH * (at + 1))) for at in range(8)]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(driven, [[0]] * workers))
        began = time.perf_counter()
        list(pool.map(driven, parts))
        return time.perf_counter() - began


def r157(repeats: int) -> dict[str, Any]:
    """Measure the cut-in grid: concrete scenarios a CPU second of each model."""
    columns = grid(np.arange(20, 131, 5.0), np.arange(10, 131, 5.0), np.arange(2, 60, 1.0), np.arange(0.3, 1.9, 0.1))
    rates: dict[str, float] = {}
    for model in MODELS:
        collisions(model, *columns)
        spent = []
        for _ in range(repeats):
            began = time.process_time()
            collisions(model, *columns)
            spent.append(time.process_time() - began)
        rates[model] = len(columns[0]) / statistics.median(spent)
    return {"scenarios": len(columns[0]), "scenarios_s": rates}


def platoon() -> dict[str, Any]:
    """Return the gaps of a platoon behind a steady lead in the end, here and in SUMO."""
    rows = [(0, 1000.0 - 40.0 * at, LEAD_MPS, LEAD_MPS if at == 0 else 30.0) for at in range(FOLLOWERS + 1)]
    theirs = traffic.measured("sumo", str(PLATOON), "1", json.dumps(rows))["places"]
    places = [float(theirs[str(at)]) for at in range(len(rows))]
    one = scenario(rows, 1)
    [outcome] = simulate([one], BuiltIn("idm"), Settings(duration_s=PLATOON, traffic="idm"))
    assert outcome.motion is not None
    ours = (outcome.motion.x[:-1, -1] - outcome.motion.x[1:, -1] - traffic.IDM["length"]).tolist()
    gaps = [ahead - behind - traffic.IDM["length"] for ahead, behind in itertools.pairwise(places)]
    off = [abs(mine - other) / other for mine, other in zip(ours, gaps, strict=True)]
    return {"ours_m": ours, "sumo_m": gaps, "largest_difference": max(off)}


def peers(repeats: int) -> dict[str, Any]:
    """Measure highway-env and SUMO: vehicle-steps a CPU second."""
    traffic.prepare()
    rates: dict[str, list[float]] = {"highway-env": [], "sumo": []}
    for seed in range(repeats):
        found = traffic.measured("highway", "10")
        rates["highway-env"].append(found["cars"] * found["steps"] / found["cpu_s"])
        crowds = [starts(seed * CROWDS + at) for at in range(CROWDS)]
        runs = [traffic.measured("sumo", str(SECONDS), str(traffic.LANES), json.dumps(one)) for one in crowds]
        rates["sumo"].append(sum(one["updates"] for one in runs) / sum(one["cpu_s"] for one in runs))
    return {name: statistics.median(each) for name, each in rates.items()}


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--repeats", type=int, default=5)
    words.add_argument("--without-peers", action="store_true")
    options = words.parse_args()
    ours = [driven(list(range(seed * BATCH, (seed + 1) * BATCH))) for seed in range(options.repeats)]
    told: dict[str, Any] = {"vehicle_steps_s": statistics.median(ours), "all": [round(one) for one in ours]}
    one, two = (statistics.median(shared(workers) for _ in range(options.repeats)) for workers in (1, 2))
    told |= {"workers": one / two, "grid": r157(options.repeats)}
    if not options.without_peers:
        found = peers(options.repeats)
        ratios = {name: told["vehicle_steps_s"] / rate for name, rate in found.items()}
        told |= {"peers": found, "ratios": ratios, "platoon": platoon()}
    print(json.dumps(told), flush=True)
    print(_rows(told))


def _rows(told: dict[str, Any]) -> str:
    least = min(told["grid"]["scenarios_s"].values())
    lines = ["| what | here | goal |", "| --- | --- | --- |"]
    lines.append(f"| 50 cars, IDM, lane changes, collisions: vehicle-steps/s | {told['vehicle_steps_s']:.3g} | |")
    for name, ratio in told.get("ratios", {}).items():
        lines.append(f"| … of {name}: {told['peers'][name]:.3g}; times | {ratio:.1f} | {GOALS[name]:.0f} |")
    lines.append(f"| two workers against one, times | {told['workers']:.2f} | {GOALS['workers']} |")
    lines.append(f"| cut-ins of UN R157 a second, the slowest of four models | {least:.3g} | {GOALS['grid']:.0e} |")
    if "platoon" in told:
        lines.append(
            f"| largest gap difference to SUMO's platoon | {told['platoon']['largest_difference']:.2%} | 1 % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
