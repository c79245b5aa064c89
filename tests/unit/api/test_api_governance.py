"""What is kept and why, over HTTP."""

import httpx

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
