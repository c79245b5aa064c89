"""Shapes and values as CommonRoad writes them.

Source: CommonRoad XML format documentation, versions 2018b and 2020a (Technical University of Munich).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from carcloud.errors import InputError
from carcloud.research.adapters import xml

Numbers = NDArray[np.float64]

CORNERS = 32
"""Corners of a circle."""
_CORNERS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
SHAPES = ("rectangle", "circle", "polygon")


def value(element: xml.Element, name: str) -> float | None:
    """Return a value that is exact or the middle of an interval; None where it is missing."""
    found = bounds(element, name)
    return None if found is None else (found[0] + found[1]) / 2


def bounds(element: xml.Element, name: str) -> tuple[float, float] | None:
    """Return the interval that a value lies in; None where it is missing."""
    told = element.find(name)
    if told is None:
        return None
    exact = told.find("exact")
    if exact is not None:
        return (xml.number_in(exact),) * 2
    return xml.number_in(xml.child(told, "intervalStart")), xml.number_in(xml.child(told, "intervalEnd"))


def point(element: xml.Element) -> tuple[float, float]:
    """Return x and y, metres."""
    return xml.number_in(xml.child(element, "x")), xml.number_in(xml.child(element, "y"))


def points(element: xml.Element) -> Numbers:
    """Return (N, 2) metres of the points in an element."""
    return np.array([point(each) for each in element.findall("point")], np.float64).reshape(-1, 2)


def outline(shape: xml.Element) -> Numbers:
    """Return (N, 2) metres, the corners of a rectangle, circle or polygon."""
    if shape.tag == "polygon":
        corners = points(shape)
        if len(corners) < 3:
            raise InputError(f"{xml.where(shape)} has fewer than three points.", "Mend it at its source.")
        return corners
    middle = shape.find("center")
    centre = np.array((0.0, 0.0) if middle is None else point(middle))
    if shape.tag == "circle":
        angles = np.arange(CORNERS) * 2 * math.pi / CORNERS
        return centre + _size(shape, "radius") * np.column_stack((np.cos(angles), np.sin(angles)))
    half = np.array([_size(shape, "length"), _size(shape, "width")]) / 2
    turned = shape.find("orientation")
    angle = 0.0 if turned is None else xml.number_in(turned)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    turned_corners: Numbers = centre + (_CORNERS * half) @ turn
    return turned_corners


def outlines(element: xml.Element) -> list[Numbers]:
    """Return the outlines of all shapes in an element."""
    return [outline(shape) for shape in element if shape.tag in SHAPES]


def hull(parts: list[Numbers]) -> Numbers:
    """Return the corners of one outline around several; one alone stays as it is."""
    if len(parts) == 1:
        return parts[0]
    corners = np.vstack(parts)
    try:
        return np.asarray(corners[ConvexHull(corners).vertices])
    except QhullError as error:
        raise InputError("The goal of the scenario has no area.", "Mend it at its source.") from error


def _size(shape: xml.Element, name: str) -> float:
    told = xml.number_in(xml.child(shape, name))
    if told <= 0:
        raise InputError(f"{xml.where(shape)} has a {name} of {told:g}.", "Mend it at its source.")
    return told
