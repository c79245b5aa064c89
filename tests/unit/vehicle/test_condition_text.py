"""What texts of conditions say, and where exactly they go wrong."""

from __future__ import annotations

import pytest

from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.check import LIMIT_NODES
from carcloud.vehicle.conditions.condition import STALE_US, ConditionError
from carcloud.vehicle.conditions.text import LIMIT_DEPTH, LIMIT_TEXT, parse

CATALOGUE = Catalogue(
    [
        Signal("Car.Speed", "float", "km/h"),
        Signal("Car.Mean", "float", "m/s"),
        Signal("Car.Angle", "float", "degrees"),
        Signal("Car.Warmth", "float", "Celsius"),
        Signal("Car.Pedal", "uint8", "percent"),
        Signal("Car.Doors", "uint8"),
        Signal("Car.Moves", "boolean"),
        Signal("Car.Brakes", "boolean"),
        Signal("Car.Gear", "string", allowed=("P", "R", "D")),
        Signal("Car.Name", "string"),
        Signal("Car.Faults", "string[]"),
        Signal("Car.Signal", "float", "dBm"),
    ]
)
SPEED, MEAN, WARMTH = tree.Held("Car.Speed"), tree.Held("Car.Mean"), tree.Held("Car.Warmth")
FIVE_A_SECOND = tree.Arithmetic("*", tree.Number(5.0), tree.Number(1.0))
MOVES, BRAKES = (tree.Compare("=", tree.Held(f"Car.{name}"), tree.Number(1.0)) for name in ("Moves", "Brakes"))


def above(kmh: float) -> tree.Node:
    return tree.Compare(">", SPEED, tree.Number(kmh))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("Car.Speed > 50 km/h", above(50.0)),
        ("Car.Speed>50km/h", above(50.0)),
        ("Car.Speed > 10 m/s", above(36.0)),
        ("50 km/h < Car.Speed", tree.Compare("<", tree.Number(50.0), SPEED)),
        ("Car.Speed > Car.Mean", tree.Compare(">", SPEED, tree.Scaled(MEAN, 3.6, 0.0))),
        ("Car.Warmth < 273.15 K", tree.Compare("<", WARMTH, tree.Number(0.0))),
        ("Car.Warmth >= -5 °C", tree.Compare(">=", WARMTH, tree.Number(-5.0))),
        (
            "Car.Warmth - 20 °C > 2 K",
            tree.Compare(">", tree.Arithmetic("-", WARMTH, tree.Number(20.0)), tree.Number(2.0)),
        ),
        (
            "Car.Speed * 2 s < 10 m",
            tree.Compare("<", tree.Arithmetic("*", SPEED, tree.Number(2.0)), tree.Number(36.0)),
        ),
        ("Car.Speed / Car.Mean > 110 %", tree.Compare(">", tree.Arithmetic("/", SPEED, MEAN), tree.Number(3.96))),
        ("Car.Pedal > 10 %", tree.Compare(">", tree.Held("Car.Pedal"), tree.Number(10.0))),
        ("Car.Doors != 4", tree.Compare("!=", tree.Held("Car.Doors"), tree.Number(4.0))),
        ("Car.Signal > 5 dBm", tree.Compare(">", tree.Held("Car.Signal"), tree.Number(5.0))),
        ("rate of Car.Signal > 5 Hz * 1 dBm", tree.Compare(">", tree.Rate("Car.Signal"), FIVE_A_SECOND)),
        ("Car.Moves", MOVES),
        ("Car.Moves != true", tree.Compare("!=", tree.Held("Car.Moves"), tree.Number(1.0))),
        ("false = Car.Moves", tree.Compare("=", tree.Held("Car.Moves"), tree.Number(0.0))),
        ("(Car.Speed > 50 km/h) = false", tree.Not(above(50.0))),
        ('Car.Gear = "R"', tree.Compare("=", tree.Held("Car.Gear", text=True), tree.Text("R"))),
        ("Car.Moves or Car.Brakes and Car.Moves", tree.Or(MOVES, tree.And(BRAKES, MOVES))),
        ("not Car.Moves and Car.Brakes", tree.And(tree.Not(MOVES), BRAKES)),
        ("rising Car.Speed > 50 km/h", tree.Rising(above(50.0))),
        ("not Car.Moves for at least 100 ms", tree.Always(tree.Not(MOVES), 100_000)),
        ("Car.Brakes and Car.Moves for at least 2 s", tree.And(BRAKES, tree.Always(MOVES, 2_000_000))),
        ("Car.Moves within 3 s of Car.Brakes", tree.near(MOVES, BRAKES, 3_000_000)),
        ("Car.Moves then falling Car.Brakes within 1.5 s", tree.then(MOVES, tree.Falling(BRAKES), 1_500_000)),
        (
            "abs(rate of Car.Angle) > 90 deg/s",
            tree.Compare(">", tree.Absolute(tree.Rate("Car.Angle")), tree.Number(90.0)),
        ),
        (
            "mean of Car.Speed over 5 min > 50 km/h",
            tree.Compare(">", tree.Aggregate("mean", "Car.Speed", 300_000_000), tree.Number(50.0)),
        ),
        (
            "count of Car.Name over 1 h = 0",
            tree.Compare("=", tree.Aggregate("count", "Car.Name", 3_600_000_000), tree.Number(0.0)),
        ),
        ("Car.Speed changed by 5 km/h", tree.Changed("Car.Speed", 5.0)),
        ("Car.Warmth changed by 9 °F over 1 min", tree.Changed("Car.Warmth", 5.0, 60_000_000)),
        ("Car.Name is known", tree.Known(tree.Held("Car.Name", text=True))),
        ("Car.Faults is unknown", tree.Not(tree.Known(tree.Held("Car.Faults", text=True)))),
        ("(Car.Moves and Car.Brakes) is known", tree.Known(tree.And(MOVES, BRAKES))),
        ("-Car.Speed > 5 km/h", tree.Compare(">", tree.Arithmetic("-", tree.Number(0.0), SPEED), tree.Number(5.0))),
    ],
)
def test_text_becomes_the_tree(text: str, node: tree.Node) -> None:
    assert parse(text, CATALOGUE).tree == node


def test_condition_says_what_it_needs() -> None:
    condition = parse("Car.Speed > 50 km/h and Car.Moves stale after 10 s", CATALOGUE)
    assert (condition.paths, condition.stale_us, condition.is_timeless) == (
        ("Car.Moves", "Car.Speed"),
        10_000_000,
        True,
    )
    lasting = parse("rising Car.Moves", CATALOGUE)
    assert (lasting.stale_us, lasting.is_timeless) == (STALE_US, False)


@pytest.mark.parametrize(
    ("text", "initial"),
    [
        ("Car.Moves", None),
        ("Car.Moves is unknown", True),
        ("count of Car.Speed over 5 s < 3", True),
        ("count of Car.Speed over 5 s < 3 for at least 1 s", True),
        ("Car.Moves or Car.Moves is unknown", True),
        ("Car.Moves and Car.Moves is known", False),
        ("rising Car.Moves", None),
    ],
)
def test_condition_says_what_it_is_before_any_sample(text: str, initial: bool | None) -> None:
    assert parse(text, CATALOGUE).initial is initial


@pytest.mark.parametrize(
    ("text", "wrong", "said"),
    [  # `wrong`: what the error points at; `said`: part of what it says or advises
        ("Car.Speed > 50", "50", "50 km/h"),
        ("Car.Speed > 50 m", "50 m", "km/h"),
        ("Car.Speed > 50 dBm", "50 dBm", "km/h"),
        ("Car.Signal > 50", "50", "50 dBm"),
        ("Car.Signal > 50 km", "50 km", "dBm"),
        ("Car.Speed > 1e300 Mm/s", "1e300 Mm/s", "beyond"),
        ("Car.Speed > 1e299 m/s and Car.Speed > 5e299 m/s", "5e299 m/s", "beyond"),
        ("Car.Speed > 5 Np", "Np", "linear"),
        ("Car.Speed > 50 kmh/x", "kmh/x", "no unit"),
        ("Car.Speed + 5 > 50 km/h", "5", "5 km/h"),
        ("Car.Speed * 2 s > 10", "10", "10 m"),
        ("Car.Pedal > 10", "10", "percent"),
        ("Car.Doors > 4 %", "4 %", "Write 4."),
        ("Car.Angle > 5 %", "5 %", "degrees"),
        ("Car.Speed > Car.Angle", "Car.Angle", "degrees"),
        ("Car.Warmth - 20 °C > 2 °C", "Car.Warmth - 20 °C", "in K"),
        ("Car.Warmth + 5 °C > 7 °C", "5 °C", "cannot be added"),
        ("Car.Warmth * 2 > 7 °C", "Car.Warmth", "difference"),
        ("abs(Car.Warmth) > 7 °C", "Car.Warmth", "difference"),
        ("Car.Sped > 5 km/h", "Car.Sped", "Car.Speed"),
        ("Speed > 5 km/h", "Speed", "Car.Speed"),
        ("Car.Speed == 5 km/h", "=", "="),
        ("Car.Moves && Car.Brakes", "&", "and"),
        ("Car.Moves AND Car.Brakes", "AND", "small letters"),
        ("Car.Moves nd Car.Brakes", "nd", "and"),
        ("Car.Gear = R", "R", '"R"'),
        ("Car.Gear = 'R'", "'", "quotation marks"),
        ('Car.Gear = "r"', '"r"', "'R'"),
        ('Car.Gear < "R"', "<", "no order"),
        ("Car.Moves = 1", "1", "true or false"),
        ("Car.Moves > true", ">", "no order"),
        ("Car.Speed = true", "true", "a number"),
        ('Car.Speed = "fast"', '"fast"', "a text"),
        ("Car.Speed", "Car.Speed", "a number"),
        ("Car.Speed and Car.Moves", "Car.Speed", "a number"),
        ("true", "true", "beside a signal"),
        ("3 > 2", "3 > 2", "no signal"),
        ("3 is known", "3", "always known"),
        ("rate of Car.Moves > 1", "Car.Moves", "numbers"),
        ("mean of Car.Name over 5 s > 3", "Car.Name", "numbers"),
        ("Car.Faults = Car.Faults", "Car.Faults", "a list"),
        ("Car.Speed changed by 0 km/h", "0 km/h", "none"),
        ("Car.Moves for at least 2", "2", "2 s"),
        ("Car.Moves for at least 2 km", "2 km", "2 s"),
        ("Car.Moves for at least 0 s", "0 s", "microsecond"),
        ("Car.Moves for at least 61 min", "61 min", "1 h"),
        ("Car.Moves stale after 31 d", "31 d", "30 d"),
        ("rising Car.Moves for at least 2 s", "rising Car.Moves", "parentheses"),
        ("Car.Moves then Car.Brakes", "", "within"),
        ("Car.Moves within 3 s Car.Brakes", "Car.Brakes", "of"),
        ("Car.Speed > 1e400 km/h", "1e400", "1e300"),
        ("Car.Moves\x00", "\x00", "Take it out"),
        ("Car.Moves and", "", "signal's path"),
        ("(Car.Moves", "", ")"),
        ("", "", "empty"),
    ],
)
def test_mistake_is_pointed_at(text: str, wrong: str, said: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text, CATALOGUE)
    error = caught.value
    assert text[error.at : error.at + error.length] == wrong
    assert said in str(error)
    assert error.do


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" " * (LIMIT_TEXT + 1), str(LIMIT_TEXT)),
        ("not " * (LIMIT_DEPTH + 1) + "Car.Moves", str(LIMIT_DEPTH)),
        ("(" * 6 + "Car.Moves" + " within 1 s of Car.Moves)" * 6, str(LIMIT_NODES)),
        ("Car.Speed" + " * Car.Speed" * 9 + " > 3", "power"),
        ("3 " + "k" * 3000 + " < Car.Speed", "characters"),
    ],
)
def test_limits_are_said(text: str, said: str) -> None:
    with pytest.raises(ConditionError, match=said):
        parse(text, CATALOGUE)


def test_parentheses_cost_nothing() -> None:
    assert parse("(" * 1000 + "Car.Moves" + ")" * 1000, CATALOGUE).tree == MOVES
