"""Worlds: what messages of ROS 2, Foxglove and JSON tell of an ego car and the objects around it, as a scenario.

Rules:
* All is brought into one frame, the root of the chain of transforms; objects of a frame that leads elsewhere are
  left out.
* The ego is what an odometry tells of; else the frame base_link where transforms lead to it; else fixes of a satellite
  receiver, in metres around the first. Its pose is taken for the box's middle, or for a place `ego_forward` metres
  behind it where the import says so: --parameter ego_forward=1.4.
* An object without a time of its own has its message's, and that without one the time at which it was logged.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.adapters.mcap.frames import Frames, Place, Turn, matrices
from carcloud.research.adapters.mcap.objects import Found
from carcloud.research.adapters.sightings import Seen, gather
from carcloud.research.places import to_local
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario, Series

LIMIT_ROWS = 5_000_000
EGO = "ego"
EGO_FRAMES = ("base_link", "base_footprint", "ego_vehicle")
SINCE_1970_US = 10**15

Numbers = NDArray[np.float64]


@dataclass
class Sightings:
    """What one topic told: rows of (time, frame, user) and of x y z, quaternion, vx vy."""

    users: dict[str, int] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[float] = field(default_factory=lambda: array("d"))
    unusable: int = 0

    def take(self, found: Found, logged_us: int) -> None:
        """Take in an object."""
        user = self.users.setdefault(found.name, len(self.seen))
        if user == len(self.seen):
            self.seen.append(Seen(found.name, found.kind, *found.size))
        if found.frame not in self.frames:
            self.frames.append(found.frame)
        at = logged_us if found.time_us is None else found.time_us
        self.rows.extend((at, self.frames.index(found.frame), user))
        self.numbers.extend((*found.position, *found.turn, *found.velocity))
        if len(self.rows) > 3 * LIMIT_ROWS:
            raise InputError(f"There are more than {LIMIT_ROWS} objects.", "Cut the file into shorter ones.")


@dataclass
class World:
    """All that a file told, but OSI."""

    frames: Frames = field(default_factory=Frames)
    topics: dict[str, Sightings] = field(default_factory=dict)
    ego: Sightings = field(default_factory=Sightings)
    fixes: list[tuple[int, float, float, float]] = field(default_factory=list)
    base_us: list[int] = field(default_factory=list)

    @property
    def unusable(self) -> dict[str, int]:
        """Return how many objects of each topic could not be used."""
        return {topic: one.unusable for topic, one in self.topics.items() if one.unusable}

    def odometry(self, found: Found, child: str, logged_us: int) -> None:
        """Take in the ego's pose, which also says where its frame lies."""
        self.ego.take(found, logged_us)
        at = logged_us if found.time_us is None else found.time_us
        self.frames.tell(found.frame, child, at, found.position, found.turn)

    def transform(self, parent: str, child: str, at: int, place: Place, turn: Turn, *, fixed: bool) -> None:
        """Take in a transform."""
        self.frames.tell(parent, child, at, place, turn, fixed=fixed)
        if child == EGO_FRAMES[0] and not fixed:
            self.base_us.append(at)

    def scenario(
        self, name: str, topic: str, forward: float, road: RoadMap | None, series: tuple[Series, ...]
    ) -> Scenario:
        """Return the scenario of one topic's objects and the ego; of the ego alone where the topic is empty.

        Raises:
            InputError: there is none.
        """
        objects = self.topics.get(topic, Sightings())
        seen, parts, origin = list(objects.seen), [], None
        ego, root, size = self._ego()
        if len(objects.rows):
            parts.append(self._placed(objects, root))
        if size:
            if not root and len(objects.rows):
                raise InputError(f"{topic!r} and the fixes have no frame in common.", "Record the ego's odometry too.")
            origin = None if root else (self.fixes[0][1], self.fixes[0][2])
            ego["x"], ego["y"] = _ahead(ego, forward)
            ego["who"] = np.full(size, len(seen), np.float64)
            seen.append(Seen(EGO))
            parts.append(ego)
        if not parts:
            raise InputError("Nobody is told of.", "Record the ego's odometry, or objects with ids.")
        told = {key: np.concatenate([one[key] for one in parts]) for key in parts[0]}
        who, times = told.pop("who").astype(np.int64), told.pop("time").astype(np.int64)
        gathered = gather(seen, who, times, told)
        begin = gathered.begin_us
        return Scenario(
            name=name,
            motion=gathered.motion,
            ego=gathered.track(EGO) if size else None,
            map=road,
            begin=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=begin) if begin >= SINCE_1970_US else None,
            origin=origin,
            series=series,
        )

    def _ego(self) -> tuple[dict[str, Numbers], str, int]:
        """Return the ego's columns, its root frame (empty for one of fixes), and how many rows there are."""
        if len(self.ego.rows):
            root = self.frames.root(self.ego.frames[0])
            return self._placed(self.ego, root), root, len(self.ego.rows) // 3
        if self.base_us:
            times = np.unique(np.array(self.base_us, np.int64))
            turns, places = self.frames.to_root(EGO_FRAMES[0], times)
            yaw = np.arctan2(turns[:, 1, 0], turns[:, 0, 0])
            return (
                _columns(times, places, yaw, np.full((len(times), 2), np.nan)),
                self.frames.root(EGO_FRAMES[0]),
                len(times),
            )
        if self.fixes:
            at, latitude, longitude, height = np.array(sorted(self.fixes)).T
            x, y = to_local(latitude, longitude, (self.fixes[0][1], self.fixes[0][2]))
            nothing = np.full((len(at), 2), np.nan)
            return _columns(at.astype(np.int64), np.column_stack([x, y, height]), nothing[:, 0], nothing), "", len(at)
        return {}, "", 0

    def _placed(self, told: Sightings, root: str) -> dict[str, Numbers]:
        rows = np.array(told.rows, np.int64).reshape(-1, 3)
        numbers = np.array(told.numbers, np.float64).reshape(-1, 9)
        places, yaw, speeds = numbers[:, :3].copy(), np.full(len(rows), np.nan), numbers[:, 7:].copy()
        turned = np.asarray(np.isfinite(numbers[:, 3:7]).all(axis=1), np.bool_)
        for code, frame in enumerate(told.frames):
            mine = np.flatnonzero(rows[:, 1] == code)
            if root and self.frames.root(frame) != root:
                places[mine] = np.nan
                continue
            turns, shifts = self.frames.to_root(frame, rows[mine, 0])
            places[mine] = np.einsum("nij,nj->ni", turns, places[mine]) + shifts
            own = turns @ matrices(numbers[mine, 3:7])
            yaw[mine] = np.where(turned[mine], np.arctan2(own[:, 1, 0], own[:, 0, 0]), np.nan)
            speeds[mine] = np.einsum("nij,nj->ni", turns[:, :2, :2], speeds[mine])
        found = _columns(rows[:, 0], places, yaw, speeds)
        found["who"] = rows[:, 2].astype(np.float64)
        return found


def _columns(times: NDArray[np.int64], places: Numbers, yaw: Numbers, speeds: Numbers) -> dict[str, Numbers]:
    x, y, z = places.T
    columns = {"x": x, "y": y, "z": z, "yaw": yaw, "vx": speeds[:, 0], "vy": speeds[:, 1]}
    return {"time": times.astype(np.float64), "who": np.zeros(len(times)), **columns}


def _ahead(ego: dict[str, Numbers], forward: float) -> tuple[Numbers, Numbers]:
    if not forward:
        return ego["x"], ego["y"]
    return ego["x"] + forward * np.cos(ego["yaw"]), ego["y"] + forward * np.sin(ego["yaw"])
