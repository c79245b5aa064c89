"""Expressions of OpenSCENARIO: `${$speed / 3.6}`.

Rules:
* Numbers and truth values only; text is passed through as it is.
* A name that is not declared, a division by zero or a result that is no number is an InputError.

Source: ASAM OpenSCENARIO XML 1.3, 9.2 (expressions, operators and their precedence).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from carcloud.errors import InputError

Value = float | bool

LIMIT_CHARACTERS = 2000
LIMIT_DEPTH = 40

_WORD = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(\$?[A-Za-z_][\w.]*)|([-+*/%(),]))")


def _rounded(number: float) -> float:
    return math.copysign(math.floor(abs(number) + 0.5), number)


def _sign(number: float) -> float:
    return float((number > 0) - (number < 0))


_ONE: dict[str, Callable[[float], float]] = {
    "round": _rounded,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "abs": abs,
    "sign": _sign,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
}
_TWO: dict[str, Callable[[float, float], float]] = {"pow": math.pow, "max": max, "min": min}
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": math.fmod,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
}


def evaluated(text: str, values: Mapping[str, str]) -> str:
    """Return an attribute with its parameter or expression put in; other text as it is.

    Raises:
        InputError: a name is not declared, or the expression is wrong.
    """
    if text.startswith("${") and text.endswith("}"):
        return as_text(Expression(text[2:-1], values).value())
    if text.startswith("$") and len(text) > 1:
        return _declared(text[1:], values)
    return text


def as_text(value: Value) -> str:
    """Return a value as an attribute would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _declared(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise InputError(f"There is no parameter {name!r}.", "Declare it in ParameterDeclarations.")
    return values[name]


class Expression:
    """One expression, read from left to right."""

    def __init__(self, text: str, values: Mapping[str, str]) -> None:
        if len(text) > LIMIT_CHARACTERS:
            raise InputError(f"An expression has more than {LIMIT_CHARACTERS} characters.", "Shorten it.")
        self._text, self._values = text, values
        self._words = _split(text)
        self._at = 0
        self._depth = 0

    def value(self) -> Value:
        """Return what it comes to."""
        try:
            value = self._either()
        except (ArithmeticError, ValueError) as error:
            raise self._wrong(str(error)) from None
        if self._at < len(self._words):
            raise self._wrong(f"{self._words[self._at]!r} was not expected")
        if not isinstance(value, bool):
            value = float(value)
            if not math.isfinite(value):
                raise self._wrong("its value is no number")
        return value

    def _wrong(self, why: str) -> InputError:
        return InputError(f"The expression {self._text[:200]!r} cannot be worked out: {why}.", "Correct it.")

    def _next(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _take(self, word: str) -> bool:
        taken = self._next() == word
        self._at += taken
        return taken

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self._wrong(f"{word!r} is missing")

    def _number(self, value: Value) -> float:
        if isinstance(value, bool):
            raise self._wrong("true and false are no numbers")
        return value

    def _truth(self, value: Value) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(f"{value:g} is neither true nor false")
        return value

    def _either(self) -> Value:
        value = self._both()
        while self._take("or"):
            other = self._both()
            value = self._truth(value) or self._truth(other)
        return value

    def _both(self) -> Value:
        value = self._sum()
        while self._take("and"):
            other = self._sum()
            value = self._truth(value) and self._truth(other)
        return value

    def _sum(self) -> Value:
        return self._chain(self._product, "+-")

    def _product(self) -> Value:
        return self._chain(self._single, "*/%")

    def _chain(self, part: Callable[[], Value], signs: str) -> Value:
        value = part()
        while (sign := self._next()) and sign in signs:
            self._at += 1
            value = _OPERATORS[sign](self._number(value), self._number(part()))
        return value

    def _single(self) -> Value:
        self._depth += 1
        if self._depth > LIMIT_DEPTH:
            raise self._wrong(f"it is nested deeper than {LIMIT_DEPTH}")
        value = self._leaf(self._next())
        self._depth -= 1
        return value

    def _leaf(self, word: str) -> Value:
        self._at += 1
        if word == "-":
            return -self._number(self._single())
        if word == "+":
            return self._number(self._single())
        if word == "not":
            return not self._truth(self._single())
        if word == "(":
            value = self._either()
            self._need(")")
            return value
        if word in _ONE or word in _TWO:
            return self._called(word)
        if word in ("true", "false"):
            return word == "true"
        if word.startswith("$"):
            return self._named(word[1:])
        if word[:1].isdigit() or word[:1] == ".":
            return float(word)
        raise self._wrong(f"{word!r} was not expected" if word else "it ends too soon")

    def _called(self, name: str) -> Value:
        self._need("(")
        given = [self._number(self._either())]
        while self._take(","):
            given.append(self._number(self._either()))
        self._need(")")
        if name in _ONE and len(given) == 1:
            return float(_ONE[name](given[0]))
        if name in _TWO and len(given) == 2:
            return float(_TWO[name](given[0], given[1]))
        raise self._wrong(f"{name} takes another number of values")

    def _named(self, name: str) -> Value:
        said = _declared(name, self._values)
        if said in ("true", "false"):
            return said == "true"
        try:
            return float(said)
        except ValueError:
            raise self._wrong(f"{name} is {said[:60]!r}, which is no number") from None


def _split(text: str) -> list[str]:
    words, at = [], 0
    while text[at:].strip():
        found = _WORD.match(text, at)
        if found is None:
            raise InputError(
                f"The expression {text[:200]!r} cannot be read from {text[at:].strip()[:20]!r} on.", "Correct it."
            )
        words.append(found.group().strip())
        at = found.end()
    return words
