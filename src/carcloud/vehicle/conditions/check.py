"""Checking a parsed condition: types, units, limits; and building its tree.

Rules:
* Every number is brought into the unit of the signal it stands beside.
* A boolean signal is a truth by itself, or stands beside true or false; nothing else is.
* A tree's size counts each node as often as it is worked out: `within … of` works its two sides out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, cast

from lark import Token

from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.condition import STALE_US, Condition, ConditionError
from carcloud.vehicle.conditions.initial import initial
from carcloud.vehicle.conditions.literals import LIMIT_STALE_US, Sentence, duration, quantity, span
from carcloud.vehicle.conditions.measure import COUNT, Measure, measure, measure_of
from carcloud.vehicle.conditions.part import Kind, Part, calculated, like, refuse_unlike
from carcloud.vehicle.conditions.paths import likely

LIMIT_NODES = 256
LIMIT_WINDOWS = 16
"""Windows of a condition, each counted once; `changed by … over` has two."""


def check(text: str, sentence: Sentence, catalogue: Mapping[str, Signal], stale_us: int = STALE_US) -> Condition:
    """Return the condition that a parsed sentence is. Raise ConditionError where it makes no sense."""
    whole, stale = sentence.children
    checker = Checker(text, catalogue)
    part = checker.truth(whole)
    if stale is not None:
        stale_us = duration(text, cast("Sentence", stale), LIMIT_STALE_US)
    condition = Condition(text, part.node, stale_us, initial(part.node))
    if not condition.paths:
        raise part.wrong("This asks about no signal.", "Name a signal by its path.")
    if (windows := len(condition.windows)) > LIMIT_WINDOWS:
        raise part.wrong(
            f"This looks over {windows} windows; at most {LIMIT_WINDOWS}.", "Make several conditions of it."
        )
    return condition


class Checker:
    """Turns parts of a sentence into parts of a tree."""

    def __init__(self, text: str, catalogue: Mapping[str, Signal]) -> None:
        self.text, self.catalogue = text, catalogue

    def truth(self, what: Sentence | Token) -> Part:
        """Return a part that is true or false; refuse another."""
        part = self.part(what)
        if part.kind is Kind.BOOLEAN:
            return self._made(part.at, part.end, Kind.TRUTH, tree.Compare("=", part.node, tree.Number(1.0)), 3)
        if part.kind is not Kind.TRUTH:
            do = f"Compare it, as in {part.said} > …, or ask whether it is known."
            if part.kind is Kind.CONSTANT:
                do = "true and false stand beside a signal only, after = or !=."
            raise part.wrong(f"{part.said} is {part.kind}, and here stands what is true or false.", do)
        return part

    def number(self, what: Sentence | Token) -> Part:
        """Return a part that is a number; refuse another."""
        part = self.part(what)
        if part.kind is not Kind.NUMBER:
            raise part.wrong(f"{part.said} is {part.kind}, and here stands a number.", "Name a signal with numbers.")
        return part

    def part(self, what: Sentence | Token) -> Part:
        """Check one part and what is below it."""
        if isinstance(what, Token):
            return self._token(what)
        return cast("Callable[[Sentence], Part]", getattr(self, f"_{what.data}"))(what)

    # What is true or false.

    def _any_of(self, what: Sentence) -> Part:
        left, right = (self.truth(child) for child in what.children)
        return self._over(what, tree.Or(left.node, right.node), left, right)

    def _all_of(self, what: Sentence) -> Part:
        left, right = (self.truth(child) for child in what.children)
        return self._over(what, tree.And(left.node, right.node), left, right)

    def _negated(self, what: Sentence) -> Part:
        x = self.truth(what.children[0])
        return self._over(what, tree.Not(x.node), x)

    def _rising(self, what: Sentence) -> Part:
        x = self.truth(what.children[0])
        return self._over(what, tree.Rising(x.node), x)

    def _falling(self, what: Sentence) -> Part:
        x = self.truth(what.children[0])
        return self._over(what, tree.Falling(x.node), x)

    def _always(self, what: Sentence) -> Part:
        x, us = self.truth(what.children[0]), duration(self.text, cast("Sentence", what.children[1]))
        if isinstance(x.node, tree.Rising | tree.Falling) or (isinstance(x.node, tree.Changed) and x.node.us is None):
            do = "Put what lasts in parentheses, as in: rising (… for at least 2 s)."
            raise x.wrong(f"{x.said} is true for an instant only, never for at least some time.", do)
        return self._over(what, tree.Always(x.node, us), x)

    def _near(self, what: Sentence) -> Part:
        left, within, right = what.children
        one, other = self.truth(left), self.truth(right)
        us = duration(self.text, cast("Sentence", within))
        return self._over(what, tree.near(one.node, other.node, us), one, other, one, other)

    def _then(self, what: Sentence) -> Part:
        left, right, within = what.children
        one, other = self.truth(left), self.truth(right)
        us = duration(self.text, cast("Sentence", within))
        return self._over(what, tree.then(one.node, other.node, us), one, other)

    def _known(self, what: Sentence) -> Part:
        x = self.part(what.children[0])
        if x.kind is Kind.CONSTANT or x.literal is not None or (x.kind is Kind.TEXT and x.path is None):
            raise x.wrong(f"{x.said} is always known.", "Name a signal.")
        node: tree.Node = tree.Known(x.node)
        return self._over(what, node if what.children[1] == "known" else tree.Not(node), x)

    def _changed(self, what: Sentence) -> Part:
        path, by, over = what.children
        signal, by_part = self._signal(cast("Token", path), "changes by"), self.number(by)
        if not signal.measure.like(by_part.measure):
            refuse_unlike(signal, by_part)
        node = cast("tree.Number", like(by_part, signal.measure, as_difference=True))
        if node.value <= 0:
            raise by_part.wrong("A change by nothing is none.", "Write how much it must be at least.")
        us = None if over is None else duration(self.text, cast("Sentence", over))
        return self._over(what, tree.Changed(cast("str", signal.path), node.value, us), signal)

    def _compare(self, what: Sentence) -> Part:
        one, sign, other = what.children
        left, right, operation = self.part(one), self.part(other), cast("Any", str(sign))
        kinds = {left.kind, right.kind}
        if Kind.CONSTANT in kinds or kinds == {Kind.BOOLEAN}:
            return self._beside_constant(what, left, right, operation)
        if kinds == {Kind.NUMBER}:
            refuse_unlike(left, right)
            if left.literal is not None and right.literal is None:
                node = tree.Compare(operation, like(left, right.measure), right.node)
            else:
                node = tree.Compare(operation, left.node, like(right, left.measure))
            return self._over(what, node, left, right)
        if kinds == {Kind.TEXT}:
            self._check_texts(left, right)
            self._equality(what, operation, "Texts")
            return self._over(what, tree.Compare(operation, left.node, right.node), left, right)
        raise right.wrong(
            f"{left.said} is {left.kind}, and {right.said} is {right.kind}.", _beside(left, right, self.catalogue)
        )

    def _beside_constant(self, what: Sentence, left: Part, right: Part, operation: Any) -> Part:
        self._equality(what, operation, "true and false")
        if left.kind is Kind.CONSTANT:
            left, right = right, left
        if left.kind not in (Kind.BOOLEAN, Kind.TRUTH):
            raise right.wrong(f"{left.said} is {left.kind}.", "true and false go with a signal that is true or false.")
        if left.kind is Kind.BOOLEAN:
            return self._over(what, tree.Compare(operation, left.node, right.node), left, right)
        is_so = cast("tree.Number", right.node).value == (1.0 if operation == "=" else 0.0)
        return self._over(what, left.node if is_so else tree.Not(left.node), left)

    def _equality(self, what: Sentence, operation: str, things: str) -> None:
        if operation not in ("=", "!="):
            sign = cast("Token", what.children[1])
            at = cast("int", sign.start_pos)
            raise ConditionError(f"{things} have no order.", "Compare with = or !=.", at, len(sign))

    def _check_texts(self, left: Part, right: Part) -> None:
        for text, signal in ((left, right), (right, left)):
            if text.path is None and signal.path is not None:
                allowed = [str(value) for value in self.catalogue[signal.path].allowed]
                value = cast("tree.Text", text.node).value
                if allowed and value not in allowed:
                    near = get_close_matches(value.upper(), allowed[:1024], 1)
                    do = f"Did you mean {near[0]!r}?" if near else f"It is one of {', '.join(allowed[:20])}."
                    raise text.wrong(f"{signal.path} is never {text.said}.", do)

    # What has a number or a text.

    def _arithmetic(self, what: Sentence) -> Part:
        one, sign, other = what.children
        left, right = self.number(one), self.number(other)
        node, unit = calculated(str(sign), left, right)
        return self._over(what, node, left, right, kind=Kind.NUMBER, unit=unit)

    def _minus(self, what: Sentence) -> Part:
        x = self.number(what.children[1])
        at, end = span(what)
        if x.literal is not None:
            value = -x.literal
            return Part(self.text, at, end, Kind.NUMBER, tree.Number(float(value)), 1, x.measure, value)
        if x.measure.is_point:
            raise x.wrong(f"{x.said} is a temperature in {x.measure.name}.", "Take it from another instead.")
        node = tree.Arithmetic("-", tree.Number(0.0), x.node)
        return self._over(what, node, x, kind=Kind.NUMBER, unit=x.measure)

    def _absolute(self, what: Sentence) -> Part:
        x = self.number(what.children[0])
        if x.measure.is_point:
            raise x.wrong(f"{x.said} is a temperature in {x.measure.name}.", "Take the abs of a difference.")
        return self._over(what, tree.Absolute(x.node), x, kind=Kind.NUMBER, unit=x.measure)

    def _rate(self, what: Sentence) -> Part:
        signal = self._signal(cast("Token", what.children[0]), "has a rate")
        per_second = _per_second(signal.measure)
        node = tree.Rate(cast("str", signal.path))
        return self._over(what, node, kind=Kind.NUMBER, unit=per_second)

    def _aggregate(self, what: Sentence) -> Part:
        kind, path, over = what.children
        us = duration(self.text, cast("Sentence", over))
        if kind == "count":
            token = self._token(cast("Token", path))
            node = tree.Aggregate("count", cast("str", token.path), us)
            return self._over(what, node, kind=Kind.NUMBER)
        signal = self._signal(cast("Token", path), f"has a {kind}")
        node = tree.Aggregate(cast("Any", str(kind)), cast("str", signal.path), us)
        return self._over(what, node, kind=Kind.NUMBER, unit=signal.measure)

    def _quantity(self, what: Sentence) -> Part:
        return quantity(self.text, what, self.catalogue)

    def _token(self, token: Token) -> Part:
        at, end = cast("int", token.start_pos), cast("int", token.end_pos)
        if token.type == "BOOLEAN":
            return Part(self.text, at, end, Kind.CONSTANT, tree.Number(float(str(token) == "true")))
        if token.type == "TEXT":
            return Part(self.text, at, end, Kind.TEXT, tree.Text(str(token)[1:-1]))
        path = str(token)
        signal = self.catalogue.get(path)
        if signal is None:
            near = likely(path, self.catalogue)
            do = f"Did you mean {' or '.join(near)}?" if near else "Name a signal of the catalogue."
            raise ConditionError(f"{path[:256]} is no signal.", do, at, end - at)
        kind = Kind.NUMBER
        if signal.is_text:
            kind = Kind.LIST if signal.type.endswith("[]") else Kind.TEXT
        elif signal.type == "boolean":
            kind = Kind.BOOLEAN
        unit = measure_of(signal) if kind is Kind.NUMBER else COUNT
        return Part(self.text, at, end, kind, tree.Held(path, signal.is_text), 1, unit, None, path)

    def _signal(self, token: Token, does: str) -> Part:
        part = self._token(token)
        if part.kind is not Kind.NUMBER:
            raise part.wrong(f"{part.said} is {part.kind}; only a number {does}.", "Name a signal with numbers.")
        return part

    def _over(
        self, what: Sentence, node: tree.Node, *below: Part, kind: Kind = Kind.TRUTH, unit: Measure | None = None
    ) -> Part:
        at, end = span(what)
        return self._made(at, end, kind, node, 1 + sum(part.size for part in below), unit or COUNT)

    def _made(self, at: int, end: int, kind: Kind, node: tree.Node, size: int, unit: Measure | None = None) -> Part:
        if size > LIMIT_NODES:
            do = "Make several conditions of it; `within … of` works its sides out twice."
            raise ConditionError(f"The condition has more than {LIMIT_NODES} parts.", do, at, end - at)
        return Part(self.text, at, end, kind, node, size, unit or COUNT)


def _beside(left: Part, right: Part, catalogue: Mapping[str, Signal]) -> str:
    kinds = {left.kind, right.kind}
    if Kind.BOOLEAN in kinds:
        return "Compare it with true or false, or write it alone."
    if Kind.TEXT in kinds:
        return 'Compare a text with a text in "quotation marks".'
    return "Compare numbers with numbers; join what is true or false by and, or, not."


def _per_second(of: Measure) -> Measure:
    if of.name is None:
        return of
    unit = of.difference()
    name = "K" if of.is_point else unit.name
    written = None if unit.derived and not of.is_point else f"{name}/s"
    known = unit.times(measure("s"), -1) or unit
    return known if written is None else Measure(written, known.scale, known.zero, known.dimension)
