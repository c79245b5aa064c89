"""The keys of receipts' digests on both databases: made once, told apart, and gone when they are to be."""

from datetime import UTC, datetime

from sqlalchemy import select

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.digest_keys import KEY_BYTES, of_cars
from carcloud.backends.records.erasures import PARTS

CAR, OTHER = "a" * 16, "b" * 16
DAY, NEXT = ("acme", "Vehicle.Speed", 20_000), ("acme", "Vehicle.Speed", 20_001)
LATER = ("other", "Vehicle.Speed", 20_000)


def test_a_key_is_made_once_and_stands(records: Records) -> None:
    cars, days = records.digest_keys.made([CAR, OTHER], {DAY, LATER}, 1)
    again = records.digest_keys.made([CAR, OTHER], {DAY, NEXT, LATER}, 2)
    assert again == (cars, days | {NEXT: again[1][NEXT]})
    keys = [*cars.values(), *again[1].values()]
    assert {len(key) for key in keys} == {KEY_BYTES}
    assert len(set(keys)) == 5
    assert records.digest_keys.cars([CAR, "c"]) == {CAR: cars[CAR]}
    assert records.digest_keys.day("acme", 20_000) == {DAY: days[DAY]}
    assert records.digest_keys.made([], set(), 3) == ({}, {})


def test_a_days_key_goes_unless_a_later_chunk_asked_for_it(records: Records) -> None:
    records.digest_keys.made([], {DAY, NEXT, LATER}, 5)
    records.digest_keys.made([], {LATER}, 9)
    assert records.digest_keys.days(20_001, 4) == []
    assert records.digest_keys.days(20_001, 8) == [DAY]
    records.digest_keys.forget([DAY, LATER], 8)
    assert records.digest_keys.day("acme", 20_000) == {}
    assert LATER in records.digest_keys.day("other", 20_000)
    assert NEXT in records.digest_keys.day("acme", 20_001)


def test_more_names_than_one_question_takes(records: Records) -> None:
    names = [f"{number:016}" for number in range(2_100)]
    cars, _ = records.digest_keys.made(names, set(), 1)
    assert sorted(cars) == names
    assert records.digest_keys.cars(names) == cars


def test_an_erasure_deletes_the_keys_of_all_names_once_the_lake_is_done(records: Records) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    records.add_vehicle(Vehicle(CAR, "acme", "WVWZZZ1JZXW000001", None, "active", at))
    name = records.pseudonyms.of({CAR: "acme"}, "2026-03")[CAR]
    records.digest_keys.made([CAR, OTHER, name], set(), 1)
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert set(records.digest_keys.cars([CAR, OTHER, name])) == {CAR, OTHER, name}
    for part in PARTS:
        records.erasures.finish(erasure.id, part, {})
        if part == "lake":
            break
    assert [row.name for row in records.rows(select(of_cars.c.name))] == [OTHER]
