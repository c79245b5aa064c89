"""What of a simulated electric car can be ordered about; what is ordered shows in what the car then reports."""

from __future__ import annotations

from carcloud.errors import ConflictError, InputError
from carcloud.onboard.electric_car import ElectricCar
from carcloud.vehicle.commands import CarState, Parameters

LOCATED_S = 10.0
STAY_S = 120.0
"""A car whose charging was stopped by order stays so long at its cable."""


class ElectricBody:
    """Carries orders out on a simulated car. Each is one step that the car's next second shows."""

    def __init__(self, car: ElectricCar) -> None:
        self._car = car

    def state(self) -> CarState:
        """Return the car's state now."""
        car = self._car
        return CarState(car.speed * 3.6, car.plugged, car.soc_pct, car.door_open)

    def carry_out(self, command: str, parameters: Parameters) -> None:
        """Do what is ordered.

        Raises:
            ConflictError: the battery has what it is allowed to have.
            InputError: the car knows no such command.
        """
        car = self._car
        if command in ("lock", "unlock"):
            car.lock_ordered = command == "lock"
        elif command in ("climate-start", "climate-stop"):
            car.climate_ordered = command == "climate-start"
        elif command == "climate-temperature":
            car.wanted_c = float(parameters["temperature_c"])
        elif command == "charge-limit":
            car.limit_pct = float(parameters["limit_pct"])
        elif command in ("charge-start", "charge-stop"):
            self._charge(command == "charge-start")
        elif command == "horn":
            car.horn_s = float(parameters["seconds"])
        elif command == "lights":
            car.lights_s = float(parameters["seconds"])
        elif command == "locate":
            car.located_s = LOCATED_S
        else:
            raise InputError(f"This car cannot {command}.", "Order something else.")

    def _charge(self, on: bool) -> None:
        car = self._car
        if on and car.soc_pct >= car.limit_pct:
            raise ConflictError("The battery has as much as it may have.", "Raise the limit first.")
        if car.charging and not on:
            car.rest_s = max(car.rest_s, STAY_S)
        car.charging = on
