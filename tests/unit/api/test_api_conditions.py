"""Checking a condition over HTTP."""

import httpx
from served import Zone

from carcloud.vehicle.conditions.text import LIMIT_TEXT


def test_condition_is_told_with_its_signals(api: httpx.Client, zone: Zone) -> None:
    text = 'Vehicle.Speed > 50 km/h and Vehicle.Cabin.Name = "Käfer"'
    assert api.post("/v1/conditions/check", json={"text": text}).json() == {
        "ok": True,
        "signals": [{"path": "Vehicle.Cabin.Name", "unit": None}, {"path": "Vehicle.Speed", "unit": "km/h"}],
        "timeless": True,
        "error": None,
    }
    lasting = api.post("/v1/conditions/check", json={"text": "Vehicle.Speed > 50 km/h for at least 2 s"}).json()
    assert (lasting["ok"], lasting["timeless"]) == (True, False)


def test_mistake_is_told_with_its_place(api: httpx.Client, zone: Zone) -> None:
    answer = api.post("/v1/conditions/check", json={"text": "Vehicle.Speed > 50"})
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": False,
        "signals": [],
        "timeless": False,
        "error": {
            "message": "50 has no unit, and Vehicle.Speed is in km/h.",
            "do": "Write 50 with its unit, such as 50 km/h.",
            "at": 16,
            "length": 2,
        },
    }


def test_too_long_a_text_is_a_mistake_and_a_far_too_long_one_is_refused(api: httpx.Client, zone: Zone) -> None:
    error = api.post("/v1/conditions/check", json={"text": " " * (LIMIT_TEXT + 3)}).json()["error"]
    assert (error["at"], error["length"]) == (LIMIT_TEXT, 3)
    assert api.post("/v1/conditions/check", json={"text": " " * 5 * LIMIT_TEXT}).status_code == 400
    assert api.post("/v1/conditions/check", content=b'{"text": "\\ud800"}').status_code == 400
