"""What OpenDRIVE calls things, and what we add to a document of our own so that nothing is lost by it.

Source: ASAM OpenDRIVE 1.8.1, clauses 6.7 (user data), 10.4 (speed limits) and 11.7 (lane types).
"""

from __future__ import annotations

from carcloud.research.adapters import xml

KINDS = {
    **dict.fromkeys(("driving", "bidirectional", "HOV", "taxi", "bus", "mwyEntry", "mwyExit", "roadWorks"), "driving"),
    **dict.fromkeys(("entry", "exit", "onRamp", "offRamp", "connectingRamp", "slipLane"), "ramp"),
    **dict.fromkeys(("shoulder", "stop"), "shoulder"),
    "biking": "bicycle",
    **dict.fromkeys(("sidewalk", "walking"), "walkway"),
    "parking": "parking",
}
"""Kinds of lanes by OpenDRIVE's types; all else is `other`."""

TYPES = {
    "driving": "driving",
    "ramp": "connectingRamp",
    "shoulder": "shoulder",
    "bicycle": "biking",
    "walkway": "sidewalk",
    "crossing": "none",
    "parking": "parking",
    "other": "none",
}
"""What a lane of each kind is written as."""

UNITS = {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704}

OURS = "carcloud."
"""What the codes of our own user data begin with."""


def told(element: xml.Element, what: str) -> list[str]:
    """Return what our own user data on an element says, a value each; none in a document of others."""
    found = (each.get("value") for each in element.findall("userData") if each.get("code") == OURS + what)
    return [value for value in found if value]
