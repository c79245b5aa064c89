"""The environment of the peers that simulate traffic, and what runs in it: highway-env and SUMO, the same work as ours.

Run in its own environment: `python traffic.py highway|sumo|platoon ARGUMENTS`; it prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / ".peers" / "traffic"
PYTHON = FOLDER / "bin" / "python"
NEEDS = ("highway-env==1.12.1", "eclipse-sumo==1.28.0", "libsumo==1.28.0")
CARS, LANES, STEP_S = 50, 3, 0.1
IDM = {"accel": 1.4, "decel": 2.0, "tau": 1.5, "minGap": 2.0, "length": 4.6, "delta": 4.0}


def prepare() -> None:
    """Make the environment where it is missing; it is no part of the project and git ignores it."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
    have = subprocess.run([PYTHON, "-c", "import highway_env, libsumo"], capture_output=True, check=False)
    if have.returncode:
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *NEEDS], check=True)


def measured(what: str, *words: str) -> dict[str, Any]:
    """Run a peer in its environment and return what it says."""
    done = subprocess.run([PYTHON, __file__, what, *words], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def highway(seconds: float) -> dict[str, Any]:
    """Drive highway-env: one ego and 49 others by IDM and MOBIL, on 3 lanes, 10 steps of 0.1 s each second."""
    gymnasium = import_module("gymnasium")
    import_module("highway_env")
    told: dict[str, Any] = {
        "vehicles_count": CARS - 1,
        "lanes_count": LANES,
        "simulation_frequency": 10,
        "policy_frequency": 10,
    }
    told |= {"duration": seconds, "offscreen_rendering": True, "observation": {"type": "Kinematics"}}
    env = gymnasium.make("highway-v0", config=told)
    env.reset(seed=1)
    road = env.unwrapped.road
    cars = len(road.vehicles)
    began, steps = time.process_time(), round(seconds / STEP_S)
    for _ in range(steps):
        road.act()
        road.step(STEP_S)
    return {"cars": cars, "steps": steps, "cpu_s": time.process_time() - began}


def _net(folder: Path, length: float, lanes: int) -> None:
    (folder / "n.nod.xml").write_text(f'<nodes><node id="a" x="0" y="0"/><node id="b" x="{length}" y="0"/></nodes>')
    told = f'numLanes="{lanes}" speed="60"'
    (folder / "n.edg.xml").write_text(f'<edges><edge id="e" from="a" to="b" {told}/></edges>')
    words = ["-n", "n.nod.xml", "-e", "n.edg.xml", "-o", "n.net.xml", "--no-warnings", "--sidewalks.guess", "false"]
    subprocess.run([FOLDER / "bin" / "netconvert", *words], cwd=folder, check=True, capture_output=True)


def _type(name: str, speed: float) -> str:
    told = " ".join(f'{word}="{number}"' for word, number in IDM.items())
    more = 'emergencyDecel="9" speedFactor="1" speedDev="0" sigma="0"'
    return f'<vType id="{name}" carFollowModel="IDM" maxSpeed="{speed}" {told} {more}/>'


def sumo(seconds: float, lanes: int, starts: str) -> dict[str, Any]:
    """Drive SUMO by libsumo: the cars of `starts` (lane, place, speed, wished speed each), steps of 0.1 s."""
    libsumo = import_module("libsumo")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _net(folder, 40_000, lanes)
        rows = json.loads(starts)
        types = "".join(_type(f"t{at}", row[3]) for at, row in enumerate(rows))
        cars = "".join(
            f'<vehicle id="{at}" type="t{at}" depart="0" departLane="{row[0]}" departPos="{row[1]}" '
            f'departSpeed="{row[2]}"><route edges="e"/></vehicle>'
            for at, row in enumerate(rows)
        )
        (folder / "n.rou.xml").write_text(f"<routes>{types}{cars}</routes>")
        words = ["sumo", "-n", str(folder / "n.net.xml"), "-r", str(folder / "n.rou.xml"), "--step-length", str(STEP_S)]
        words += [
            "--no-step-log",
            "--no-warnings",
            "--collision.action",
            "warn",
            "--collision.check-junctions",
            "false",
        ]
        libsumo.start([*words, "--step-method.ballistic", "--extrapolate-departpos", "false"])
        libsumo.simulationStep()
        cars_then, updates = len(libsumo.vehicle.getIDList()), 0
        steps, began = round(seconds / STEP_S), time.process_time()
        for _ in range(steps):
            libsumo.simulationStep()
        spent = time.process_time() - began
        updates = libsumo.vehicle.getIDCount() * steps
        places = {one: libsumo.vehicle.getLanePosition(one) for one in libsumo.vehicle.getIDList()}
        libsumo.close()
        return {"cars": cars_then, "updates": updates, "steps": steps, "cpu_s": spent, "places": places}


if __name__ == "__main__":
    if sys.argv[1] == "highway":
        print(json.dumps(highway(float(sys.argv[2]))))
    else:
        print(json.dumps(sumo(float(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
