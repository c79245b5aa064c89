"""One plan of a car, and where it stands: whether its condition holds, when it fired, and the windows under way."""

from __future__ import annotations

from dataclasses import dataclass

from carcloud.onboard.plans import CarPlan
from carcloud.vehicle.conditions.condition import Change, Truth
from carcloud.vehicle.plans.windows import Windows

NEVER_US = -(2**62)


@dataclass(eq=False)
class Standing:
    """One plan of this car, and where it stands."""

    kept: CarPlan
    fired: int = 0
    last_us: int | None = None
    windows: Windows | None = None
    truth: Truth = None
    gate: Truth = True
    signals: tuple[int, ...] = ()
    changed: bool = False
    begins_us: int = NEVER_US
    """Of a plan without a condition: from when on its samples are still to be gathered."""

    def begin(self) -> None:
        """Begin to evaluate, knowing nothing."""
        plan = self.kept.plan
        self.windows = None if plan.when is None else Windows(plan.before_us, plan.after_us)
        self.begins_us = NEVER_US
        self.truth = plan.when.initial if plan.when else None
        self.gate = plan.upload.initial if plan.upload else True

    @property
    def label(self) -> str:
        """Return the plan's name and version."""
        return f"{self.kept.plan.name}/{self.kept.plan.version}"

    def fires(self, change: Change) -> bool:
        """Take a change of the plan's condition; say whether the plan fires by it."""
        becomes = (change.now and not self.truth) or (change.after and not change.now)
        self.truth = change.after
        waits = self.last_us is not None and change.time_us - self.last_us < self.kept.plan.interval_us
        if not becomes or waits or change.time_us >= self.kept.plan.until_us:
            return False
        self.last_us = change.time_us
        return True
