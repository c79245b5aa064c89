"""Conditions and triggers: when something begins or ends.

Rules:
* A condition is asked once a step. Its edge compares with the step before; at its first step there is no edge.
* A delay lets a condition come true that much later.
* A condition on what nobody knows, such as the distance to who is not there, is not true.

Source: ASAM OpenSCENARIO XML 1.3, 7.6 (conditions and triggers, edges, delays).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.byentity import BY_ENTITY
from carcloud.research.adapters.openscenario.byvalue import BY_VALUE
from carcloud.research.adapters.openscenario.nodes import Node

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.bodies import Body
    from carcloud.research.adapters.openscenario.stage import Stage
    from carcloud.research.adapters.openscenario.storyboard import Storyboard

LIMIT_DELAY_STEPS = 100_000
_EDGES = ("none", "rising", "falling", "risingOrFalling")


class Condition:
    """One Condition; it must be asked once every step while it counts."""

    def __init__(self, node: Node, stage: Stage, board: Storyboard) -> None:
        self._edge = node.text("conditionEdge", "none")
        if self._edge not in _EDGES:
            node.refuse(f"has the unknown conditionEdge {self._edge[:40]!r}")
        delay = node.number("delay", 0.0)
        steps = round(delay / stage.step_s)
        if not 0 <= steps <= LIMIT_DELAY_STEPS:
            node.refuse(f"has a delay of {delay:g} s")
        what = node.only()
        self._ask = _by_entity(what, stage) if what.tag == "ByEntityCondition" else _by_value(what, stage, board)
        self._delayed: deque[bool] = deque([False] * steps)
        self._before: bool | None = None

    def forget(self) -> None:
        """Begin anew: what was asked before does not count."""
        self._before = None
        self._delayed = deque([False] * len(self._delayed))

    def true(self) -> bool:
        """Return whether it is true at this step."""
        now, before = self._ask(), self._before
        self._before = now
        if self._edge == "none":
            result = now
        else:
            rises, falls = before is False and now, before is True and not now
            result = (rises and self._edge != "falling") or (falls and self._edge != "rising")
        if not self._delayed:
            return result
        self._delayed.append(result)
        return self._delayed.popleft()


class Trigger:
    """A StartTrigger or StopTrigger: true where all conditions of one of its groups are.

    Args:
        empty: what it is where it has no conditions.
    """

    def __init__(self, node: Node | None, stage: Stage, board: Storyboard, *, empty: bool) -> None:
        groups = list(node.children("ConditionGroup")) if node is not None else []
        self._groups = [[Condition(one, stage, board) for one in group.children("Condition")] for group in groups]
        self._empty = empty

    @property
    def has_conditions(self) -> bool:
        """Return whether there is anything to ask."""
        return any(self._groups)

    def forget(self) -> None:
        """Begin anew."""
        for group in self._groups:
            for condition in group:
                condition.forget()

    def true(self) -> bool:
        """Return whether it is true at this step; asks all of its conditions."""
        if not self.has_conditions:
            return self._empty
        told = [[condition.true() for condition in group] for group in self._groups]
        return any(group and all(group) for group in told)


def _by_entity(node: Node, stage: Stage) -> Callable[[], bool]:
    who = node.child("TriggeringEntities")
    rule = who.text("triggeringEntitiesRule", "any")
    bodies = [body for one in who.children("EntityRef") for body in stage.named(one.text("entityRef"), one)]
    if rule not in ("any", "all") or not bodies:
        who.refuse("names nobody, or has an unknown rule")
    what = node.child("EntityCondition").only()
    maker = BY_ENTITY.get(what.tag)
    ask = maker(what, stage) if maker is not None else what.unsupported()
    gone_too = what.tag == "EndOfRoadCondition"
    return lambda: _of_all(ask, bodies, rule, gone_too)


def _of_all(ask: Callable[[Body], bool], bodies: list[Body], rule: str, gone_too: bool) -> bool:
    told = [(body.present or (gone_too and body.ended)) and ask(body) for body in bodies]
    return any(told) if rule == "any" else all(told)


def _by_value(node: Node, stage: Stage, board: Storyboard) -> Callable[[], bool]:
    if node.tag != "ByValueCondition":
        node.unsupported()
    what = node.only()
    maker = BY_VALUE.get(what.tag)
    return maker(what, stage, board) if maker is not None else what.unsupported()
