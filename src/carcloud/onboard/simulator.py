"""A simulated fleet of electric cars, as a source: the same agent, queue and link as a real car, flagged `simulated`.

Rules:
* The same seed and start give the same samples.
* Motion comes at 1 Hz, energy every 5 s, slow things every 30 s; switches and states when they change, and each minute.

Source: VSS 6.0 for paths, units and types.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from carcloud.onboard.electric_body import ElectricBody
from carcloud.onboard.electric_car import (
    GEAR_RATIO,
    STEERING_RATIO,
    WHEEL_RADIUS_M,
    WHEELBASE_M,
    ElectricCar,
)
from carcloud.onboard.roads import Edge, altitude_m, build, place
from carcloud.onboard.source import Block, Slice
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column

STEP_S = 0.25
STEPS = 4  # a second
ENERGY_S, SLOW_S, REPEAT_S = 5, 30, 60
DAY_S = 86_400.0
CAR_LENGTH_M = 4.6
LOCATED_M = 1.5  # how sharply a car knows its place when it is asked for it

BATTERY = "Vehicle.Powertrain.TractionBattery"
LIGHTS = "Vehicle.Body.Lights"
UNITS: dict[str, str | None] = {
    "Vehicle.Speed": "km/h",
    "Vehicle.Acceleration.Longitudinal": "m/s^2",
    "Vehicle.AngularVelocity.Yaw": "degrees/s",
    "Vehicle.CurrentLocation.Latitude": "degrees",
    "Vehicle.CurrentLocation.Longitude": "degrees",
    "Vehicle.CurrentLocation.Heading": "degrees",
    "Vehicle.CurrentLocation.Altitude": "m",
    "Vehicle.Chassis.Accelerator.PedalPosition": "percent",
    "Vehicle.Chassis.Brake.PedalPosition": "percent",
    "Vehicle.Chassis.SteeringWheel.Angle": "degrees",
    "Vehicle.Powertrain.ElectricMotor.Power": "kW",
    "Vehicle.Powertrain.ElectricMotor.Torque": "Nm",
    "Vehicle.Powertrain.ElectricMotor.Speed": "rpm",
    f"{BATTERY}.CurrentPower": "W",
    f"{BATTERY}.CurrentCurrent": "A",
    f"{BATTERY}.CurrentVoltage": "V",
    f"{BATTERY}.StateOfCharge.Current": "percent",
    f"{BATTERY}.StateOfCharge.Displayed": "percent",
    f"{BATTERY}.StateOfCharge.CurrentEnergy": "kWh",
    f"{BATTERY}.AccumulatedConsumedEnergy": "kWh",
    "Vehicle.Powertrain.Range": "m",
    "Vehicle.TraveledDistance": "m",
    f"{BATTERY}.Temperature.Average": "Celsius",
    "Vehicle.Exterior.AirTemperature": "Celsius",
    "Vehicle.Cabin.HVAC.AmbientAirTemperature": "Celsius",
    "Vehicle.LowVoltageBattery.CurrentVoltage": "V",
    "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure": "kPa",
    "Vehicle.Chassis.Axle.Row1.Wheel.Right.Tire.Pressure": "kPa",
    "Vehicle.Chassis.Axle.Row2.Wheel.Left.Tire.Pressure": "kPa",
    "Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.Pressure": "kPa",
    "Vehicle.IsMoving": None,
    "Vehicle.LowVoltageSystemState": None,
    "Vehicle.Powertrain.Transmission.CurrentGear": None,
    "Vehicle.Chassis.ParkingBrake.IsEngaged": None,
    "Vehicle.Cabin.HVAC.IsAirConditioningActive": None,
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen": None,
    "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked": None,
    f"{LIGHTS}.Beam.Low.IsOn": None,
    f"{LIGHTS}.Brake.IsActive": None,
    f"{LIGHTS}.DirectionIndicator.Left.IsSignaling": None,
    f"{LIGHTS}.DirectionIndicator.Right.IsSignaling": None,
    f"{BATTERY}.Charging.IsCharging": None,
    f"{BATTERY}.Charging.ChargeLimit": "percent",
    "Vehicle.CurrentLocation.HorizontalAccuracy": "m",
    "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature": "Celsius",
    "Vehicle.Body.Horn.IsActive": None,
    f"{LIGHTS}.Hazard.IsSignaling": None,
    f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected": None,
}
INDEX = {path: index for index, path in enumerate(UNITS)}

Values = dict[str, float | str]


class Simulator:
    """A fleet of simulated cars. It never ends; drive it at speed 1, or faster than time to fill a lake."""

    live = False
    recording: str | None = None

    def __init__(self, cars: int, seed: int, start_us: int) -> None:
        self.table = IdTable(tuple(UNITS.items()))
        self.provenance = Provenance.SIMULATED
        self.skipped: Counter[str] = Counter()
        self.roads = build()
        self._start_us = start_us
        self._cars = {f"sim-{number:03}": ElectricCar(self.roads, seed * 100_003 + number) for number in range(cars)}
        self._said: dict[str, Values] = {name: {} for name in self._cars}

    def vehicles(self) -> list[str]:
        """Return the cars' names."""
        return list(self._cars)

    def body(self, name: str) -> ElectricBody:
        """Return what of a car can be ordered about."""
        return ElectricBody(self._cars[name])

    def slices(self) -> Iterator[Slice]:
        """Yield a slice a second."""
        second = 0
        while True:
            time_us = self._start_us + second * 1_000_000
            day_s = (time_us / 1e6 + 8 * 3600) % DAY_S  # the network lies at UTC+8
            ambient_c = 17.0 + 6.0 * math.sin(2 * math.pi * (day_s - 9 * 3600) / DAY_S)
            blocks = [
                Block(name, _columns(self._say(name, car, second, day_s, ambient_c), time_us))
                for name, car in self._cars.items()
            ]
            yield Slice(blocks, time_us + 1)
            for step in range(STEPS):
                self._step(day_s + step * STEP_S, ambient_c)
            second += 1

    def _step(self, clock_s: float, ambient_c: float) -> None:
        lanes: dict[tuple[str, str], list[ElectricCar]] = defaultdict(list)
        for car in self._cars.values():
            if not car.parked:
                lanes[_lane(car.edge)].append(car)
        for lane in lanes.values():
            lane.sort(key=lambda car: car.along_m)
        for car in self._cars.values():
            car.step(STEP_S, clock_s, _leader(car, lanes), ambient_c)

    def _say(self, name: str, car: ElectricCar, second: int, day_s: float, ambient_c: float) -> Values:
        values = _motion(car)
        if second % ENERGY_S == 0:
            values |= _energy(car)
        if second % SLOW_S == 0:
            values |= _slow(car, ambient_c)
        if car.located_s > 0:
            values["Vehicle.CurrentLocation.HorizontalAccuracy"] = LOCATED_M
        states = _states(car, day_s)
        said = self._said[name]
        repeat = second % REPEAT_S == 0
        values |= {path: value for path, value in states.items() if repeat or said.get(path) != value}
        self._said[name] = states
        return values


def _lane(edge: Edge) -> tuple[str, str]:
    return edge.start, edge.end


def _leader(car: ElectricCar, lanes: dict[tuple[str, str], list[ElectricCar]]) -> tuple[float, float] | None:
    """Return the gap to the car ahead and its speed: on this edge, else the last one on the next."""
    for other in lanes.get(_lane(car.edge), []):
        if other.along_m > car.along_m and other is not car:
            return other.along_m - car.along_m - CAR_LENGTH_M, other.speed
    if car.way:
        following = lanes.get(_lane(car.way[0]), [])
        if following:
            left = car.edge.length_m - car.along_m
            return left + following[0].along_m - CAR_LENGTH_M, following[0].speed
    return None


def _columns(values: Values, time_us: int) -> list[Column]:
    times = np.array([time_us], np.int64)
    return [
        Column(INDEX[path], times, np.array([math.nan]), [value])
        if isinstance(value, str)
        else Column(INDEX[path], times, np.array([float(value)]))
        for path, value in values.items()
    ]


def _motion(car: ElectricCar) -> Values:
    east, north, heading = car.position
    longitude, latitude = place(east, north)
    axle_rpm = car.speed / (2 * math.pi * WHEEL_RADIUS_M) * 60
    motor_rad_s = axle_rpm * GEAR_RATIO * 2 * math.pi / 60
    steer = math.degrees(math.atan(math.radians(car.yaw_rate) * WHEELBASE_M / max(car.speed, 2.0))) * STEERING_RATIO
    share = car.motor_w / (car.model.power_kw * 1000)
    return {
        "Vehicle.Speed": round(car.speed * 3.6, 2),
        "Vehicle.Acceleration.Longitudinal": round(car.acceleration, 3),
        "Vehicle.AngularVelocity.Yaw": round(car.yaw_rate, 2),
        "Vehicle.CurrentLocation.Latitude": latitude,
        "Vehicle.CurrentLocation.Longitude": longitude,
        "Vehicle.CurrentLocation.Heading": round(heading, 1),
        "Vehicle.CurrentLocation.Altitude": round(altitude_m(east, north), 1),
        "Vehicle.Chassis.Accelerator.PedalPosition": round(100 * min(1.0, max(0.0, share))),
        "Vehicle.Chassis.Brake.PedalPosition": round(min(100.0, max(0.0, -car.acceleration - 0.3) * 14)),
        "Vehicle.Chassis.SteeringWheel.Angle": round(min(540.0, max(-540.0, steer))),
        "Vehicle.Powertrain.ElectricMotor.Power": round(car.motor_w / 1000),
        "Vehicle.Powertrain.ElectricMotor.Torque": round(min(600.0, max(-600.0, car.motor_w / max(motor_rad_s, 20.0)))),
        "Vehicle.Powertrain.ElectricMotor.Speed": round(axle_rpm * GEAR_RATIO),
        f"{BATTERY}.CurrentPower": round(car.battery_w),
        f"{BATTERY}.CurrentCurrent": round(car.battery_w / car.volts, 2),
        f"{BATTERY}.CurrentVoltage": round(car.volts, 1),
    }


def _energy(car: ElectricCar) -> Values:
    return {
        f"{BATTERY}.StateOfCharge.Current": round(car.soc_pct, 2),
        f"{BATTERY}.StateOfCharge.Displayed": round(min(100.0, max(0.0, (car.soc_pct - 4) / 0.92))),
        f"{BATTERY}.StateOfCharge.CurrentEnergy": round(car.soc_pct / 100 * car.model.battery_kwh, 2),
        f"{BATTERY}.AccumulatedConsumedEnergy": round(car.consumed_kwh, 3),
        "Vehicle.Powertrain.Range": round(car.range_m),
        "Vehicle.TraveledDistance": round(car.odometer_m),
    }


def _slow(car: ElectricCar, ambient_c: float) -> Values:
    wheels = [
        f"Vehicle.Chassis.Axle.Row{row}.Wheel.{side}.Tire.Pressure" for row in (1, 2) for side in ("Left", "Right")
    ]
    warm = 0.35 * (ambient_c - 20) + (0.0 if car.parked else 4.0)
    return {
        f"{BATTERY}.Temperature.Average": round(car.battery_c, 1),
        "Vehicle.Exterior.AirTemperature": round(ambient_c, 1),
        "Vehicle.Cabin.HVAC.AmbientAirTemperature": round(car.cabin_c, 1),
        "Vehicle.LowVoltageBattery.CurrentVoltage": 12.6 if car.rest_s > 0 else 14.1,
        **{wheel: round(pressure + warm) for wheel, pressure in zip(wheels, car.tyres_kpa, strict=True)},
    }


def _states(car: ElectricCar, day_s: float) -> Values:
    resting, ahead = car.rest_s > 0, car.edge.length_m - car.along_m
    turning = car.next_turn if not car.parked and ahead < 45 else 0.0
    return {
        "Vehicle.IsMoving": car.speed > 0.1,
        "Vehicle.LowVoltageSystemState": "OFF" if resting else "ON",
        "Vehicle.Powertrain.Transmission.CurrentGear": 0 if car.parked else 1,
        "Vehicle.Chassis.ParkingBrake.IsEngaged": car.parked,
        "Vehicle.Cabin.HVAC.IsAirConditioningActive": car.climate_on,
        "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature": car.wanted_c,
        "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen": car.door_open,
        "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked": car.locked,
        "Vehicle.Body.Horn.IsActive": car.horn_s > 0,
        f"{LIGHTS}.Hazard.IsSignaling": car.lights_s > 0,
        f"{LIGHTS}.Beam.Low.IsOn": not resting and not 6.5 * 3600 < day_s < 18 * 3600,
        f"{LIGHTS}.Brake.IsActive": "ACTIVE" if car.acceleration < -0.8 else "INACTIVE",
        f"{LIGHTS}.DirectionIndicator.Left.IsSignaling": turning < -30,
        f"{LIGHTS}.DirectionIndicator.Right.IsSignaling": turning > 30,
        f"{BATTERY}.Charging.IsCharging": car.charging,
        f"{BATTERY}.Charging.ChargeLimit": car.limit_pct,
        f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected": car.plugged,
    }
