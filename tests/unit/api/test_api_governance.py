"""What is kept and why, over HTTP."""

import time
from datetime import UTC, datetime, timedelta

import httpx

from carcloud.backends.delta import Table
from carcloud.lake.rows import PARTITIONS, SCHEMA, by_day, joined, part_of_chunk
from carcloud.safety.governance.policy import parse
from tests.stream import CAR, DAY_US, OTHER, chunk
from tests.unit.api.served import Zone


def test_governance_names_every_signal_once(api: httpx.Client, zone: Zone) -> None:
    found = api.get("/v1/governance").json()
    assert (found["name"], found["hash"]) == ("tests", zone.policy.hash)
    speed, name = found["rules"]
    assert (speed["class"], speed["purposes"], speed["exactness"], speed["signals"]) == (
        *("personal", ["operation", "research"], 5.0),
        ["Vehicle.Speed"],
    )
    assert (name["keep"], name["signals"], found["dropped"]) == (
        False,
        ["Vehicle.Cabin.Name"],
        ["Vehicle.Cabin.Door.Count"],
    )
    assert {purpose["name"]: purpose["consented"] for purpose in found["purposes"]} == {
        "operation": None,
        "research": 0,
    }


TIMED = parse(
    """
name: timed
purposes: {run: {basis: contract, why: So that tests have something lawful.}}
rules: [{paths: [Vehicle.Speed], class: personal, purposes: [run], days: 7}]
""",
    "timed",
)


def test_what_is_kept_of_ones_own_cars_is_shown_by_signal_with_when_it_goes(api: httpx.Client, zone: Zone) -> None:
    now_us = time.time_ns() // 1000
    table = Table(zone.pages.parent / "lake", SCHEMA, PARTITIONS)
    for number, (car, tenant) in enumerate(((CAR, "default"), (OTHER, "other")), 1):
        rows = [
            (car, path, now_us - ago * DAY_US, 1.0, 0) for path in ("Vehicle.Free", "Vehicle.Speed") for ago in (3, 9)
        ]
        days = by_day(joined([part_of_chunk(chunk(number, rows))]))
        table.commit([table.write((tenant, day), part, "0") for day, part in days], "lake/0", number, {})
    zone.policy = TIMED
    found = api.get("/v1/retention").json()
    day = (datetime.fromtimestamp(now_us / 1e6, UTC) - timedelta(days=9)).date()
    goes = {"oldest": str(day), "next": str(day + timedelta(days=8)), "due": 1}
    ever = {"oldest": str(day), "next": None, "due": 0}
    assert found == {
        "policy": TIMED.hash,
        "signals": [
            {"signal": "Vehicle.Free", "class": "", "days": None, "rows": 2} | ever,
            {"signal": "Vehicle.Speed", "class": "personal", "days": 7, "rows": 2} | goes,
        ],
    }


def test_what_is_kept_is_for_those_who_may_see_the_governance(stranger: httpx.Client) -> None:
    assert stranger.get("/v1/retention").status_code == 401
