"""The measures are what their sources write, at values worked out by hand and at the ends of their ranges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carcloud.research import measures

positive = st.floats(0.1, 200)
speeds = st.integers(0, 60_000).map(lambda thousandths: thousandths / 1000)


def test_values_worked_out_by_hand() -> None:
    assert measures.gap(0.0, 4.0, 30.0, 6.0) == 25.0
    assert measures.thw(24.0, 10.0) == 2.4
    assert measures.ttc(30.0, 20.0, 5.0) == 2.0
    assert measures.ttc_accelerated(10.0, 0.0, 5.0) == 2.0
    assert measures.drac(20.0, 20.0, 10.0) == 2.5
    assert measures.required_acceleration(20.0, 20.0, 10.0, -1.0) == -3.5
    assert measures.pet(3.0, 4.25) == 1.25
    assert measures.wttc(10.0, 0.0, 0.0, 0.0, 2.0, 16.0) == pytest.approx(1.0)


def test_what_never_happens_is_infinite_and_what_touches_happens_now() -> None:
    assert measures.thw(10.0, 0.0) == math.inf
    assert measures.ttc(10.0, 5.0, 5.0) == math.inf
    assert measures.ttc_accelerated(10.0, 4.0, -1.0) == math.inf
    assert measures.drac(10.0, 5.0, 6.0) == 0.0
    assert measures.drac(0.0, 6.0, 5.0) == math.inf
    assert measures.ttc(-0.5, 5.0, 9.0) == 0.0
    assert measures.wttc(1.0, 0.0, 0.0, 0.0, 2.0, 16.0) == 0.0
    assert measures.wttc(10.0, 5.0, -5.0, 0.0, 2.0, 0.0) == math.inf


def test_what_is_missing_cannot_be_told() -> None:
    nan = math.nan
    assert math.isnan(measures.thw(nan, 1.0))
    assert math.isnan(measures.ttc(10.0, nan, 1.0))
    assert math.isnan(measures.ttc_accelerated(10.0, 1.0, nan))
    assert math.isnan(measures.drac(10.0, 1.0, nan))
    assert math.isnan(measures.required_acceleration(10.0, 1.0, 2.0, nan))
    assert math.isnan(measures.wttc(10.0, nan, 0.0, 0.0, 1.0, 1.0))


@given(positive, speeds, speeds, st.floats(-8, 8))
def test_after_the_time_to_collision_the_gap_is_closed(gap: float, speed: float, lead: float, faster: float) -> None:
    time = measures.ttc_accelerated(gap, speed - lead, faster)
    if time < 1e4:
        assert gap - (speed - lead) * time - faster * time * time / 2 == pytest.approx(0, abs=1e-6 * (1 + speed * time))
    assert measures.ttc_accelerated(gap, speed - lead, 0.0) == pytest.approx(measures.ttc(gap, speed, lead))


@given(st.floats(5, 100), st.floats(-50, 50), st.floats(-30, 30), st.floats(-30, 30), st.floats(1, 20))
def test_circles_touch_at_the_worst_time_and_not_before(x: float, y: float, vx: float, vy: float, a: float) -> None:
    time = measures.wttc(x, y, vx, vy, 4.0, a)

    def apart(at: float) -> float:
        return math.hypot(x + vx * at, y + vy * at) - 4.0 - a * at * at / 2

    assert abs(apart(time)) < 1e-6
    assert all(apart(time * share / 100) > -1e-6 for share in range(100))
