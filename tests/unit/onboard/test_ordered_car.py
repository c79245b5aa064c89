"""What a simulated car is ordered shows in what it reports."""

from __future__ import annotations

import itertools
import math

import pytest

from carcloud.errors import ConflictError
from carcloud.onboard.electric_body import STAY_S
from carcloud.onboard.electric_car import ElectricCar
from carcloud.onboard.simulator import BATTERY, INDEX, LIGHTS, LOCATED_M, Simulator
from carcloud.vehicle.commands import COMMANDS, interlock

LOCKED = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
PLACE = "Vehicle.CurrentLocation.HorizontalAccuracy"


class Garage:
    """One simulated car, and what it said last of every signal."""

    def __init__(self, *, resting_s: float = 0.0) -> None:
        self.simulator = Simulator(1, 4, 1_700_000_000_000_000)
        self.car: ElectricCar = self.simulator._cars["sim-000"]
        self.car.rest_s = resting_s
        self.body = self.simulator.body("sim-000")
        self._slices = self.simulator.slices()
        self.said: dict[int, float] = {}

    def after(self, seconds: int) -> Garage:
        for piece in itertools.islice(self._slices, seconds):
            for column in piece.blocks[0].columns:
                self.said[column.signal] = float(column.values[-1])
        return self

    def says(self, path: str) -> float:
        return self.said.get(INDEX[path], math.nan)

    def order(self, command: str, **parameters: float) -> Garage:
        assert parameters.keys() == COMMANDS[command].parameters.keys()
        self.body.carry_out(command, parameters)
        return self.after(2)


def test_locks_hold_until_the_car_leaves() -> None:
    garage = Garage(resting_s=60).after(1)
    assert garage.says(LOCKED) == 1
    assert garage.order("unlock").says(LOCKED) == 0
    assert garage.order("lock").says(LOCKED) == 1
    garage.order("unlock").after(80)
    assert garage.car.lock_ordered is None, "the next place begins anew"


def test_climate_warms_a_resting_car_to_what_is_wanted() -> None:
    garage = Garage(resting_s=3600).after(1)
    garage.car.cabin_c = 8.0
    assert garage.says("Vehicle.Cabin.HVAC.IsAirConditioningActive") == 0
    garage.order("climate-temperature", temperature_c=24).order("climate-start")
    assert garage.says("Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature") == 24
    assert garage.says("Vehicle.Cabin.HVAC.IsAirConditioningActive") == 1
    assert garage.after(900).car.cabin_c == pytest.approx(24, abs=1)
    assert garage.order("climate-stop").says("Vehicle.Cabin.HVAC.IsAirConditioningActive") == 0


def test_charging_stops_starts_and_keeps_to_its_limit() -> None:
    garage = Garage()
    garage.car.speed, garage.car.soc_pct = 0.0, 60.0
    garage.car.charging = garage.car.plugged = True
    assert garage.after(1).says(f"{BATTERY}.Charging.IsCharging") == 1
    assert garage.order("charge-stop").says(f"{BATTERY}.Charging.IsCharging") == 0
    assert garage.says(f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected") == 1
    assert garage.order("charge-start").says(f"{BATTERY}.Charging.IsCharging") == 1
    assert garage.order("charge-limit", limit_pct=55).says(f"{BATTERY}.Charging.ChargeLimit") == 55
    assert garage.says(f"{BATTERY}.Charging.IsCharging") == 0
    with pytest.raises(ConflictError):
        garage.body.carry_out("charge-start", {})
    assert garage.after(int(STAY_S) + 5).car.plugged is False


def test_horn_lights_and_place_are_told_for_a_while() -> None:
    garage = Garage(resting_s=600).after(1)
    assert math.isnan(garage.says(PLACE))
    garage.order("horn", seconds=3).order("lights", seconds=30).order("locate")
    assert garage.says(f"{LIGHTS}.Hazard.IsSignaling") == 1
    assert garage.says(PLACE) == LOCATED_M
    assert garage.after(5).says("Vehicle.Body.Horn.IsActive") == 0
    assert garage.after(30).says(f"{LIGHTS}.Hazard.IsSignaling") == 0


def test_interlocks_see_the_cars_own_state() -> None:
    garage = Garage()
    garage.car.speed = 60 / 3.6
    assert interlock("unlock", {}, garage.body.state()) == "moving"
    assert interlock("charge-start", {}, garage.body.state()) == "not_plugged"
    garage.car.speed = 5 / 3.6
    assert interlock("unlock", {}, garage.body.state()) is None
    garage.car.rest_s = 6.0
    assert interlock("lock", {}, garage.body.state()) == "door_open"
    garage.car.soc_pct = 5.0
    assert interlock("climate-start", {}, garage.body.state()) == "low_charge"
