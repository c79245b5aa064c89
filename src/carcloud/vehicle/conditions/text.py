"""Reading a condition: from its text to the checked tree.

Rules:
* The text is parsed once, by a grammar; nothing of it is ever run as a program.
* What is wrong is said with its place in the text, and with what to write instead.
* Limits come first: length, then depth, then the size of the tree.

Source: docs/conditions.md; grammar.lark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions.check import check
from carcloud.vehicle.conditions.condition import STALE_US, Condition, ConditionError
from carcloud.vehicle.conditions.paths import likely

LIMIT_TEXT = 4096
"""Characters of a condition."""
LIMIT_DEPTH = 100
"""How deep sentences may stand within each other, and how many may stand in a row: each costs one call."""

KEYWORDS = (
    *("and", "or", "not", "rising", "falling", "for", "at", "least", "within", "of", "then", "is", "known", "unknown"),
    *("changed", "by", "over", "abs", "rate", "mean", "min", "max", "count", "true", "false", "stale", "after"),
)
INSTEAD = {
    "==": "=",
    "&&": "and",
    "||": "or",
    "<>": "!=",
    "=>": ">=",
    "=<": "<=",
    "!": "not",
    "'": 'a text in "quotation marks"',
    "’": 'a text in "quotation marks"',
    "“": 'a text in "quotation marks"',
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "×": "*",
    "÷": "/",
    "−": "-",
}
EXPECTED = {
    "PATH": "a signal's path",
    "NUMBER": "a number",
    "TEXT": 'a text in "quotation marks"',
    "COMPARISON": "a comparison (= != < <= > >=)",
    "UNIT": "a unit",
    "AGGREGATE": "mean, min, max or count",
    "KNOWN": "known or unknown",
    "BOOLEAN": "true or false",
    "PLUS": "+",
    "MINUS": "-",
    "TIMES": "*",
    "DIVIDED": "/",
    "LPAR": "(",
    "RPAR": ")",
    "$END": "the end",
}
STARTS = ("PATH", "NUMBER", "TEXT", "AGGREGATE")
WORD = re.compile(r"[\w.]+")
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def parse(text: str, catalogue: Mapping[str, Signal], stale_us: int = STALE_US) -> Condition:
    """Read a condition over a catalogue's signals.

    Args:
        stale_us: how long a value holds where the text does not say.

    Raises:
        ConditionError: it is no condition, or asks what the catalogue does not know; with the place.
    """
    if len(text) > LIMIT_TEXT:
        raise ConditionError(
            f"A condition has at most {LIMIT_TEXT} characters; this one has {len(text)}.",
            "Shorten it, or make several.",
            LIMIT_TEXT,
            len(text) - LIMIT_TEXT,
        )
    if found := NO_TEXT.search(text):
        raise ConditionError(f"{found[0]!r} is no character of a text.", "Take it out.", found.start(), 1)
    try:
        sentence = _grammar().parse(text)
    except UnexpectedInput as error:
        raise _unexpected(text, error, catalogue) from None
    _refuse_depth(sentence)
    return check(text, sentence, catalogue, stale_us)


@cache
def _grammar() -> Lark:
    source = files("carcloud.vehicle.conditions").joinpath("grammar.lark").read_text("utf-8")
    return Lark(source, parser="lalr", start="condition", propagate_positions=True)


def _refuse_depth(sentence: Tree[Token]) -> None:
    waiting: list[tuple[Tree[Token], int]] = [(sentence, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > LIMIT_DEPTH:
            at, end = part.meta.start_pos, part.meta.end_pos
            do = "Take it apart, or leave parentheses out."
            raise ConditionError(f"The condition is nested more than {LIMIT_DEPTH} deep.", do, at, end - at)
        waiting.extend((child, depth + 1) for child in part.children if isinstance(child, Tree))


def _unexpected(text: str, error: UnexpectedInput, catalogue: Mapping[str, Signal]) -> ConditionError:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        at = len(text.rstrip())
        message = "The condition ends too early." if at else "The condition is empty."
        return ConditionError(message, f"Write {_expected(error.accepts or error.expected)}.", at, 0)
    at = error.pos_in_stream or 0
    allowed: Iterable[str] = ()
    if isinstance(error, UnexpectedToken):
        allowed = error.accepts or error.expected
    elif isinstance(error, UnexpectedCharacters):
        allowed = error.allowed or ()
    found = WORD.match(text, at)
    stands = found[0] if found else text[at]
    message = f"{_quoted(stands)} cannot stand here."
    return ConditionError(message, _instead(text, at, stands, allowed, catalogue), at, len(stands))


def _instead(text: str, at: int, stands: str, allowed: Iterable[str], catalogue: Mapping[str, Signal]) -> str:
    allowed = set(allowed)
    for wrong, right in INSTEAD.items():
        if text.startswith(wrong, at) or text.startswith(wrong, max(0, at - 1)):
            return f"Write {right} instead of {wrong}."
    if stands[0].isalpha() and stands not in KEYWORDS:
        if stands.lower() in KEYWORDS:
            return f"Write {stands.lower()}, in small letters."
        if "PATH" in allowed and (paths := likely(stands, catalogue)):
            return f"Write a signal's whole path: {' or '.join(paths)}?"
        if "TEXT" in allowed and "_NOT" not in allowed and WORD.fullmatch(stands):
            return f'If it is a text, put it in quotation marks: "{stands}".'
        if near := get_close_matches(stands[:32].lower(), KEYWORDS, 1):
            return f"Did you mean {near[0]}?"
    return f"Here may stand {_expected(allowed)}."


def _expected(names: Iterable[str]) -> str:
    """Return what may come next, in words; where a value may stand, only the plainest."""
    names = set(names)
    if names.issuperset(STARTS):
        names = {"PATH", "NUMBER", "TEXT", "LPAR"}
    said = sorted(EXPECTED.get(name, name.removeprefix("_").lower()) for name in names)
    return " or ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said) if said else "nothing"


def _quoted(text: str) -> str:
    shown = text if len(text) <= 40 else text[:37] + "…"
    return repr(shown)
