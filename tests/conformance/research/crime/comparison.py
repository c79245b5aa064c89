"""Compares our measures with CommonRoad-CriMe's, for every pair and step of recordings: what `make crime` runs.

    python -m tests.conformance.research.crime.comparison [--egos N]

CriMe runs in an environment of its own (`.crime`, 0.9 GB), made on first use. A pair counts as equal within one step
for times, and within the half of the last digit that CriMe rounds to for the others.

Each recording is first turned, for both, so that its road runs east. CriMe's answers depend on which way is east:
speeds along the lane are the speed times the cosine of the lane's direction, and a velocity is the speed in x and
the speed times the sine of the yaw in y, which holds where the lane runs east alone. Ours do not.

Two shares are printed for each measure. `as defined` compares what `carcloud.research.metrics` says. `by its
conventions` gives our functions what CriMe gives its own, where that differs from the definitions it cites:

1. Half a length is added to x and to y alike before a gap is measured.
2. The other's acceleration counts by its amount, so that one who brakes counts as speeding up.
3. Accelerations are the slope of the recorded speed; ours are the recorded ones.
4. The required acceleration is asked of those who fall behind too.
5. The last step of a recording is left out of DCE and TTCE.
6. Of the roots that WTTC can have, the greatest counts, not the first touch.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from carcloud.research.adapters.adapter import Options
from carcloud.research.adapters.commonroad import reader
from carcloud.research.metrics import lanes, pairs, shapes
from carcloud.research.metrics.route import Places, places, route_of
from carcloud.research.motion import Motion
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario

Numbers = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[3]
PYTHON = PROJECT / ".crime" / "bin" / "python"
DATA = PROJECT.parent / "shared" / "data" / "scenarios" / "commonroad"
FILES = {"USA_US101-4_1_T-1": 0.80, "USA_US101-5_1_T-1": 0.88}
"""The recordings, and the radians by which each is turned for its road to run east, and just north of it."""

OURS = {
    "HW": "gap",
    "TTC": "ttc_accelerated",
    "THW": "thw_driven",
    "WTTC": "wttc",
    "ALongReq": "required_acceleration",
    "DCE": "nearest_ahead",
    "TTCE": "nearest_ahead_s",
}
TIMES = ("TTC", "THW", "WTTC", "TTCE")
HALF_DIGIT = 0.005 + 1e-6
LINE_M = 0.1
"""A gap along the road: CriMe smooths the lane's middle before it measures along it, we do not."""


@dataclass
class Tally:
    """How many pairs of a measure are equal: all, and those where either says a number."""

    pairs: int = 0
    equal: int = 0
    numbers: int = 0
    equal_numbers: int = 0

    def take(self, one: float, other: float, leeway: float) -> None:
        """Count a pair."""
        same = one == other or abs(one - other) <= leeway
        number = math.isfinite(one) or math.isfinite(other)
        self.pairs += 1
        self.equal += same
        self.numbers += number
        self.equal_numbers += same and number


def prepare() -> None:
    """Make CriMe's environment where it is missing; git ignores it."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", PYTHON.parents[1]], check=True)
    have = subprocess.run([PYTHON, "-c", "import commonroad_crime"], capture_output=True, check=False).returncode == 0
    if not have:
        wanted = ["--quiet", "--no-deps", "--requirement", HERE / "requirements.txt"]
        subprocess.run([PYTHON, "-m", "pip", "install", *wanted], check=True)


def theirs(file: Path, egos: int) -> dict[str, Any]:
    """Return what CriMe says of a file."""
    out = PYTHON.parents[1] / f"{file.stem}.{egos}.json"
    if not out.exists():
        subprocess.run([PYTHON, HERE / "peer.py", file, str(egos), out], check=True)
    said: dict[str, Any] = json.loads(out.read_text())
    return said


def turned(file: Path, angle: float) -> Path:
    """Return a copy of a file in which all is turned about the origin."""
    tree, c, s = etree.parse(file), math.cos(angle), math.sin(angle)
    for element in tree.iter():
        x, y = element.find("x"), element.find("y")
        if x is not None and y is not None:
            at = float(x.text or 0), float(y.text or 0)
            x.text, y.text = repr(c * at[0] - s * at[1]), repr(s * at[0] + c * at[1])
    for element in tree.iterfind(".//orientation/*"):
        element.text = repr(float(element.text or 0) + angle)
    out = PYTHON.parents[1] / file.name
    tree.write(out)
    return out


def scenario_of(file: Path) -> Scenario:
    """Read a file by our adapter."""
    found = next(reader.read(file, Options(), lambda share: None))
    assert isinstance(found, Scenario)
    return found


def ours(scenario: Scenario, ego: int, conventions: bool) -> pairs.Pairs:
    """Return our measures of all pairs of the road user in row `ego`."""
    motion, roads = scenario.motion, scenario.map
    assert roads is not None
    drawn = lanes.lanes_of(roads)
    assert drawn is not None
    boxes = shapes.corners(motion.x, motion.y, motion.yaw, motion.sizes)
    where, standing = places(motion, route_of(motion, ego, roads)), lanes.standing(boxes, drawn)
    if not conventions:
        return pairs.pairs_of(motion, ego, boxes, where, standing)
    return _by_conventions(motion, ego, boxes, where, standing, roads)


def _by_conventions(
    motion: Motion, ego: int, boxes: Numbers, where: Places, standing: lanes.Standing, roads: RoadMap
) -> pairs.Pairs:
    slope = np.full(motion.x.shape, np.nan)
    for row in range(len(slope)):
        at = np.flatnonzero(motion.present[row])
        if len(at) > 1:
            slope[row, at] = np.gradient(motion.speed[row, at], motion.step_s)
    others = np.abs(slope)
    others[ego] = slope[ego]
    fed = replace(motion, ax=others * where.along[..., 0], ay=others * where.along[..., 1])
    half = np.broadcast_to(motion.sizes[:, :1] / 2, slope.shape).copy()
    half[ego] *= -1
    s = places(replace(motion, x=motion.x - half, y=motion.y - half), route_of(motion, ego, roads)).s + half
    found = pairs.pairs_of(fed, ego, boxes, Places(s, where.d, where.along), standing)
    along = motion.vx * where.along[..., 0] + motion.vy * where.along[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.minimum(others - (along[ego] - along) ** 2 / (2 * found.gap), 0.0)
    short = _without(motion, int(np.flatnonzero(motion.present[ego])[-1]))
    ahead = pairs.pairs_of(short, ego, shapes.corners(short.x, short.y, short.yaw, short.sizes), where, standing)
    return replace(
        found,
        thw_driven=pairs.pairs_of(motion, ego, boxes, where, standing).thw_driven,
        required_acceleration=np.where(np.isfinite(found.gap), needed, 0.0),
        nearest_ahead=np.where(np.isnan(ahead.nearest_ahead), np.inf, ahead.nearest_ahead),
        nearest_ahead_s=np.where(np.isnan(ahead.nearest_ahead_s), 0.0, ahead.nearest_ahead_s),
        wttc=_last_roots(motion, ego),
    )


def _last_roots(motion: Motion, ego: int) -> Numbers:
    """Return the greatest root of the quartic whose least is WTTC."""
    radii = np.hypot(motion.sizes[:, 0] / 6, motion.sizes[:, 1] / 2)
    found = np.full(motion.x.shape, np.nan)
    both = motion.present & motion.present[ego]
    for row, step in zip(*np.nonzero(both), strict=True):
        if row == ego:
            continue
        dx, dy = motion.x[row, step] - motion.x[ego, step], motion.y[row, step] - motion.y[ego, step]
        vx, vy = motion.vx[row, step] - motion.vx[ego, step], motion.vy[row, step] - motion.vy[ego, step]
        a, r = pairs.WORST_MPS2, radii[row] + radii[ego]
        roots = np.roots([-a * a, 0, vx * vx + vy * vy - 2 * a * r, 2 * (dx * vx + dy * vy), dx * dx + dy * dy - r * r])
        found[row, step] = max(float(one.real) for one in roots if abs(one.imag) < 1e-9)
    return found


def _without(motion: Motion, last: int) -> Motion:
    present = motion.present.copy()
    present[:, last:] = False
    gone = {name: np.where(present, getattr(motion, name), np.nan) for name in ("x", "y", "yaw")}
    return replace(motion, present=present, **gone)


def compared(scenario: Scenario, said: dict[str, Any], conventions: bool) -> tuple[dict[str, Tally], dict[str, float]]:
    """Return the tally of each measure, and the seconds that ours and theirs took for how many pairs."""
    tallies = {name: Tally() for name in OURS}
    took = {"ours_s": 0.0, "theirs_s": 0.0, "pairs": 0.0}
    rows = {user.name: at for at, user in enumerate(scenario.motion.users)}
    step_s = scenario.motion.step_s
    for name, answer in said["egos"].items():
        if "error" in answer:
            continue
        began = time.perf_counter()
        found = ours(scenario, rows[name], conventions)
        took["ours_s"] += time.perf_counter() - began
        took["theirs_s"] += sum(seconds for _, seconds in answer["times"].values())
        took["pairs"] += sum(count for count, _ in answer["times"].values())
        for measure, other, step, value in _answers(answer):
            mine = float(getattr(found, OURS[measure])[rows[other], step])
            leeway = step_s + 1e-6 if measure in TIMES else LINE_M if measure == "HW" else HALF_DIGIT
            tallies[measure].take(mine, value, leeway)
    return tallies, took


def _answers(answer: dict[str, Any]) -> Iterator[tuple[str, str, int, float]]:
    for measure in OURS:
        for other, step, value in answer["values"][measure]:
            if isinstance(value, str) and value not in ("inf", "-inf", "nan"):
                continue
            yield measure, str(other), int(step), float(value)


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--egos", type=int, default=0, help="how many egos of each file; 0 for all")
    egos = parser.parse_args().egos
    prepare()
    for name, angle in FILES.items():
        file = turned(DATA / f"{name}.xml", angle)
        scenario, said = scenario_of(file), theirs(file, egos)
        ours(scenario, 0, False)  # so that compiling is in no time
        plain, took = compared(scenario, said, False)
        fed, _ = compared(scenario, said, True)
        print(f"{name}: {len(said['egos'])} egos")
        print(f"  {'':9}{'pairs':>8}{'as defined':>12}{'by its conventions':>20}{'numbers only':>14}")
        for measure, tally in fed.items():
            shares = (plain[measure].equal / tally.pairs, tally.equal / tally.pairs)
            alone = tally.equal_numbers / tally.numbers if tally.numbers else 1.0
            print(f"  {measure:9}{tally.pairs:8}{shares[0]:12.2%}{shares[1]:20.2%}{alone:14.2%}")
        each = took["pairs"]
        ratio = took["theirs_s"] / took["ours_s"]
        print(
            f"  {1e6 * took['theirs_s'] / each:.0f} us against {1e6 * took['ours_s'] / each:.2f} us: {ratio:.0f} times"
        )


if __name__ == "__main__":
    main()
