"""A small road network for the simulated fleet: a town's grid, a ring road, arterials between them, a charging park.

Rules:
* Positions are metres east and north of the town's centre; they become latitude and longitude on a local plane.
* Every road has two directions, each a directed edge with its own line.
* A junction with lights lets north-south and east-west go in turn.

The network is invented; it lies near Anting, Shanghai, where real roads differ.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

ORIGIN_LATITUDE, ORIGIN_LONGITUDE = 31.2860, 121.1610
METRES_PER_DEGREE = 111_320.0
GRID, BLOCK_M = 5, 220.0
RING_M, RING_PARTS = 2_000.0, 16
TOWN_KMH, ARTERIAL_KMH, RING_KMH, PARK_KMH = 40.0, 60.0, 80.0, 20.0
CYCLE_S, AMBER_S = 40.0, 4.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """One direction of a road, from node to node along a line."""

    start: str
    end: str
    line: tuple[Point, ...]
    limit_kmh: float
    kind: str

    @cached_property
    def marks_m(self) -> list[float]:
        """Return how far along the edge each point of its line is."""
        return [0.0, *accumulate(math.dist(a, b) for a, b in pairwise(self.line))]

    @property
    def length_m(self) -> float:
        """Return the length."""
        return self.marks_m[-1]

    def at(self, along_m: float) -> tuple[float, float, float]:
        """Return (east m, north m, heading in degrees clockwise from north) at a place along the edge."""
        part = min(max(bisect_right(self.marks_m, along_m) - 1, 0), len(self.line) - 2)
        (x, y), (x2, y2) = self.line[part], self.line[part + 1]
        share = (along_m - self.marks_m[part]) / (self.marks_m[part + 1] - self.marks_m[part])
        return x + share * (x2 - x), y + share * (y2 - y), math.degrees(math.atan2(x2 - x, y2 - y)) % 360

    @property
    def last_heading(self) -> float:
        """Return the heading at the end, in degrees."""
        return self.at(self.length_m)[2]


def turn(from_deg: float, to_deg: float) -> float:
    """Return the angle between two headings in degrees, −180 to 180, positive to the right."""
    return (to_deg - from_deg + 180) % 360 - 180


@dataclass(frozen=True)
class Roads:
    """The network: nodes, edges by the node they leave, and the junctions with lights."""

    nodes: dict[str, Point]
    leaving: dict[str, list[Edge]]
    lights: dict[str, float] = field(default_factory=dict)  # node → offset of its cycle, s
    park: str = "park"

    def route(self, start: str, end: str, free_of: Edge | None = None) -> list[Edge]:
        """Return the quickest way, without turning round where it begins after `free_of`."""
        back = (free_of.end, free_of.start) if free_of else None
        best: dict[str, float] = {start: 0.0}
        came: dict[str, Edge] = {}
        line = [(0.0, start)]
        while line:
            cost, node = heapq.heappop(line)
            if node == end:
                break
            for edge in self.leaving[node]:
                if (edge.start, edge.end) == back and len(self.leaving[node]) > 1:
                    continue
                total = cost + edge.length_m / (edge.limit_kmh / 3.6) + (5.0 if edge.end in self.lights else 0.0)
                if total < best.get(edge.end, math.inf):
                    best[edge.end], came[edge.end] = total, edge
                    heapq.heappush(line, (total, edge.end))
        way: list[Edge] = []
        while end != start:
            way.append(came[end])
            end = came[end].start
        return way[::-1]

    def is_green(self, edge: Edge, clock_s: float) -> bool:
        """Say whether a car at the end of this edge may go on."""
        offset = self.lights.get(edge.end)
        if offset is None:
            return True
        phase = (clock_s + offset) % CYCLE_S
        along_north = abs(math.cos(math.radians(edge.last_heading))) > math.sqrt(0.5)
        begin = 0.0 if along_north else CYCLE_S / 2
        return begin <= phase < begin + CYCLE_S / 2 - AMBER_S

    def geojson(self) -> dict[str, Any]:
        """Return the network as GeoJSON: a line a road with its kind and limit, a point for the charging park."""
        features = [
            _feature(
                "LineString", [list(place(*point)) for point in edge.line], kind=edge.kind, limit_kmh=edge.limit_kmh
            )
            for edges in self.leaving.values()
            for edge in edges
            if edge.start < edge.end
        ]
        features.append(_feature("Point", list(place(*self.nodes[self.park])), kind="charging", name="Charging park"))
        return {"type": "FeatureCollection", "features": features}


def _feature(shape: str, coordinates: list[Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": shape, "coordinates": coordinates}, "properties": properties}


def place(east_m: float, north_m: float) -> tuple[float, float]:
    """Return (longitude, latitude) in degrees, to 0.1 m."""
    latitude = ORIGIN_LATITUDE + north_m / METRES_PER_DEGREE
    longitude = ORIGIN_LONGITUDE + east_m / (METRES_PER_DEGREE * math.cos(math.radians(ORIGIN_LATITUDE)))
    return round(longitude, 6), round(latitude, 6)


def altitude_m(east_m: float, north_m: float) -> float:
    """Return the height of the gently rolling ground."""
    return 12.0 + 9.0 * math.sin(east_m / 700.0) * math.cos(north_m / 900.0)


class _Builder:
    def __init__(self) -> None:
        self.nodes: dict[str, Point] = {}
        self.leaving: dict[str, list[Edge]] = {}

    def node(self, name: str, east_m: float, north_m: float) -> None:
        self.nodes[name] = (east_m, north_m)
        self.leaving[name] = []

    def road(self, a: str, b: str, kind: str, limit_kmh: float, between: tuple[Point, ...] = ()) -> None:
        line = (self.nodes[a], *between, self.nodes[b])
        self.leaving[a].append(Edge(a, b, line, limit_kmh, kind))
        self.leaving[b].append(Edge(b, a, line[::-1], limit_kmh, kind))


def build() -> Roads:
    """Return the network. It is the same every time."""
    builder = _Builder()
    _town(builder)
    _ring(builder)
    _arterials(builder)
    crossings = [name for name, edges in builder.leaving.items() if len(edges) > 2 and not name.startswith("halt")]
    lights = {name: (index * 7.0) % CYCLE_S for index, name in enumerate(crossings)}
    return Roads(builder.nodes, builder.leaving, lights)


def _town(builder: _Builder) -> None:
    half = (GRID - 1) / 2
    for column in range(GRID):
        for row in range(GRID):
            builder.node(f"town {column}.{row}", (column - half) * BLOCK_M, (row - half) * BLOCK_M)
    for column in range(GRID):
        for row in range(GRID):
            if column + 1 < GRID:
                builder.road(f"town {column}.{row}", f"town {column + 1}.{row}", "street", TOWN_KMH)
            if row + 1 < GRID:
                builder.road(f"town {column}.{row}", f"town {column}.{row + 1}", "street", TOWN_KMH)


def _ring(builder: _Builder) -> None:
    def at(angle: float) -> Point:
        return RING_M * math.sin(angle), RING_M * math.cos(angle)

    step = 2 * math.pi / RING_PARTS
    for part in range(RING_PARTS):
        builder.node(f"ring {part:02}", *at(part * step))
    for part in range(RING_PARTS):
        between = tuple(at((part + share / 10) * step) for share in range(1, 10))
        builder.road(f"ring {part:02}", f"ring {(part + 1) % RING_PARTS:02}", "ring", RING_KMH, between)


def _arterials(builder: _Builder) -> None:
    middle, last, quarter = GRID // 2, GRID - 1, RING_PARTS // 4
    gates = {0: f"town {middle}.{last}", 1: f"town {last}.{middle}", 2: f"town {middle}.0", 3: f"town 0.{middle}"}
    for side, gate in gates.items():
        x, y = builder.nodes[gate]
        far = f"ring {side * quarter:02}"
        x2, y2 = builder.nodes[far]
        builder.node(f"halt {side}", (x + x2) / 2, (y + y2) / 2)
        builder.road(gate, f"halt {side}", "arterial", ARTERIAL_KMH)
        builder.road(f"halt {side}", far, "arterial", ARTERIAL_KMH)
    x, y = builder.nodes["halt 1"]
    builder.node("park", x, y - 160.0)
    builder.road("halt 1", "park", "access", PARK_KMH, ((x + 8, y - 80.0),))
