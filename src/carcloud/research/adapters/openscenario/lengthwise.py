"""Courses lengthwise: speeds, profiles, gaps to others, meeting another at a place.

Source: ASAM OpenSCENARIO XML 1.3, SpeedAction, SpeedProfileAction, LongitudinalDistanceAction, SynchronizeAction.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from carcloud.research.adapters.openscenario.bodies import Body
from carcloud.research.adapters.openscenario.courses import Course
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.shapes import Transition

NEAR_M = 0.05
NEAR_MPS = 0.05
SETTLING_S = 2.0
"""In what time a gap's error is to be worked off, where accelerations allow it."""
USUAL_MPS2 = 10.0
"""The acceleration of a constraint that names none."""


class SpeedCourse(Course):
    """Brings a body to a speed, which may follow another's.

    Args:
        wanted: the speed to reach, metres a second, as it is now.
        follows: whether it goes on to follow `wanted` when it has reached it.
    """

    lengthwise = True

    def __init__(self, body: Body, dynamics: Node, wanted: Callable[[], float], follows: bool) -> None:
        super().__init__(body)
        self._wanted, self._follows = wanted, follows
        self._from = body.speed
        self._transition = Transition(dynamics, wanted() - body.speed)
        self._passed = 0.0

    def begin(self) -> None:
        """Reach the speed at once where no time is given."""
        if self._transition.extent <= 0:
            self._reach(1.0)

    def drive(self, step_s: float) -> float:
        """Set the speed at the end of the step."""
        self._passed += abs(self.body.speed) * step_s if self._transition.by_distance else step_s
        if not self._transition.never:
            self._reach(self._transition.share(self._passed + 1e-9))
        return 0.0

    def _reach(self, share: float) -> None:
        self.body.speed = self._from + (self._wanted() - self._from) * share
        self.done = share >= 1 and not self._follows


class ProfileCourse(Course):
    """Takes a body through speeds at times, straight from one to the next."""

    lengthwise = True

    def __init__(self, body: Body, entries: list[tuple[float, float]], base: Callable[[], float]) -> None:
        super().__init__(body)
        self._times, self._speeds, self._base = [0.0], [body.speed - base()], base
        for time, speed in entries:
            self._times.append(self._times[-1] + time)
            self._speeds.append(speed)
        self._passed = 0.0

    def drive(self, step_s: float) -> float:
        """Set the speed at the end of the step."""
        self._passed += step_s
        at = 1
        while at < len(self._times) - 1 and self._times[at] <= self._passed:
            at += 1
        span = self._times[at] - self._times[at - 1]
        share = min(1.0, (self._passed + 1e-9 - self._times[at - 1]) / span) if span > 0 else 1.0
        self.body.speed = self._base() + self._speeds[at - 1] + share * (self._speeds[at] - self._speeds[at - 1])
        self.done = self._passed >= self._times[-1] - 1e-9
        return 0.0


class GapCourse(Course):
    """Keeps a body at a distance ahead of or behind another.

    Args:
        other: whom the distance is from.
        ahead: how far the body is from where it is to be, metres along its way, as it is now.
        limits: the most it accelerates, brakes (metres a second squared) and drives (metres a second); None where it
            may jump to its place.
        goes_on: whether it keeps the distance when it has reached it.
    """

    lengthwise = True

    def __init__(
        self,
        body: Body,
        other: Body,
        ahead: Callable[[], float],
        limits: tuple[float, float, float] | None,
        goes_on: bool,
    ) -> None:
        super().__init__(body)
        self._other, self._ahead, self._limits, self._goes_on = other, ahead, limits, goes_on

    def begin(self) -> None:
        """Jump to the place where nothing limits it."""
        if self._limits is None:
            self._jump()
            self.done = not self._goes_on

    def drive(self, step_s: float) -> float:
        """Set the speed at the end of the step, or jump."""
        missing = self._ahead()
        if math.isnan(missing):
            return 0.0
        if self._limits is None:
            self.body.speed = self._other.speed
            return missing
        up, down, top = self._limits
        closing = math.copysign(min(abs(missing) / SETTLING_S, math.sqrt(2 * min(up, down) * abs(missing))), missing)
        wanted = min(max(self._other.speed + closing, 0.0), top)
        change = min(max(wanted - self.body.speed, -down * step_s), up * step_s)
        self.body.speed += change
        near = abs(missing) < NEAR_M and abs(self.body.speed - self._other.speed) < NEAR_MPS
        self.done = near and not self._goes_on
        return 0.0

    def _jump(self) -> None:
        missing = self._ahead()
        if not math.isnan(missing):
            travelled = self.body.travelled
            self.body.advance(missing, 1.0)
            self.body.travelled = travelled


class MeetCourse(Course):
    """Brings a body to a place when another reaches one.

    Args:
        left: how far the body still has to go; metres.
        others_left: how far the other has.
        final: the speed to arrive with, metres a second; None where any will do.
        tolerance: how near is near enough: for the body, for the other, metres.
    """

    lengthwise = True

    def __init__(
        self,
        body: Body,
        other: Body,
        left: Callable[[], float],
        others_left: Callable[[], float],
        final: Callable[[], float] | None,
        tolerance: tuple[float, float],
    ) -> None:
        super().__init__(body)
        self._other, self._left, self._others_left = other, left, others_left
        self._final, self._tolerance = final, tolerance

    def drive(self, step_s: float) -> float:
        """Set the speed at the end of the step: one that is a parabola of time fits way, time and both speeds."""
        left, theirs = self._left(), self._others_left()
        if math.isnan(left) or math.isnan(theirs):
            return 0.0
        if left <= self._tolerance[0] + NEAR_M or theirs <= self._tolerance[1] + NEAR_M:
            if self._final is not None:
                self.body.speed = self._final()
            self.done = True
            return 0.0
        if self._other.speed <= NEAR_MPS:
            return 0.0
        time = max(theirs / self._other.speed, step_s)
        if self._final is None:
            self.body.speed = left / time
            return 0.0
        begin, end = self.body.speed, self._final()
        curve = 6 * ((begin + end) * time / 2 - left) / time**3
        rise = (end - begin - curve * time * time) / time
        self.body.speed = max(0.0, begin + rise * step_s + curve * step_s * step_s)
        return 0.0
