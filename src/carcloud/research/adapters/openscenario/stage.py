"""The stage: all that there is while a scenario is played."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise

from carcloud.research.adapters.openscenario.bodies import Body, Place
from carcloud.research.adapters.openscenario.catalogs import Catalogs
from carcloud.research.adapters.openscenario.courses import Course
from carcloud.research.adapters.openscenario.distances import along
from carcloud.research.adapters.openscenario.entities import Entity
from carcloud.research.adapters.openscenario.ground import Ground
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.positions import place_of

Route = tuple[tuple[str, int], ...]
"""Roads in the order of driving, each with +1 along its s or -1 against it."""


class Stage:
    """What is where at a time.

    Args:
        entities: who takes part.
        selections: groups of them by name.
        values: parameters by name, as text.
    """

    def __init__(
        self,
        entities: list[Entity],
        selections: Mapping[str, tuple[str, ...]],
        ground: Ground,
        catalogs: Catalogs,
        values: Mapping[str, str],
        step_s: float,
    ) -> None:
        self.ground, self.catalogs, self.step_s = ground, catalogs, step_s
        self.bodies = {one.name: Body(one, ground) for one in entities}
        self.parameters, self.variables = dict(values), dict[str, str]()
        self.driven = {one.name for one in entities if one.driven}
        self.time, self.ticks = 0.0, 0
        self.day: tuple[datetime, float, bool] | None = None
        self.notes: dict[str, None] = {}
        self.jumps = dict.fromkeys(self.bodies, 0)
        self._selections = selections
        self._lengthwise: dict[str, Course] = {}
        self._sideways: dict[str, Course] = {}

    def note(self, said: str) -> None:
        """Remember what the scenario's tags are to say."""
        self.notes[said] = None

    def body(self, name: str, node: Node) -> Body:
        """Return the body of an entity; an InputError that names the node where there is none."""
        return self.bodies[name] if name in self.bodies else node.refuse(f"names {name[:60]!r}, which is no entity")

    def named(self, name: str, node: Node) -> list[Body]:
        """Return the bodies that a reference means: one, or those of a selection."""
        members = self._selections.get(name, (name,))
        return [self.body(member, node) for member in members]

    def now(self) -> datetime | None:
        """Return the time of day of the scenario; None where it has none."""
        if self.day is None:
            return None
        moment, since, runs = self.day
        return moment + timedelta(seconds=self.time - since if runs else 0.0)

    def on_ground(self, x: float, y: float, z: float, heading: float) -> Place:
        """Return the place at a point, on the road that is there, if any."""
        found = self.ground.find(x, y)
        if found is None:
            return Place(x, y, z, heading)
        road, s, t = found
        return Place(x, y, z, heading, road, s, t, self.ground.lane_at(road, s, t))

    def put(self, body: Body, place: Place) -> None:
        """Put a body somewhere, away from where it was."""
        body.set_down(place)
        self.jumps[body.entity.name] += 1

    def take(self, course: Course) -> None:
        """Have a course move its body from now on, in place of those that did."""
        name = course.body.entity.name
        if course.lengthwise:
            self._replace(self._lengthwise, name, course)
        if course.sideways:
            self._replace(self._sideways, name, course)
        before = course.body.x, course.body.y
        course.begin()
        if math.dist(before, (course.body.x, course.body.y)) > 1e-6:
            self.jumps[name] += 1

    def _replace(self, courses: dict[str, Course], name: str, course: Course) -> None:
        old = courses.get(name)
        if old is not None and old is not course:
            old.stop()
            for others in (self._lengthwise, self._sideways):
                if others.get(name) is old:
                    del others[name]
        courses[name] = course

    def free(self, body: Body) -> None:
        """Stop whatever moves a body."""
        for courses in (self._lengthwise, self._sideways):
            course = courses.pop(body.entity.name, None)
            if course is not None:
                course.stop()

    def move(self) -> None:
        """Go on by one step."""
        self.ticks += 1
        self.time = self.ticks * self.step_s
        driven = [self._drive(name, body) for name, body in self.bodies.items() if body.present]
        for body in self.bodies.values():
            if body.ended:
                body.ended_s += self.step_s
        for body, before, distance in driven:
            self._move(body, before, distance)

    def _drive(self, name: str, body: Body) -> tuple[Body, float, float]:
        """Set a body's speed for the end of a step, while nobody has moved; return how far it goes, metres."""
        before = body.speed
        lengthwise = self._going(self._lengthwise, name)
        forward = lengthwise.drive(self.step_s) if lengthwise is not None else 0.0
        return body, before, (before + body.speed) / 2 * self.step_s + forward

    def _move(self, body: Body, before: float, distance: float) -> None:
        name = body.entity.name
        sideways = self._going(self._sideways, name)
        body.sideways = 0.0
        if sideways is None or not sideways.steer(self.step_s, distance):
            body.advance(distance, self.step_s)
        body.acceleration = (body.speed - before) / self.step_s
        body.still_s = body.still_s + self.step_s if abs(body.speed) < 0.01 else 0.0
        if body.strayed:
            self.note(f"left its route: {name} at {self.time:.1f} s")
            body.strayed = False
        if body.ended:
            self.note(f"left the roads: {name} at {self.time:.1f} s")

    def _going(self, courses: dict[str, Course], name: str) -> Course | None:
        course = courses.get(name)
        if course is not None and course.done:
            del courses[name]
            return None
        return course

    def left(self, body: Body, place: Place) -> float:
        """Return how far a body still has to go to a place, metres: along the roads where it can; 0 when it is past."""
        way = along(self.ground, body, place)
        if math.isnan(way):
            ahead = (place.x - body.x) * math.cos(body.heading) + (place.y - body.y) * math.sin(body.heading)
            return math.hypot(place.x - body.x, place.y - body.y) if ahead > 0 else 0.0
        return max(way, 0.0)

    def route_of(self, node: Node) -> Route:
        """Return the roads of a Route.

        Raises:
            InputError: there is no way from one of its points to the next.
        """
        route = self.catalogs.resolved(node)
        if route.tag != "Route":
            route.unsupported()
        places = [place_of(one.child("Position"), self) for one in route.children("Waypoint")]
        if len(places) < 2 or not all(place.road for place in places):
            route.refuse("has fewer than two points, or one that is on no road")
        roads: list[tuple[str, int]] = []
        for begin, end in pairwise(places):
            part = self.ground.way(begin.road, begin.lane, end.road, route)
            roads += part[1:] if roads and part and roads[-1] == part[0] else part
        return tuple(roads)

    def on_route(self, route: Route, along_m: float, node: Node) -> tuple[str, float]:
        """Return road and s that far along a route, from the beginning of its first road."""
        for road, way in route:
            length = self.ground.length(road)
            if along_m <= length:
                return road, along_m if way > 0 else length - along_m
            along_m -= length
        node.refuse("lies beyond the end of its route")
