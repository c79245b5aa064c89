"""Cells, time steps and pseudonyms in the stream, against a plain reading of the governance row by row."""

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.backends.cells import centres
from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.stream.draft import draft
from carcloud.stream.guards import Terms
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.receipts import root
from carcloud.stream.settings import FloodLimits, TimeLimits
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.catalogue import Catalogue, Signal
from tests.stream import CAR, NOW_US, OTHER, FixedKeys, batch, governed, up

PLACES = ("Vehicle.Here", "Vehicle.There")
HALVES = [f"{place}.{half}" for place in PLACES for half in ("Latitude", "Longitude")]
CATALOGUE = Catalogue(
    [
        *(Signal(path, "double", "degrees", -90, 90) for path in HALVES[:2]),  # a range that cuts some longitudes off
        *(Signal(path, "double", "degrees") for path in reversed(HALVES[2:])),
        Signal("Vehicle.Speed", "float", "km/h", 0, 250),
        Signal("Vehicle.Note", "string"),
    ]
)
TABLE = IdTable(tuple((path, None) for path in sorted(CATALOGUE, key=len)))
STEPS = (1, 7, 60)
TENANT = {CAR: "default", OTHER: "other"}


@st.composite
def laws(draw):
    """Return a governance and the plain rule of each path: (cell, seconds, whether by pseudonym)."""
    lines, plain = [], {}
    for paths in ([HALVES[:2]], [HALVES[2:]], [["Vehicle.Speed"]], [["Vehicle.Note"]]):
        for group in paths:
            cell = draw(st.sampled_from([None, 0, 5, 9, 15])) if len(group) == 2 else None
            seconds, hides = draw(st.sampled_from([None, *STEPS])), draw(st.booleans())
            keys = {"cell": cell, "time": seconds, "car": "pseudonym" if hides else None}
            said = "".join(f", {key}: {value}" for key, value in keys.items() if value is not None)
            lines.append(f"  - {{paths: [{', '.join(group)}], class: personal, purposes: [run]{said}}}")
            plain |= dict.fromkeys(group, (cell, seconds, hides))
    head = "name: law\npurposes: {run: {basis: contract, why: So it is.}}\nrules:\n"
    return Table(parse(head + "\n".join(lines), "law"), CATALOGUE), plain


MOMENTS = st.integers(-3, 3).map(lambda at: at * 400_000) | st.integers(-(10**8), 10**8)
PAIRS = st.tuples(st.sampled_from(PLACES), MOMENTS, st.floats(-90, 90), st.floats(-180, 180)).map(
    lambda pair: [(f"{pair[0]}.Latitude", pair[1], pair[2]), (f"{pair[0]}.Longitude", pair[1], pair[3])]
)
HALF = st.tuples(st.sampled_from(HALVES), MOMENTS, st.floats(-90, 90)).map(lambda row: [row])
REST = st.one_of(
    st.tuples(st.just("Vehicle.Speed"), MOMENTS, st.floats(0, 260)),
    st.tuples(st.just("Vehicle.Note"), MOMENTS, st.sampled_from(["", "of WVWZZZ1JZXW000001"])),
).map(lambda row: [row])
BATCH = st.tuples(st.sampled_from([CAR, OTHER]), st.lists(PAIRS | PAIRS | HALF | REST, min_size=1, max_size=8))


def name_of(vehicle, hides):
    return f"p-{vehicle[::-1]}" if hides else vehicle


def plainly(vehicle, rows, plain):
    """Return (rows kept, how many are unpaired) of one batch, in the order of the wire."""
    order = [path for path, _ in TABLE.signals]
    rows = sorted(rows, key=lambda row: (order.index(row[0]), row[1]))
    fits = [row for row in rows if isinstance(row[2], str) or CATALOGUE[row[0]].low <= row[2] <= CATALOGUE[row[0]].high]
    halves = defaultdict(list)
    for row in fits:
        halves[row[0], row[1]].append(row[2])
    turns, kept, lone = defaultdict(int), [], 0
    for path, at, value in fits:
        cell, seconds, hides = plain[path]
        if cell is not None:
            turn, place = turns[path, at], path.rpartition(".")[0]
            turns[path, at] += 1
            both = [halves[f"{place}.{half}", at] for half in ("Latitude", "Longitude")]
            if turn >= min(map(len, both)):
                lone += 1
                continue
            place = centres(*(np.array([values[turn]]) for values in both), np.array([cell], np.uint8))
            value = float(place[path.endswith("Longitude")][0])
            value = min(max(value, CATALOGUE[path].low), CATALOGUE[path].high)
        if isinstance(value, str):
            value = value.replace("WVWZZZ1JZXW000001", "[VIN]")
        step = (seconds or 0) * 1_000_000
        kept.append((name_of(vehicle, hides), path, at - at % step if step else at, value, 1))
    return kept, lone


@settings(max_examples=200)
@given(laws(), st.lists(BATCH, max_size=5))
def test_rows_go_on_as_a_plain_reading_of_the_governance_has_them(law, sent):
    table, plain = law
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, TENANT.get, FloodLimits())
    expected, lone, touched = [], 0, 0
    for number, (vehicle, groups) in enumerate(sent, 1):
        rows = [(path, NOW_US + at, value) for group in groups for path, at, value in group]
        intake.take(up(vehicle, tenant=TENANT[vehicle]), batch(rows, number, 1, 1, TABLE), NOW_US)
        kept, alone = plainly(vehicle, rows, plain)
        expected += kept
        lone += alone
        touched += sum(any(plain[path]) or plain[path][0] == 0 or "VIN" in str(value) for _, path, _, value, _ in kept)
    names = [name_of(arrival.origin.vehicle, hides=True) for arrival in intake.arrivals]
    made = draft(intake.arrivals, Terms(CATALOGUE, TimeLimits(), table), {}, names if table.hides else ())
    columns = (made.rows[name].to_pylist() for name in ("vehicle", "signal", "value", "text", "provenance"))
    found = [
        (vehicle, path, at, value if text is None else text, provenance)
        for at, (vehicle, path, value, text, provenance) in zip(
            made.rows["time"].cast("int64").to_pylist(), zip(*columns, strict=True), strict=True
        )
    ]
    assert [row[:3] for row in found] == sorted(row[:3] for row in expected)
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert int(made.refused.get("unpaired", np.zeros(1)).sum()) == lone
    assert made.transformed == touched
    present = {row[0] for row in expected}
    assert made.rows["vehicle"].dictionary.to_pylist() == sorted(present)
    assert {name for names in made.tenants.values() for name in names} == present
    assert all(TENANT[car] == tenant for tenant, names in made.tenants.items() for car in names if car in TENANT)

    def given_root(rows):
        return root(rows, made.tenants, 7, FixedKeys())

    assert given_root(made.rows) == given_root(governed(found)) if found else not made.tenants


def test_halves_of_one_moment_in_two_batches_are_no_pair():
    rule = f"{{paths: [{HALVES[0]}, {HALVES[1]}], class: personal, purposes: [run], cell: 9}}"
    text = f"name: law\npurposes: {{run: {{basis: contract, why: So it is.}}}}\nrules: [{rule}]"
    table = Table(parse(text, "law"), CATALOGUE)
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, TENANT.get, FloodLimits())
    for number, half in enumerate(HALVES[:2], 1):
        intake.take(up(CAR), batch([(half, NOW_US, 48.0)], number, 1, 1, TABLE), NOW_US)
    made = draft(intake.arrivals, Terms(CATALOGUE, TimeLimits(), table), {})
    assert made.refused["unpaired"].tolist() == [1, 1]
    assert (made.rows.num_rows, made.transformed, made.tenants) == (0, 0, {})
