"""Courses: what an action does to one body, step by step.

Rules:
* A body has one course lengthwise and one sideways. A trajectory is sideways, and with times also lengthwise.
* A course that is replaced or stopped lets go of its body as it is.
"""

from __future__ import annotations

from carcloud.research.adapters.openscenario.bodies import Body


class Course:
    """What moves one body for a while."""

    lengthwise = False
    sideways = False

    def __init__(self, body: Body) -> None:
        self.body = body
        self.done = False
        self.stopped = False

    def begin(self) -> None:
        """Take hold of the body; what is due at once is done at once."""

    def stop(self) -> None:
        """Let go of the body as it is."""
        self.stopped = not self.done
        self.done = True

    def drive(self, step_s: float) -> float:
        """Set the body's speed for the end of a step; return by how much it is put forward besides, metres."""
        return 0.0

    def steer(self, step_s: float, distance: float) -> bool:
        """Set where the body is across its lane after a distance; return whether the body was put in its place."""
        return False
