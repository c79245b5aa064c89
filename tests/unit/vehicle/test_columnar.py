"""Conditions as SQL: quoted, bounded, open to any caller of the lake, and the same over several cars."""

import duckdb
import pytest

from carcloud.errors import InputError
from carcloud.lake.statement import read_only
from carcloud.vehicle.conditions.columnar import sql
from carcloud.vehicle.conditions.condition import Change, Condition
from carcloud.vehicle.conditions.initial import initial
from carcloud.vehicle.conditions.tree import (
    MICRO,
    Aggregate,
    Always,
    And,
    Arithmetic,
    Changed,
    Compare,
    Held,
    Known,
    Node,
    Number,
    Once,
    Or,
    Rate,
    Rising,
    Text,
    near,
)

S = MICRO
A, B = Held("V.A"), Held("V.B")
HIGH = Compare(">", A, Number(5.0))
Sample = tuple[str, str, int, float | str, int]
DRIVE: list[Sample] = [
    ("c1", "V.A", 1 * S, 3.0, 2),
    ("c1", "V.A", 0, 1.0, 1),
    ("c1", "V.A", 1 * S, 7.0, 1),
    ("c1", "V.A", 2 * S, 9.0, 2),
    ("c1", "V.A", 20 * S, 9.0, 3),
    ("c2", "V.A", 0, 9.0, 1),
    ("c1", "V.B", 3 * S, 9.0, 4),
]


def condition(tree: Node, stale_us: int = 10 * S) -> Condition:
    return Condition("", tree, stale_us, initial(tree))


def asked(tree: Node, rows: list[Sample], source: str = "samples") -> list[tuple[str, Change]]:
    session = duckdb.connect(config={"errors_as_json": "true"})
    session.execute(
        "CREATE TABLE samples (vehicle TEXT, signal TEXT, time TIMESTAMPTZ, value DOUBLE, text TEXT, chunk INT8)"
    )
    for vehicle, signal, time_us, value, chunk in rows:
        row = [vehicle, signal, time_us, *((None, value) if isinstance(value, str) else (value, None)), chunk]
        session.execute("INSERT INTO samples VALUES (?, ?, make_timestamptz(?::INT8), ?, ?, ?)", row)
    statement = sql(condition(tree), source)
    read_only(session, statement)
    return [(car, Change(*change)) for car, *change in session.execute(statement).fetchall()]


def test_each_car_has_its_own_changes_and_the_later_arrival_of_one_time_counts():
    assert asked(HIGH, DRIVE) == [
        ("c1", (0, False, False)),
        ("c1", (2 * S, True, True)),
        ("c1", (12 * S, None, None)),
        ("c1", (20 * S, True, True)),
        ("c1", (30 * S, None, None)),
        ("c2", (0, True, True)),
        ("c2", (10 * S, None, None)),
    ]


def test_what_looks_back_changes_at_deadlines_too():
    assert asked(Always(HIGH, 3 * S), DRIVE[:4]) == [
        ("c1", (0, False, False)),
        ("c1", (5 * S, True, True)),
        ("c1", (12 * S, None, None)),
    ]
    assert asked(Compare("<", Aggregate("count", "V.A", 5 * S), Number(2.0)), DRIVE[:4]) == [
        ("c1", (1 * S, False, False)),
        ("c1", (6 * S, True, True)),
    ]


def test_a_source_can_be_a_query_of_some_cars():
    assert {car for car, _ in asked(HIGH, DRIVE, "(SELECT * FROM samples WHERE vehicle = 'c2')")} == {"c2"}


def test_what_asks_about_no_signal_never_changes():
    assert asked(Compare("<", Number(1.0), Number(2.0)), DRIVE) == []


@pytest.mark.parametrize("text", ["it's", "' OR 1=1 --", "a\0b", "$x {y} ?", "…", ""])
def test_texts_and_paths_are_quoted(text: str):
    said: list[Sample] = [("c1", "V.'T", 0, text, 1), ("c1", "V.'T", S, text + "x", 1)]
    changes = [change for _, change in asked(Compare("=", Held("V.'T", True), Text(text)), said)]
    assert changes == [(0, True, True), (S, False, False), (11 * S, None, None)]


def test_every_kind_of_part_passes_the_lakes_guard():
    parts = [
        near(Rising(HIGH), Compare("!=", Held("V.T", True), Held("V.U", True)), S),
        Or(Known(Changed("V.A", 1.0)), Compare(">=", Rate("V.B"), Arithmetic("/", A, B))),
        And(Changed("V.B", 0.5, S), Once(Compare("<", Aggregate("mean", "V.A", S), Number(-0.1)), S, before=True)),
    ]
    for tree in parts:
        asked(tree, DRIVE)


def test_divisions_in_divisors_end_in_an_error_and_not_in_a_giant_text():
    tree: Node = A
    for _ in range(40):
        tree = Arithmetic("/", Number(1.0), tree)
    with pytest.raises(InputError, match="longer"):
        sql(condition(Compare(">", tree, Number(0.0))))
