"""The elements of a storyboard: stories, acts, groups, maneuvers, events and actions, and the states they are in.

Rules:
* An element waits (standbyState), runs (runningState) or is over (completeState).
* An event that overrides ends all others that run in its maneuver; one that skips does nothing while another runs.
* What has no trigger begins with what it is in.

Source: ASAM OpenSCENARIO XML 1.3, 8.3 and 8.4 (states and execution of storyboard elements).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario import actions
from carcloud.research.adapters.openscenario.conditions import Trigger
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.parameters import declared

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.bodies import Body
    from carcloud.research.adapters.openscenario.courses import Course
    from carcloud.research.adapters.openscenario.storyboard import Storyboard


class Element:
    """One element of the storyboard, with what is in it."""

    kind = ""

    def __init__(self, node: Node, board: Storyboard, path: str) -> None:
        self.node, self.board = node, board
        self.path = f"{path}::{node.text('name', '')}"
        self.parts: list[Element] = []
        self.state = "standbyState"
        self.seen: dict[str, int] = {}
        board.add(self)

    @property
    def running(self) -> bool:
        """Return whether it runs."""
        return self.state == "runningState"

    @property
    def over(self) -> bool:
        """Return whether it is over."""
        return self.state == "completeState"

    def reach(self, state: str, transition: str = "") -> None:
        """Go into a state by a transition."""
        self.state = state
        if transition:
            self.seen[transition] = self.board.round

    def start(self) -> None:
        """Run."""
        self.reach("runningState", "startTransition")
        for part in self.parts:
            part.reset()
            part.start()

    def reset(self) -> None:
        """Wait anew."""
        self.reach("standbyState")
        for part in self.parts:
            part.reset()

    def stop(self) -> None:
        """Be over, with all that is in it."""
        for part in self.parts:
            part.stop()
        if not self.over:
            self.reach("completeState", "stopTransition")

    def settle(self) -> None:
        """End what has ended by itself."""
        for part in self.parts:
            part.settle()
        if self.running and all(part.over for part in self.parts):
            self.end()

    def end(self) -> None:
        """Be over in the regular way."""
        self.reach("completeState", "endTransition")

    def ask(self) -> None:
        """Ask the triggers in it, and begin what they call for."""
        if self.running:
            for part in self.parts:
                part.ask()


class Story(Element):
    """A Story: it runs from the beginning."""

    kind = "Story"

    def __init__(self, node: Node, board: Storyboard) -> None:
        super().__init__(node, board, "")
        scope = node.with_values(declared(node, {}, node.values))
        self.parts = [Act(one, board, self.path) for one in scope.children("Act")]

    def start(self) -> None:
        """Run; its acts wait for their triggers."""
        self.reach("runningState", "startTransition")


class Act(Element):
    """An Act: from its start trigger to its stop trigger, or until all in it is over."""

    kind = "Act"

    def __init__(self, node: Node, board: Storyboard, path: str) -> None:
        super().__init__(node, board, path)
        self.parts = [Group(one, board, self.path) for one in node.children("ManeuverGroup")]
        self._begins = Trigger(node.find("StartTrigger"), board.stage, board, empty=True)
        self._ends = Trigger(node.find("StopTrigger"), board.stage, board, empty=False)

    def ask(self) -> None:
        """Start, stop or go on."""
        if self.over:
            return
        stops = self._ends.true()
        if not self.running and self._begins.true():
            self.start()
        if stops and self.running:
            self.stop()
        super().ask()


class Group(Element):
    """A ManeuverGroup: its maneuvers, as often as it says, done by its actors."""

    kind = "ManeuverGroup"

    def __init__(self, node: Node, board: Storyboard, path: str) -> None:
        super().__init__(node, board, path)
        who = node.child("Actors")
        if who.flag("selectTriggeringEntities", False):
            who.refuse("chooses whoever triggers it, which is not supported", "Name the actors.")
        self.actors = [
            body for one in who.children("EntityRef") for body in board.stage.named(one.text("entityRef"), one)
        ]
        self._times, self._done = node.integer("maximumExecutionCount", 1), 0
        maneuvers = (board.stage.catalogs.resolved(one) for one in node.children("Maneuver", "CatalogReference"))
        self.parts = [Maneuver(one, board, self.path, self.actors) for one in maneuvers]

    def end(self) -> None:
        """Run once more, or be over."""
        self._done += 1
        if self._done < self._times and self.parts:
            self.start()
        else:
            super().end()


class Maneuver(Element):
    """A Maneuver: events that stand in for each other."""

    kind = "Maneuver"

    def __init__(self, node: Node, board: Storyboard, path: str, actors: Sequence[Body]) -> None:
        super().__init__(node, board, path)
        scope = node.with_values(declared(node, {}, node.values))
        self.events = [Event(one, board, self.path, actors, self) for one in scope.children("Event")]
        self.parts = list(self.events)

    def start(self) -> None:
        """Run; its events wait for their triggers."""
        self.reach("runningState", "startTransition")


class Event(Element):
    """An Event: its actions begin together when its trigger says so."""

    kind = "Event"

    def __init__(self, node: Node, board: Storyboard, path: str, actors: Sequence[Body], maneuver: Maneuver) -> None:
        super().__init__(node, board, path)
        self._maneuver = maneuver
        self._priority = node.text("priority", "override")
        if self._priority not in ("overwrite", "override", "skip", "parallel"):
            node.refuse(f"has the unknown priority {self._priority[:40]!r}")
        self._times, self._done = node.integer("maximumExecutionCount", 1), 0
        self._begins = Trigger(node.find("StartTrigger"), board.stage, board, empty=True)
        self.parts = [Action(one, board, self.path, actors) for one in node.children("Action")]

    def reset(self) -> None:
        """Wait anew, with all executions left."""
        self._done = 0
        self._begins.forget()
        super().reset()

    def end(self) -> None:
        """Wait once more, or be over."""
        if self._done < self._times:
            self.reach("standbyState", "endTransition")
        else:
            super().end()

    def ask(self) -> None:
        """Begin where the trigger and the priority allow it."""
        if self.state != "standbyState" or not self._begins.true():
            return
        others = [one for one in self._maneuver.events if one is not self and one.running]
        self._done += 1
        if self._priority == "skip" and others:
            self.reach("completeState" if self._done >= self._times else "standbyState", "skipTransition")
            return
        if self._priority in ("overwrite", "override"):
            for one in others:
                one.stop()
        self.start()


class Action(Element):
    """An Action: what its actors do, until all of it is done."""

    kind = "Action"

    def __init__(self, node: Node, board: Storyboard, path: str, actors: Sequence[Body]) -> None:
        super().__init__(node, board, path)
        self._actors = actors
        self._leaves = [leaf for one in node.children() for leaf in actions.leaves(one)]
        self._courses: list[Course] = []

    def start(self) -> None:
        """Begin."""
        self.reach("runningState", "startTransition")
        self._courses = [one for leaf in self._leaves for one in actions.begin(leaf, self._actors, self.board.stage)]

    def settle(self) -> None:
        """End where all is done; stop where all that is left was taken over by others."""
        if self.running and all(course.done for course in self._courses):
            stopped = any(course.stopped for course in self._courses)
            self.reach("completeState", "stopTransition" if stopped else "endTransition")

    def stop(self) -> None:
        """Let go of all that it moves."""
        if self.running:
            for course in self._courses:
                course.stop()
        super().stop()
