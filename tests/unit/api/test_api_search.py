"""Searching cars by what they say now: true and unknown apart, in reach, in pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from carcloud.safety.people.register import Register
from carcloud.twin.values import Last
from tests.granted import granted
from tests.unit.api.served import CARS, Zone

CAR, OTHER, THIRD = CARS
SPEED, DOORS, NAME = "Vehicle.Speed", "Vehicle.Cabin.Door.Count", "Vehicle.Cabin.Name"
SEARCH = "/v1/vehicles/search"


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def partner(zone: Zone) -> Iterator[httpx.Client]:
    """A partner who sees the first car's speed in steps of 10."""
    _, secret = Register(zone.records).make_token(None, "insurer", ["partner"], 30, "default", "insurer")
    scope = {"paths": (SPEED,), "precision": {SPEED: 10.0}}
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", **scope)
    with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=20) as client:
        yield client


def found(client: httpx.Client, condition: str, **query: str | int) -> tuple[list[str], int]:
    answer = client.get(SEARCH, params={"condition": condition, **query})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    return [car["id"] for car in said["vehicles"]], said["unknown"]


def drive(zone: Zone, car: str, path: str, value: float | str, age_s: float = 0.0) -> None:
    zone.twin.put(car, path, Last(value, now_us() - int(age_s * 1e6), "measured"))


def test_cars_that_it_holds_for_and_that_do_not_say_are_told_apart(api: httpx.Client, zone: Zone) -> None:
    drive(zone, CAR, SPEED, 140.0)
    drive(zone, OTHER, SPEED, 20.0)
    drive(zone, THIRD, SPEED, 150.0, age_s=61)
    drive(zone, THIRD, NAME, "ours")
    assert found(api, f"{SPEED} > 130 km/h") == ([CAR], 1)
    assert found(api, f"{SPEED} > 130 km/h stale after 1 h") == ([CAR, THIRD], 0)
    assert found(api, f"{SPEED} is unknown") == ([THIRD], 0)
    assert found(api, f'{NAME} = "ours" or {SPEED} < 30 km/h') == ([OTHER, THIRD], 1)
    said = api.get(SEARCH, params={"condition": f"{SPEED} > 0 km/h stale after 1 h", "limit": 2}).json()
    assert (said["found"], said["truncated"], said["next"]) == (3, True, OTHER)
    assert said["vehicles"] == [{"id": CAR, "label": None}, {"id": OTHER, "label": "car 1"}]
    assert found(api, f"{SPEED} > 0 km/h stale after 1 h", after=OTHER) == ([THIRD], 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (f"{SPEED} > 130 km/h for at least 5 s", "the lake"),
        (f"rising {SPEED} > 130 km/h", "the lake"),
        (f"{SPEED} > 130 kg", "km/h"),
        ("Vehicle.Nothing > 1", ""),
        ("", ""),
    ],
)
def test_what_cannot_be_searched_is_told_what_to_do(api: httpx.Client, wrong: str, told: str) -> None:
    answer = api.get(SEARCH, params={"condition": wrong})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "input")
    assert told in answer.json()["error"]["do"]


def test_partner_who_searches_learns_nothing_beyond_what_is_granted(
    zone: Zone, partner: httpx.Client, api: httpx.Client
) -> None:
    drive(zone, CAR, SPEED, 51.5)
    drive(zone, CAR, DOORS, 4.0)
    drive(zone, OTHER, SPEED, 51.5)
    assert found(api, f"{SPEED} > 51 km/h") == ([CAR, OTHER], 0)
    assert found(partner, f"{DOORS} = 4 or {DOORS} != 4") == ([], 1)
    assert found(partner, f"{DOORS} is known") == ([], 0)
    learnt = [limit for limit in range(45, 66) if found(partner, f"{SPEED} >= {limit} km/h")[0]]
    assert max(learnt) == 55  # the middle of its step, whatever it is
    for speed in (50.0, 59.9):
        drive(zone, CAR, SPEED, speed)
        assert [limit for limit in range(45, 66) if found(partner, f"{SPEED} >= {limit} km/h")[0]] == learnt
        assert found(partner, f"{SPEED} / {SPEED} = 1 and {SPEED} * 1000 = 55000 km/h") == ([CAR], 0)


def test_who_may_not_read_the_twin_may_not_search_it(
    stranger: httpx.Client, client_of: Callable[..., httpx.Client]
) -> None:
    assert stranger.get(SEARCH, params={"condition": f"{SPEED} > 1 km/h"}).status_code == 401
    assert client_of("partner").get(SEARCH, params={"condition": f"{SPEED} > 1 km/h"}).status_code == 403


@pytest.fixture
def client_of(zone: Zone) -> Iterator[Callable[..., httpx.Client]]:
    """Clients of programs by their role."""
    made: list[httpx.Client] = []

    def client(role: str) -> httpx.Client:
        _, secret = Register(zone.records).make_token(None, role, [role], 30, "default", None)
        made.append(httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=20))
        return made[-1]

    yield client
    for one in made:
        one.close()


def test_twin_that_is_away_is_said(api: httpx.Client, zone: Zone) -> None:
    zone.twin.away = True
    assert api.get(SEARCH, params={"condition": f"{SPEED} > 1 km/h"}).status_code == 503
