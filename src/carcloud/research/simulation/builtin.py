"""The planners that are part of the machine code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carcloud.research.simulation.planner import Action, Observation
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.world import CC_HUMAN, CONSTANT, FSM, IDM, REG157, REPLAY, RSS

CODES = {
    "log": REPLAY,
    "constant-speed": CONSTANT,
    "idm": IDM,
    "r157-cc-human": CC_HUMAN,
    "r157-reg157": REG157,
    "r157-rss": RSS,
    "r157-fsm": FSM,
}
MOST = 4096


@dataclass(frozen=True)
class BuiltIn:
    """A planner of ours; the engine knows it by its code and never asks it."""

    name: str

    @property
    def code(self) -> int:
        """Return the number by which machine code knows it."""
        return CODES[self.name]

    @property
    def at_once(self) -> int:
        """Return how many scenarios are driven at once: as many as fit."""
        return MOST

    def begin(self, scenarios: int, settings: Settings) -> None:
        """Do nothing: what it remembers is in the simulation's state."""

    def plan(self, seen: Observation) -> Action:
        """Hold the speed: outside of the engine it has no say."""
        return Action(np.zeros(len(seen.x)))

    def end(self) -> None:
        """Do nothing."""
