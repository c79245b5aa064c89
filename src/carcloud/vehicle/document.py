"""Reading a document people write, YAML or JSON, strictly: what is ambiguous is refused, not guessed at.

Rules:
* Repeated keys are refused: one of the two would be lost without a word.
* A whole number has at most 40 digits, whatever its base: more mean nothing here, and cost much to work with.
* YAML's aliases and tags are refused: no list of ours needs them, and they can stand for much memory or for code.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

from carcloud.errors import InputError

LIMIT_BYTES = 32 * 1024 * 1024
LIMIT_DIGITS = 40


def load(content: str | bytes) -> Any:
    """Read YAML or JSON, told apart by a leading brace. Raise InputError, which names the place."""
    if len(content) > LIMIT_BYTES:
        raise InputError(f"{len(content)} bytes; at most {LIMIT_BYTES}.", "Leave out what is not needed.")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        if text.lstrip()[:1] == "{":
            return json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
        return yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except UnicodeDecodeError:
        raise InputError("The file is not UTF-8 text.", "Save it as UTF-8.") from None
    except RecursionError:
        raise InputError("The file is nested too deep.", "Write it flatter.") from None
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"Not valid JSON or YAML: {error}.", "Mend the file at the place named.") from None


def _unique(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"{key!r} is there twice in the same place.", "Keep one of the two.")
        found[key] = value
    return found


def _whole(digits: str) -> int:
    if len(digits) > LIMIT_DIGITS:
        raise InputError(f"{digits[:LIMIT_DIGITS]}… is too great a number.", f"Write at most {LIMIT_DIGITS} digits.")
    return int(digits)


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, aliases and tags."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            raise InputError("Aliases (*name) and tags (!name) are not read.", "Write the value out.")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep)
        _unique((self.construct_object(key, deep=True), None) for key, _ in node.value)
        return found

    def construct_yaml_int(self, node: Any) -> int:
        if len(node.value) > LIMIT_DIGITS:
            _whole(node.value)
        return int(super().construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
