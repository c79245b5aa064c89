import itertools
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from carcloud.onboard.roads import build, turn
from carcloud.onboard.simulator import BATTERY, UNITS, Simulator
from carcloud.vehicle.batch import Provenance

START_US = 1_700_000_000_000_000
VSS = Path(__file__).parents[4] / "shared/data/vss/vss_release_6.0.json"
PLACE = "Vehicle.CurrentLocation"


def said(simulator: Simulator, seconds: int) -> dict[str, dict[str, list]]:
    found: dict = defaultdict(lambda: defaultdict(list))
    for piece in itertools.islice(simulator.slices(), seconds):
        for block in piece.blocks:
            for column in block.columns:
                path = simulator.table.signals[column.signal][0]
                value = column.texts[0] if column.texts else float(column.values[0])
                found[block.vehicle][path].append((int(column.times_us[0]), value))
    return found


@pytest.fixture(scope="module")
def half_hour() -> dict[str, dict[str, list]]:
    return said(Simulator(12, 7, START_US), 1800)


def series(car: dict[str, list], path: str) -> np.ndarray:
    return np.array([value for _, value in car[path]])


def test_same_seed_gives_the_same_samples() -> None:
    assert said(Simulator(3, 5, START_US), 60) == said(Simulator(3, 5, START_US), 60)
    assert said(Simulator(3, 5, START_US), 60) != said(Simulator(3, 6, START_US), 60)


def test_fleet_is_flagged_simulated() -> None:
    assert Simulator(1, 1, START_US).provenance is Provenance.SIMULATED


def test_speed_is_that_of_a_car(half_hour) -> None:
    for car in half_hour.values():
        speed = series(car, "Vehicle.Speed")
        assert speed.min() >= 0
        assert speed.max() < 90
        assert np.abs(np.diff(speed) / 3.6).max() <= 6.01
        assert len(speed) == 1800
    mean = np.mean([series(car, "Vehicle.Speed").mean() for car in half_hour.values()])
    assert 15 < mean < 60


def test_car_moves_as_far_as_its_speed_says(half_hour) -> None:
    for car in half_hour.values():
        way = np.diff(series(car, "Vehicle.TraveledDistance")[[0, -1]])[0]
        assert way == pytest.approx(series(car, "Vehicle.Speed")[:-4].sum() / 3.6, rel=0.02, abs=20)
        east = np.diff(series(car, f"{PLACE}.Longitude")) * 111_320 * np.cos(np.radians(31.286))
        north = np.diff(series(car, f"{PLACE}.Latitude")) * 111_320
        assert np.hypot(east, north).max() < 25


def test_consumption_is_that_of_an_electric_car(half_hour) -> None:
    consumed, way = 0.0, 0.0
    for car in half_hour.values():
        consumed += np.diff(series(car, f"{BATTERY}.AccumulatedConsumedEnergy")[[0, -1]])[0]
        way += np.diff(series(car, "Vehicle.TraveledDistance")[[0, -1]])[0]
    assert 11 < consumed / (way / 1e5) < 24


def test_charge_falls_by_what_leaves_the_battery(half_hour) -> None:
    for car in half_hour.values():
        energy = series(car, f"{BATTERY}.StateOfCharge.CurrentEnergy")
        power = series(car, f"{BATTERY}.CurrentPower")
        assert energy[-1] - energy[0] == pytest.approx(power.sum() / 3.6e6, abs=0.25)


def test_car_that_runs_low_goes_and_charges() -> None:
    simulator = Simulator(1, 3, START_US)
    car = next(iter(simulator._cars.values()))
    car.soc_pct, car.reserve_pct = 18.0, 24.0
    found = said(simulator, 3600)["sim-000"]
    assert max(value for _, value in found[f"{BATTERY}.Charging.IsCharging"]) == 1
    assert series(found, f"{BATTERY}.StateOfCharge.Current").max() > 60
    assert series(found, f"{BATTERY}.CurrentPower").max() > 30_000


def test_states_are_said_when_they_change_and_every_minute(half_hour) -> None:
    for car in half_hour.values():
        moving = car["Vehicle.IsMoving"]
        for (before, old), (after, new) in itertools.pairwise(moving):
            assert new != old or (after - START_US) % 60_000_000 == 0
            assert after - before <= 60_000_000


def test_cars_in_one_lane_never_run_through_one_another() -> None:
    simulator = Simulator(30, 11, START_US)
    touching = 0
    for _ in itertools.islice(simulator.slices(), 400):
        lanes = defaultdict(list)
        for car in simulator._cars.values():
            if not car.parked and car.edge.kind != "access":
                lanes[car.edge.start, car.edge.end].append(car.along_m)
        gaps = [gap for lane in lanes.values() for gap in np.diff(sorted(lane))]
        touching += sum(gap < 2.0 for gap in gaps)
    assert touching < 400 * 30 * 0.002  # where a car joins a lane from its parking place


@pytest.mark.skipif(not VSS.is_file(), reason="shared/data/vss is not there")
def test_every_signal_is_of_vss_6_with_its_unit_and_range(half_hour) -> None:
    tree = json.loads(VSS.read_text())
    for path, unit in UNITS.items():
        node = {"children": tree}
        for part in path.split("."):
            node = node["children"][part]
        assert node.get("unit") == unit, path
        for car in half_hour.values():
            for _, value in car[path]:
                assert value in node.get("allowed", [value]), path
                if node["datatype"] == "string":
                    assert isinstance(value, str)
                else:
                    low = 0 if node["datatype"].startswith("u") else -(2**31)
                    assert node.get("min", low) <= value <= node.get("max", 2**32)
                    assert "int" not in node["datatype"] or value.is_integer(), path


def test_every_place_can_be_reached_from_every_other() -> None:
    roads = build()
    for start in roads.nodes:
        for end in list(roads.nodes)[::7]:
            way = roads.route(start, end)
            assert (not way and start == end) or (way[0].start, way[-1].end) == (start, end)


def test_lights_let_the_two_directions_go_in_turn() -> None:
    roads = build()
    north = next(e for e in roads.leaving["town 2.1"] if e.end == "town 2.2")
    east = next(e for e in roads.leaving["town 1.2"] if e.end == "town 2.2")
    states = [(roads.is_green(north, t), roads.is_green(east, t)) for t in range(40)]
    assert (True, True) not in states
    assert {(True, False), (False, True), (False, False)} == set(states)


def test_map_is_geojson_with_every_road_once() -> None:
    roads = build()
    features = roads.geojson()["features"]
    lines = [feature for feature in features if feature["geometry"]["type"] == "LineString"]
    assert len(lines) == sum(len(edges) for edges in roads.leaving.values()) // 2
    assert json.dumps(features)


def test_turn_is_the_short_way_round() -> None:
    assert (turn(350, 10), turn(10, 350), turn(90, 90)) == (20, -20, 0)
