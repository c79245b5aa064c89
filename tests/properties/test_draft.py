"""A chunk's rows against a plain model of the rules, row by row; and the chunk's way through bytes."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.errors import InputError
from carcloud.stream.chunk import SCHEMA, Chunk, RawPosition, Record, decode, encode, record_of
from carcloud.stream.draft import draft
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.settings import FloodLimits
from carcloud.vehicle.batch import IdTable
from tests.stream import CAR, CATALOGUE, DAY_US, NOW_US, OTHER, TABLE, TERMS, batch, chunk, up

LIMITS = TERMS.limits
FOREIGN = IdTable((("Vehicle.Speed", "m/s"), ("Vehicle.Gear", None), ("Vehicle.Name", None), ("Vehicle.Gone", None)))
EDGES_US = (-400 * DAY_US - 1, -400 * DAY_US, -5, 0, 5, 600_000_000, 600_000_001)
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, 0.5, -1.0, 8.0, 250.0, 250.1, math.nan, math.inf, -math.inf]),
    st.sampled_from(["ECO", "eco", "", "é\0", "[]"]),
)


@st.composite
def sent(draw):
    """Return (vehicle, table, provenance, received, rows) of some batches, numbered by the caller."""
    table = draw(st.sampled_from([TABLE, TABLE, FOREIGN]))
    paths = st.sampled_from([path for path, _ in table.signals])
    base = draw(st.sampled_from(EDGES_US))
    times = st.one_of(st.integers(-3, 3), st.integers(-(10**9), 10**9)).map(lambda at: NOW_US + base + at)
    rows = draw(st.lists(st.tuples(paths, times, VALUES), max_size=12))
    as_json = draw(st.booleans()) and all(not isinstance(v, float) or math.isfinite(v) for _, _, v in rows)
    vehicle = draw(st.sampled_from([CAR, OTHER, "m" * 16]))
    return vehicle, table, draw(st.integers(0, 2)), NOW_US + draw(st.sampled_from([0, 1])), rows, as_json


def cause(path, unit, at, value, provenance, received) -> str:
    """The rules, as docs/wire.md words them."""
    signal = CATALOGUE.get(path)
    if signal is None:
        return "unknown_signal"
    if unit is not None and unit != signal.unit:
        return "wrong_unit"
    text = isinstance(value, str)
    whole = signal.type in ("int8", "uint8", "boolean")
    if text != (signal.type in ("string", "string[]")):
        return "wrong_type"
    if not text and math.isfinite(value) and whole and value != int(value):
        return "wrong_type"
    if signal.type == "boolean" and math.isfinite(value) and value not in (0, 1):
        return "wrong_type"
    if not text and not math.isfinite(value):
        return "not_finite"
    if not text and not signal.low <= value <= signal.high:
        return "out_of_range"
    if signal.allowed and value not in signal.allowed:
        return "out_of_range"
    if at > received + 600_000_000:
        return "time_future"
    earliest = LIMITS.earliest_us if provenance else received - 400 * DAY_US
    return "time_past" if at < earliest else ""


def wired(rows, table, as_json, number, provenance) -> bytes:
    if not as_json:
        return batch(rows, 1, number, provenance, table)
    units = dict(table.signals)
    samples = [{"signal": path, "time": at, "value": value, "unit": units[path]} for path, at, value in rows]
    body = {"samples": samples, "queue": f"{1:016x}", "number": number}
    return json.dumps(body | {"provenance": ("measured", "replay", "simulated")[provenance]}).encode()


@settings(max_examples=250)
@given(st.lists(sent(), max_size=6))
def test_a_chunk_holds_exactly_the_rows_that_a_plain_reading_of_the_rules_keeps(batches):
    tables = {table.hash: table for table in (TABLE, FOREIGN)}
    intake = Intake(CATALOGUE, Marks(), tables, lambda _: "default", FloodLimits())
    numbers, kept, lost = {}, [], {}
    for vehicle, table, provenance, received, rows, as_json in batches:
        numbers[vehicle] = numbers.get(vehicle, 0) + 1
        intake.take(up(vehicle), wired(rows, table, as_json, numbers[vehicle], provenance), received)
        units = dict(table.signals)
        for path, at, value in rows:
            if why := cause(path, units[path], at, value, provenance, received):
                lost[why] = lost.get(why, 0) + 1
            else:
                kept.append((vehicle, path, at, value, provenance))
    made = draft(intake.arrivals, TERMS, {})
    columns = (made.rows[name].to_pylist() for name in ("vehicle", "signal", "value", "text", "provenance"))
    times = made.rows["time"].cast("int64").to_pylist()
    found = [
        (vehicle, path, at, value if text is None else text, provenance)
        for at, (vehicle, path, value, text, provenance) in zip(times, zip(*columns, strict=True), strict=True)
    ]
    assert [row[:3] for row in found] == sorted(row[:3] for row in kept)
    assert sorted(map(repr, found)) == sorted(map(repr, kept))
    assert {why: int(counts.sum()) for why, counts in made.refused.items()} == lost
    assert made.rows.schema == SCHEMA
    for name in ("vehicle", "signal"):
        assert made.rows[name].dictionary.to_pylist() == sorted(made.rows[name].dictionary.to_pylist())
    assert intake.samples == sum(len(rows) for *_, rows, _ in batches)
    written = Chunk(Record(1, 0, NOW_US, RawPosition("x", 1)), made.rows)
    assert decode(encode(written)).rows.equals(made.rows)


RECORDS = st.builds(
    Record,
    number=st.integers(1, 2**62),
    partition=st.integers(0, 9),
    at_us=st.integers(0, 2**62),
    raw=st.builds(RawPosition, st.text(max_size=30), st.integers(0, 2**62)),
    batches=st.integers(0, 10**9),
    refused=st.dictionaries(st.sampled_from(["flood", "empty"]), st.integers(1, 10**9)),
    marks=st.lists(st.tuples(st.text(max_size=16), st.just("f" * 16), st.integers(1, 2**63 - 1)), max_size=3),
    receipt=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@settings(max_examples=60)
@given(RECORDS)
def test_a_chunks_record_comes_back_from_its_bytes(record):
    data = encode(Chunk(record, chunk(1).rows))
    assert decode(data).record == record
    assert record_of(data) == record


@settings(max_examples=60)
@given(st.data())
def test_bytes_that_are_no_chunk_are_an_input_error(data):
    whole = encode(chunk(1, [(CAR, "Vehicle.Speed", NOW_US + at, float(at), 0) for at in range(50)]))
    cut = data.draw(st.integers(0, len(whole) // 2))
    for bad in (whole[:cut], data.draw(st.binary(max_size=80)), b"", whole.replace(b"carcloud", b"carclown")):
        with pytest.raises(InputError, match="Not a chunk"):
            decode(bad)


def test_no_arrivals_make_no_rows():
    made = draft([], TERMS, {})
    assert (made.rows.num_rows, made.rows.schema, made.refused) == (0, SCHEMA, {})


def test_a_batch_of_which_nothing_passes_leaves_no_rows_and_says_why():
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, lambda _: "default", FloodLimits())
    intake.take(up(), batch([("Vehicle.Unknown", NOW_US, 1.0), ("Vehicle.Speed", NOW_US, np.nan)]), NOW_US)
    made = draft(intake.arrivals, TERMS, {})
    assert made.rows.num_rows == 0
    assert {why: counts.tolist() for why, counts in made.refused.items()} == {"unknown_signal": [1], "not_finite": [1]}


def test_rows_of_one_moment_stay_in_the_order_they_came():
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, lambda _: "default", FloodLimits())
    for number in range(1, 201):
        intake.take(up((CAR, OTHER)[number % 2]), batch([("Vehicle.Free", NOW_US, number)], number, 1), NOW_US)
    made = draft(intake.arrivals, TERMS, {})
    assert made.rows["value"].to_pylist() == [*range(2, 201, 2), *range(1, 201, 2)]


def test_rows_that_come_late_are_sorted_in_among_cars_and_signals():
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, lambda _: "default", FloodLimits())
    paths = ("Vehicle.Free", "Vehicle.Speed")
    for number in (1, 2):
        for vehicle in (CAR, OTHER):
            rows = [(path, NOW_US - number, 1.0) for path in paths]
            intake.take(up(vehicle), batch(rows, 1, number), NOW_US)
    made = draft(intake.arrivals, TERMS, {}).rows
    found = zip(*(made[name].to_pylist() for name in ("vehicle", "signal")), strict=True)
    assert list(found) == [(car, path) for car in (CAR, OTHER) for path in paths for _ in range(2)]
    assert made["time"].cast("int64").to_pylist() == [NOW_US - 2, NOW_US - 1] * 4
