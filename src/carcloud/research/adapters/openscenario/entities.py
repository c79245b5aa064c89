"""Entities of a scenario: who takes part, how big, and who is driven from outside.

Rules:
* A position in OpenSCENARIO is that of the entity's reference point (a vehicle's rear axle, on the ground); the middle
  of its box stands beside it by `BoundingBox/Center`.
* Controllers are not run: their entity keeps its speed and its lane unless the story moves it. The entity whose
  controller is foreign to us is the ego, so that a planner can take its place.
* Where the catalog of an entity is not beside the scenario, but its name says what it holds, the entity has the usual
  size of its kind, and a note says so.

Source: ASAM OpenSCENARIO XML 1.3, 6.3.3 (vehicle coordinates), 7.3 (entities).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from carcloud.research.adapters.openscenario.catalogs import Catalogs
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.motion import KINDS, SIZES

_CATEGORIES = {
    "car": "car",
    "van": "car",
    "truck": "truck",
    "semitrailer": "truck",
    "trailer": "truck",
    "bus": "bus",
    "motorbike": "motorcycle",
    "bicycle": "bicycle",
    "train": "other",
    "tram": "other",
    "pedestrian": "pedestrian",
    "wheelchair": "pedestrian",
    "animal": "other",
}
_CATEGORY = {"Vehicle": "vehicleCategory", "Pedestrian": "pedestrianCategory"}
_OF_CATALOG = {"vehicle": "car", "pedestrian": "pedestrian", "misc": "static"}

OWN_KIND = "carcloud.kind"
"""The property by which our own exports say a kind that the standard has no word for."""
USUAL_CENTRE_M = 1.4
"""From a car's rear axle to its middle, where its catalog is missing."""


@dataclass(frozen=True)
class Entity:
    """Who takes part.

    Args:
        kind: one of motion.KINDS.
        length, width, height: of its box, metres.
        centre: from its reference point to the middle of its box, metres, in its own frame.
        driven: whether a controller from outside is to drive it.
        top_mps: the fastest it goes; None where it does not say.
    """

    name: str
    kind: str
    length: float
    width: float
    height: float
    centre: tuple[float, float, float]
    driven: bool
    top_mps: float | None


def read_entities(root: Node, catalogs: Catalogs, notes: list[str]) -> Iterator[Entity]:
    """Yield the entities of a scenario, in its order.

    Raises:
        InputError: one has no size, or its catalog has no such entry.
    """
    for one in root.child("Entities").children("ScenarioObject"):
        yield _entity(one, catalogs, notes)


def selections(root: Node) -> dict[str, tuple[str, ...]]:
    """Return the members of each EntitySelection; one by type is refused."""
    found = {}
    for one in root.child("Entities").children("EntitySelection"):
        members = one.child("Members")
        for member in members.children():
            if member.tag != "EntityRef":
                member.unsupported()
        found[one.text("name")] = tuple(member.text("entityRef") for member in members.children("EntityRef"))
    return found


def _entity(node: Node, catalogs: Catalogs, notes: list[str]) -> Entity:
    name = node.text("name")
    what = next(node.children("Vehicle", "Pedestrian", "MiscObject", "CatalogReference"), None)
    if what is None:
        node.refuse("is neither a vehicle, a pedestrian nor a thing", "Say what it is.")
    if what.tag == "CatalogReference" and not catalogs.has(what.text("catalogName")):
        return _usual(name, what, node, notes)
    what = catalogs.resolved(what)
    size, centre = what.child("BoundingBox", "Dimensions"), what.child("BoundingBox", "Center")
    limits = what.find("Performance")
    return Entity(
        name=name,
        kind=_kind(what),
        length=size.number("length"),
        width=size.number("width"),
        height=size.number("height"),
        centre=(centre.number("x"), centre.number("y"), centre.number("z")),
        driven=_driven(node) or _property(what, "type") == "ego_vehicle",
        top_mps=limits.number("maxSpeed") if limits is not None else None,
    )


def _usual(name: str, reference: Node, node: Node, notes: list[str]) -> Entity:
    catalog, entry = reference.text("catalogName"), reference.text("entryName")
    kind = next((kind for word, kind in _OF_CATALOG.items() if word in catalog.lower()), None)
    if kind is None:
        catalogs_missing = f"names the catalog {catalog[:60]!r}, which is not in the scenario's folder"
        reference.refuse(catalogs_missing, "Put the catalog's folder beside the scenario.")
    length, width, height = SIZES[kind]
    notes.append(f"size assumed: {name} ({catalog[:60]}/{entry[:60]} is not beside the scenario)")
    centre = (USUAL_CENTRE_M if kind == "car" else 0.0, 0.0, height / 2)
    return Entity(name, kind, length, width, height, centre, _driven(node), None)


def _kind(what: Node) -> str:
    told = _property(what, OWN_KIND)
    if told in KINDS:
        return told
    if what.tag == "MiscObject":
        return "static"
    if what.tag not in _CATEGORY:
        what.refuse("is no vehicle, pedestrian or thing", "Name an entry of another catalog.")
    return _CATEGORIES.get(what.text(_CATEGORY[what.tag], "car" if what.tag == "Vehicle" else "pedestrian"), "other")


def _driven(node: Node) -> bool:
    return any(
        True for one in node.children("ObjectController") for _ in one.children("Controller", "CatalogReference")
    )


def _property(what: Node, name: str) -> str | None:
    section = what.find("Properties")
    for one in section.children("Property") if section is not None else ():
        if one.text("name") == name:
            return one.text("value")
    return None
