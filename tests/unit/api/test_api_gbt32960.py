"""What the API shows and takes of terminals of GB/T 32960."""

import httpx
from served import CARS

from carcloud.gateway.gbt32960.downwards import CONTROLS, DANGEROUS_PARAMETERS, is_dangerous
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.parameters import PARAMETERS


def test_without_a_door_nobody_is_connected(api: httpx.Client) -> None:
    found = api.get("/v1/gbt32960/sessions").json()
    assert found["sessions"] == []
    assert found["listening"] == {"tcp": False, "tls": False, "certificates": False, "idle_s": None}


def test_no_token_tells_a_terminal_anything(api: httpx.Client) -> None:
    answer = api.post(f"/v1/vehicles/{CARS[0]}/gbt32960", json={"act": "control", "control": "reset"})
    assert answer.status_code == 403


def test_what_cuts_a_terminal_off_or_turns_it_elsewhere_is_dangerous() -> None:
    dangerous = {name for name in CONTROLS if is_dangerous({"act": "control", "control": name})}
    assert dangerous == {"upgrade", "power-off", "factory", "drop-link"}
    assert is_dangerous({"act": "set", "values": {"platform_port": 1}})
    assert not is_dangerous({"act": "set", "values": {"report_period_s": 1}})
    assert not is_dangerous({"act": "query", "parameters": ["platform"]})
    for edition in Edition:
        assert {known.name for known in PARAMETERS[edition].values()} >= DANGEROUS_PARAMETERS
