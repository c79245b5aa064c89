"""Competence: a planner on UN R157's grid of cut-ins, against the regulation's competent human driver.

Rules:
* What that driver avoids is avoidable, and a candidate must avoid it too. What it cannot avoid is not asked of anybody.
* The grid is fixed: two verdicts are about the same cut-ins.

Source: UN R157, 5.2.5.2 and Annex 4, Appendix 3 (critical scenarios; the driver's model).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carcloud.research.simulation.cut_ins import collisions, grid
from carcloud.research.simulation.engine import simulated
from carcloud.research.simulation.made import CutIn
from carcloud.research.simulation.references import planner_of
from carcloud.research.simulation.settings import Settings

HUMAN = "r157-cc-human"
EGO_KMH = np.arange(20.0, 121.0, 20.0)
OTHER_KMH = np.arange(10.0, 111.0, 20.0)
GAPS_M = np.arange(5.0, 61.0, 5.0)
LATERAL_MPS = np.array([0.5, 1.0, 1.5])


def competence_of(planner: str) -> dict[str, Any]:
    """Return how many cut-ins there are, how many the human driver avoids, and which of those the planner does not."""
    columns = grid(EGO_KMH, OTHER_KMH, GAPS_M, LATERAL_MPS)
    avoided = np.flatnonzero(np.isnan(collisions(HUMAN, *columns)))
    asked = [CutIn(*(float(column[at]) for column in columns)) for at in avoided]
    outcomes = simulated([one.scenario() for one in asked], planner_of(planner), Settings(keep=False))
    missed = [
        {
            "ego_speed_kmh": one.ego_speed_kmh,
            "other_speed_kmh": one.other_speed_kmh,
            "gap_m": one.gap_m,
            "lateral_speed_mps": one.lateral_speed_mps,
        }
        for one, outcome in zip(asked, outcomes, strict=True)
        if outcome.collided_us is not None or outcome.fault
    ]
    return {"scenarios": len(columns[0]), "avoidable": len(asked), "missed": missed}
