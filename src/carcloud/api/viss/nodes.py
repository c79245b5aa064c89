"""Which signals a path of VISS means: a leaf, a branch, or what relative paths with wildcards choose below a branch.

- Names are joined by dots, or by slashes as in addresses. `*` stands for one name; a path that ends at a branch means
  every leaf below it.
- A path that addresses nothing is an error, whatever others address beside it.

- Metadata of an actuator that can be set have the limits of what it can be set to.

Source: COVESA VISS version 3.1, Core (paths filter operation, metadata filter operation).
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from carcloud.errors import InputError, MissingError
from carcloud.vehicle.catalogue import LIMIT_DEPTH, LIMIT_PATH, Signal
from carcloud.vehicle.settable import limited

LIMIT_RELATIVE = 100
LIMIT_SIGNALS = 1000

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
    return _bounded(signals, [f"{dotted(path)}.{dotted(one)}" for one in relative])


def _bounded(signals: Signals, paths: Sequence[str]) -> list[list[str]]:
    if not 0 < len(paths) <= LIMIT_RELATIVE:
        raise InputError(f"{len(paths)} paths are given.", f"Give 1 to {LIMIT_RELATIVE}.")
    found = [_matches(signals, path) for path in paths]
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


def metadata(
    signals: Signals,
    path: str,
    relative: Sequence[str] | None,
    generations: int | None = None,
    keys: Collection[str] = (),
) -> dict[str, Any]:
    """Return what the catalogue says of a node, or of those that relative paths below it mean, as a tree.

    The tree begins at the node itself, by its own name.

    Args:
        generations: how many are shown, an addressed node's the first; None: all.
        keys: what of each is said; none means all of it.

    Raises:
        InputError: too much is addressed.
        MissingError: a path addresses nothing.
    """
    root = dotted(path)
    if "*" in root:
        raise _nothing(root)
    name = root.rpartition(".")[2]
    addressed = [root] if relative is None else [f"{root}.{dotted(one)}" for one in relative]
    tree: dict[str, Any] = {}
    for wanted, leaves in zip(addressed, _bounded(signals, addressed), strict=True):
        deepest = sys.maxsize if generations is None else wanted.count(".") + generations
        for found in leaves:
            names = [name, *found[len(root) + 1 :].split(".")] if found != root else [name]
            _put(tree, names, deepest - root.count("."), _described(limited(signals[found])))
    return _only(tree, keys) if keys else tree


def _put(tree: dict[str, Any], names: Sequence[str], generations: int, described: dict[str, Any]) -> None:
    """Put a leaf into a tree, or of it only the branches that belong to so many generations."""
    at = tree
    for number, branch in enumerate(names[:-1][:generations], 1):
        at = at.setdefault(branch, {"type": "branch"})
        if number < generations:
            at = at.setdefault("children", {})
    if len(names) <= generations:
        at[names[-1]] = described


def _only(tree: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return a tree with these metadata only."""
    return {
        name: {
            key: _only(value, keys) if key == "children" else value
            for key, value in node.items()
            if key in keys or key == "children"
        }
        for name, node in tree.items()
    }


def _described(signal: Signal) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": signal.kind,
        "datatype": signal.type,
        "unit": signal.unit,
        "min": signal.min,
        "max": signal.max,
        "allowed": list(signal.allowed) or None,
        "description": signal.description or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def _nothing(path: str) -> MissingError:
    return MissingError(f"Data is unknown: {path[:LIMIT_PATH]}.", "Ask for metadata to see what is.")
