"""What is kept and why, and the consents of a car, over HTTP."""

import httpx

from carcloud.stream import subjects
from tests.unit.api.served import CARS, Zone


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


def test_a_consent_is_given_and_withdrawn_and_the_zone_is_told(api: httpx.Client, zone: Zone) -> None:
    path = f"/v1/vehicles/{CARS[0]}/consents"
    before = api.get(path).json()
    assert [(state["purpose"], state["needed"], state["given"]) for state in before["standing"]] == [
        ("operation", False, False),
        ("research", True, False),
    ]
    given = api.post(path, json={"purpose": "research", "state": "given"}).json()
    assert given["standing"][1]["given"]
    assert api.get("/v1/governance").json()["purposes"][1]["consented"] == 1
    withdrawn = api.post(path, json={"purpose": "research", "state": "withdrawn"}).json()
    assert [(change["version"], change["given"], change["actor"]) for change in withdrawn["changes"]] == [
        (2, False, "token:machine"),
        (1, True, "token:machine"),
    ]
    assert zone.notices == [(subjects.CONSENT, CARS[0].encode())] * 2


def test_a_wrong_consent_is_told_what_to_do(api: httpx.Client, zone: Zone) -> None:
    path = f"/v1/vehicles/{CARS[0]}/consents"
    for body in ({"purpose": "operation", "state": "given"}, {"purpose": "x" * 64, "state": "given"}):
        answer = api.post(path, json=body)
        assert answer.status_code == 400
        assert "research" in answer.json()["error"]["do"]
    for wrong in (
        {"purpose": "research"},
        {"purpose": "research", "state": "yes"},
        {"purpose": "y" * 65, "state": "given"},
    ):
        assert api.post(path, json=wrong).status_code == 400
    for verb in (api.get, lambda at: api.post(at, json={"purpose": "research", "state": "given"})):
        assert verb("/v1/vehicles/nobody/consents").status_code == 404
    assert zone.notices == []
