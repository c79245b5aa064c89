"""The receipt's root: the same however rows are cut into parts and files, another for any other rows."""

import hashlib
import itertools
import math
import struct
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.lake.rows import Part, by_day, joined, part_of_chunk
from carcloud.lake.windows import as_chunk, cells_of_parts
from carcloud.safety.audit.tree import root_of, tree_root
from carcloud.stream import receipts
from carcloud.stream.receipts import digest_of, leaf, rows_of, statement
from tests.stream import CAR, DAY_US, NOW_US, OTHER, FixedKeys, chunk, governed

KEYS = FixedKeys()

VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 5e-324]), st.floats(allow_nan=False), st.sampled_from(["", "a", "a\0", "é"])
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([CAR, OTHER, "c"]),
        st.sampled_from(["A.b", "A.c", "B.a"]),
        st.one_of(st.integers(0, 3), st.sampled_from([-DAY_US, DAY_US])).map(lambda at: NOW_US + at),
        VALUES,
        st.integers(0, 2),
    ),
    max_size=24,
)


def of_chunk(part: Part, number: int) -> Part:
    return part.taken(np.flatnonzero(part.chunk == number))


def root_of_rows(rows: pa.RecordBatch, tenants: dict[str, list[str]]) -> bytes:
    return receipts.root(rows, tenants, 7, KEYS)


def car_cells(rows: pa.RecordBatch) -> dict[str, list[bytes]]:
    return receipts.car_cells(rows, dict.fromkeys(rows["vehicle"].dictionary.to_pylist(), "default"), 7, KEYS)


def car_digests(rows: pa.RecordBatch, tenant: str = "default") -> dict[str, bytes]:
    return receipts.car_digests(rows, dict.fromkeys(rows["vehicle"].dictionary.to_pylist(), tenant), 7, KEYS)


def root(rows: pa.RecordBatch) -> bytes:
    """Return the root of rows that are one tenant's."""
    return root_of_rows(rows, {"default": rows["vehicle"].dictionary.to_pylist()})


def lake_root(parts: list[Part]) -> str:
    return root(as_chunk(joined(parts))).hex()


@settings(max_examples=200)
@given(ROWS.filter(bool), st.data())
def test_the_root_does_not_depend_on_how_rows_lie_in_parts_and_days(rows, data):
    expected = root(governed(rows)).hex()
    cuts = [data.draw(st.integers(0, 2)) for _ in rows]
    parts = []
    for which in data.draw(st.permutations(sorted(set(cuts)))):
        mine = [row for row, cut in zip(rows, cuts, strict=True) if cut == which]
        parts.append(part_of_chunk(chunk(7, mine)))
    assert lake_root(parts) == expected
    files = [of_chunk(part_of_lake(table), 7) for part in parts for _, table in by_day(joined([part]))]
    assert lake_root(data.draw(st.permutations(files))) == expected
    twice = [part_of_lake(joined(files[at : at + 2])) for at in range(0, len(files), 2)]
    assert lake_root(twice) == expected


def part_of_lake(table) -> Part:
    batch = table.combine_chunks().to_batches()[0]
    codes = batch["provenance"].indices.to_numpy().astype("u1")
    texts = batch["text"] if batch["text"].null_count < len(batch) else None
    return Part(
        *(batch[name].dictionary.to_pylist() for name in ("vehicle", "signal")),
        *(batch[name].indices.to_numpy() for name in ("vehicle", "signal")),
        batch["time"].cast("int64").to_numpy(),
        batch["value"].to_numpy(zero_copy_only=False),
        codes,
        batch["chunk"].to_numpy(),
        texts,
    )


@settings(max_examples=200)
@given(ROWS.filter(bool), st.data())
def test_a_car_stays_provable_while_the_cells_that_left_are_remembered(rows, data):
    whole = governed(rows)
    expected, cells = car_digests(whole), car_cells(whole)
    assert {vehicle: digest_of(data.draw(st.permutations(of))) for vehicle, of in cells.items()} == expected
    gone = {cell: data.draw(st.booleans()) for of in cells.values() for cell in of}
    left = [row for row in rows if not gone[cell_of(cells, row)]]
    there = car_cells(governed(left)) if left else {}
    for vehicle, digest in expected.items():
        remembered = [cell for cell in cells[vehicle] if gone[cell]]
        assert digest_of(remembered + there.get(vehicle, [])) == digest
    assert sum(rows_of(cell) for of in cells.values() for cell in of if gone[cell]) == len(rows) - len(left)


def cell_of(cells: dict[str, list[bytes]], row: tuple) -> bytes:
    name = hashlib.sha256(row[1].encode()).digest()[:8] + struct.pack(">i", row[2] // DAY_US)
    (found,) = [cell for cell in cells[row[0]] if cell.startswith(name)]
    return found


@settings(max_examples=200)
@given(ROWS.filter(bool), st.permutations(range(24)))
def test_the_root_does_not_depend_on_the_order_of_rows_of_one_moment(rows, order):
    shuffled = [rows[at] for at in order if at < len(rows)]
    assert root(governed(shuffled)) == root(governed(rows))


@settings(max_examples=200)
@given(ROWS.filter(bool), st.data())
def test_any_row_changed_removed_or_added_changes_the_root(rows, data):
    at = data.draw(st.integers(0, len(rows) - 1))
    vehicle, path, time, value, provenance = rows[at]
    other = "b" if isinstance(value, str) else math.nextafter(value, math.inf) if value != math.inf else 0.0
    changed = [
        ("zz", path, time, value, provenance),
        (vehicle, "Z.z", time, value, provenance),
        (vehicle, path, time + 10, value, provenance),
        (vehicle, path, time, other, provenance),
        (vehicle, path, time, value, (provenance + 1) % 3),
    ]
    before = root(governed(rows))
    rest = rows[:at] + rows[at + 1 :]
    for row in changed:
        assert root(governed([*rest, row])) != before
        assert root(governed([*rows, row])) != before
    assert root(governed([*rows, rows[at]])) != before
    assert root(governed(rest) if rest else chunk(1).rows) != before


@settings(max_examples=100)
@given(ROWS.filter(bool), ROWS)
def test_a_cars_digest_is_of_its_own_rows_only(rows, others):
    mine = [row for row in rows if row[0] == CAR] or [(CAR, *rows[0][1:])]
    together = mine + [(OTHER, *row[1:]) for row in others]
    assert car_digests(governed(together))[CAR] == car_digests(governed(mine))[CAR]


def test_a_text_that_ends_in_a_nul_is_another_text():
    rows = [(CAR, "A.b", NOW_US, text, 0) for text in ("a", "a\0")]
    assert root(governed(rows)) == root(governed(rows[::-1]))
    assert root(governed(rows)) != root(governed([rows[0], rows[0]]))


def test_nothing_has_the_digest_of_nothing():
    assert car_digests(chunk(1).rows) == {}
    assert root(chunk(1).rows) == tree_root([])


@pytest.mark.parametrize("leaves", range(1, 9))
def test_the_tree_is_that_of_rfc_6962(leaves):
    def rfc(entries: list[bytes]) -> bytes:
        if len(entries) == 1:
            return tree_root(entries)
        split = 1 << (len(entries) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + rfc(entries[:split]) + rfc(entries[split:])).digest()

    entries = [bytes([number]) for number in range(leaves)]
    assert tree_root(entries) == rfc(entries)


def test_a_leaf_is_not_taken_for_a_branch():
    assert tree_root([b"a", b"b"]) != tree_root([b"a" + b"b"])


def test_a_leaf_is_hashed_as_a_leaf():
    """Source: the empty leaf of Certificate Transparency's reference trees."""
    assert tree_root([b""]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    branch = b"\x01" + tree_root([b"a"]) + tree_root([b"b"])
    assert tree_root([branch]) != tree_root([b"a", b"b"])


def by_hand(rows: list[tuple], tenant: str = "default") -> bytes:
    """Return a car's digest as the rules of receipts say it, row by row."""
    ordered = sorted(rows, key=lambda row: (row[1], row[2]))
    cells = []
    for (path, day), within in itertools.groupby(ordered, key=lambda row: (row[1], row[2] // DAY_US)):
        cell = list(within)
        said = KEYS.day(tenant, path, day) + KEYS.car(cell[0][0]) + (7).to_bytes(8, "big")
        said += b"".join(
            struct.pack("<qdB", row[2], math.nan if isinstance(row[3], str) else row[3], row[4]) for row in cell
        )
        texts = [row[3] if isinstance(row[3], str) else None for row in cell]
        said += orjson.dumps(texts) if any(text is not None for text in texts) else b""
        name, digest = hashlib.sha256(path.encode()).digest()[:8], hashlib.sha256(said).digest()
        cells.append(name + struct.pack(">iI", day, len(cell)) + digest)
    return hashlib.sha256(b"".join(sorted(cells))).digest()


@pytest.mark.parametrize("text", [False, True])
def test_a_cars_digest_is_what_the_rules_say(text):
    mine = [
        (CAR, path, NOW_US + at * DAY_US // 2, float(at), at % 3)
        for path, rows in (("A.b", 2), ("B.a", 5))
        for at in range(rows)
    ]
    mine += [(CAR, "B.a", -1, 0.5, 1)]
    mine += [(CAR, "C.a", NOW_US, "on", 0)] if text else []
    others = [(OTHER, "A.b", NOW_US, "off", 1)]
    assert car_digests(governed(mine + others)) == {CAR: by_hand(mine), OTHER: by_hand(others)}
    leaves = [
        b"\0".join((b"default", CAR.encode(), by_hand(mine))),
        b"\0".join((b"default", OTHER.encode(), by_hand(others))),
    ]
    assert root(governed(mine + others)) == tree_root(leaves)
    leaves = [
        b"\0".join((b"a", OTHER.encode(), by_hand(others, "a"))),
        b"\0".join((b"b", CAR.encode(), by_hand(mine, "b"))),
    ]
    assert root_of_rows(governed(mine + others), {"b": [CAR], "a": [OTHER]}) == tree_root(leaves)


@settings(max_examples=200)
@given(ROWS.filter(bool), st.data())
def test_the_root_says_whose_each_car_is_however_files_of_tenants_are_cut(rows, data):
    cars = sorted({row[0] for row in rows})
    whose = {car: data.draw(st.sampled_from(["a", "b", "b/"])) for car in cars}
    expected = root_of_rows(governed(rows), by_tenant(whose))
    files = []
    for at, row in enumerate(rows):  # a file a row
        part = part_of_chunk(chunk(7, [row]))
        files.append(replace(part, tenant=whose[row[0]], file=str(at)))
    found = cells_of_parts(data.draw(st.permutations(files)), 7, KEYS)
    assert root_of([leaf(car, digest_of(found[car])) for car in sorted(found)]) == expected
    moved = data.draw(st.sampled_from(cars))
    other = whose | {moved: data.draw(st.sampled_from(sorted({"a", "b", "b/", "c"} - {whose[moved]})))}
    assert root_of_rows(governed(rows), by_tenant(other)) != expected
    one = data.draw(st.integers(0, len(files) - 1))
    files[one] = replace(files[one], tenant="c")
    found = cells_of_parts(files, 7, KEYS)
    assert root_of([leaf(car, digest_of(found[car])) for car in sorted(found)]) != expected


def by_tenant(whose: dict[str, str]) -> dict[str, list[str]]:
    return {tenant: [car for car in whose if whose[car] == tenant] for tenant in set(whose.values())}


def test_a_statement_is_signed_with_its_fields_in_order():
    assert statement({"b": 1, "a": {"d": 2, "c": 3}}) == b'{"a":{"c":3,"d":2},"b":1}'
