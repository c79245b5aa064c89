"""Which signals a path of VISS means: a leaf, a branch, or what relative paths with wildcards choose below a branch.

- Names are joined by dots, or by slashes as in addresses. `*` stands for one name; a path that ends at a branch means
  every leaf below it.
- A path that addresses nothing is an error, whatever others address beside it.

Source: COVESA VISS version 3.0, Core (paths filter operation, metadata filter operation).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carcloud.errors import InputError, MissingError
from carcloud.vehicle.catalogue import LIMIT_DEPTH, LIMIT_PATH, Signal

LIMIT_RELATIVE = 100
LIMIT_SIGNALS = 1000
KEYS = ("type", "datatype", "unit", "min", "max", "allowed", "description")

Signals = Mapping[str, Signal]


def dotted(path: str) -> str:
    """Return a path with its names joined by dots."""
    return path.strip("/").replace("/", ".")


def leaf(signals: Signals, path: str) -> str:
    """Return a leaf's path; raise InputError where it is a branch's, and MissingError where it is nobody's."""
    path = dotted(path)
    if path in signals:
        return path
    if any(known.startswith(f"{path}.") for known in signals):
        raise InputError("Requested action on a branch is not supported.", "Name a leaf, or add a filter of paths.")
    raise _nothing(path)


def chosen(signals: Signals, path: str, relative: Sequence[str] | None) -> list[list[str]]:
    """Return the leaves that each relative path below a branch means; without any, those of the path itself.

    Raises:
        InputError: too much is addressed, or a branch without relative paths.
        MissingError: a path addresses nothing.
    """
    if relative is None:
        return [[leaf(signals, path)]]
    if not 0 < len(relative) <= LIMIT_RELATIVE:
        raise InputError(f"{len(relative)} paths are given.", f"Give 1 to {LIMIT_RELATIVE}.")
    found = [_matches(signals, f"{dotted(path)}.{dotted(one)}") for one in relative]
    if sum(map(len, found)) > LIMIT_SIGNALS:
        raise InputError("Too many signals are addressed.", f"Address at most {LIMIT_SIGNALS} at once.")
    return found


def once(found: Iterable[Iterable[str]]) -> list[str]:
    """Return each path once, in order."""
    return list(dict.fromkeys(path for paths in found for path in paths))


def _matches(signals: Signals, wanted: str) -> list[str]:
    names = wanted.split(".")
    if len(wanted) > LIMIT_PATH or len(names) > LIMIT_DEPTH:
        raise _nothing(wanted)
    found = [path for path in signals if _fits(path.split("."), names)]
    if not found:
        raise _nothing(wanted)
    return found


def _fits(path: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(path) >= len(wanted) and all(want in ("*", name) for name, want in zip(path, wanted, strict=False))


def metadata(signals: Signals, paths: Iterable[str], root: str, keys: Iterable[str]) -> dict[str, Any]:
    """Return what the catalogue says of leaves, as a tree from the root's own name on.

    Args:
        keys: which of KEYS; none means all of them.
    """
    wanted = [key for key in KEYS if key in set(keys)] or list(KEYS)
    name = dotted(root).rpartition(".")[2]
    if dotted(root) in signals:
        return {name: _described(signals[dotted(root)], wanted)}
    tree: dict[str, Any] = {name: _branch(wanted)}
    for path in paths:
        at = tree[name]
        *branches, last = path[len(dotted(root)) + 1 :].split(".")
        for branch in branches:
            at = at["children"].setdefault(branch, _branch(wanted))
        at["children"][last] = _described(signals[path], wanted)
    return tree


def _branch(keys: Sequence[str]) -> dict[str, Any]:
    return ({"type": "branch"} if "type" in keys else {}) | {"children": {}}


def _described(signal: Signal, keys: Sequence[str]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": signal.kind,
        "datatype": signal.type,
        "unit": signal.unit,
        "min": signal.min,
        "max": signal.max,
    }
    said |= {"allowed": list(signal.allowed) or None, "description": signal.description or None}
    return {key: said[key] for key in keys if said[key] is not None}


def _nothing(path: str) -> MissingError:
    return MissingError(f"The requested data was not found: {path[:LIMIT_PATH]}.", "Ask for metadata to see what is.")
