"""Expressions of OpenSCENARIO come to what the standard says."""

import math

import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.openscenario.expressions import LIMIT_CHARACTERS, evaluated

VALUES = {"v": "60", "off": "-1.5", "yes": "true", "name": "car"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$v", "60"),
        ("$name", "car"),
        ("plain", "plain"),
        ("${$v / 3.6}", repr(60 / 3.6)),
        ("${2 + 3 * 4}", "14"),
        ("${(2 + 3) * 4}", "20"),
        ("${-$off}", "1.5"),
        ("${-(2 - 5) - -1}", "4"),
        ("${7 % 4}", "3"),
        ("${-7 % 4}", "-3"),
        ("${sqrt( $off * $off )}", "1.5"),
        ("${pow(2, 10)}", "1024"),
        ("${max(1, min(5, 3))}", "3"),
        ("${round(2.5)}", "3"),
        ("${round(-2.5)}", "-3"),
        ("${floor(-0.5) + ceil(0.5)}", "0"),
        ("${abs($off) * sign($off)}", "-1.5"),
        ("${cos(0)}", "1"),
        ("${not $yes}", "false"),
        ("${$yes and not false or false}", "true"),
        ("${1e3}", "1000"),
    ],
)
def test_it_comes_to(text, expected):
    assert evaluated(text, VALUES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "$unknown",
        "${$unknown + 1}",
        "${1 / 0}",
        "${sqrt(-1)}",
        "${pow(10, 400)}",
        "${1 +}",
        "${(1}",
        "${1 2}",
        "${sqrt(1, 2)}",
        "${$name * 2}",
        "${true + 1}",
        "${not 1}",
        "${__import__('os')}",
        "${" + "(" * 200 + "1" + ")" * 200 + "}",
        "${" + "1+" * LIMIT_CHARACTERS + "1}",
    ],
)
def test_what_comes_to_nothing_is_said(text):
    with pytest.raises(InputError) as said:
        evaluated(text, VALUES)
    assert said.value.do
    assert len(str(said.value)) < 500


def test_numbers_come_back_whole():
    assert float(evaluated("${$v / 3.6}", VALUES)) == 60 / 3.6
    assert math.isclose(float(evaluated("${atan(1) * 4}", VALUES)), math.pi)
