"""Ground truth: what messages of OSI tell one after another, as one scenario.

Rules:
* Positions are those of the box's middle, as OSI has it; nothing is moved.
* A host vehicle that is named becomes the ego. Stationary objects are road users of the kind `static`, seen at every
  step once they were told of: OSI lets a trace leave them out after the first message.
* Lanes come from the last message that has some; a map in OpenDRIVE beside them goes before them.
* A time beyond the year 2001 is taken for one since 1970, an earlier one for one since the beginning of a simulation.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_PLACES, LIMIT_USERS
from carcloud.research.adapters.osi.kinds import SOURCE, kind_of
from carcloud.research.adapters.osi.lanes import read_lanes
from carcloud.research.adapters.sightings import Gathered, Seen, gather
from carcloud.research.motion import KINDS
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario, Series

SINCE_1970_US = 10**15
COLUMNS = ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay")


@dataclass
class Truths:
    """What was told so far.

    Args:
        rising: whether times must rise from message to message, as in a trace file.
    """

    rising: bool = True
    users: dict[tuple[str, int], int] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    who: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in COLUMNS})
    still: dict[int, tuple[float, ...]] = field(default_factory=dict)
    told_us: list[int] = field(default_factory=list)
    host: int | None = None
    lanes: RoadMap | None = None
    projection: str = ""

    def take(self, truth: Any) -> None:
        """Take in one GroundTruth message.

        Raises:
            InputError: it does not follow the last one.
        """
        at = int(truth.timestamp.seconds) * 1_000_000 + round(truth.timestamp.nanos / 1000)
        if self.rising and self.told_us and at <= self.told_us[-1]:
            last, number = self.told_us[-1], len(self.told_us) + 1
            what = f"Message {number} is of {at / 1e6:.6f} s, the one before of {last / 1e6:.6f} s."
            raise InputError(what, "The times of a trace must rise.")
        self.told_us.append(at)
        if truth.HasField("host_vehicle_id"):
            self.host = truth.host_vehicle_id.value
        if truth.lane:
            self.lanes = read_lanes(truth) or self.lanes
        self.projection = truth.proj_string or self.projection
        for moving in truth.moving_object:
            self._see("moving", moving.id.value, moving, at)
        for still in truth.stationary_object:
            self._stand(still)
        if len(self.who) > LIMIT_PLACES or len(self.seen) > LIMIT_USERS:
            most = f"{LIMIT_USERS} road users or {LIMIT_PLACES} places"
            raise InputError(f"It has more than {most}.", "Cut it into shorter ones.")

    def _see(self, sort: str, id_: int, moving: Any, at: int) -> None:
        user = self.users.setdefault((sort, id_), len(self.seen))
        if user == len(self.seen):
            self.seen.append(_seen(moving, kind_of(moving)))
        self.who.append(user)
        self.times.append(at)
        base = moving.base
        speeds = (base.velocity.x, base.velocity.y) if base.HasField("velocity") else (np.nan, np.nan)
        changes = (base.acceleration.x, base.acceleration.y) if base.HasField("acceleration") else (np.nan, np.nan)
        for name, value in zip(COLUMNS, (*_pose(base), *speeds, *changes), strict=True):
            self.columns[name].append(value)

    def _stand(self, still: Any) -> None:
        user = self.users.setdefault(("still", still.id.value), len(self.seen))
        if user == len(self.seen):
            self.seen.append(_seen(still, "static"))
        self.still.setdefault(user, (*_pose(still.base), 0.0, 0.0, 0.0, 0.0))

    def gathered(self) -> Gathered:
        """Return the motion of all that was told.

        Raises:
            InputError: nobody was told of, or something that cannot be.
        """
        who, times = np.array(self.who, np.int64), np.array(self.times, np.int64)
        columns = {name: np.array(numbers, np.float64) for name, numbers in self.columns.items()}
        if self.still:
            steps = np.unique(np.array(self.told_us, np.int64))
            if len(self.still) * len(steps) + len(who) > LIMIT_PLACES:
                raise InputError(
                    f"It has {len(self.still)} objects over {len(steps)} steps.", "Cut it into shorter ones."
                )
            who = np.r_[who, np.repeat(np.array(list(self.still), np.int64), len(steps))]
            times = np.r_[times, np.tile(steps, len(self.still))]
            for name, numbers in zip(COLUMNS, zip(*self.still.values(), strict=True), strict=True):
                columns[name] = np.r_[columns[name], np.repeat(np.array(numbers), len(steps))]
        order = [user for _, user in sorted(self.users.items())]
        place = np.argsort(order)
        return gather([self.seen[user] for user in order], place[who], times, columns, self.told_us)

    def scenario(
        self, name: str, map_: RoadMap | None = None, ego: str = "", series: tuple[Series, ...] = ()
    ) -> Scenario:
        """Return the scenario.

        Args:
            map_: a map from beside it; the lanes that were told where there is none.
            ego: the name of the road user that is the ego; the host vehicle where empty.

        Raises:
            InputError: there is none.
        """
        gathered = self.gathered()
        since_1970 = gathered.begin_us >= SINCE_1970_US
        begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=gathered.begin_us) if since_1970 else None
        return Scenario(
            name=name,
            motion=gathered.motion,
            ego=self._ego(gathered, ego),
            map=map_ or self.lanes,
            begin=begin,
            origin=origin_of(self.projection),
            series=series,
        )

    def _ego(self, gathered: Gathered, name: str) -> int | None:
        if name:
            track = gathered.track(name)
            if track is None:
                known = ", ".join(user.name for user in gathered.motion.users[:20])
                raise InputError(f"There is no road user {name!r} to be the ego.", f"There are {known}.")
            return track
        if self.host is None or ("moving", self.host) not in self.users:
            return None
        return gathered.track(self.seen[self.users["moving", self.host]].name)


def _seen(thing: Any, kind: str) -> Seen:
    name, size = str(thing.id.value), thing.base.dimension
    for source in thing.source_reference:
        if source.type == SOURCE and len(source.identifier) == 2 and source.identifier[1] in KINDS:
            name, kind = source.identifier
    return Seen(name, kind, size.length, size.width, size.height)


def _pose(base: Any) -> tuple[float, float, float, float]:
    if not base.HasField("position"):
        return np.nan, np.nan, np.nan, np.nan
    yaw = base.orientation.yaw if base.HasField("orientation") else np.nan
    return base.position.x, base.position.y, base.position.z, yaw


def origin_of(projection: str) -> tuple[float, float] | None:
    """Return latitude and longitude of a frame's origin; None where the projection does not begin there.

    Only a projection whose middle is the origin says it: transverse Mercator and its like without offsets.
    """
    parts = dict(part[1:].partition("=")[::2] for part in projection.split() if part.startswith("+"))
    if parts.get("proj") not in ("tmerc", "etmerc", "stere", "sterea", "ortho", "aeqd", "laea"):
        return None
    try:
        if float(parts.get("x_0", 0)) or float(parts.get("y_0", 0)):
            return None
        latitude, longitude = float(parts["lat_0"]), float(parts["lon_0"])
    except (KeyError, ValueError):
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
