"""An expression of a FleetWise campaign, read into a tree of its own; `condition` writes it in our language.

Rules:
* Read are comparisons, `&&`, `||`, `!`, `+ - * /`, parentheses, numbers, texts in single or double quotes, true and
  false, and signals as $variable.`A.B` or $variable.A.B.
* Functions, bitwise operations and parts of structs have no equal; the error says which.

Source: AWS IoT FleetWise Developer Guide, logical expressions; AWS IoT Events Developer Guide, expressions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from carcloud.errors import InputError
from carcloud.vehicle.fleetwise.record import shown

LIMIT_TEXT, LIMIT_DEPTH, LIMIT_VALUES = 2048, 40, 100

_TOKEN = re.compile(
    r"\s*(?:(?P<signal>\$variable\.(?:`[^`]*`|[A-Za-z_][\w.]*(?:\[\d+\][\w.]*)*))"
    r"|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/()<>!,~^&|]))",
    re.ASCII,
)
_PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", re.ASCII)

Operation = Literal["and", "or", "=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "not", "negative"]


@dataclass(frozen=True)
class Value:
    """A leaf: a signal's path, a number as it is written, a text, or true and false."""

    kind: Literal["signal", "number", "text", "truth"]
    text: str


@dataclass(frozen=True)
class Part:
    """An operation on one or two parts."""

    operation: Operation
    parts: tuple[Expression, ...]


Expression = Value | Part

_LEVELS: tuple[dict[str, Operation], ...] = (
    {"||": "or"},
    {"&&": "and"},
    {"==": "=", "!=": "!="},
    {"<": "<", "<=": "<=", ">": ">", ">=": ">="},
    {"+": "+", "-": "-"},
    {"*": "*", "/": "/"},
)
"""Operators from the loosest to the tightest, by how they are written."""


def read_expression(text: str) -> Expression:
    """Read an expression. Raise InputError where it is none, or has no equal."""
    if len(text) > LIMIT_TEXT:
        raise _wrong(f"has {len(text)} characters; at most {LIMIT_TEXT}")
    reader = _Reader(_tokens(text))
    tree = reader.level(0)
    if reader.next:
        raise _wrong(f"goes on behind its end with {shown(reader.next)}")
    return tree


def signals(tree: Expression) -> list[str]:
    """Return the paths of the signals in an expression, each once."""
    if isinstance(tree, Value):
        return [tree.text] if tree.kind == "signal" else []
    return list(dict.fromkeys(path for part in tree.parts for path in signals(part)))


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match:
            raise _wrong(f"cannot be read from {shown(text[at:].strip()[:20])} on")
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        at = match.end()
    return found


class _Reader:
    """Reads tokens by recursive descent."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at, self._depth, self._values = tokens, 0, 0, 0

    @property
    def next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def level(self, level: int) -> Expression:
        """Read operators of a level, and what binds tighter."""
        if level == len(_LEVELS):
            return self._unary()
        tree = self.level(level + 1)
        while self.next in _LEVELS[level] and self._kind == "sign":
            operation = _LEVELS[level][self._take()]
            tree = Part(operation, (tree, self.level(level + 1)))
        if self.next in ("&", "|", "^"):
            raise _wrong(f"has the bitwise {self.next}")
        return tree

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else "end"

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _unary(self) -> Expression:
        self._depth += 1
        if self._depth > LIMIT_DEPTH:
            raise _wrong("is nested too deep")
        try:
            if self.next == "!":
                self._take()
                return Part("not", (self._unary(),))
            if self.next == "-" and self._kind == "sign":
                self._take()
                return Part("negative", (self._unary(),))
            if self.next == "(":
                self._take()
                tree = self.level(0)
                if self.next != ")":
                    raise _wrong("has a ( that nothing closes")
                self._take()
                return tree
            return self._leaf()
        finally:
            self._depth -= 1

    def _leaf(self) -> Value:
        kind, text = self._kind, self.next
        if kind == "end":
            raise _wrong("ends too early")
        self._take()
        self._values += 1
        if self._values > LIMIT_VALUES:
            raise _wrong(f"has more than {LIMIT_VALUES} values")
        if kind == "signal":
            path = text.removeprefix("$variable.").strip("`")
            if not _PATH.fullmatch(path):
                raise _wrong(f"asks about {shown(path)}, a part of a struct")
            return Value("signal", path)
        if kind == "number":
            return Value("number", text)
        if kind == "text":
            return Value("text", text[1:-1])
        if kind == "word" and text in ("true", "false"):
            return Value("truth", text)
        if kind == "word" and self.next == "(":
            raise _wrong(f"calls the function {shown(text)}")
        if text == "~":
            raise _wrong("has the bitwise ~")
        raise _wrong(f"has {shown(text)} where a value belongs")


def _wrong(what: str) -> InputError:
    return InputError(f"The expression {what}.", "Write it anew as a condition (docs/conditions.md).")
