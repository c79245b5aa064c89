"""A signal that a plan collects, and how it is sampled: read from a document, and written in its one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.plans.measures import duration_text, duration_us, step, step_text
from carcloud.vehicle.plans.sampling import Sampling

LIMIT_PERIOD_US = 86_400_000_000
LEAST_PERIOD_US = 1_000
LEAST_STEP, MOST_STEP = 1e-9, 1e12
SAMPLINGS = ("every", "change", "band", "curve")


@dataclass(frozen=True)
class Wanted:
    """A signal that a plan collects. `unit`: the catalogue's, in which a band or an error is."""

    path: str
    sampling: Sampling
    unit: str | None = None


def read_sampling(kind: str, value: object, signal: Signal) -> Sampling:
    """Read one sampling of a signal; raise InputError."""
    if kind == "change":
        if value is not True:
            raise InputError("`change` is true, or not there.", "Write `change: true`.")
        return Sampling("change")
    if kind == "every":
        period = duration_us(value)
        if not LEAST_PERIOD_US <= period <= LIMIT_PERIOD_US:
            low, high = duration_text(LEAST_PERIOD_US), duration_text(LIMIT_PERIOD_US)
            raise InputError(f"A period of {duration_text(period)}.", f"Give {low} to {high}.")
        return Sampling("every", float(period))
    if signal.is_text:
        raise InputError(f"{signal.path} is a text: it has no {kind}.", "Write `change: true` for texts.")
    by = step(value, signal)
    if not LEAST_STEP <= by <= MOST_STEP:
        raise InputError(f"A {kind} of {by:g}.", "Give more than nothing, and less than everything.")
    return Sampling("band" if kind == "band" else "curve", by)


def shown(one: Wanted) -> str | dict[str, Any]:
    """Return the signal as it stands in the one form of a plan."""
    match one.sampling.kind:
        case "all":
            return one.path
        case "change":
            return {"path": one.path, "change": True}
        case "every":
            return {"path": one.path, "every": duration_text(int(one.sampling.by))}
        case kind:
            return {"path": one.path, kind: step_text(one.sampling.by, one.unit)}
