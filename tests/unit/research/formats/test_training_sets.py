"""Training sets: windows that fit, and cars and places on one side only."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carcloud.research.exports import training
from carcloud.research.exports.about import About
from carcloud.research.motion import Motion, RoadUser
from carcloud.research.scenario import Scenario


def scenario(number: int, origin: tuple[float, float] | None = None, steps: int = 101, step_s: float = 0.1) -> Scenario:
    """A car on a bend to the left at 10 m/s, another 5 m to its left."""
    at = np.arange(steps) * step_s
    yaw = np.tile(at * 0.1, (2, 1))
    radius = np.array([[100.0], [95.0]])
    x, y = radius * np.sin(yaw) + number, 100 - radius * np.cos(yaw)
    vx, vy = radius * 0.1 * np.cos(yaw), radius * 0.1 * np.sin(yaw)
    users = tuple(RoadUser(track, str(track), "car", 4.5, 1.8, 1.5) for track in range(2))
    still = np.zeros_like(x)
    motion = Motion(users, np.rint(at * 1e6).astype(np.int64), x, y, still, yaw, vx, vy, still, still, still == 0)
    return Scenario(f"s{number}", motion, ego=0, origin=origin)


def test_windows_are_seen_from_the_road_user(tmp_path):
    one = scenario(0)
    said = {one.id: About("r", "v", "MIT", "g", "research")}
    files = training.write([one], tmp_path, said)
    assert [file.name for file in files] == ["train.parquet", "validation.parquet", "test.parquet"]
    tables = [pyarrow.parquet.read_table(file) for file in files]
    (table,) = [table for table in tables if table.num_rows]
    assert table.schema.equals(training.SCHEMA)
    row = table.to_pylist()[0]
    assert (row["now_us"], row["ego"], row["licence"], row["consent"]) == (2_000_000, True, "MIT", "g")
    assert (row["past_x"][-1], row["past_y"][-1], row["past_yaw"][-1]) == (0, 0, 0)
    assert len(row["past_x"]) == 21
    turn = np.arange(1, 51) * 0.01
    assert row["future_x"] == pytest.approx(100 * np.sin(turn), abs=1e-4)
    assert row["future_y"] == pytest.approx(100 - 100 * np.cos(turn), abs=1e-4)
    assert row["others"] == 1
    assert (row["others_x"][-1], row["others_y"][-1]) == pytest.approx((0, 5), abs=1e-5)
    told = orjson.loads(tables[0].schema.metadata[b"net.carcloud.about"])
    assert told["licences"] == ["MIT"]


@pytest.mark.parametrize(("step_s", "windows"), [(0.1, 8), (0.04, 8), (0.5, 0)])
def test_steps_of_a_source_may_be_shorter_but_not_longer(step_s, windows):
    one = scenario(0, steps=int(10 / step_s) + 1, step_s=step_s)
    assert len(list(training.windows(one, About(), "train"))) == windows


CARS = st.sampled_from(["", "a", "b", "c", "d", "e"])
PLACES = st.one_of(st.none(), st.tuples(st.integers(0, 60), st.integers(0, 3)))


@given(st.lists(st.tuples(CARS, PLACES, st.sampled_from(["", "Munich", "munich "])), min_size=1, max_size=25))
def test_no_car_and_no_place_is_on_two_sides(rows):
    made, said = [], {}
    for number, (car, cell, words) in enumerate(rows):
        origin = None if cell is None else (48 + cell[0] * 0.03 + 0.005, 11 + cell[1] * 0.03 + 0.005)
        made.append(scenario(number, origin, steps=2))
        said[made[-1].id] = About(recording=f"r{number}", vehicle=car, place=words)
    sides = training.sides(made, said)
    assert set(sides.values()) <= set(training.PARTS)
    by_car, by_place = {}, {}
    for one, (car, cell, words) in zip(made, rows, strict=True):
        if car:
            by_car.setdefault(car, set()).add(sides[one.id])
        if cell is not None:
            by_place.setdefault(cell, set()).add(sides[one.id])
        elif words:
            by_place.setdefault("munich", set()).add(sides[one.id])
    assert all(len(one) == 1 for one in (*by_car.values(), *by_place.values()))
    assert training.sides(made[::-1], said) == sides


def test_near_places_on_two_sides_of_a_cell_hang_together():
    west, east = scenario(0, (48.00499, 11.00999), steps=2), scenario(1, (48.00501, 11.01001), steps=2)
    ties = [set(training._ties(one, About())) for one in (west, east)]
    assert ties[0] & ties[1]


def test_parts_have_the_sizes_that_are_stated():
    made = [scenario(number, None, steps=2) for number in range(600)]
    sides = list(training.sides(made, {one.id: About(recording=one.id) for one in made}).values())
    assert 0.74 < sides.count("train") / 600 < 0.86
    assert 0.05 < sides.count("test") / 600 < 0.15
