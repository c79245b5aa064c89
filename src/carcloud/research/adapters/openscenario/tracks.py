"""A road as it is driven on: its line and its lanes at one length, quick to ask.

Rules:
* Between the points of the table, which are FINE_M apart where the road is bent, the line is drawn as a cubic with the
  right headings at both ends.

Source: ASAM OpenDRIVE 1.8.1, clauses 9 and 11.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.opendrive.cubics import Cubics, cubics
from carcloud.research.adapters.opendrive.curves import ReferenceLine, line, reference_line
from carcloud.research.adapters.opendrive.links import Road
from carcloud.research.adapters.opendrive.sections import Section, sections

FINE_M = 0.5
LIMIT_CELLS = 2_000_000


class Profile:
    """A value along a road: cubics, one after another; 0 before the first."""

    def __init__(self, records: Cubics) -> None:
        self._starts = records.starts.tolist()
        self._terms = records.coefficients.tolist()

    def __bool__(self) -> bool:
        return bool(self._starts)

    def at(self, s: float, end: float) -> float:
        """Return the value at a length along the road, within a section that ends at `end`."""
        which = bisect_right(self._starts, min(s, end - 1e-9)) - 1
        if which < 0:
            return 0.0
        a, b, c, d = self._terms[which]
        x = s - self._starts[which]
        value: float = a + x * (b + x * (c + x * d))
        return value


class Stretch:
    """A lane section."""

    def __init__(self, section: Section) -> None:
        self.begin, self.end = section.begin, section.end
        self.lanes = section.lanes
        self._widths = {n: Profile(cubics(e.findall("width"), "sOffset", section.begin)) for n, e in self.lanes.items()}
        self._edges = {n: Profile(cubics(e.findall("border"), "sOffset", section.begin)) for n, e in self.lanes.items()}
        self._sides = {side: sorted((n for n in self.lanes if n * side > 0), key=abs) for side in (1, -1)}

    def edges(self, s: float, offset: float) -> dict[int, tuple[float, float]]:
        """Return the inner and outer t of every lane, metres."""
        found = {}
        for side, names in self._sides.items():
            inner = offset
            for name in names:
                if self._widths[name] or not self._edges[name]:
                    outer = inner + side * max(self._widths[name].at(s, self.end), 0.0)
                else:
                    outer = self._edges[name].at(s, self.end)
                found[name] = (inner, outer)
                inner = outer
        return found


class Track:
    """One road."""

    def __init__(self, element: xml.Element) -> None:
        self.name = element.get("id", "")
        shape = reference_line(xml.child(element, "planView"))
        self.length = shape.end
        self._tabulate(shape)
        lanes = xml.child(element, "lanes")
        self._offset = Profile(cubics(lanes.findall("laneOffset"), "s"))
        found = sections(lanes, shape.end)
        if not found:
            raise InputError(f"{xml.where(element)} has no lanes.", "Complete the road at its source.")
        self.road = Road(self.name, element, tuple(found))
        self.stretches = [Stretch(one) for one in found]
        self._begins = [one.begin for one in self.stretches]
        self._asked: tuple[float, dict[int, tuple[float, float]]] = (math.nan, {})

    def _tabulate(self, shape: ReferenceLine) -> None:
        places: list[float] = []
        for part in shape.parts:
            count = 1 if part.curve is line else max(1, math.ceil(part.length / FINE_M))
            if len(places) + count > LIMIT_CELLS:
                raise InputError("A road is too long to be driven on.", "Give lengths in metres.")
            places += np.linspace(part.s, part.s + part.length, count, endpoint=False).tolist()
        s = np.unique(np.array([*places, shape.end]))
        x, y, heading = shape.at(s)
        # At the joint of two parts a cell needs the heading of its own part at both ends.
        _, _, last = shape.at(np.maximum(s[1:] - 1e-7, 0.0))
        self._s, self._x, self._y = s.tolist(), x.tolist(), y.tolist()
        self._first = heading[:-1].tolist()
        self._turn = np.remainder(last - heading[:-1] + np.pi, 2 * np.pi).tolist()
        self.cells = np.stack((x[:-1], y[:-1], x[1:], y[1:]), axis=-1)

    def cell_s(self, cell: int, share: float) -> float:
        """Return the length along the road at a share of a cell."""
        s: float = self._s[cell] + share * (self._s[cell + 1] - self._s[cell])
        return s

    def at(self, s: float) -> tuple[float, float, float, float]:
        """Return x, y, heading and curvature of the reference line."""
        cell = min(max(bisect_right(self._s, s) - 1, 0), len(self._first) - 1)
        span = self._s[cell + 1] - self._s[cell]
        u = (s - self._s[cell]) / span
        h0, turn = self._first[cell], self._turn[cell] - math.pi
        h1 = h0 + turn
        x0, y0, x1, y1 = self._x[cell], self._y[cell], self._x[cell + 1], self._y[cell + 1]
        if turn == 0.0:
            return x0 + u * (x1 - x0), y0 + u * (y1 - y0), h0, 0.0
        v = 1 - u
        a, b = v * v * (1 + 2 * u), u * u * (3 - 2 * u)
        c, d = u * v * v * span, -u * u * v * span
        x = a * x0 + b * x1 + c * math.cos(h0) + d * math.cos(h1)
        y = a * y0 + b * y1 + c * math.sin(h0) + d * math.sin(h1)
        return x, y, h0 + u * turn, turn / span

    def stretch(self, s: float) -> int:
        """Return the lane section at a length."""
        return max(bisect_right(self._begins, s + 1e-9) - 1, 0)

    def edges(self, s: float) -> dict[int, tuple[float, float]]:
        """Return the inner and outer t of every lane at a length, metres."""
        asked = self._asked
        if asked[0] != s:
            one = self.stretches[self.stretch(s)]
            self._asked = asked = s, one.edges(s, self._offset.at(s, self.length))
        return asked[1]

    def middle(self, s: float) -> float:
        """Return the t of the line between left and right lanes, metres."""
        return self._offset.at(s, self.length)
