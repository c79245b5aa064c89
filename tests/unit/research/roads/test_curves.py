"""Reference lines against closed forms and against sums that know nothing of them."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.opendrive.curves import arc, param_poly3, poly3, reference_line, spiral

LENGTHS = np.linspace(0, 80, 17)


def summed(turn, length):
    cosines = quad(lambda at: math.cos(turn(at)), 0, length, epsabs=1e-12, limit=400)[0]
    return cosines, quad(lambda at: math.sin(turn(at)), 0, length, epsabs=1e-12, limit=400)[0]


@pytest.mark.parametrize("curvature", [0.05, -0.05, 1e-4, 1e-9, 0.0])
def test_an_arc_is_a_circle(curvature: float) -> None:
    u, v, turn = arc(curvature)(LENGTHS)
    np.testing.assert_allclose(turn, curvature * LENGTHS)
    if abs(curvature) > 1e-6:
        np.testing.assert_allclose(np.hypot(u, v - 1 / curvature), abs(1 / curvature), rtol=1e-9)
        np.testing.assert_allclose(u, np.sin(turn) / curvature, atol=1e-9)
    else:
        np.testing.assert_allclose(u, LENGTHS, atol=1e-6)
        np.testing.assert_allclose(v, curvature * LENGTHS**2 / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("begin", "end"),
    [(0, 0.05), (0.05, 0), (0, -0.05), (-0.03, 0.04), (0.02, 0.0200001), (0.02, 0.02), (0, 0), (0, 1e-9), (0.1, 0.11)],
)
def test_a_spiral_is_the_sum_of_its_headings(begin: float, end: float) -> None:
    u, v, turn = spiral(begin, end, 80.0)(LENGTHS)
    rate = (end - begin) / 80

    def heading(at: float) -> float:
        return begin * at + rate * at * at / 2

    for place, length in enumerate(LENGTHS):
        expected = summed(heading, length)
        assert (u[place], v[place]) == pytest.approx(expected, abs=1e-9)
        assert turn[place] == pytest.approx(heading(length), abs=1e-12)


def test_a_spiral_from_a_line_has_the_series_of_the_clothoid() -> None:
    length, end = 10.0, 0.02
    u, v, _ = spiral(0.0, end, length)(np.array([length]))
    turn = end * length / 2
    assert u[0] == pytest.approx(length * (1 - turn**2 / 10 + turn**4 / 216), abs=1e-6)
    assert v[0] == pytest.approx(length * (turn / 3 - turn**3 / 42), abs=1e-6)


def test_a_cubic_is_followed_by_its_length() -> None:
    curve = poly3(np.array([0.0, 0.0, 0.01, -0.00005]), 80.0)
    u, v, turn = curve(LENGTHS)
    np.testing.assert_allclose(v, 0.01 * u**2 - 0.00005 * u**3, atol=1e-9)
    np.testing.assert_allclose(np.tan(turn), 0.02 * u - 0.00015 * u**2, atol=1e-9)
    for at, length in zip(u, LENGTHS, strict=True):
        way = quad(lambda p: math.hypot(1, 0.02 * p - 0.00015 * p * p), 0, at)[0]
        assert way == pytest.approx(length, abs=1e-7)


def test_a_normalised_parametric_cubic_reaches_its_end_at_its_length() -> None:
    u_of, v_of = np.array([0, 60.0, 30.0, -20.0]), np.array([0, 0, 30.0, -10.0])
    whole = quad(lambda p: math.hypot(60 + 60 * p - 60 * p * p, 60 * p - 30 * p * p), 0, 1)[0]
    u, v, turn = param_poly3(u_of, v_of, whole, normalised=True)(np.array([0, whole / 2, whole]))
    assert (u[2], v[2]) == pytest.approx((70, 20), abs=1e-9)
    assert turn[2] == pytest.approx(math.atan2(30, 60), abs=1e-9)
    steps = param_poly3(u_of, v_of, whole, normalised=True)(np.linspace(0, whole, 2001))
    np.testing.assert_allclose(np.hypot(np.diff(steps[0]), np.diff(steps[1])), whole / 2000, rtol=1e-3)


def test_a_parametric_cubic_by_length_takes_the_length_as_its_parameter() -> None:
    u, v, _ = param_poly3(np.array([0, 1.0, 0, 0]), np.array([0, 0, 0.01, 0]), 50.0, normalised=False)(np.array([10.0]))
    assert (u[0], v[0]) == pytest.approx((10, 1))


def test_parts_follow_one_another_turned_and_moved() -> None:
    plan = xml.parse_text(
        b"""<planView>
        <geometry s="0" x="5" y="1" hdg="1.5707963267948966" length="10"><line/></geometry>
        <geometry s="10" x="5" y="11" hdg="1.5707963267948966" length="15.707963267948966">
        <arc curvature="0.1"/></geometry>
        </planView>""",
        "a plan",
    )
    line = reference_line(plan)
    x, y, heading = line.at(np.array([0, 4, 10, line.end]))
    np.testing.assert_allclose(x, [5, 5, 5, -5], atol=1e-9)
    np.testing.assert_allclose(y, [1, 5, 11, 21], atol=1e-9)
    np.testing.assert_allclose(heading[-1], math.pi, atol=1e-9)


@pytest.mark.parametrize(
    "geometry",
    [
        "",
        '<geometry s="0" x="0" y="0" hdg="0" length="10"/>',
        '<geometry s="0" x="0" y="0" hdg="0" length="10"><loop/></geometry>',
        '<geometry s="0" x="nan" y="0" hdg="0" length="10"><line/></geometry>',
        '<geometry s="0" x="0" y="0" hdg="0" length="-10"><line/></geometry>',
        '<geometry s="0" x="0" y="0" hdg="0" length="0"><line/></geometry>',
        '<geometry s="0" x="0" y="0" hdg="0" length="5e6"><line/></geometry>',
        '<geometry s="0" x="0" y="0" hdg="0" length="5"><spiral curvStart="0"/></geometry>',
    ],
)
def test_a_line_that_cannot_be_drawn_is_refused(geometry: str) -> None:
    with pytest.raises(InputError) as refused:
        reference_line(xml.parse_text(f"<planView>{geometry}</planView>".encode(), "a plan"))
    assert refused.value.do
