"""What a simulation is told besides its scenarios and its planner."""

from __future__ import annotations

from dataclasses import dataclass

from carcloud.errors import InputError

TRAFFIC = ("log", "idm", "constant")
"""How others move. log: as recorded. idm: by the intelligent driver model, changing lanes by MOBIL where the scenario
has lanes. constant: at the speed they came with, along the line they were driven on."""

LIMIT_STEPS = 100_000
"""Steps of one simulated scenario."""


@dataclass(frozen=True)
class Settings:
    """How to simulate.

    Args:
        step_s: seconds between two steps.
        duration_s: how long each scenario is simulated; None for as long as it was recorded.
        traffic: one of TRAFFIC.
        react: whether a recorded car goes on by the intelligent driver model, along its recorded line, once the ego is
            in its way at a place where it was not when recorded. Only with traffic `log`.
        seed: decides which way traffic `idm` turns where a lane forks; planners are told it too.
        limit_s: how long a planner of somebody else may think about one scenario and step.
        threads: how many share the scenarios; the outcome is the same for any number.
        keep: whether outcomes hold their motion.

    Raises:
        InputError: a value is out of its range.
    """

    step_s: float = 0.1
    duration_s: float | None = None
    traffic: str = "log"
    react: bool = False
    seed: int = 0
    limit_s: float = 1.0
    threads: int = 1
    keep: bool = True

    def __post_init__(self) -> None:
        if self.traffic not in TRAFFIC:
            raise InputError(f"There is no traffic {self.traffic!r}.", f"Use one of {', '.join(TRAFFIC)}.")
        if not 0.001 <= self.step_s <= 1.0:
            raise InputError(f"A step of {self.step_s} s is out of range.", "Use 0.001 to 1 second.")
        if self.duration_s is not None and not 0 < self.duration_s <= self.step_s * LIMIT_STEPS:
            raise InputError(f"A duration of {self.duration_s} s is out of range.", f"At most {LIMIT_STEPS} steps.")
        if not 0 <= self.seed < 2**63 or not 0.001 <= self.limit_s <= 600 or not 1 <= self.threads <= 1024:
            raise InputError(
                "A seed, time limit or number of threads is out of range.",
                "Seeds: 0 to 2^63 - 1; limits: 0.001 to 600 s; threads: 1 to 1024.",
            )
