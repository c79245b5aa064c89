"""The storyboard: its stories, and who asks for the states of what is in them.

Rules:
* Transitions are seen by conditions at the step after the one in which they happen; states at once.

Source: ASAM OpenSCENARIO XML 1.3, 8.3 (states of storyboard elements).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.conditions import Trigger
from carcloud.research.adapters.openscenario.elements import Element, Story
from carcloud.research.adapters.openscenario.nodes import Node

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage

LIMIT_ELEMENTS = 20_000
STATES = ("standbyState", "runningState", "completeState")
TRANSITIONS = ("startTransition", "endTransition", "stopTransition", "skipTransition")
_KINDS = {
    "story": "Story",
    "act": "Act",
    "maneuverGroup": "ManeuverGroup",
    "maneuver": "Maneuver",
    "event": "Event",
    "action": "Action",
}


class Storyboard:
    """All stories of a scenario.

    Raises:
        InputError: something in it is wrong or not supported.
    """

    def __init__(self, node: Node, stage: Stage) -> None:
        self.stage, self.round = stage, 0
        self._elements: list[Element] = []
        self._askers: list[tuple[str, str, Node]] = []
        self._stories = [Story(one, self) for one in node.children("Story")]
        self._ends = Trigger(node.find("StopTrigger"), stage, self, empty=False)
        for kind, name, asked in self._askers:
            self._one(kind, name, asked)

    def add(self, element: Element) -> None:
        """Know an element."""
        if len(self._elements) >= LIMIT_ELEMENTS:
            element.node.refuse(f"is one of more than {LIMIT_ELEMENTS} elements", "Split the scenario.")
        self._elements.append(element)

    def asker(self, kind: str, name: str, state: str, node: Node) -> Callable[[], bool]:
        """Return what tells whether an element is in a state, or went through a transition just now."""
        if kind not in _KINDS or state not in STATES + TRANSITIONS:
            node.refuse(f"asks for {state[:40]!r} of {kind[:40]!r}, which is unknown")
        self._askers.append((kind, name, node))
        found: list[Element] = []

        def ask() -> bool:
            if not found:
                found.append(self._one(kind, name, node))
            if state in STATES:
                return found[0].state == state
            return found[0].seen.get(state, -2) == self.round - 1

        return ask

    @property
    def over(self) -> bool:
        """Return whether all stories are over."""
        return all(story.over for story in self._stories)

    @property
    def can_end(self) -> bool:
        """Return whether there is a stop trigger."""
        return self._ends.has_conditions

    def begin(self) -> None:
        """Let the stories run."""
        for story in self._stories:
            story.start()

    def ask(self) -> bool:
        """Do what is due at this step; return whether the scenario ends now."""
        for story in self._stories:
            story.settle()
        self.round += 1
        ends = self._ends.true()
        for story in self._stories:
            story.ask()
        return ends

    def _one(self, kind: str, name: str, node: Node) -> Element:
        found = list(self._named(kind, name))
        if len(found) != 1:
            known = "more than one" if found else "no"
            node.refuse(f"names {name[:80]!r}, and there is {known} such {kind}", "Name it by its path, as Act::Event.")
        return found[0]

    def _named(self, kind: str, name: str) -> Iterator[Element]:
        for one in self._elements:
            if one.kind == _KINDS[kind] and one.path.endswith(f"::{name}"):
                yield one
