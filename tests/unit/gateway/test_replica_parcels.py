"""A page of another zone's flow becomes batches: the same ones each time, whatever the page says."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carcloud.gateway.replicas.parcels import ROWS_A_BATCH, UNKNOWN, Packer
from carcloud.gateway.replicas.standing import Sending, Standing
from carcloud.safety.flows.reader import SCHEMA, Page
from carcloud.vehicle.batch import LIMIT_TABLE, LIMIT_TEXT_BYTES, Provenance, decode
from carcloud.vehicle.catalogue import Catalogue, Signal
from tests.stream import CATALOGUE

HOUR_S, AT_S = 3600, 1_790_000_000 // 3600 * 3600
UNITS = {"Vehicle.Speed": "km/h", "Vehicle.Gear": None, "Vehicle.Name": None}
Row = tuple[str, str, int, float | None, str | None, str]


def page(rows: list[Row], units: dict[str, str | None] | None = None) -> Page:
    columns = [pa.array([one[at] for one in rows], SCHEMA.field(at).type) for at in range(6) if at != 2]
    columns.insert(2, pa.array([one[2] for one in rows], pa.int64()).cast(SCHEMA.field(2).type))
    return Page(pa.table(columns, schema=SCHEMA), "next", False, UNITS if units is None else units)


def unpacked(packer: Packer, of: Page) -> dict[str, list[tuple[str, str | None, int, float | str, str]]]:
    """Return what the batches of a page say: car → (path, unit, time, value, provenance)."""
    found: dict[str, list[tuple[str, str | None, int, float | str, str]]] = {}
    for name, car in packer.cars(of).items():
        said = found.setdefault(name, [])
        for number, parcel in enumerate(car.parcels, 1):
            batch = decode(car.encoded(parcel, packer.tables, 7, number))
            assert (batch.queue, batch.number) == (7, number)
            table = next(table for table in packer.tables if table.hash == batch.table)
            for at, signal in enumerate(np.repeat(batch.signals, batch.counts).tolist()):
                value = batch.texts.get(at, float(batch.values[at]))
                time_us = batch.base_us + int(batch.times[at])
                said.append((*table.signals[signal], time_us, value, batch.provenance.name.lower()))
    return found


def speed(car: str, second: float, value: float | None, kind: str = "measured") -> Row:
    return car, "Vehicle.Speed", int((AT_S + second) * 1e6), value, None, kind


def test_rows_come_through_by_car_hour_and_provenance() -> None:
    rows = [speed("a", 0, 1.5), speed("a", 1, 2.5), speed("a", HOUR_S, 3.5), speed("b", 5, 4.5, "replay")]
    rows.append(("b", "Vehicle.Name", AT_S * 1_000_000, None, "Ada", "measured"))
    packer = Packer(CATALOGUE)
    cars = packer.cars(page(rows))
    assert {name: [key[1:3] for key in car.keys] for name, car in cars.items()} == {
        "a": [(Provenance.MEASURED, AT_S // HOUR_S), (Provenance.MEASURED, AT_S // HOUR_S + 1)],
        "b": [(Provenance.MEASURED, AT_S // HOUR_S), (Provenance.REPLAY, AT_S // HOUR_S)],
    }
    said = unpacked(packer, page(rows))
    assert said["a"] == [("Vehicle.Speed", "km/h", time, value, kind) for _, _, time, value, _, kind in rows[:3]]
    assert ("Vehicle.Name", None, AT_S * 1_000_000, "Ada", "measured") in said["b"]


def test_what_guards_refuse_goes_on_to_them() -> None:
    rows: list[Row] = [
        ("a", "Vehicle.Nothing\x00known", AT_S * 1_000_000, 1.0, None, "measured"),
        speed("a", 0, float("nan")),
        speed("a", 1, None),
        ("a", "Vehicle.Name", AT_S * 1_000_000, None, "x" * (LIMIT_TEXT_BYTES + 1), "measured"),
        ("a", "Vehicle.Name", AT_S * 1_000_000, 5.0, "both", "measured"),
        ("a", "Vehicle.Gear", 2**63 - 1, 1.0, None, "who knows"),
        ("a", "Vehicle.Gear", -(2**63), 1.0, None, "measured"),
    ]
    said = unpacked(Packer(CATALOGUE), page(rows, UNITS | {"Vehicle.Speed": "mph"}))["a"]
    assert len(said) == len(rows)
    assert {(path, unit) for path, unit, *_ in said} == {
        (UNKNOWN, None),
        ("Vehicle.Speed", "?"),
        ("Vehicle.Name", None),
        ("Vehicle.Gear", None),
    }
    assert all(np.isnan(value) for path, _, _, value, _ in said if path in ("Vehicle.Speed", "Vehicle.Name"))
    assert {kind for path, _, _, _, kind in said if path == "Vehicle.Gear"} == {"measured", "simulated"}


def test_tables_are_this_zones_own_and_few_however_large_its_catalogue() -> None:
    large = Catalogue([Signal(f"Vehicle.S{at}", "float", "m") for at in range(2 * LIMIT_TABLE)])
    packer = Packer(large)
    assert len(packer.tables) == 6
    for path in ("Vehicle.S0", f"Vehicle.S{2 * LIMIT_TABLE - 1}"):
        for unit, shown in (("m", "m"), ("ft", "?"), (None, "?")):
            table, index = packer.signal(path, unit)
            assert packer.tables[table].signals[index] == (path, shown)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-(2**62), 2**62), st.floats()), max_size=40))
def test_no_row_is_lost_or_doubled_and_the_same_page_gives_the_same_batches(rows: list[tuple[str, int, float]]) -> None:
    packer = Packer(CATALOGUE)
    of = page([(car, "Vehicle.Speed", time, value, None, "measured") for car, time, value in rows])
    said = unpacked(packer, of)
    assert sorted((car, repr(value)) for car, some in said.items() for *_, value, _ in some) == sorted(
        (car, repr(value)) for car, _, value in rows
    )
    again = packer.cars(of)
    for name, car in packer.cars(of).items():
        assert again[name].keys == car.keys
        assert len(set(car.keys)) == len(car.keys)
        for one, other in zip(car.parcels, again[name].parcels, strict=True):
            assert car.encoded(one, packer.tables, 1, 1) == again[name].encoded(other, packer.tables, 1, 1)


def test_many_rows_of_one_hour_fit_their_batches() -> None:
    values = np.random.default_rng(1).normal(size=3 * ROWS_A_BATCH)
    rows = [
        ("a", "Vehicle.Free", AT_S * 1_000_000 + at, float(value), None, "measured") for at, value in enumerate(values)
    ]
    texts: list[Row] = [
        ("t", "Vehicle.Name", AT_S * 1_000_000 + at, None, "\U0001f697" * 250, "measured") for at in range(500)
    ]
    said = unpacked(Packer(CATALOGUE), page(rows + texts, {}))
    assert [value for *_, value, _ in said["a"]] == values.tolist()
    assert len(said["t"]) == 500


def test_standing_is_read_as_it_was_written() -> None:
    standing = Standing("p1", "p2", {"car": Sending(2**64 - 1, ((0, 1, -5, 0),), ((1, 0, 7, 2),))}, 12, "")
    assert Standing.load(standing.dump()) == standing
    assert Standing.load(None) == Standing()
    done = standing.moved("p2", 3, datetime(2026, 11, 1, tzinfo=UTC))
    assert (done.after, done.upto, done.cars, done.rows, done.at) == ("p2", None, {}, 15, "2026-11-01T00:00:00Z")


@pytest.mark.parametrize("rows", [[], [speed("a", 0, 1.0)]])
def test_what_is_in_is_left_out(rows: list[Row]) -> None:
    for car in Packer(CATALOGUE).cars(page(rows)).values():
        car.leave_out(car.keys)
        assert car.parcels == []
