"""Masks by reach are what one gets by reading the grants row by row: in values, in tables, and in SQL's join."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carcloud.backends.records import Grant, Held, Vehicle
from carcloud.errors import InputError
from carcloud.lake.workers import scopes_of, times_of
from carcloud.safety.governance.policy import Rule, parse
from carcloud.safety.grants.grant import Ground, Wanted, made
from carcloud.safety.grants.reach import Reach, reach
from carcloud.vehicle.catalogue import Catalogue, Signal

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CARS, PURPOSES = ("a", "b", "c"), ("drive", "insure")
CATALOGUE = Catalogue(
    [
        Signal("V.Speed", "float", "km/h"),
        Signal("V.Count", "uint8", min=0, max=100),
        Signal("V.Open", "boolean"),
        Signal("V.In.Name", "string"),
        Signal("V.In.Heat", "float"),
        Signal("V.In.Cells", "float[]"),
    ]
)
POLICY = parse(
    """
name: tests
purposes: {drive: {basis: contract, why: Driving.}, insure: {basis: contract, why: Insuring.}}
rules:
  - {paths: [V.Speed, V.Count, V.In.Cells], class: personal, purposes: [drive, insure]}
  - {paths: ["V.In.*", V.Open], class: personal, purposes: [drive]}
""",
    "tests",
)
GROUND = Ground("here", POLICY, CATALOGUE)
GLOBS = st.sampled_from(("**", "V.*", "V.In.**", "V.Speed", "V.Count", "V.In.Heat", "V.Open"))
HOURS = st.integers(-5, 5)


@st.composite
def grants(draw: st.DrawFn, under: str | None = None) -> Grant:
    begin, end = draw(HOURS), draw(st.none() | HOURS)
    purpose = draw(st.sampled_from(PURPOSES))
    return Grant(
        id=draw(st.uuids()).hex,
        tenant="t",
        vehicle=draw(st.sampled_from(CARS)),
        grantee="app:x",
        purpose=purpose,
        version=1,
        paths=tuple(draw(st.lists(GLOBS, max_size=2))),
        commands=tuple(draw(st.lists(st.sampled_from(("lock", "horn")), max_size=2, unique=True))),
        precision=tuple(draw(st.lists(st.tuples(GLOBS, st.sampled_from((0.5, 1.0, 3.0, 5.0, 10.0))), max_size=2))),
        zone=draw(st.sampled_from(("here", "here", "there"))),
        from_at=at(begin),
        until_at=None if end is None else at(end),
        given_at=NOW,
        given_by="machine",
        under=under,
        policy=POLICY.hash,
        said=draw(st.sampled_from((GROUND.said[purpose], GROUND.said[purpose], "reworded"))),
    )


@st.composite
def held(draw: st.DrawFn) -> Held:
    own = draw(st.none() | grants())
    return Held(draw(grants(None if own is None else own.id)), own)


ROWS = st.lists(
    st.tuples(st.sampled_from(CARS), st.sampled_from(sorted(CATALOGUE)), HOURS, st.integers(-50, 300)), max_size=30
)


def at(hours: int) -> datetime:
    return datetime.fromtimestamp(NOW.timestamp() + 3600 * hours, UTC)


def us(hours: int) -> int:
    return int(at(hours).timestamp()) * 1_000_000


def plain(every: list[Held], car: str, path: str, hours: int, value: float) -> float | None:
    """Return what the grants say of one value, read one by one; None where it is not seen."""
    best = None
    for one in every:
        chain = [grant for grant in (one.grant, one.under) if grant is not None]
        if one.grant.vehicle != car or not all(stands(grant, path, hours) for grant in chain):
            continue
        fine, step = (sort(step_of(grant, path) for grant in chain) for sort in (min, max))
        if fine > 0 and step % fine:
            continue  # the steps do not nest: together they would say more than either
        best = step if best is None else min(best, step)
    if best is None or (best == math.inf):
        return None
    return value if best == 0 else middle(value, best, CATALOGUE[path])


def stands(grant: Grant, path: str, hours: int) -> bool:
    def within(moment: datetime) -> bool:
        return grant.from_at <= moment and (grant.until_at is None or moment < grant.until_at)

    rule = POLICY.rule_of(path)
    reads = grant.zone == "here" and grant.said == GROUND.said[grant.purpose] and within(NOW) and within(at(hours))
    named = bool(grant.paths) and Rule(grant.paths, "", ()).names(path)
    return reads and named and rule is not None and grant.purpose in rule.purposes and step_of(grant, path) < math.inf


def step_of(grant: Grant, path: str) -> float:
    step = next((step for glob, step in grant.precision if Rule((glob,), "", ()).names(path)), 0.0)
    kind = CATALOGUE[path].type
    if step == 0 or kind in ("string", "boolean"):
        return 0.0
    if kind.endswith("[]"):
        return math.inf
    return float(math.ceil(step)) if "int" in kind else step


def middle(value: float, step: float, signal: Signal) -> float:
    odd = step.is_integer() and step % 2 == 1
    found = math.floor(value / step) * step + ((step - 1) / 2 if odd else step / 2)
    return min(max(found, signal.low), signal.high)


def table(rows: list[tuple[str, str, int, int]]) -> pa.Table:
    return pa.table(
        {
            "row": pa.array(range(len(rows)), pa.int64()),
            "vehicle": pa.array([row[0] for row in rows], pa.string()),
            "signal": pa.array([row[1] for row in rows], pa.string()),
            "time": pa.array([us(row[2]) for row in rows], pa.int64()).cast(pa.timestamp("us", "UTC")),
            "value": pa.array([float(row[3]) for row in rows], pa.float64()),
        }
    )


@given(st.lists(held(), max_size=5), ROWS)
def test_masks_are_what_the_grants_say_row_by_row(every: list[Held], rows: list[tuple[str, str, int, int]]) -> None:
    reached = reach("t", every, GROUND, NOW)
    wanted = [plain(every, car, path, hours, float(value)) for car, path, hours, value in rows]
    one_by_one = [reached.seen(car, path, us(hours), float(value)) for car, path, hours, value in rows]
    assert one_by_one == wanted
    kept = reached.rows(table(rows)).to_pylist()
    seen = {number: value for number, value in enumerate(wanted) if value is not None}
    assert {row["row"]: row["value"] for row in kept} == seen
    assert joined(reached, rows) == {number: number in seen for number in range(len(rows))}


def joined(reached: Reach, rows: list[tuple[str, str, int, int]]) -> dict[int, bool]:
    """Tell which rows the lake's join lets through; it must match each once at most."""
    scopes = {(row["scope"], row["signal"]) for row in scopes_of(reached).to_pylist()}
    times = times_of(reached).to_pylist()

    def matches(car: str, path: str, hours: int) -> list[Any]:
        moment = at(hours)
        open_ = [row for row in times if row["vehicle"] == car and row["since"] <= moment < row["until"]]
        return [row for row in open_ if (row["scope"], path) in scopes]

    found = {number: matches(*row[:3]) for number, row in enumerate(rows)}
    assert all(len(each) <= 1 for each in found.values())
    return {number: bool(each) for number, each in found.items()}


@pytest.mark.parametrize("step", [101.0, math.inf, math.nan, 0.0, -1.0])
def test_a_step_is_at_most_as_wide_as_what_it_makes_coarse(step: float) -> None:
    car = Vehicle("a", "t", "WVWZZZ1JZXW000001", None, "active", NOW)
    made(Wanted("app:x", "drive", ("V.Count",), precision={"V.Count": 100.0}), car, "m", GROUND, NOW)
    with pytest.raises(InputError):
        made(Wanted("app:x", "drive", ("V.Count",), precision={"V.Count": step}), car, "m", GROUND, NOW)


def shared(step: float, under: Grant | None = None) -> Grant:
    precision = (("**", step),)
    return Grant("i", "t", "a", "app:x", "drive", 1, ("**",), (), precision, "here", at(-9), None, NOW, "m",
                 None if under is None else under.id, POLICY.hash, GROUND.said["drive"])  # fmt: skip


@given(
    st.floats(1e-3, 1e3),
    st.lists(st.floats(1e-3, 1e5) | st.integers(1, 500).map(lambda times: -times), max_size=30),
    st.floats(-1e4, 1e4),
)
def test_shares_at_many_steps_say_no_more_than_the_giver_sees(own: float, shares: list[float], value: float) -> None:
    giver = shared(own)
    seen = reach("t", [Held(giver)], GROUND, NOW).seen("a", "V.In.Heat", us(0), value)
    for share in shares:
        step = share if share > 0 else -share * own
        reached = reach("t", [Held(shared(step, giver), giver)], GROUND, NOW)
        told = reached.seen("a", "V.In.Heat", us(0), value)
        assert told is None or told == reached.seen("a", "V.In.Heat", us(0), seen)


@given(st.lists(held(), max_size=5), st.sampled_from(CARS), st.sampled_from(("lock", "horn")))
def test_a_command_is_open_where_a_grant_that_holds_opens_it(every: list[Held], car: str, command: str) -> None:
    reached = reach("t", every, GROUND, NOW)
    wanted = any(
        one.grant.vehicle == car
        and GROUND.holds(one, NOW)
        and all(command in grant.commands for grant in (one.grant, one.under) if grant is not None)
        for one in every
    )
    assert reached.orders(car, command) == wanted
    listed = reached.commands or {}
    assert any(car in cars and command in commands for commands, cars in listed.items()) == wanted
