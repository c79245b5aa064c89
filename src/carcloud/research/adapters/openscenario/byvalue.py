"""Conditions on the time, the story, parameters and what is given from outside.

Source: ASAM OpenSCENARIO XML 1.3, ByValueCondition.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.parameters import compared, holds

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage
    from carcloud.research.adapters.openscenario.storyboard import Storyboard


def _time(node: Node, stage: Stage, board: Storyboard) -> Callable[[], bool]:
    value, rule = node.number("value"), node.text("rule")
    if rule == "equalTo":
        # The step that the time falls into: times are only met by chance.
        return lambda: value - 1e-9 <= stage.time < value + stage.step_s - 1e-9
    return lambda: holds(_even(stage.time - value), rule, 0.0, node)


def _even(number: float) -> float:
    return 0.0 if abs(number) < 1e-9 else number


def _parameter(node: Node, stage: Stage, board: Storyboard) -> Callable[[], bool]:
    values = stage.parameters if node.tag == "ParameterCondition" else stage.variables
    name = node.text("parameterRef" if node.tag == "ParameterCondition" else "variableRef").lstrip("$")
    if name not in values:
        node.refuse(f"asks for {name[:60]!r}, which is not declared")
    rule, value = node.text("rule"), node.text("value")
    return lambda: compared(values[name], rule, value, node)


def _state(node: Node, stage: Stage, board: Storyboard) -> Callable[[], bool]:
    kind, name, state = node.text("storyboardElementType"), node.text("storyboardElementRef"), node.text("state")
    return board.asker(kind, name, state, node)


def _day(node: Node, stage: Stage, board: Storyboard) -> Callable[[], bool]:
    try:
        wanted = datetime.fromisoformat(node.text("dateTime"))
    except ValueError:
        node.refuse("has a dateTime that is none")
    rule = node.text("rule")

    def ask() -> bool:
        now = stage.now()
        if now is None or (now.tzinfo is None) != (wanted.tzinfo is None):
            return False
        return holds((now - wanted).total_seconds(), rule, 0.0, node)

    return ask


def _outside(node: Node, stage: Stage, board: Storyboard) -> Callable[[], bool]:
    name = node.text("name")
    if name not in stage.parameters:
        node.refuse(f"asks for {name[:60]!r}, which only its own simulator knows", f"Declare a parameter {name[:60]}.")
    rule, value = node.text("rule"), node.text("value")
    return lambda: compared(stage.parameters[name], rule, value, node)


BY_VALUE: dict[str, Callable[[Node, Stage, Storyboard], Callable[[], bool]]] = {
    "SimulationTimeCondition": _time,
    "ParameterCondition": _parameter,
    "VariableCondition": _parameter,
    "StoryboardElementStateCondition": _state,
    "TimeOfDayCondition": _day,
    "UserDefinedValueCondition": _outside,
}
