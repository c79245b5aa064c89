"""The reference line of a road: lines, arcs, spirals and cubics, one after another.

Rules:
* A curve is told from its own beginning: u ahead, v to the left, and the turn of its heading, each at lengths along it.
* Points and headings are exact to rounding; how densely they are asked for is settled where lanes are drawn.

Source: ASAM OpenDRIVE 1.8.1, clause 9 (geometry); NIST DLMF 7.2(iii) for Fresnel integrals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.special import fresnel

from carcloud.errors import InputError
from carcloud.research.adapters import xml

Numbers = NDArray[np.float64]
Curve = Callable[[Numbers], tuple[Numbers, Numbers, Numbers]]

LIMIT_ROAD_M = 1_000_000.0
"""A longer road is one in other units."""

_NODES, _WEIGHTS = leggauss(20)
_PANELS = 32
_ARC_LIKE = 1e-4
"""A spiral whose curvature changes that much slower than it turns is summed up instead: the Fresnel integrals would
be differences of large numbers."""


def line(length: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Follow a straight line."""
    return length, np.zeros_like(length), np.zeros_like(length)


def arc(curvature: float) -> Curve:
    """Follow a circle of that curvature, 1/metres, positive to the left."""

    def curve(length: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        turn = curvature * length
        half = np.sinc(turn / (2 * np.pi))
        return length * np.sinc(turn / np.pi), length * np.sin(turn / 2) * half, turn

    return curve


def spiral(begin: float, end: float, whole: float) -> Curve:
    """Follow a clothoid whose curvature goes evenly from `begin` to `end`, 1/metres, over `whole` metres."""
    rate = (end - begin) / whole
    if abs(rate) <= _ARC_LIKE * begin * begin or abs(rate) < 1e-15:
        return _summed(begin, rate)
    scale = math.sqrt(abs(rate) / math.pi)
    side = math.copysign(1.0, rate)
    phase = -begin * begin / (2 * rate)
    first_s, first_c = fresnel(scale * begin / rate)

    def curve(length: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        sines, cosines = fresnel(scale * (length + begin / rate))
        sines, cosines = side * (sines - first_s), cosines - first_c
        u = (math.cos(phase) * cosines - math.sin(phase) * sines) / scale
        v = (math.sin(phase) * cosines + math.cos(phase) * sines) / scale
        return u, v, begin * length + rate * length**2 / 2

    return curve


def _summed(begin: float, rate: float) -> Curve:
    def curve(length: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        at = length[:, None] * (_NODES + 1) / 2
        turn = begin * at + rate * at**2 / 2
        half = length / 2
        return half * (np.cos(turn) @ _WEIGHTS), half * (np.sin(turn) @ _WEIGHTS), begin * length + rate * length**2 / 2

    return curve


def poly3(v: Numbers, whole: float) -> Curve:
    """Follow v(u) = a + b u + c u² + d u³, coefficients from a to d."""
    return _by_length(np.array([0.0, 1.0, 0.0, 0.0]), v, whole, None)


def param_poly3(u: Numbers, v: Numbers, whole: float, normalised: bool) -> Curve:
    """Follow u(p), v(p), coefficients from a to d; p is the length, or goes from 0 to 1."""
    if normalised:
        return _by_length(u, v, 1.0, whole)

    def curve(length: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        return _point(u, v, length)

    return curve


def _point(u: Numbers, v: Numbers, p: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    powers, slopes = np.vander(p, 4, increasing=True), _slopes(p)
    return powers @ u, powers @ v, np.arctan2(slopes @ v, slopes @ u)


def _slopes(p: Numbers) -> Numbers:
    return np.stack((np.zeros_like(p), np.ones_like(p), 2 * p, 3 * p**2), axis=-1)


def _by_length(u: Numbers, v: Numbers, last: float, whole: float | None) -> Curve:
    """Follow u(p), v(p) by length: p is found by Newton's method on sums over panels.

    Args:
        last: the greatest p.
        whole: the length that belongs to it; None where the curve's own counts.
    """
    borders = np.linspace(0.0, last, _PANELS + 1)

    def speed(p: Numbers) -> Numbers:
        slopes = _slopes(p)
        return np.hypot(slopes @ u, slopes @ v)

    def way(begin: Numbers, end: Numbers) -> Numbers:
        half = (end - begin) / 2
        return half * (speed(begin[..., None] + half[..., None] * (_NODES + 1)) @ _WEIGHTS)

    sums = np.concatenate(([0.0], np.cumsum(way(borders[:-1], borders[1:]))))
    scale = 1.0 if whole is None else float(sums[-1]) / whole

    def curve(length: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        wanted = length * scale
        panel = np.clip(np.searchsorted(sums, wanted, "right") - 1, 0, _PANELS - 1)
        begin = borders[panel]
        p = begin + (wanted - sums[panel]) / np.maximum(sums[panel + 1] - sums[panel], 1e-12) * (last / _PANELS)
        for _ in range(6):
            step = (sums[panel] + way(begin, p) - wanted) / np.maximum(speed(p), 1e-12)
            p = p - step
            if np.abs(step).max(initial=0.0) < 1e-13 * last:
                break
        return _point(u, v, p)

    return curve


@dataclass(frozen=True)
class Part:
    """One geometry of a reference line: where it begins, and its curve from there."""

    s: float
    x: float
    y: float
    heading: float
    length: float
    curve: Curve


@dataclass(frozen=True)
class ReferenceLine:
    """The reference line of a road, from s = 0 to `end`."""

    parts: tuple[Part, ...]

    @property
    def end(self) -> float:
        """Return the greatest s, metres."""
        return self.parts[-1].s + self.parts[-1].length

    def at(self, s: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Return x, y in metres and the heading in radians at lengths along the line."""
        x, y, heading = np.empty_like(s), np.empty_like(s), np.empty_like(s)
        which = np.searchsorted([part.s for part in self.parts[1:]], s, "right")
        for at in np.unique(which):
            here, part = which == at, self.parts[at]
            u, v, turn = part.curve(s[here] - part.s)
            ahead, aside = math.cos(part.heading), math.sin(part.heading)
            x[here], y[here] = part.x + ahead * u - aside * v, part.y + aside * u + ahead * v
            heading[here] = part.heading + turn
        return x, y, heading


def reference_line(plan: xml.Element) -> ReferenceLine:
    """Read a <planView>.

    Raises:
        InputError: it has no geometry, one that is not known, or one of no or an absurd length.
    """
    parts = sorted((_part(each) for each in plan.findall("geometry")), key=lambda part: part.s)
    parts = [part for part in parts if part.length > 0]
    if not parts:
        raise InputError(f"{xml.where(plan)} has no geometry.", "Complete the road at its source.")
    if not 0 < parts[-1].s + parts[-1].length <= LIMIT_ROAD_M:
        raise InputError(f"The road of {xml.where(plan)} is over {LIMIT_ROAD_M:.0f} m long.", "Give lengths in metres.")
    return ReferenceLine(tuple(parts))


def _part(geometry: xml.Element) -> Part:
    told = (xml.number(geometry, name) for name in ("s", "x", "y", "hdg", "length"))
    s, x, y, heading, length = told
    if s < 0 or length < 0:
        raise InputError(f"{xml.where(geometry)} has a negative length or place.", "Mend the road at its source.")
    return Part(s, x, y, heading, length, _curve(geometry, length) if length > 0 else line)


def _curve(geometry: xml.Element, length: float) -> Curve:
    for shape in geometry:
        if shape.tag == "line":
            return line
        if shape.tag == "arc":
            return arc(xml.number(shape, "curvature"))
        if shape.tag == "spiral":
            return spiral(xml.number(shape, "curvStart"), xml.number(shape, "curvEnd"), length)
        if shape.tag == "poly3":
            return poly3(_coefficients(shape, ""), length)
        if shape.tag == "paramPoly3":
            normalised = shape.get("pRange", "normalized") != "arcLength"
            return param_poly3(_coefficients(shape, "U"), _coefficients(shape, "V"), length, normalised)
    raise InputError(f"{xml.where(geometry)} has no shape that is known.", "Use line, arc, spiral or paramPoly3.")


def _coefficients(shape: xml.Element, axis: str) -> Numbers:
    return np.array([xml.number(shape, name + axis) for name in "abcd"])
