"""Which of our vehicles stand for which cars of another zone, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from carcloud.backends.records import Records
from carcloud.errors import ConflictError
from carcloud.vehicle.life import Act

AT = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = {"a" * 32, "b" * 32}


def test_names_of_another_zone_become_vehicles_of_this_one_once(records: Records) -> None:
    first = records.replicas.take("from-cn", NAMES, "default", AT)
    assert first.keys() == NAMES
    assert not first.keys() & set(first.values())
    assert records.replicas.take("from-cn", {*NAMES, "c"}, "default", AT).items() > first.items()
    other = records.replicas.take("from-us", NAMES, "default", AT)
    assert not set(other.values()) & set(first.values())
    assert records.replicas.counts() == {"from-cn": 3, "from-us": 2}
    assert set(records.replicas.sources([*first.values(), "nobody"]).values()) == {"from-cn"}
    assert records.replicas.standing([*first.values(), "nobody"]) == set(first.values())


def test_a_replica_has_no_vin_stays_one_and_does_not_leave_by_a_flow(records: Records) -> None:
    (vehicle,) = records.replicas.take("from-cn", {"name"}, "default", AT).values()
    found = records.vehicle(vehicle)
    assert (found.vin, found.label, found.state) == ("", None, "replica")
    assert records.certificates(vehicle) == []
    assert vehicle in records.life.outside()
    assert vehicle not in records.exports.cars("default")
    for act in get_args(Act):
        with pytest.raises(ConflictError):
            records.life.change(vehicle, act, AT)


def test_an_erased_replica_stays_away(records: Records) -> None:
    first = records.replicas.take("from-cn", NAMES, "default", AT)
    records.erasures.begin(first["a" * 32], "person:1")
    assert records.replicas.take("from-cn", NAMES, "default", AT) == {"b" * 32: first["b" * 32]}
    assert records.replicas.standing(first.values()) == {first["b" * 32]}


def test_a_replica_brings_no_endless_number_of_cars(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carcloud.backends.records.replicas.LIMIT_CARS", 2)
    with pytest.raises(ConflictError, match="more than 2 cars"):
        records.replicas.take("from-cn", {*NAMES, "c"}, "default", AT)
    assert records.replicas.counts() == {}


def test_the_place_is_what_was_written_last(records: Records) -> None:
    assert records.replicas.place("from-cn") is None
    records.replicas.set_place("from-cn", "one")
    records.replicas.set_place("from-cn", "two")
    assert records.replicas.place("from-cn") == "two"
