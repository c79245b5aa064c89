"""Whose a row is, is signed too: files that lie in another tenant's folder are found and named."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carcloud.lake.verify import Verdict
from tests.lake import TODAY, Lake
from tests.stream import CAR, DAY_US, NOW_US, OTHER

ACME, BETA = "acme", "beta"
WHOSE = {ACME: [CAR], BETA: [OTHER]}
DAYS = {"A.short": 7}


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """Give a lake of two tenants: two chunks, each with rows of today and of eight days ago."""
    made = Lake(tmp_path)
    for chunk in range(2):
        rows = [
            (car, path, NOW_US - ago * DAY_US + chunk, 1.0, 0)
            for car in (CAR, OTHER)
            for path in ("A.short", "C.ever")
            for ago in (0, 8)
        ]
        made.fill(rows, WHOSE)
    yield made
    made.records.close()


def test_rows_of_two_tenants_are_proven_apart(lake: Lake) -> None:
    assert lake.verdict() == Verdict(2, 16, [])


@pytest.mark.parametrize("into", [BETA, "gamma", "ac"])
def test_a_file_in_another_tenants_folder_is_found_and_named(lake: Lake, into: str) -> None:
    file = next(file for file in lake.table().live() if file.partition[0] == ACME)
    name = lake.move(file, into)
    (fault,) = lake.verdict().faults
    assert name in fault
    assert "not those the governor signed" in fault


def test_files_that_changed_places_are_found(lake: Lake) -> None:
    mine, theirs = ([file for file in lake.table().live() if file.partition[0] == name] for name in (ACME, BETA))
    for file in mine:
        lake.move(file, BETA)
    for file in theirs:
        lake.move(file, ACME)
    assert len(lake.verdict().faults) == 2


@pytest.mark.parametrize("first", ["erase", "expire"])
def test_what_left_of_each_tenant_stands_for_its_own_rows_only(lake: Lake, first: str) -> None:
    lake.expire(DAYS.get) if first == "expire" else lake.erase(CAR)
    assert lake.verdict().faults == []
    lake.erase(CAR) if first == "expire" else lake.expire(DAYS.get)
    verdict = lake.verdict()
    assert (verdict.faults, verdict.rows + verdict.erased + verdict.expired) == ([], 16)
    assert {car for car, _, _ in lake.rows()} == {OTHER}
    lake.move(next(iter(lake.table().live())), ACME)
    assert len(lake.verdict().faults) >= 1
    lake.expire({"A.short": 1, "C.ever": 1}.get, TODAY + 2)
    assert len(lake.verdict().faults) >= 1


def test_rows_that_expire_in_another_tenants_folder_are_found_for_ever(lake: Lake) -> None:
    for file in lake.table().live():
        if file.partition[0] == ACME:
            lake.move(file, BETA)
    lake.expire({"A.short": 1, "C.ever": 1}.get, TODAY + 2)
    assert lake.rows() == []
    assert len(lake.verdict().faults) == 2
