"""Rows on their way into the lake, against plain sorting; and which files are joined."""

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.lake.rows import PROVENANCES, bins, by_day, by_tenant, joined, part_of_chunk
from tests.stream import DAY_US, NOW_US, chunk

CHUNK = st.lists(
    st.tuples(
        st.sampled_from(["car1", "car2", "car3"]),
        st.sampled_from(["A.b", "A.c", "B.a", "B.b"]),
        st.one_of(st.integers(-2, 2), st.sampled_from([-DAY_US, 3 * DAY_US])).map(lambda at: NOW_US + at),
        st.one_of(st.floats(allow_nan=False), st.sampled_from(["", "on", "off"])),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=200)
@given(st.lists(CHUNK, min_size=1, max_size=5))
def test_joined_parts_are_all_rows_sorted_by_vehicle_signal_and_time(chunks):
    table = joined([part_of_chunk(chunk(number, rows)) for number, rows in enumerate(chunks, 1)])
    expected = [
        (vehicle, path, at, value, PROVENANCES[provenance], number)
        for number, rows in enumerate(chunks, 1)
        for vehicle, path, at, value, provenance in rows
    ]
    found = [
        (row["vehicle"], row["signal"], at, row["value"] if row["text"] is None else row["text"], *after(row))
        for row, at in zip(table.to_pylist(), table["time"].cast("int64").to_pylist(), strict=True)
    ]
    assert [row[:3] for row in found] == sorted(row[:3] for row in expected)
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    days = dict(by_day(table))
    assert list(days) == sorted(days)
    assert sum(rows.num_rows for rows in days.values()) == len(expected)
    for day, rows in days.items():
        assert {at.strftime("%Y-%m-%d") for at in rows["time"].to_pylist()} == {day}
        keys = list(zip(*(rows[name].to_pylist() for name in ("vehicle", "signal", "time")), strict=True))
        assert keys == sorted(keys)


@given(CHUNK, st.dictionaries(st.sampled_from(["car1", "car2", "car3"]), st.sampled_from("ab")))
def test_tenants_get_their_own_rows_in_order_and_no_name_of_others(rows, tenant_of):
    whose = {car: tenant_of.get(car, "c") for car in ("car1", "car2", "car3", "car4")}
    whole = joined([part_of_chunk(chunk(1, rows))]).to_pylist()
    divided = dict(by_tenant(part_of_chunk(chunk(1, rows)), whose))
    assert list(divided) == sorted({whose[row[0]] for row in rows})
    for tenant, part in divided.items():
        assert joined([part]).to_pylist() == [row for row in whole if whose[row["vehicle"]] == tenant]
        assert part.vehicles == sorted({row[0] for row in rows if whose[row[0]] == tenant})


def after(row):
    return row["provenance"], row["chunk"]


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 50))
def test_bins_join_neighbours_up_to_the_limit_and_leave_lone_ones_out(sizes, limit):
    found = bins(sizes, limit)
    edges = [edge for pair in found for edge in pair]
    assert edges == sorted(edges)
    for first, end in found:
        assert end - first > 1
        assert sum(sizes[first:end]) <= limit
    lone = set(range(len(sizes))) - {at for first, end in found for at in range(first, end)}
    for at in lone:  # neither it nor its right neighbour could have been put together
        if at + 1 in lone:
            assert sizes[at] + sizes[at + 1] > limit


def test_bins_of_nothing_and_of_one_are_none():
    assert bins([], 10) == []
    assert bins([5], 10) == []
    assert bins([50, 60], 10) == []
    assert bins([5, 5, 1], 10) == [(0, 2)]
    assert bins([5, 5, 1, 1], 10) == [(0, 2), (2, 4)]
