"""Pseudonyms on both databases: one for a car and epoch, another for the next, closed to whoever looks in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from carcloud.backends.records import Records, Vehicle
from carcloud.errors import InputError
from carcloud.safety.seal import NameVault
from carcloud.vehicle.pseudonym import PREFIX, is_pseudonym

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAR = Vehicle("aaaaaaaaaaaaaaaa", "default", "WVWZZZ1JZXW000001", None, "active", AT)
OTHER = Vehicle("bbbbbbbbbbbbbbbb", "rental", "WVWZZZ1JZXW000002", None, "active", AT)
TENANTS = {car.id: car.tenant for car in (CAR, OTHER)}


@pytest.fixture
def sealed(url: str, tmp_path: Path) -> Records:
    records = Records.open(url, NameVault(tmp_path / "keys"))
    for car in (CAR, OTHER):
        records.add_vehicle(car)
    return records


def test_a_car_has_one_name_in_an_epoch_and_another_in_the_next(sealed: Records) -> None:
    first = sealed.pseudonyms.of(TENANTS, "2026-03")
    assert sealed.pseudonyms.of(TENANTS, "2026-03") == first
    second = sealed.pseudonyms.of({CAR.id: "default"}, "2026-04")
    assert len({*first.values(), *second.values()}) == 3
    assert all(is_pseudonym(name) and len(name) == 22 for name in first.values())
    assert sealed.pseudonyms.names(CAR.id) == [first[CAR.id], second[CAR.id]]
    assert sealed.pseudonyms.cars("rental") == {first[OTHER.id]: OTHER.id}
    many = {f"{number:016}": "default" for number in range(2500)}
    assert len(set(sealed.pseudonyms.of(many, "2026-03").values())) == 2500
    sealed.close()


def test_names_lie_sealed_so_that_the_database_alone_ties_no_row_to_a_car(sealed: Records) -> None:
    names = sealed.pseudonyms.of(TENANTS, "2026-03")
    with sealed.transaction() as db:
        lying = [str(tuple(row)) for row in db.execute(text("SELECT * FROM pseudonyms")).all()]
    assert len(lying) == 2
    assert not [row for row in lying for name in names.values() if name in row or PREFIX in row]
    sealed.close()


def test_an_erasure_keeps_the_names_and_deletes_what_ties_them(sealed: Records) -> None:
    names = [sealed.pseudonyms.of(TENANTS, epoch)[CAR.id] for epoch in ("2026-03", "2026-04")]
    erasure = sealed.erasures.begin(CAR.id, "machine")
    assert sorted(erasure.names) == sorted(names)
    assert sealed.pseudonyms.names(CAR.id) == []
    assert len(sealed.pseudonyms.names(OTHER.id)) == 2
    assert sealed.erasures.begin(CAR.id, "machine").names == erasure.names
    sealed.close()


def test_a_row_on_its_way_when_its_car_is_erased_gets_a_name_that_the_erasure_knows(sealed: Records) -> None:
    sealed.erasures.begin(CAR.id, "machine")
    late = sealed.pseudonyms.of(TENANTS, "2026-03")
    (erasure,) = sealed.erasures.all()
    assert erasure.names == (late[CAR.id],)
    assert sealed.pseudonyms.names(CAR.id) == []
    assert sealed.pseudonyms.names(OTHER.id) == [late[OTHER.id]]
    sealed.close()


def test_no_car_is_enrolled_under_what_could_be_a_pseudonym(sealed: Records) -> None:
    with pytest.raises(InputError, match="begins with p-"):
        sealed.add_vehicle(Vehicle("p-aaaaaaaaaaaaaa", "default", "WVWZZZ1JZXW000003", None, "active", AT))
    sealed.close()
