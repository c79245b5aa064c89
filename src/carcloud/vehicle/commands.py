"""What a car can be ordered to do, by which role, and when it must not: the same in the cloud and in the car.

Rules:
* Commands, their parameters and their bounds are a closed set; what is not in it is refused.
* A collection plan travels beside its order, which names it by its SHA-256: what is signed is the document itself.
* An interlock is a pure function of command, parameters and the car's state. A state that is not known locks nothing
  here: the car knows its own, and asks again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from carcloud.errors import InputError

Parameters = Mapping[str, int | float | str]

_SHA256 = re.compile(r"[0-9a-f]{64}")
UNLOCK_LIMIT_KMH = 5.0
CLIMATE_RESERVE_PCT = 10.0


class Domain(IntEnum):
    """A part of the car that takes orders; each has its own session, key and counter."""

    ACCESS = 1
    COMFORT = 2
    CHARGING = 3
    COLLECTION = 4


@dataclass(frozen=True)
class Bounds:
    """A number a command takes, from `low` to `high` in steps of `step`; `unit` for people."""

    low: float
    high: float
    step: float
    unit: str

    def holds(self, value: object) -> bool:
        """Say whether this is such a number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def wanted(self) -> str:
        """Return what to give, for people."""
        return f"{self.low:g} to {self.high:g} {self.unit} in steps of {self.step:g}"


@dataclass(frozen=True)
class Digest:
    """A document that a command takes, named by its SHA-256."""

    def holds(self, value: object) -> bool:
        """Say whether this is such a name."""
        return isinstance(value, str) and _SHA256.fullmatch(value) is not None

    @property
    def wanted(self) -> str:
        """Return what to give, for people."""
        return "the 64 hexadecimal digits of a SHA-256"


@dataclass(frozen=True)
class Command:
    """One thing a car can be ordered to do. Every parameter must be given."""

    name: str
    domain: Domain
    roles: frozenset[str]
    parameters: Mapping[str, Bounds | Digest] = field(default_factory=dict)


@dataclass(frozen=True)
class CarState:
    """What an interlock asks about; None where it is not known."""

    speed_kmh: float | None = None
    plugged: bool | None = None
    charge_pct: float | None = None
    door_open: bool | None = None


PLAN_TAKE, PLAN_DROP = "plan-take", "plan-drop"
OWNER, FLEET, OPERATOR = "owner", "fleet", "operator"
ROLES = (OWNER, FLEET, OPERATOR)
"""Owners and fleets order all; an operator, who helps on the telephone, nothing that opens, warms or charges."""

_MOST, _ALL = frozenset({OWNER, FLEET}), frozenset(ROLES)

COMMANDS = {
    command.name: command
    for command in (
        Command("lock", Domain.ACCESS, _ALL),
        Command("unlock", Domain.ACCESS, _MOST),
        Command("locate", Domain.ACCESS, _ALL),
        Command("climate-start", Domain.COMFORT, _MOST),
        Command("climate-stop", Domain.COMFORT, _MOST),
        Command("climate-temperature", Domain.COMFORT, _MOST, {"temperature_c": Bounds(16, 28, 0.5, "°C")}),
        Command("horn", Domain.COMFORT, _ALL, {"seconds": Bounds(1, 5, 1, "s")}),
        Command("lights", Domain.COMFORT, _ALL, {"seconds": Bounds(1, 60, 1, "s")}),
        Command("charge-start", Domain.CHARGING, _MOST),
        Command("charge-stop", Domain.CHARGING, _MOST),
        Command("charge-limit", Domain.CHARGING, _MOST, {"limit_pct": Bounds(50, 100, 1, "%")}),
        Command(PLAN_TAKE, Domain.COLLECTION, frozenset({FLEET}), {"plan": Digest()}),
        Command(PLAN_DROP, Domain.COLLECTION, frozenset({FLEET}), {"plan": Digest()}),
    )
}

REASONS = {
    "moving": "the car moves",
    "door_open": "a door is open",
    "not_plugged": "no charging cable is plugged in",
    "low_charge": "the battery is almost empty",
    "unsupported": "the car cannot do this",
    "not_allowed": "the role may not order this",
    "full": "the car has no room for it",
    "malformed": "the order does not say a command",
    "interrupted": "the car stopped while it did this; whether it acted is not known",
    "broken": "the car tried and could not",
    "no_result": "no word came before the order's time was over; whether the car acted is not known",
    "not_delivered": "the car was not reached in the order's time",
    "expired_plan": "the plan's time is over",
    "withdrawn_plan": "the plan was withdrawn",
    "superseded_plan": "a later order about this plan took its place",
    "wrong_plan": "the car cannot do what the plan says",
    "not_authorised": "the order signer does not take the authorisation",
}
"""Why an order was not done, for people. A closed set: it reaches the audit log as it is."""


def command_of(name: object, parameters: object) -> Command:
    """Return the command, its parameters within their bounds. Raise InputError where there is no such command."""
    command = COMMANDS.get(name) if isinstance(name, str) else None
    if command is None:
        raise InputError(f"{str(name)[:40]!r} is no command.", f"Use one of: {', '.join(COMMANDS)}.")
    if not isinstance(parameters, Mapping) or parameters.keys() != command.parameters.keys():
        wanted = ", ".join(command.parameters) or "none"
        raise InputError(f"{command.name} has other parameters.", f"Give exactly these: {wanted}.")
    for key, kind in command.parameters.items():
        if not kind.holds(parameters[key]):
            raise InputError(f"{command.name}: {key} is out of bounds.", f"Give {kind.wanted}.")
    return command


def interlock(command: str, parameters: Parameters, state: CarState) -> str | None:
    """Return why the car's state forbids this command now, as one of REASONS, or None."""
    moving = state.speed_kmh is not None and abs(state.speed_kmh) > UNLOCK_LIMIT_KMH
    if command in ("unlock", "horn", "lights") and moving:
        return "moving"
    if command == "lock" and state.door_open:
        return "door_open"
    if command == "charge-start" and state.plugged is False:
        return "not_plugged"
    low = state.charge_pct is not None and state.charge_pct < CLIMATE_RESERVE_PCT
    if command == "climate-start" and low and not state.plugged:
        return "low_charge"
    return None
