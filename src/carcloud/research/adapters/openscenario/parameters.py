"""Parameters of a scenario: what it declares, with what an import gives for them, and what bounds them.

Rules:
* Conditions within one group of constraints hold together; of several groups one is enough.
* A value may be made from parameters that were declared before it.

Source: ASAM OpenSCENARIO XML 1.3, 9.1 (parameters), ConstraintGroup.
"""

from __future__ import annotations

from collections.abc import Mapping

from carcloud.errors import InputError
from carcloud.research.adapters.openscenario.nodes import Node

NUMBERS = ("double", "integer", "int", "unsignedInt", "unsignedShort")


def declared(node: Node, given: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of an element's ParameterDeclarations, beside those already known.

    Args:
        given: values that take the place of the declared ones.

    Raises:
        InputError: a value is of the wrong type or breaks a constraint.
    """
    values = dict(known)
    section = node.find("ParameterDeclarations")
    declarations = list(section.children("ParameterDeclaration")) if section is not None else []
    for one in declarations:
        name = one.element.get("name", "").lstrip("$")
        said = given.get(name)
        values[name] = said if said is not None else one.with_values(values).text("value")
        _check_type(one, name, values[name])
    for one in declarations:
        _check_constraints(one.with_values(values), values[one.element.get("name", "").lstrip("$")])
    return values


def overridden(root: Node, given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a scenario with the given values put in.

    Raises:
        InputError: a given name is not declared, or a value does not fit.
    """
    values = declared(root, given, {})
    unknown = sorted(set(given) - set(values))
    if unknown:
        known = ", ".join(sorted(values)) or "none"
        raise InputError(f"The scenario declares no parameter {unknown[0]!r}.", f"It declares: {known}.")
    return values


def numbers(root: Node, values: Mapping[str, str]) -> dict[str, float]:
    """Return the parameters that are numbers; true and false as 1 and 0."""
    found = {}
    section = root.find("ParameterDeclarations")
    for one in section.children("ParameterDeclaration") if section is not None else ():
        name, kind = one.element.get("name", "").lstrip("$"), one.element.get("parameterType", "")
        if kind in NUMBERS:
            found[name] = float(values[name])
        elif kind == "boolean":
            found[name] = float(values[name].lower() in ("true", "1"))
    return found


def texts(root: Node, values: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that are text."""
    return {name: said for name, said in values.items() if name not in numbers(root, values)}


def _check_type(node: Node, name: str, said: str) -> None:
    kind = node.text("parameterType")
    if kind in NUMBERS:
        try:
            number = float(said)
        except ValueError:
            number = float("nan")
        if number - number != 0 or (kind != "double" and not number.is_integer()):
            raise InputError(f"Parameter {name} is to be of type {kind}, not {said[:40]!r}.", "Give a number.")
        if kind.startswith("unsigned") and number < 0:
            raise InputError(f"Parameter {name} is below 0.", "Give a number from 0 on.")
    elif kind == "boolean" and said.lower() not in ("true", "false", "1", "0"):
        raise InputError(f"Parameter {name} is to be true or false, not {said[:40]!r}.", "Give one of the two.")
    elif kind not in ("boolean", "string", "dateTime"):
        node.refuse(f"has the unknown type {kind[:40]!r}")


def _check_constraints(node: Node, said: str) -> None:
    groups = list(node.children("ConstraintGroup"))
    if groups and not any(all(_fits(rule, said) for rule in group.children("ValueConstraint")) for group in groups):
        told = "; or ".join(
            " and ".join(f"{rule.text('rule')} {rule.text('value')}" for rule in group.children("ValueConstraint"))
            for group in groups
        )
        name = node.element.get("name", "")
        raise InputError(f"Parameter {name} is {said[:40]!r}, outside its bounds: {told}.", "Give a value within them.")


def _fits(rule: Node, said: str) -> bool:
    return compared(said, rule.text("rule"), rule.text("value"), rule)


def compared(left: str, rule: str, right: str, node: Node) -> bool:
    """Return whether a rule holds between two values: as numbers where both are, else as text."""
    try:
        a, b = float(left), float(right)
    except ValueError:
        if rule in ("equalTo", "notEqualTo"):
            return (left == right) == (rule == "equalTo")
        node.refuse(f"compares {left[:40]!r} with {right[:40]!r} by {rule}", "Compare numbers.")
    return holds(a, rule, b, node)


def holds(a: float, rule: str, b: float, node: Node) -> bool:
    """Return whether a rule holds between two numbers; between anything and NaN none does."""
    if rule == "greaterThan":
        return a > b
    if rule == "lessThan":
        return a < b
    if rule == "greaterOrEqual":
        return a >= b
    if rule == "lessOrEqual":
        return a <= b
    if rule == "equalTo":
        return abs(a - b) <= 1e-9
    if rule == "notEqualTo":
        return abs(a - b) > 1e-9
    node.refuse(f"has the unknown rule {rule[:40]!r}")
