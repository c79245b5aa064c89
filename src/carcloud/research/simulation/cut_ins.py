"""The grid of cut-ins of UN R157: which of very many a driver model avoids, without making scenarios of them.

Rules:
* What comes of a cut-in here is what `simulate` says of the same `CutIn`: the same models, steps and boxes.
* So a gate can ask of any planner: does it avoid every cut-in that the careful and competent driver avoids?
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carcloud.research.simulation.boxes import touching
from carcloud.research.simulation.builtin import CODES
from carcloud.research.simulation.compiled import compiled
from carcloud.research.simulation.following import driven
from carcloud.research.simulation.made import KMH, LANE_M, LENGTH_M, STEP_S, WIDTH_M
from carcloud.research.simulation.r157 import braking, calm, risky, since
from carcloud.research.simulation.world import CC_HUMAN, Floats


@compiled
def drive(
    model: int,
    ego: Floats,
    other: Floats,
    gaps: Floats,
    aside: Floats,
    step_s: float,
    steps: int,
    collided: NDArray[np.float64],
) -> None:
    """Write when each ego touches the other, in seconds; NaN where it does not. ego, other, aside: metres a second."""
    for at in range(len(ego)):
        x, speed, push, lead, drift = 0.0, ego[at], 0.0, other[at], aside[at]
        slant = math.atan2(-drift, lead) if drift > 0.0 or lead > 0.0 else 0.0
        perceived, judged, collided[at] = -1.0, -1.0, math.nan
        for k in range(steps):
            now = k * step_s
            there, y = gaps[at] + LENGTH_M + lead * now, max(LANE_M - drift * now, 0.0)
            yaw = slant if y > 0.0 else 0.0
            cos, sin = math.cos(yaw), abs(math.sin(yaw))
            half_long, half_wide = (LENGTH_M * cos + WIDTH_M * sin) / 2, (LENGTH_M * sin + WIDTH_M * cos) / 2
            free, beside = there - x - LENGTH_M / 2 - half_long, y - half_wide - WIDTH_M / 2
            if free < 0.0 and touching(x, 0.0, 0.0, LENGTH_M, WIDTH_M, there, y, yaw, LENGTH_M, WIDTH_M):
                collided[at] = now
                break
            if y <= 0.0 and speed <= lead and free >= 0.0:
                break
            coming = drift if y > 0.0 else 0.0
            moved, lengths = LANE_M - y, LENGTH_M + 2 * half_long
            asked = 0.0
            if model < CC_HUMAN:
                pass
            elif not risky(model, speed, push, lead, free, coming, beside, moved, WIDTH_M, lengths, step_s):
                if calm(now - perceived, speed, lead, free):
                    perceived, judged = -1.0, -1.0
            else:
                perceived = now if perceived < 0.0 else perceived
                judged = since(model, perceived, judged, now, speed, lead, 0.0, free)
                if judged >= 0.0:
                    least = 2 * min(half_wide, WIDTH_M / 2)
                    asked = min(0.0, braking(model, now - judged, speed, push, lead, free, beside, least, step_s))
            way, after = driven(speed, asked, step_s)
            push = (after - speed) / step_s
            x, speed = x + way, after


def collisions(
    model: str,
    ego_speed_kmh: Floats,
    other_speed_kmh: Floats,
    gap_m: Floats,
    lateral_speed_mps: Floats,
    duration_s: float = 15.0,
    step_s: float = STEP_S,
) -> Floats:
    """Return when the ego collides in each of N cut-ins, seconds; NaN where it does not.

    Args:
        model: a driver of ours: `r157-cc-human`, `r157-reg157`, `r157-rss`, `r157-fsm` or `constant-speed`.
        ego_speed_kmh, other_speed_kmh, gap_m, lateral_speed_mps: (N,), as `CutIn` has them.
    """
    columns = [np.ascontiguousarray(one, np.float64) for one in (ego_speed_kmh, other_speed_kmh, gap_m)]
    aside, found = np.ascontiguousarray(lateral_speed_mps, np.float64), np.empty(len(columns[0]))
    steps = math.floor(duration_s / step_s + 1e-6) + 1
    drive(CODES[model], columns[0] / KMH, columns[1] / KMH, columns[2], aside, step_s, steps, found)
    return found


def grid(
    ego_speeds_kmh: Floats, other_speeds_kmh: Floats, gaps_m: Floats, lateral_speeds_mps: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the cut-ins of every combination in which the ego is the faster one, as four columns."""
    combined = np.meshgrid(ego_speeds_kmh, other_speeds_kmh, gaps_m, lateral_speeds_mps, indexing="ij")
    ego, other, gap, aside = (np.asarray(one, np.float64).ravel() for one in combined)
    faster = ego > other
    return ego[faster], other[faster], gap[faster], aside[faster]
