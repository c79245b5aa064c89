"""Roads: the lanes of a scenario as lines of points, whatever format they came in.

Rules:
* Points are (N, 2) float64 metres in the scenario's frame, in the direction of travel; left and right are seen in it.
* A lane is named by its source's own id. Lanes that lie side by side and are driven the same way name each other as
  `left` and `right`; where the neighbour is driven the other way it is in `opposite`.
* What the source said word for word is kept beside it, so that an export can give it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

LANE_KINDS = ("driving", "ramp", "shoulder", "bicycle", "walkway", "crossing", "parking", "other")


@dataclass(frozen=True)
class Lane:
    """One lane between two of its sections' ends.

    Args:
        name: unique in its map.
        kind: one of LANE_KINDS.
        left_edge, right_edge: (N, 2) metres, N >= 2, the same N.
        before, after: the names of lanes that lead into it and that it leads into.
        left, right: the lane beside it, driven the same way; empty where there is none.
        opposite: the lane beside it that is driven the other way; empty where there is none.
        limit_mps: the speed limit, metres a second; None where the source says none.
        junction: whether it lies in a junction.
    """

    name: str
    kind: str
    left_edge: Points
    right_edge: Points
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    left: str = ""
    right: str = ""
    opposite: str = ""
    limit_mps: float | None = None
    junction: bool = False

    @cached_property
    def centre(self) -> Points:
        """Return (N, 2) metres: half way between the edges."""
        middle: Points = (self.left_edge + self.right_edge) / 2
        return middle

    @cached_property
    def length(self) -> float:
        """Return the length of the centre line, metres."""
        return float(np.hypot(*np.diff(self.centre, axis=0).T).sum())


@dataclass(frozen=True)
class RoadMap:
    """The lanes of a scenario.

    Args:
        format: `opendrive`, `commonroad`, `osi`, or empty where the lanes were drawn by us.
        verbatim: the source's own text of the map, UTF-8; None where it has none of its own.
    """

    lanes: tuple[Lane, ...]
    format: str = ""
    verbatim: bytes | None = None

    @cached_property
    def by_name(self) -> dict[str, Lane]:
        """Return the lanes by their names."""
        return {lane.name: lane for lane in self.lanes}
