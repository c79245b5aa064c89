"""Courses sideways: lane changes, offsets within a lane, trajectories.

Source: ASAM OpenSCENARIO XML 1.3, LaneChangeAction, LaneOffsetAction, FollowTrajectoryAction.
"""

from __future__ import annotations

import math

from carcloud.research.adapters.openscenario.bodies import Body
from carcloud.research.adapters.openscenario.courses import Course
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.shapes import Transition, share, time_within
from carcloud.research.adapters.openscenario.trajectories import Pose, Trajectory


class AcrossCourse(Course):
    """Brings a body to an offset from the middle of a lane.

    Args:
        shape: how.
        extent: over which time, seconds, or distance, metres.
        by_distance: whether it is a distance.
        offset: metres along t.
        follows: whether it holds on to the body when it is there.
    """

    sideways = True

    def __init__(self, body: Body, shape: str, extent: float, by_distance: bool, offset: float, follows: bool) -> None:
        super().__init__(body)
        self._shape, self._extent, self._by_distance = shape, extent, by_distance
        self._from, self._to, self._follows = body.offset, offset, follows
        self._way, self._passed = body.way, 0.0

    def begin(self) -> None:
        """Be there at once where no time is given."""
        if self._extent <= 0:
            self.body.offset = self._to
            self.body.advance(0.0, 1.0)
            self.done = not self._follows

    def steer(self, step_s: float, distance: float) -> bool:
        """Set the offset after the step."""
        self._passed += abs(distance) if self._by_distance else step_s
        part = share(self._shape, (self._passed + 1e-9) / self._extent) if self._extent > 0 else 1.0
        sign = 1.0 if self.body.way == self._way else -1.0
        offset = sign * (self._from + (self._to - self._from) * part)
        self.body.sideways = (offset - self.body.offset) / step_s
        self.body.offset = offset
        self.done = part >= 1 and not self._follows
        return False

    def stop(self) -> None:
        """Leave the body in the lane it is over, with the offset it has there."""
        body = self.body
        if not self.done and body.road and not body.ended:
            t, lane = body.t, body.lane_now
            body.lane, body.offset = lane, t - body.ground.centre(body.road, body.s, lane)
        super().stop()


def lane_change(body: Body, dynamics: Node, lane: int, offset: float) -> AcrossCourse:
    """Return the course into another lane of the road that the body is on."""
    body.offset = body.t - body.ground.centre(body.road, body.s, lane)
    body.lane = lane
    transition = Transition(dynamics, offset - body.offset)
    return AcrossCourse(body, transition.shape, transition.extent, transition.by_distance, offset, follows=False)


def lane_offset(body: Body, shape: str, limit_mps2: float | None, offset: float, follows: bool) -> AcrossCourse:
    """Return the course to an offset within the body's lane, as fast as the acceleration across allows."""
    extent = 0.0 if limit_mps2 is None else time_within(shape, offset - body.offset, limit_mps2)
    return AcrossCourse(body, shape, extent, False, offset, follows)


class TrajectoryCourse(Course):
    """Takes a body along a trajectory.

    Args:
        clock: for a timed one: seconds on its clock at the beginning, and how many pass in a second.
        start: metres from its beginning, where the body joins it.
    """

    sideways = True

    def __init__(self, body: Body, line: Trajectory, clock: tuple[float, float] | None, start: float) -> None:
        super().__init__(body)
        self._line, self._along = line, start
        self.lengthwise = clock is not None
        self._clock, self._pace = clock if clock is not None else (0.0, 1.0)

    def begin(self) -> None:
        """Stand on the trajectory; who was nowhere is there now."""
        self.body.present = True
        self._put(self._pose(), keeps=not self.lengthwise)

    def steer(self, step_s: float, distance: float) -> bool:
        """Be where the trajectory says after the step."""
        before = self.body.x, self.body.y
        self._clock += step_s * self._pace
        self._along += distance
        self._put(self._pose(), keeps=not self.lengthwise)
        self.body.travelled += math.hypot(self.body.x - before[0], self.body.y - before[1])
        ended = self._clock >= self._line.times[-1] - 1e-9 if self.lengthwise else self._along >= self._line.length
        if ended:
            self._leave()
        return True

    def stop(self) -> None:
        """Go on by the default from where the body is."""
        if not self.done:
            super().stop()
            self._leave()

    def _pose(self) -> Pose:
        return self._line.at_time(self._clock + 1e-9) if self.lengthwise else self._line.at_distance(self._along)

    def _put(self, pose: Pose, keeps: bool) -> None:
        body = self.body
        body.x, body.y, body.z, body.heading = pose.x, pose.y, pose.z, math.remainder(pose.heading, 2 * math.pi)
        body.adrift = True
        if not keeps:
            waits = self._clock < self._line.times[0] - 1e-9
            body.speed = 0.0 if waits or math.isnan(pose.speed) else pose.speed * self._pace

    def _leave(self) -> None:
        self.done = True
        body = self.body
        if body.present:
            road = body.road
            body.stand_on(road, body.s, body.t if road else 0.0, body.lane)
