"""The ground: roads to drive on, by road, length along it and offset from it, and how they hang together.

Rules:
* Where a lane leads on is what the map says; of several ways the one that turns least comes first.
* Roads are flat.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import count

import numpy as np

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.adapters.opendrive.words import told
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.tracks import Track
from carcloud.research.roads import RoadMap

BESIDE_M = 2.0
"""How far beside its lanes a point still counts as on a road."""
LIMIT_SEARCH = 20_000
"""Roads and lanes looked at on one search for a way."""

Key = tuple[str, int, int]
"""Road, section, lane."""
_Search = tuple[float, int, str, int, tuple[tuple[str, int], ...]]
"""Metres gone, an order, road, way, and the roads until there."""


class Ground:
    """The roads of a scenario.

    Args:
        text: of an OpenDRIVE file; None for open ground.
    """

    def __init__(self, text: bytes | None) -> None:
        self.map: RoadMap | None = read_roads(text) if text is not None else None
        root = xml.parse_text(text, "The OpenDRIVE map") if text is not None else None
        self._tracks = {one.name: one for one in map(Track, root.findall("road"))} if root is not None else {}
        self._names: dict[Key, str] = {}
        self._keys: dict[str, Key] = {}
        for track in self._tracks.values():
            for at, stretch in enumerate(track.stretches):
                for number, element in stretch.lanes.items():
                    name = (told(element, "lane") or [f"{track.name}.{at}.{number}"])[0]
                    self._names[track.name, at, number], self._keys[name] = name, (track.name, at, number)
        self._cells = [(track, len(track.cells)) for track in self._tracks.values()]
        parts = [track.cells for track in self._tracks.values()]
        self._all = np.concatenate(parts) if parts else np.empty((0, 4))

    def has(self, road: str) -> bool:
        """Return whether there is such a road."""
        return road in self._tracks

    def length(self, road: str) -> float:
        """Return how long a road is, metres."""
        return self._tracks[road].length

    def pose(self, road: str, s: float, t: float) -> tuple[float, float, float, float]:
        """Return x, y, z in metres and the road's heading at a place on it."""
        x, y, heading, _ = self._tracks[road].at(s)
        return x - t * math.sin(heading), y + t * math.cos(heading), 0.0, heading

    def curvature(self, road: str, s: float) -> float:
        """Return how a road is bent, 1/metres, positive to the left."""
        return self._tracks[road].at(s)[3]

    def lanes_at(self, road: str, s: float) -> list[int]:
        """Return the lanes of a road at a length."""
        return list(self._tracks[road].edges(s))

    def centre(self, road: str, s: float, lane: int) -> float:
        """Return the t of a lane's middle, metres; that of the line between the sides for a lane that is not there."""
        edges = self._tracks[road].edges(s).get(lane)
        return (edges[0] + edges[1]) / 2 if edges is not None else self._tracks[road].middle(s)

    def lane_at(self, road: str, s: float, t: float) -> int:
        """Return the lane at an offset, or the one nearest to it; 0 where the road has none."""
        best, found = math.inf, 0
        for lane, (inner, outer) in self._tracks[road].edges(s).items():
            low, high = min(inner, outer), max(inner, outer)
            if high - low < 1e-6:
                continue
            apart = max(low - t, t - high, 0.0) + 1e-9 * abs(t - (low + high) / 2)
            if apart < best:
                best, found = apart, lane
        return found

    def outside(self, road: str, s: float, t: float) -> bool:
        """Return whether an offset lies beside all lanes of a road."""
        edges = self._tracks[road].edges(s).values()
        return all(not min(a, b) <= t <= max(a, b) for a, b in edges)

    def direction(self, road: str, lane: int) -> int:
        """Return +1 where a lane is driven along its road, -1 where against it."""
        return 1 if (lane < 0) != self._tracks[road].road.left_hand else -1

    def beside_lane(self, lane: int, steps: int) -> int:
        """Return the lane so many lanes further along t; the middle line is none."""
        wanted = lane + steps
        if steps and (lane < 0 <= wanted or wanted <= 0 < lane):
            wanted += 1 if steps > 0 else -1
        return wanted

    def kept_lane(self, road: str, begin: float, end: float, lane: int) -> int | None:
        """Return what a lane is called further along its road; None where it ends before."""
        track = self._tracks[road]
        at, last = track.stretch(begin), track.stretch(min(end, track.length))
        step = 1 if last >= at else -1
        while at != last:
            nexts = [key for key, _ in self._nexts((road, at, lane), step) if key[:2] == (road, at + step)]
            if nexts:
                lane = nexts[0][2]
            elif lane not in track.stretches[at + step].lanes:
                return None
            at += step
        return lane

    def onward(self, road: str, lane: int, end: int) -> list[tuple[str, int, int]]:
        """Return where a lane leads beyond an end of its road: roads, lanes, and +1 or -1 for the way along them.

        Args:
            end: +1 for the end where s is greatest, -1 for that where it is 0.
        """
        at = len(self._tracks[road].stretches) - 1 if end > 0 else 0
        found = [(key[0], key[2], way) for key, way in self._nexts((road, at, lane), end)]
        return sorted(found, key=self._turning)

    def _nexts(self, key: Key, way: int) -> list[tuple[Key, int]]:
        lane = self.map.by_name.get(self._names.get(key, "")) if self.map is not None else None
        if lane is None:
            return []
        driven = self.direction(key[0], key[2]) == way
        keys = [self._keys[name] for name in (lane.after if driven else lane.before) if name in self._keys]
        return [(one, self.direction(one[0], one[2]) * (1 if driven else -1)) for one in keys]

    def _turning(self, option: tuple[str, int, int]) -> tuple[float, str]:
        track = self._tracks[option[0]]
        turned = math.remainder(track.at(track.length)[2] - track.at(0.0)[2], 2 * math.pi)
        return abs(turned), option[0]

    def find(self, x: float, y: float) -> tuple[str, float, float] | None:
        """Return road, s and t of a point; None where it lies beside all roads."""
        if not len(self._all):
            return None
        ax, ay = self._all[:, 0], self._all[:, 1]
        dx, dy = self._all[:, 2] - ax, self._all[:, 3] - ay
        share = np.clip(((x - ax) * dx + (y - ay) * dy) / np.maximum(dx * dx + dy * dy, 1e-18), 0.0, 1.0)
        apart = (x - ax - share * dx) ** 2 + (y - ay - share * dy) ** 2
        best, found, first = math.inf, None, 0
        for track, cells in self._cells:
            cell = first + int(np.argmin(apart[first : first + cells]))
            s, t = self._refined(track, track.cell_s(cell - first, float(share[cell])), x, y)
            miss = self._miss(track, s, t, x, y)
            if miss < best:
                best, found = miss, (track.name, s, t)
            first += cells
        return found if best <= BESIDE_M else None

    def _refined(self, track: Track, s: float, x: float, y: float) -> tuple[float, float]:
        for _ in range(4):
            px, py, heading, bend = track.at(s)
            ahead = (x - px) * math.cos(heading) + (y - py) * math.sin(heading)
            t = (y - py) * math.cos(heading) - (x - px) * math.sin(heading)
            s = min(max(s + ahead / max(1 - bend * t, 0.2), 0.0), track.length)
            if abs(ahead) < 1e-9:
                break
        px, py, heading, _ = track.at(s)
        return s, (y - py) * math.cos(heading) - (x - px) * math.sin(heading)

    def _miss(self, track: Track, s: float, t: float, x: float, y: float) -> float:
        """Return how far a point lies beside a road's lanes, or its ends; within, barely more than 0."""
        px, py, heading, _ = track.at(s)
        beyond = abs((x - px) * math.cos(heading) + (y - py) * math.sin(heading))
        edges = [t for pair in track.edges(s).values() for t in pair]
        if not edges:
            return math.inf
        lane = self.lane_at(track.name, s, t)
        off = abs(t - self.centre(track.name, s, lane))
        return math.hypot(max(min(edges) - t, t - max(edges), 0.0), beyond) + 1e-3 * off

    def lane_like(self, road: str, lane: int, other: str, s: float, node: Node) -> int:
        """Return the lane of another road that a lane of a road leads to, or comes from."""
        for way in (1, -1):
            found = self._reached(road, lane, way, other)
            if found is not None:
                return found
        node.refuse("is measured from a lane that does not lead to this road")

    def _reached(self, road: str, lane: int, way: int, other: str) -> int | None:
        queue, seen = [(road, lane, way)], {(road, lane)}
        while queue and len(seen) < LIMIT_SEARCH:
            at, number, heads = queue.pop(0)
            if at == other and at != road:
                return number
            kept = self.kept_lane(
                at, 0.0 if heads > 0 else self.length(at), self.length(at) if heads > 0 else 0.0, number
            )
            for option in self.onward(at, kept, heads) if kept is not None else []:
                if option[:2] not in seen:
                    seen.add(option[:2])
                    queue.append(option)
        return None

    def travel(
        self, road: str, s: float, lane: int, distance: float, route: Sequence[tuple[str, int]]
    ) -> tuple[str, float, int, int]:
        """Return road, s, lane and way that far along the reference lines from a place.

        Raises:
            InputError: the road ends before.
        """
        way = 1 if distance >= 0 else -1
        left = abs(distance)
        for _ in range(LIMIT_SEARCH):
            room = self.length(road) - s if way > 0 else s
            if left <= room + 1e-9:
                end = min(max(s + way * left, 0.0), self.length(road))
                kept = self.kept_lane(road, s, end, lane)
                if kept is not None:
                    return road, end, kept, way
            kept = self.kept_lane(road, s, self.length(road) if way > 0 else 0.0, lane)
            options = self.onward(road, kept, way) if kept is not None else []
            if not options:
                break
            wanted = {name for name, _ in route}
            road, lane, way = next((one for one in options if one[0] in wanted), options[0])
            left -= room
            s = 0.0 if way > 0 else self.length(road)
        raise InputError(f"A place {distance:g} m along the road is asked for, and the road ends before.", "Move it.")

    def distance(
        self, road: str, s: float, lane: int, way: int, other: str, other_s: float,
        route: Sequence[tuple[str, int]], farthest: float,
    ) -> float:  # fmt: skip
        """Return how far it is to a place on another road, going one way, metres; NaN where no lane leads there."""
        order = count()
        room = self.length(road) - s if way > 0 else s
        queue = [(room, next(order), road, lane, s, way)]
        seen: set[tuple[str, int]] = set()
        while queue and len(seen) < LIMIT_SEARCH:
            gone, _, at, number, begin, heads = heapq.heappop(queue)
            if gone > farthest:
                break
            kept = self.kept_lane(at, begin, self.length(at) if heads > 0 else 0.0, number)
            for name, onto, ahead in self.onward(at, kept, heads) if kept is not None else []:
                if name == other:
                    return gone + (other_s if ahead > 0 else self.length(name) - other_s)
                if (name, onto) not in seen:
                    seen.add((name, onto))
                    first = 0.0 if ahead > 0 else self.length(name)
                    heapq.heappush(queue, (gone + self.length(name), next(order), name, onto, first, ahead))
        return math.nan

    def way(self, road: str, lane: int, other: str, node: Node) -> tuple[tuple[str, int], ...]:
        """Return the roads from a lane to another road, by lane changes where need be; the shortest way.

        Raises:
            InputError: there is none.
        """
        first = self.direction(road, lane) if lane else 1
        if road == other:
            return ((road, first),)
        order = count()
        queue: list[_Search] = [(0.0, next(order), road, first, ((road, first),))]
        seen: set[tuple[str, int]] = set()
        while queue and len(seen) < LIMIT_SEARCH:
            gone, _, at, heads, path = heapq.heappop(queue)
            if at == other:
                return path
            if (at, heads) in seen:
                continue
            seen.add((at, heads))
            end = self.length(at) if heads > 0 else 0.0
            for number in self.lanes_at(at, end):
                if self.direction(at, number) == heads:
                    for name, _, ahead in self.onward(at, number, heads):
                        further = gone + self.length(name)
                        heapq.heappush(queue, (further, next(order), name, ahead, (*path, (name, ahead))))
        node.refuse(f"asks for a way from road {road} to road {other}, and there is none")
