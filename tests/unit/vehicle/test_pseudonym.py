"""The names under which rows stand that do not say whose they are."""

import re
from datetime import UTC, datetime

import pytest

from carcloud.safety.identity import new_vehicle_id
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.pseudonym import epoch_of, is_pseudonym, new_pseudonym


def test_names_are_random_and_no_car_has_one_as_its_id():
    names = {new_pseudonym() for _ in range(1000)}
    assert len(names) == 1000
    assert all(re.fullmatch("p-[a-z0-9]{20}", name) and TOKEN.fullmatch(name) for name in names)
    assert all(map(is_pseudonym, names))
    assert not any(is_pseudonym(new_vehicle_id()) for _ in range(1000))


@pytest.mark.parametrize(
    ("moment", "length", "epoch"),
    [
        ((2026, 11, 23, 23, 59, 59, 999_999), "day", "2026-11-23"),
        ((2026, 11, 30, 23, 59, 59, 999_999), "month", "2026-11"),
        ((2026, 12, 1), "month", "2026-12"),
        ((2026, 3, 31), "quarter", "2026-Q1"),
        ((2026, 4, 1), "quarter", "2026-Q2"),
        ((2026, 12, 31, 23, 59, 59), "quarter", "2026-Q4"),
        ((2027, 1, 1), "year", "2027"),
    ],
)
def test_epochs_are_calendar_times_of_utc(moment, length, epoch):
    at = datetime(*moment, tzinfo=UTC)
    assert (
        epoch_of(int(at.timestamp() * 1_000_000) if not at.microsecond else int(at.timestamp()) * 1_000_000, length)
        == epoch
    )
