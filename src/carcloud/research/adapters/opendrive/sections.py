"""Lane sections: the borders of all lanes of a stretch of road, drawn as points.

Rules:
* Points are as dense as it takes: no border leaves its chord by more than SAG_M.
* All borders of a section have their points at the same lengths along the road.
* Where a border jumps, it is drawn as a step within JUMP_M.
* Roads are drawn flat: elevation and banking are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.opendrive.cubics import Cubics, cubics
from carcloud.research.adapters.opendrive.curves import ReferenceLine

Numbers = NDArray[np.float64]

SAG_M = 0.005
STEP_M = 10.0
"""Points on a bent line are at first that far apart."""
JUMP_M = 0.001
LIMIT_POINTS = 2_000_000
"""Points of all borders of one section."""


@dataclass(frozen=True)
class Section:
    """A lane section.

    Args:
        begin, end: lengths along the road, metres.
        lanes: the lanes' elements by their ids, without the middle one.
    """

    begin: float
    end: float
    lanes: dict[int, xml.Element]


def sections(lanes: xml.Element, end: float) -> list[Section]:
    """Read the sections of a road that ends at `end`, in their order; one of no length is left out.

    Raises:
        InputError: a lane is there twice or has no id.
    """
    found = sorted(lanes.findall("laneSection"), key=lambda each: xml.number(each, "s"))
    begins = [max(0.0, xml.number(each, "s")) for each in found]
    ends = [*begins[1:], end]
    drawn = [
        Section(begin, min(last, end), _lanes(each)) for begin, last, each in zip(begins, ends, found, strict=True)
    ]
    return [each for each in drawn if each.end - each.begin > JUMP_M]


def _lanes(section: xml.Element) -> dict[int, xml.Element]:
    lanes: dict[int, xml.Element] = {}
    for side in ("left", "right"):
        for lane in section.findall(f"{side}/lane"):
            number = xml.number(lane, "id")
            if number != int(number) or number == 0 or int(number) in lanes or (number > 0) != (side == "left"):
                raise InputError(f"{xml.where(lane)} has an id that cannot be.", "Give each lane of a side its own.")
            lanes[int(number)] = lane
    return lanes


def borders(section: Section, line: ReferenceLine, offset: Cubics) -> dict[int, Numbers]:
    """Return (N, 2) metres for each lane's outer border, and for 0 the line between left and right.

    Raises:
        InputError: it would take over LIMIT_POINTS.
    """
    told = _distances(section, offset)
    names = sorted(told)

    def points(s: Numbers) -> Numbers:
        x, y, heading = line.at(np.minimum(s, line.end))
        across = np.array([told[name](s) for name in names])
        return np.stack((x - across * np.sin(heading), y + across * np.cos(heading)), axis=-1)

    starts = [part.s for part in line.parts] + offset.starts.tolist() + _starts(section)
    s = _first(section, line, np.array(starts))
    s = _with_jumps(s, points)
    for _ in range(30):
        if len(s) * len(names) > LIMIT_POINTS:
            raise InputError(f"A road takes over {LIMIT_POINTS} points.", "Give lengths in metres, or split the road.")
        bent = _bent(s, points)
        if not bent.any():
            break
        s = np.sort(np.concatenate((s, ((s[:-1] + s[1:]) / 2)[bent])))
    return dict(zip(names, points(s), strict=True))


Distance = Callable[[Numbers], Numbers]


def _distances(section: Section, offset: Cubics) -> dict[int, Distance]:
    """Return for each lane how far its outer border is to the left of the reference line."""

    def middle(s: Numbers) -> Numbers:
        return offset.at(s, section.end)

    found: dict[int, Distance] = {0: middle}
    for side in (1, -1):
        inner: Distance = middle
        for name in sorted((one for one in section.lanes if one * side > 0), key=abs):
            inner = found[name] = _outer(section, section.lanes[name], side, inner)
    return found


def _outer(section: Section, lane: xml.Element, side: int, inner: Distance) -> Distance:
    widths = cubics(lane.findall("width"), "sOffset", section.begin)
    edges = cubics(lane.findall("border"), "sOffset", section.begin)

    def by_width(s: Numbers) -> Numbers:
        widened: Numbers = inner(s) + side * np.maximum(widths.at(s, section.end), 0.0)
        return widened

    def by_border(s: Numbers) -> Numbers:
        return edges.at(s, section.end)

    return by_width if len(widths.starts) or not len(edges.starts) else by_border


def _starts(section: Section) -> list[float]:
    return [
        section.begin + xml.number(record, "sOffset", 0.0)
        for lane in section.lanes.values()
        for name in ("width", "border")
        for record in lane.findall(name)
    ]


def _first(section: Section, line: ReferenceLine, starts: Numbers) -> Numbers:
    inner = starts[(starts > section.begin + 1e-6) & (starts < section.end - 1e-6)]
    marks = np.unique(np.concatenate(([section.begin], inner, [section.end])))
    marks = marks[np.concatenate(([True], np.diff(marks) > 1e-6))]
    counts = np.maximum(1, np.ceil(np.diff(marks) / STEP_M)).astype(int)
    if len(line.parts) == 1 and abs(np.ptp(line.at(np.linspace(0, line.end, 9))[2])) == 0:
        counts[:] = 1
    pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(marks[:-1], marks[1:], counts, strict=True)]
    return np.concatenate((*pieces, marks[-1:]))


def _with_jumps(s: Numbers, points: Distance) -> Numbers:
    inner = s[1:-1]
    before = inner - np.minimum(JUMP_M, (inner - s[:-2]) / 2)
    steps = np.linalg.norm(points(inner) - points(inner - 1e-7), axis=-1).max(axis=0, initial=0.0)
    return np.sort(np.concatenate((s, before[steps > SAG_M])))


def _bent(s: Numbers, points: Distance) -> NDArray[np.bool_]:
    """Tell which steps are so bent that a border leaves its chord; a jump's step is as short as it gets."""
    ends = points(s)
    begin, chord = ends[:, :-1], np.diff(ends, axis=1)
    lengths = np.maximum(np.linalg.norm(chord, axis=-1), 1e-12)
    bent = np.zeros(len(s) - 1, bool)
    for share in (0.25, 0.5, 0.75):
        away = points(s[:-1] + share * np.diff(s)) - begin
        sag = np.abs(chord[..., 0] * away[..., 1] - chord[..., 1] * away[..., 0]) / lengths
        bent |= sag.max(axis=0) > SAG_M
    still: NDArray[np.bool_] = bent & (np.diff(s) > 2 * JUMP_M)
    return still
