"""The program in which a planner from a file runs: `python -m carcloud.research.simulation.child FILE NAME`.

Rules:
* It knows what the simulation sends: the present of its scenarios. Recordings are in another process.
* What the planner prints goes to standard error; standard output is the simulation's.
* A class with `plan` drives all scenarios at once. Any other callable drives one scenario: a class is made anew for
  each, a function is shared. What fails or takes too long in one scenario is that one's fault.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from carcloud.research.simulation.planner import Action, Observation, PlannerError, checked, failed, seen_by
from carcloud.research.simulation.wire import packed, unpacked


def load(file: Path, name: str) -> Any:
    """Return what a file calls by a name."""
    sys.path.insert(0, str(file.parent))
    spec = spec_from_file_location(f"planner_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise PlannerError(f"{file.name} is no Python file.")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise PlannerError(f"{file.name} has no class or function {name}.")
    return getattr(module, name)


class Singly:
    """Drives each scenario by a callable of its own."""

    def __init__(self, made: Any, count: int, limit_s: float) -> None:
        self._drivers: list[Any] = [made() if inspect.isclass(made) else made for _ in range(count)]
        self._limit_s = limit_s

    def plan(self, seen: Observation) -> Action:
        """Ask every driver whose scenario still goes on."""
        count = len(seen.x)
        pushes, steers = np.full(count, np.nan), np.full(count, np.nan)
        kept, faults = np.zeros(count, np.bool_), dict[int, str]()
        for at in np.flatnonzero(seen.running).tolist():
            began = time.monotonic()
            try:
                answer = self._drivers[at](seen_by(seen, at))
                pair = answer if isinstance(answer, (tuple, list)) else (answer, None)
                push, steer = pair
                pushes[at], kept[at] = float(push), steer is None
                steers[at] = np.nan if steer is None else float(steer)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is said to be this scenario's fault
                pushes[at], faults[at] = np.nan, failed(error)
            if time.monotonic() - began > self._limit_s:
                pushes[at], faults[at] = np.nan, f"The planner took longer than {self._limit_s:g} s for a step."
        return Action(pushes, steers, kept, faults)


def begun(made: Any, facts: dict[str, Any]) -> Any:
    """Return a planner for a new batch."""
    if inspect.isclass(made) and hasattr(made, "plan"):
        planner = made()
        if hasattr(planner, "begin"):
            planner.begin(facts["scenarios"], facts["seed"])
        return planner
    return Singly(made, facts["scenarios"], facts["limit_s"])


def answered(action: Action) -> bytes:
    """Return an action as a message."""
    arrays: dict[str, NDArray[Any]] = {"acceleration": action.acceleration}
    if action.steer is not None:
        arrays["steer"] = action.steer
        arrays["kept"] = np.zeros(len(action.steer), np.bool_) if action.kept is None else action.kept
    return packed({"faults": {str(at): text for at, text in action.faults.items()}}, arrays)


def serve(made: Any, source: BinaryIO, target: BinaryIO) -> None:
    """Answer messages until there are no more."""

    def read(count: int) -> bytes:
        found = source.read(count)
        if len(found) < count:
            raise EOFError
        return found

    planner: Any = None
    while True:
        try:
            facts, arrays = unpacked(read)
        except EOFError:
            return
        try:
            if "scenarios" in facts:
                planner = begun(made, facts)
                message = packed({"ready": True}, {})
            else:
                seen = Observation(**(facts | arrays))
                message = answered(checked(planner.plan(seen), len(seen.x)))
        except PlannerError as error:
            message = packed({"failed": str(error)}, {})
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told to the simulation, which goes on
            message = packed({"failed": failed(error)}, {})
        target.write(message)
        target.flush()


def main() -> None:
    """Serve the planner that the command line names."""
    target = os.fdopen(os.dup(1), "wb")
    source = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        made = load(Path(sys.argv[1]), sys.argv[2])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - told to the simulation, which says so of every scenario
        target.write(packed({"broken": failed(error) if not isinstance(error, PlannerError) else str(error)}, {}))
        target.flush()
        return
    serve(made, source, target)


if __name__ == "__main__":
    main()
