"""Bodies: entities as they move, on a lane or off the roads.

Rules:
* A body that nothing else moves keeps its speed, and its lane with the offset it has in it; at a fork it follows its
  route, or else the lane that turns least. Where its road ends it has left the scene.
* Its speed is along its heading: moving sideways slows it along the lane.
* A body across its lane by more than ACROSS_RAD, or on no lane, moves straight ahead.

Source: ASAM OpenSCENARIO XML 1.3, 7.4 (default control strategy).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from carcloud.research.adapters.openscenario.entities import Entity
from carcloud.research.adapters.openscenario.ground import Ground

ACROSS_RAD = math.radians(60)
SLIP_RAD = math.radians(45)
"""The most that a heading leaves the lane's when a body moves sideways."""
LIMIT_FORKS = 200
"""Roads entered within one step."""


@dataclass
class Place:
    """Where something is.

    Args:
        x, y, z: metres.
        heading: radians.
        road: the road it is on; empty for none. s, t: along and across it, metres.
        lane: the lane it is in; 0 where it is in none.
    """

    x: float
    y: float
    z: float
    heading: float
    road: str = ""
    s: float = 0.0
    t: float = 0.0
    lane: int = 0


@dataclass
class Body:
    """An entity on its way; a Place for its reference point, and how it moves.

    Args:
        offset: from the middle of its lane, metres along t.
        on: the road it was last known on; `road` looks where it is now.
        way: +1 where it moves along its road's s, -1 against it, 0 where it moves straight ahead.
        adrift: whether it was moved without its road, s and lane being looked up.
        strayed: whether it left its route.
        sideways: how fast the offset changes, metres a second.
        route: the roads it is to take, in order; empty for none.
    """

    entity: Entity
    ground: Ground
    x: float = math.nan
    y: float = math.nan
    z: float = 0.0
    heading: float = 0.0
    speed: float = 0.0
    acceleration: float = 0.0
    on: str = ""
    s: float = 0.0
    lane: int = 0
    offset: float = 0.0
    way: int = 0
    adrift: bool = False
    strayed: bool = False
    sideways: float = 0.0
    slip: float = 0.0
    present: bool = False
    ended: bool = False
    ended_s: float = 0.0
    still_s: float = 0.0
    travelled: float = 0.0
    route: tuple[tuple[str, int], ...] = field(default=())

    @property
    def road(self) -> str:
        """Return the road it is on; empty for none."""
        if self.adrift:
            self._find_again()
        return self.on

    @property
    def t(self) -> float:
        """Return how far left of its road's reference line it is, metres."""
        return self.ground.centre(self.road, self.s, self.lane) + self.offset

    @property
    def lane_now(self) -> int:
        """Return the lane that it is over: while it changes lanes, not yet the one it goes to."""
        return self.ground.lane_at(self.road, self.s, self.t) if self.road else 0

    def middle(self) -> tuple[float, float]:
        """Return x and y of the middle of its box, metres."""
        forward, left, _ = self.entity.centre
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return self.x + forward * cos - left * sin, self.y + forward * sin + left * cos

    def corners(self) -> list[tuple[float, float]]:
        """Return x and y of the four corners of its box, metres."""
        x, y = self.middle()
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        ahead, aside = self.entity.length / 2, self.entity.width / 2
        signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
        return [(x + a * ahead * cos - b * aside * sin, y + a * ahead * sin + b * aside * cos) for a, b in signs]

    def set_down(self, place: Place) -> None:
        """Put it somewhere; it is there from now on."""
        self.x, self.y, self.z, self.heading = place.x, place.y, place.z, place.heading
        self.present, self.ended, self.sideways, self.slip = True, False, 0.0, 0.0
        self.stand_on(place.road, place.s, place.t, place.lane)

    def stand_on(self, road: str, s: float, t: float, lane: int) -> None:
        """Say which road it is on; an empty one for none."""
        self.on, self.s, self.lane, self.way, self.offset, self.adrift = road, s, lane, 0, 0.0, False
        if not road:
            return
        if lane == 0:
            self.lane = lane = self.ground.lane_at(road, s, t)
        self.offset = t - self.ground.centre(road, s, lane)
        across = _turned(self.heading - self.ground.pose(road, s, t)[3])
        if abs(across) <= ACROSS_RAD:
            self.way, self.slip = 1, across
        elif abs(across) >= math.pi - ACROSS_RAD:
            self.way, self.slip = -1, _turned(across - math.pi)

    def advance(self, distance: float, step_s: float) -> None:
        """Move it on by a distance along its heading, metres."""
        self.travelled += abs(distance)
        if self.way == 0:
            self.x += distance * math.cos(self.heading)
            self.y += distance * math.sin(self.heading)
            self.adrift = True
            return
        aside = self.sideways * step_s
        along = math.copysign(math.sqrt(max(distance * distance - aside * aside, 0.0)), distance)
        self._along_road(along)
        if not self.ended:
            self._look_ahead(distance, aside)

    def _along_road(self, along: float) -> None:
        for _ in range(LIMIT_FORKS):
            bend = 1 - self.ground.curvature(self.road, self.s) * self.t
            s = self.s + self.way * along / max(bend, 0.1)
            length = self.ground.length(self.road)
            if 0 <= s <= length:
                lane = self.ground.kept_lane(self.road, self.s, s, self.lane)
                if lane is None:
                    self._end()
                else:
                    self.s, self.lane = s, lane
                return
            beyond = (s - length if s > length else -s) * max(bend, 0.1)
            heads = 1 if s > length else -1
            if not self._enter_next(heads, math.copysign(beyond, along)):
                return
            along = math.copysign(beyond, along)
        self._end()

    def _enter_next(self, end: int, beyond: float) -> bool:
        lane = self.ground.kept_lane(self.road, self.s, self.ground.length(self.road) if end > 0 else 0.0, self.lane)
        options = self.ground.onward(self.road, lane, end) if lane is not None else []
        chosen = self._chosen(options)
        if chosen is None:
            self._end()
            return False
        roads = [road for road, _ in self.route]
        self.strayed = self.road in roads[:-1] and chosen[0] not in roads
        self.on, self.lane, way = chosen
        # Driving backwards out of a road's end keeps the car's way along its heading.
        driven = way if beyond >= 0 else -way
        turned = driven != self.way
        self.way = driven
        self.s = 0.0 if way > 0 else self.ground.length(self.road)
        if turned:
            self.offset, self.sideways = -self.offset, -self.sideways
        return True

    def _chosen(self, options: list[tuple[str, int, int]]) -> tuple[str, int, int] | None:
        wanted = {road for road, _ in self.route}
        for option in options:
            if option[0] in wanted:
                return option
        return options[0] if options else None

    def _look_ahead(self, distance: float, aside: float) -> None:
        self.x, self.y, _, along = self.ground.pose(self.on, self.s, self.t)
        if abs(distance) > 1e-9:
            slip = math.asin(max(-1.0, min(1.0, aside / abs(distance))))
            self.slip = max(-SLIP_RAD, min(SLIP_RAD, slip)) * self.way
            if distance < 0:
                self.slip = -self.slip
        self.heading = _turned(along + (0.0 if self.way > 0 else math.pi) + self.slip)

    def _find_again(self) -> None:
        self.adrift = False
        found = self.ground.find(self.x, self.y)
        self.on, self.s, t = found if found is not None else ("", 0.0, 0.0)
        self.lane = self.ground.lane_at(self.on, self.s, t) if self.on else 0
        self.offset = t - self.ground.centre(self.on, self.s, self.lane) if self.on else 0.0

    def _end(self) -> None:
        self.ended, self.present = True, False


def _turned(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)
