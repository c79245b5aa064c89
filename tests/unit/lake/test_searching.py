"""What stands for rows that are gone cannot be searched: trying every value there may have been tells none apart."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carcloud.backends.records.digest_keys import KEY_BYTES
from carcloud.lake.expired import Expired
from carcloud.lake.receipts import receipts_of
from carcloud.lake.tombstones import read
from carcloud.safety.audit.tree import root_of
from carcloud.safety.governance.policy import parse
from carcloud.stream.digest_keys import ChunkKeys, StoredKeys
from carcloud.stream.receipts import Keys, car_cells, car_digests, digest_of, leaf
from tests.lake import TODAY, Lake
from tests.stream import CAR, DAY_US, NOW_US, OTHER, governed

LATITUDE, OTHERS = "Vehicle.CurrentLocation.Latitude", "Vehicle.Speed"
TRUE, AT = 48.137, NOW_US - 8 * DAY_US
GRID = [round(48 + step / 1000, 3) for step in range(300)]
NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)
POLICY = parse(
    """
name: timed
purposes: {run: {basis: contract, why: So that tests have something lawful.}}
rules:
  - {paths: [Vehicle.CurrentLocation.*], class: personal, purposes: [run], days: 7}
  - {paths: ["**"], class: operational, purposes: [run]}
""",
    "timed",
)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path)
    made.fill([(CAR, LATITUDE, AT, TRUE, 0), (OTHER, LATITUDE, AT, 48.2, 0), (OTHER, OTHERS, AT, 1.0, 0)])
    yield made
    made.records.close()


def leaves(keys: Keys, values: Iterable[float]) -> dict[float, bytes]:
    """Return the leaf that the car's only row would have with each of the values."""
    found = {}
    for value in values:
        row = governed([(CAR, LATITUDE, AT, value, 0)])
        found[value] = leaf(("default", CAR), car_digests(row, {CAR: "default"}, 1, keys)[CAR])
    return found


def day_keys(lake: Lake) -> dict[tuple[str, str, int], bytes]:
    return lake.records.digest_keys.day("default", AT // DAY_US)


def fitting(lake: Lake, keys: Keys, stone: bytes) -> list[float]:
    """Return the values that the tombstone's leaf says, or the signed root together with the other car's rows."""
    said = receipts_of(lake.folder, pytest.fail)[1]["statement"]["root"]
    rows = governed([(OTHER, LATITUDE, AT, 48.2, 0), (OTHER, OTHERS, AT, 1.0, 0)])
    try:
        other = leaf(("default", OTHER), digest_of(car_cells(rows, {OTHER: "default"}, 1, keys)[OTHER]))
    except KeyError:
        other = b""
    tried = leaves(keys, GRID)
    return [value for value in GRID if tried[value] == stone or root_of([tried[value], other]).hex() == said]


def test_an_erased_cars_place_is_not_found_by_trying_once_its_key_is_gone(lake: Lake) -> None:
    known = StoredKeys(lake.records)
    lake.erase(CAR)
    stone = read(lake.folder / "erased", lake.signed("erasure"), pytest.fail)[1]["default", CAR].leaf
    assert fitting(lake, known, stone) == [TRUE]  # as long as the keys are there
    days, other = day_keys(lake), lake.records.digest_keys.cars([OTHER])
    for guess in (bytes(KEY_BYTES), other[OTHER], *days.values()):
        assert fitting(lake, ChunkKeys(other | {CAR: guess}, days), stone) == []
    assert lake.verdict().faults == []


def test_an_expired_place_is_not_found_by_trying_once_its_days_key_is_gone(lake: Lake) -> None:
    known, before = StoredKeys(lake.records), day_keys(lake)
    assert set(before) == {("default", path, AT // DAY_US) for path in (LATITUDE, OTHERS)}
    asyncio.run(lake.expiring(POLICY).expire(NOW))
    stone = Expired(lake.folder / "expired", lake.signed("erasure"), pytest.fail).of(1).cars["default", CAR][1]
    assert fitting(lake, known, stone) == []  # `known` has read nothing yet, and the day's key is not there any more
    left = day_keys(lake)
    assert set(left) == {("default", OTHERS, AT // DAY_US)}
    cars = lake.records.digest_keys.cars([CAR, OTHER])
    assert fitting(lake, ChunkKeys(cars, before), stone) == [TRUE]
    for guess in (bytes(KEY_BYTES), *left.values(), *cars.values()):
        days = left | {("default", LATITUDE, AT // DAY_US): guess}
        assert fitting(lake, ChunkKeys(cars, days), stone) == []
    assert lake.verdict().faults == []


def test_rows_that_come_late_for_a_day_that_expired_are_provable_under_a_new_key(lake: Lake) -> None:
    before = day_keys(lake)
    asyncio.run(lake.expiring(POLICY).expire(NOW))
    lake.fill([(CAR, LATITUDE, AT, TRUE, 0), (CAR, OTHERS, AT, 2.0, 0)])
    assert day_keys(lake)["default", LATITUDE, AT // DAY_US] != before["default", LATITUDE, AT // DAY_US]
    assert lake.verdict().faults == []
    asyncio.run(lake.expiring(POLICY).expire(NOW))
    assert set(day_keys(lake)) == {("default", OTHERS, AT // DAY_US)}
    assert (lake.verdict().faults, len(lake.rows())) == ([], 2)


def test_a_key_that_a_chunk_still_on_its_way_needs_stays(lake: Lake) -> None:
    lake.records.digest_keys.made([], {("default", LATITUDE, AT // DAY_US)}, 2)  # as the governor does before chunk 2
    before = day_keys(lake)
    asyncio.run(lake.expiring(POLICY).expire(NOW))
    assert day_keys(lake) == before
    lake.fill([(CAR, LATITUDE, AT, TRUE, 0)])
    assert lake.verdict().faults == []
    lake.expire({LATITUDE: 7}.get, TODAY)
    assert lake.verdict().faults == []


def test_without_the_keys_no_row_is_proven_and_the_fault_says_why(lake: Lake) -> None:
    lake.records.digest_keys.forget(day_keys(lake), 1)
    (fault,) = lake.verdict().faults
    assert fault.endswith("; the records have no key of some")
