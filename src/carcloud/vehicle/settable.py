"""What of a car can be set from afar: a closed table of actuators' values and the commands that bring them about.

Rules:
* A value that no row names can be set by nobody; a door to the twin orders what the table says, or nothing.
* A row reads both ways: from a value to a command, and from a command to the value that the car then reports.
* What is momentary (the horn) goes back by itself; that the car did it is all there is to be reported.

Source: VSS 6.0 for paths and values; docs/orders.md for commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.commands import COMMANDS, Bounds, Parameters

Value = float | int | bool | str

BATTERY = "Vehicle.Powertrain.TractionBattery"
HORN_S, LIGHTS_S = 1, 10
"""How long a horn or lights that were switched on by a value stay on; an order can say otherwise."""


@dataclass(frozen=True)
class Settable:
    """An actuator that can be set.

    commands: value → command with its parameters. number: the command, and its parameter that takes the value itself.
    reported: the signal by which a car says what came of it, where it is another. said: its value → this one's.
    momentary: the value goes back by itself.
    """

    path: str
    commands: Mapping[Value, tuple[str, Mapping[str, int]]] = field(default_factory=dict)
    number: tuple[str, str] | None = None
    reported: str = ""
    said: Mapping[Value, Value] = field(default_factory=dict)
    momentary: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Return the commands that set it."""
        return frozenset({self.number[0]} if self.number else {command for command, _ in self.commands.values()})

    @property
    def bounds(self) -> Bounds | None:
        """Return between what it can be set, where it takes a number."""
        found = COMMANDS[self.number[0]].parameters[self.number[1]] if self.number else None
        return found if isinstance(found, Bounds) else None

    @property
    def source(self) -> str:
        """Return the signal by which a car says what came of it."""
        return self.reported or self.path

    def order(self, value: object) -> tuple[str, Parameters]:
        """Return the command that brings a value about, and its parameters; raise InputError where none does."""
        if self.number is not None:
            command, parameter = self.number
            bounds = self.bounds
            assert bounds is not None
            if not isinstance(value, int | float) or not bounds.holds(value):
                raise InputError(f"{self.path} cannot be set to {_written(value)}.", f"Give {bounds.wanted}.")
            return command, {parameter: value}
        for known, (command, parameters) in self.commands.items():
            if type(value) is type(known) and value == known:
                return command, dict(parameters)
        choices = ", ".join(_written(known) for known in self.commands)
        raise InputError(f"{self.path} cannot be set to {_written(value)}.", f"It can be set to: {choices}.")

    def value(self, command: str, parameters: Mapping[str, object]) -> Value | None:
        """Return the value that a command brings about; None where it is no command of this."""
        if self.number is not None and command == self.number[0]:
            found = parameters.get(self.number[1])
            return found if isinstance(found, int | float) else None
        return next((value for value, (name, _) in self.commands.items() if name == command), None)

    def read(self, reported: Value) -> Value:
        """Return what a reported value says, in this actuator's own values."""
        return self.said.get(reported, reported)


def _switch(path: str, on: str, off: str) -> Settable:
    return Settable(path, {True: (on, {}), False: (off, {})})


SETTABLE: Mapping[str, Settable] = {
    one.path: one
    for one in (
        _switch("Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", "lock", "unlock"),
        _switch("Vehicle.Cabin.HVAC.IsAirConditioningActive", "climate-start", "climate-stop"),
        Settable("Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature", number=("climate-temperature", "temperature_c")),
        Settable(f"{BATTERY}.Charging.ChargeLimit", number=("charge-limit", "limit_pct")),
        Settable(
            f"{BATTERY}.Charging.StartStopCharging",
            {"START": ("charge-start", {}), "STOP": ("charge-stop", {})},
            reported=f"{BATTERY}.Charging.IsCharging",
            said={True: "START", False: "STOP"},
        ),
        Settable("Vehicle.Body.Horn.IsActive", {True: ("horn", {"seconds": HORN_S})}, momentary=True),
        Settable("Vehicle.Body.Lights.Hazard.IsSignaling", {True: ("lights", {"seconds": LIGHTS_S})}, momentary=True),
    )
}
"""Every actuator that can be set, by path."""

assert all(name in COMMANDS for one in SETTABLE.values() for name in one.names)


def order_of(path: str, value: object) -> tuple[str, Parameters]:
    """Return the command that sets an actuator to a value, and its parameters. Raise InputError where none does."""
    found = SETTABLE.get(path)
    if found is None:
        do = f"These can be set: {', '.join(SETTABLE)}."
        raise InputError(f"{path[:256]!r} cannot be set.", do)
    return found.order(value)


def limited(signal: Signal) -> Signal:
    """Return a signal as one who sets it knows it: between what it can be set, where it can be and takes a number."""
    bounds = found.bounds if (found := SETTABLE.get(signal.path)) else None
    if bounds is None:
        return signal
    return replace(signal, min=max(bounds.low, signal.low), max=min(bounds.high, signal.high))


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:40]
