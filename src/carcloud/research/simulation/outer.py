"""Planners in processes of their own: a class or function of a Python file, or any program.

Rules:
* What they see is sent to them; the recording, and with it the future, stays in the simulation's process.
* Who fails, ends, answers nonsense or is late is killed, and started anew for the next scenarios.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from carcloud.errors import InputError
from carcloud.research.simulation.planner import Action, Observation, PlannerError, checked, seen_by
from carcloud.research.simulation.process import Program, SilentError
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.wire import WireError, packed, unpacked

START_S = 60.0
"""How long a planner may take to load what it stands on."""
LIMIT_LINE_BYTES = 64 << 10


class _Outer:
    def __init__(self, name: str, words: Sequence[str], at_once: int) -> None:
        self.name = name
        self.at_once = at_once
        self._words = words
        self._program: Program | None = None
        self._limit_s = 1.0

    def _started(self) -> Program:
        if self._program is None:
            try:
                self._program = Program(self._words)
            except OSError as error:
                raise InputError(f"The planner {self._words[0]} cannot be started: {error.strerror}.") from error
        return self._program

    def end(self) -> None:
        """Kill the process."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    def _lost(self, error: Exception, limit_s: float) -> PlannerError:
        self.end()
        if isinstance(error, SilentError):
            late = str(error) == "late"
            return PlannerError(
                f"The planner took longer than {limit_s:g} s." if late else "The planner's process ended."
            )
        return PlannerError(f"The planner answered with nonsense: {error}.")


class FilePlanner(_Outer):
    """A class or function of a Python file."""

    def __init__(self, name: str, file: Path, called: str) -> None:
        words = (sys.executable, "-m", "carcloud.research.simulation.child", str(file.resolve()), called)
        super().__init__(name, words, 256)

    def begin(self, scenarios: int, settings: Settings) -> None:
        """Start the process where it does not run, and have it forget all that was."""
        self._limit_s = settings.limit_s
        facts = {"scenarios": scenarios, "seed": settings.seed, "limit_s": settings.limit_s}
        self._exchanged(packed(facts, {}), START_S)

    def plan(self, seen: Observation) -> Action:
        """Send what is seen, and return the answer."""
        told = {one.name: getattr(seen, one.name) for one in fields(seen)}
        times = {name: told.pop(name) for name in ("time_s", "step_s")}
        limit_s = self._limit_s * max(int(seen.running.sum()), 1)
        facts, arrays = self._exchanged(packed(times, told), limit_s)
        if not {"acceleration"} <= set(arrays) <= {"acceleration", "steer", "kept"}:
            raise self._lost(WireError("no acceleration"), limit_s)
        faults = {int(at): str(text)[:500] for at, text in dict(facts.get("faults", {})).items()}
        return checked(Action(**arrays, faults=faults), len(seen.x))

    def _exchanged(self, message: bytes, limit_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
        program, until = self._started(), time.monotonic() + limit_s
        try:
            program.write(message, until)
            facts, arrays = unpacked(lambda count: program.read(count, until))
        except (SilentError, WireError) as error:
            raise self._broken(error, limit_s) from error
        if "broken" in facts:
            self.end()
            raise InputError(str(facts["broken"])[:500], "Mend the planner's file.")
        if "failed" in facts:
            raise PlannerError(str(facts["failed"])[:500])
        return facts, arrays

    def _broken(self, error: Exception, limit_s: float) -> Exception:
        """Return why there was no answer: the file could not be loaded, which it said before it ended; or else."""
        if isinstance(error, SilentError) and str(error) == "ended" and self._program is not None:
            program, until = self._program, time.monotonic() + 1.0
            try:
                facts, _ = unpacked(lambda count: program.read(count, until))
            except (SilentError, WireError):
                return self._lost(error, limit_s)
            if "broken" in facts:
                self.end()
                return InputError(str(facts["broken"])[:500], "Mend the planner's file.")
        return self._lost(error, limit_s)


class ProgramPlanner(_Outer):
    """Any program that answers a line of JSON by a line of JSON; it drives one scenario at a time."""

    def __init__(self, name: str, words: Sequence[str]) -> None:
        super().__init__(name, words, 1)

    def begin(self, scenarios: int, settings: Settings) -> None:
        """Start the program where it does not run, and tell it that a scenario begins."""
        self._limit_s = settings.limit_s
        answer = self._line({"begin": {"step_s": settings.step_s, "seed": settings.seed}}, START_S)
        if "ready" not in answer:
            raise self._lost(WireError('it must say {"ready": true}'), START_S)

    def plan(self, seen: Observation) -> Action:
        """Send what is seen, and return the answer."""
        if not seen.running[0]:
            return Action(np.zeros(1))
        answer = self._line({"see": told_of(seen)}, self._limit_s)
        push, steer = answer.get("acceleration"), answer.get("steer")
        for one in (push, 0.0 if steer is None else steer):
            if isinstance(one, bool) or not isinstance(one, (int, float)) or not math.isfinite(one):
                raise self._lost(WireError("acceleration and steer must be finite numbers"), self._limit_s)
        return Action(np.array([push], np.float64), None if steer is None else np.array([steer], np.float64))

    def _line(self, message: dict[str, Any], limit_s: float) -> dict[str, Any]:
        program, until = self._started(), time.monotonic() + limit_s
        try:
            program.write(json.dumps(message, allow_nan=False).encode() + b"\n", until)
            answer = json.loads(program.line(LIMIT_LINE_BYTES, until))
        except SilentError as error:
            raise self._lost(error, limit_s) from error
        except (ValueError, RecursionError) as error:
            raise self._lost(WireError("no line of JSON"), limit_s) from error
        if not isinstance(answer, dict):
            raise self._lost(WireError("no JSON object"), limit_s)
        return answer


def told_of(seen: Observation) -> dict[str, Any]:
    """Return what the ego of the only scenario sees, as JSON says it."""
    one = seen_by(seen, 0)
    ego = {word: getattr(one, word) for word in ("x", "y", "yaw", "speed", "acceleration", "length", "width")}
    columns = ("x", "y", "yaw", "speed", "length", "width")
    rows = zip(one.others_kind, *(getattr(one, f"others_{word}").tolist() for word in columns), strict=True)
    others = [dict(zip(("kind", *columns), row, strict=True)) for row in rows]
    lead = None if math.isinf(one.gap) else {"gap": one.gap, "speed": one.lead_speed}
    return {"time_s": one.time_s, "ego": ego, "lead": lead, "route": one.route.tolist(), "others": others}
