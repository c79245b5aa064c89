"""A simulated electric car: its way through the roads, its energy, and what its sensors say.

Rules:
* A car keeps to the limit and its distance, brakes for red lights, turns and its goal, and never drives backwards.
* Energy is physics: inertia, drag, rolling, slope, regeneration, auxiliaries; it comes out of the battery's charge.
* A car that runs low drives to the charging park, and stays until it has 80 %, or what it was ordered to have.
* What it was ordered (locks, climate) holds until it leaves its place.

Source: Treiber, Hennecke, Helbing (2000), Physical Review E 62, 1805 (Intelligent Driver Model) for the acceleration.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from carcloud.onboard.roads import Edge, Roads, altitude_m, turn

GRAVITY = 9.81
AIR_DENSITY = 1.2
ROLLING = 0.009
DRIVE_EFFICIENCY, REGEN_EFFICIENCY, CHARGE_EFFICIENCY = 0.88, 0.70, 0.93
REGEN_LIMIT_W = 60_000.0
TURN_SPEED = 5.0  # m/s, through a right angle
STANDSTILL_GAP_M, HEADWAY_S, COMFORT_BRAKE, HARD_BRAKE = 2.5, 1.4, 1.8, 6.0
WHEEL_RADIUS_M, GEAR_RATIO, STEERING_RATIO, WHEELBASE_M = 0.34, 9.5, 15.0, 2.8
FULL_PCT = 80.0
COMFORT_C = 21.5


@dataclass(frozen=True)
class Model:
    """What is the same for every car of a kind."""

    mass_kg: float
    drag_m2: float
    battery_kwh: float
    charge_kw: float
    power_kw: float


MODELS = (Model(1650, 0.57, 52, 90, 110), Model(1900, 0.60, 64, 120, 150), Model(2250, 0.72, 82, 150, 210))


class ElectricCar:
    """One car; `step` moves it on. Angles are degrees, speeds m/s, powers W unless the name says otherwise."""

    def __init__(self, roads: Roads, seed: int) -> None:
        self.roads, self.random = roads, random.Random(seed)  # noqa: S311 (a simulation)
        self.model = self.random.choice(MODELS)
        self.eagerness = self.random.uniform(0.88, 1.04)
        self.edge = self.random.choice([e for edges in roads.leaving.values() for e in edges if e.kind != "access"])
        self.along_m = self.random.uniform(0.1, 0.8) * self.edge.length_m
        self.way: list[Edge] = []
        self.speed = 0.0
        self.acceleration = 0.0
        self.yaw_rate = 0.0
        self.odometer_m = self.random.uniform(2e6, 9e7)
        self.soc_pct = self.random.uniform(22, 92)
        self.battery_c = self.random.uniform(18, 26)
        self.cabin_c = self.random.uniform(17, 27)
        self.consumed_kwh = 0.0
        self.battery_w = 0.0  # positive into the battery
        self.motor_w = 0.0
        self.reserve_pct = self.random.uniform(16, 24)
        self.tyres_kpa = [self.random.uniform(235, 262) for _ in range(4)]
        self.rest_s = 0.0
        self.charging = self.plugged = False
        self.limit_pct, self.wanted_c = FULL_PCT, COMFORT_C
        self.lock_ordered: bool | None = None
        self.climate_ordered: bool | None = None
        self.horn_s = self.lights_s = self.located_s = 0.0
        self._choose_goal()

    @property
    def position(self) -> tuple[float, float, float]:
        """Return (east m, north m, heading)."""
        return self.edge.at(self.along_m)

    @property
    def parked(self) -> bool:
        """Say whether the car rests at its goal or charges."""
        return self.charging or self.rest_s > 0

    @property
    def door_open(self) -> bool:
        """Say whether the driver is getting in."""
        return 4 < self.rest_s < 9

    @property
    def locked(self) -> bool:
        """Say whether the doors are locked."""
        return self.rest_s >= 9 if self.lock_ordered is None else self.lock_ordered

    @property
    def climate_on(self) -> bool:
        """Say whether the cabin is warmed or cooled."""
        return self.rest_s == 0 if self.climate_ordered is None else self.climate_ordered

    @property
    def next_turn(self) -> float:
        """Return the angle of the next junction's turn in degrees, positive to the right; 0 where the way ends."""
        return turn(self.edge.last_heading, self.way[0].at(0.0)[2]) if self.way else 0.0

    @property
    def volts(self) -> float:
        """Return the battery's voltage at its terminals."""
        open_circuit = 330.0 + 0.75 * self.soc_pct + 6.0 * math.log(max(self.soc_pct, 1.0))
        return open_circuit + 0.09 * self.battery_w / open_circuit

    @property
    def range_m(self) -> float:
        """Return how far the charge would carry at 16 kWh on 100 km."""
        return self.soc_pct / 100 * self.model.battery_kwh / 0.16 * 1000

    def step(self, dt: float, clock_s: float, leader: tuple[float, float] | None, ambient_c: float) -> None:
        """Move on by `dt` seconds. `leader` is the (gap m, speed) of the car ahead."""
        before = self.speed
        self.horn_s, self.lights_s, self.located_s = (
            max(0.0, left - dt) for left in (self.horn_s, self.lights_s, self.located_s)
        )
        if self.parked:
            self.speed = 0.0
            self._rest(dt)
        else:
            self._accelerate(dt, clock_s, leader)
            self._move(dt)
        self.acceleration = (self.speed - before) / dt
        self._spend(dt, ambient_c)

    def _choose_goal(self) -> None:
        self.plugged, self.lock_ordered, self.climate_ordered = False, None, None
        if self.soc_pct < self.reserve_pct:
            goal = self.roads.park
        else:
            goal = self.random.choice(
                [name for name in self.roads.nodes if name not in (self.roads.park, self.edge.end)]
            )
        self.way = self.roads.route(self.edge.end, goal, self.edge)

    def _accelerate(self, dt: float, clock_s: float, leader: tuple[float, float] | None) -> None:
        left = self.edge.length_m - self.along_m
        wanted = self.edge.limit_kmh / 3.6 * self.eagerness
        sharpness = min(abs(self.next_turn) / 90.0, 1.5)
        if sharpness > 0.2:
            through = TURN_SPEED / sharpness
            wanted = min(wanted, math.sqrt(through**2 + 2 * 1.2 * max(0.0, left - 3.0)))
        best = 2.0 * self.eagerness
        accelerate = best * (1 - (self.speed / wanted) ** 4)
        for gap, speed in self._obstacles(left, clock_s, leader):
            closing = self.speed * (self.speed - speed) / (2 * math.sqrt(best * COMFORT_BRAKE))
            safe = STANDSTILL_GAP_M + max(0.0, self.speed * HEADWAY_S + closing)
            accelerate = min(accelerate, best * (1 - (self.speed / wanted) ** 4 - (safe / max(gap, 0.5)) ** 2))
        self.speed = max(0.0, self.speed + max(-HARD_BRAKE, accelerate) * dt)

    def _obstacles(self, left: float, clock_s: float, leader: tuple[float, float] | None) -> list[tuple[float, float]]:
        found = [leader] if leader else []
        if not self.way:
            found.append((left, 0.0))
        elif not self.roads.is_green(self.edge, clock_s) and left > self.speed**2 / (2 * HARD_BRAKE) - 1:
            found.append((left - 2.0, 0.0))
        return found

    def _move(self, dt: float) -> None:
        heading = self.position[2]
        self.along_m += self.speed * dt
        self.odometer_m += self.speed * dt
        if not self.way and self.edge.length_m - self.along_m < STANDSTILL_GAP_M + 2.0 and self.speed < 1.0:
            self._arrive()
        while self.along_m >= self.edge.length_m and self.way:
            self.along_m -= self.edge.length_m
            self.edge = self.way.pop(0)
        self.along_m = min(self.along_m, self.edge.length_m)
        self.yaw_rate = -turn(heading, self.position[2]) / dt  # VSS: positive to the left

    def _arrive(self) -> None:
        if self.edge.end == self.roads.park and self.soc_pct < self.limit_pct:
            self.charging = self.plugged = True
        else:
            self.rest_s = self.random.uniform(15, 90)
        self.speed = 0.0

    def _rest(self, dt: float) -> None:
        self.yaw_rate = 0.0
        self.rest_s = max(0.0, self.rest_s - dt)
        if self.charging and self.soc_pct >= self.limit_pct:
            self.charging = False
        if not self.parked:
            self._choose_goal()

    def _spend(self, dt: float, ambient_c: float) -> None:
        force = self.model.mass_kg * (self.acceleration + GRAVITY * (self._slope() + ROLLING * (self.speed > 0)))
        force += 0.5 * AIR_DENSITY * self.model.drag_m2 * self.speed**2
        wheels = force * self.speed
        if wheels >= 0:
            self.motor_w = min(wheels, self.model.power_kw * 1000)
            drive = self.motor_w / DRIVE_EFFICIENCY
        else:
            self.motor_w = max(wheels, -REGEN_LIMIT_W) if self.speed > 2 else 0.0
            drive = self.motor_w * REGEN_EFFICIENCY
        comfort = (
            min(4000.0, 140.0 * abs(self.wanted_c - self.cabin_c) + 45.0 * abs(self.wanted_c - ambient_c))
            if self.climate_on
            else 0.0
        )
        taken = drive + comfort + (60.0 if self.rest_s > 0 else 320.0)
        self.battery_w = (self._charge_w() if self.charging else 0.0) - taken
        self.consumed_kwh += max(0.0, taken) * dt / 3.6e6
        self.soc_pct += self.battery_w * dt / 3.6e6 / self.model.battery_kwh * 100
        self.soc_pct = min(100.0, max(0.0, self.soc_pct))
        heat = 0.02 * abs(self.battery_w) / (self.model.battery_kwh * 6 * 1000)
        self.battery_c += (heat + (ambient_c - self.battery_c) / 9000) * dt
        target = self.wanted_c if self.climate_on else ambient_c
        self.cabin_c += (target - self.cabin_c) / (240 if self.climate_on else 1800) * dt

    def _slope(self) -> float:
        east, north, heading = self.position
        ahead = math.radians(heading)
        return (altitude_m(east + 5 * math.sin(ahead), north + 5 * math.cos(ahead)) - altitude_m(east, north)) / 5

    def _charge_w(self) -> float:
        taper = 1.0 if self.soc_pct < 55 else max(0.3, 1 - (self.soc_pct - 55) / 40)
        return self.model.charge_kw * 1000 * taper * CHARGE_EFFICIENCY
