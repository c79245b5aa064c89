from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from served import CARS, Zone

from carcloud.api.ports import OrderDesk
from carcloud.errors import TryLaterError
from carcloud.stream import subjects

VIN = "WBA99999999999999"


def test_claim_makes_a_claimable_car_and_shows_its_token_once(api: httpx.Client, zone: Zone) -> None:
    answer = api.post("/v1/claims", json={"vin": VIN, "label": "new"})
    assert answer.status_code == 201
    given = answer.json()
    assert given["token"].startswith(given["vehicle"] + ".")
    assert api.get(f"/v1/vehicles/{given['vehicle']}").json()["state"] == "claimable"
    shown = api.get(f"/v1/vehicles/{given['vehicle']}/identity")
    assert shown.json()["claims"][0]["standing"] == "open"
    assert given["token"].partition(".")[2] not in shown.text
    assert api.get("/v1/identity").json()["claims"][0]["vehicle"] == given["vehicle"]
    assert api.post("/v1/claims", json={"vin": VIN}).status_code == 409
    assert api.post("/v1/claims", json={"vin": "none"}).status_code == 400
    assert api.post("/v1/claims", json={"vin": VIN, "hours": 0}).status_code == 400


def test_car_goes_through_its_states_and_the_gates_are_told(api: httpx.Client, zone: Zone) -> None:
    steps = [("quarantine", 200), ("release", 200), ("release", 409), ("rekey", 201), ("revoke", 200), ("retire", 200)]
    for act, status in steps:
        answer = api.post(f"/v1/vehicles/{CARS[0]}/{act}", json={})
        assert answer.status_code == status, (act, answer.text)
    assert api.post(f"/v1/vehicles/{CARS[0]}/revoke").status_code == 409
    told = [subject for subject, _ in zone.notices]
    assert (told.count(subjects.REVOKED), told.count(subjects.GRANT)) == (5, 1)
    found = api.get(f"/v1/vehicles/{CARS[0]}/identity").json()
    assert (found["state"], found["claims"][0]["standing"]) == ("retired", "withdrawn")
    assert api.get("/v1/identity").json()["states"]["retired"] == 1


def test_rekeying_names_the_order_keys_registered_for_this_car_alone(api: httpx.Client, zone: Zone) -> None:
    keys = [
        {"name": "seller", "key": "1" * 16, "vehicles": [CARS[0]]},
        {"name": "family", "key": "2" * 16, "vehicles": list(CARS[:2])},
        {"name": "fleet", "key": "3" * 16, "vehicles": []},
        {"name": "other", "key": "4" * 16, "vehicles": [CARS[1]]},
    ]

    class Signer:
        def of(self, tenant: str) -> Signer:
            assert tenant == "default"
            return self

        def people(self) -> list[dict[str, object]]:
            if not keys:
                raise TryLaterError("The order signer is away.", "Start it.")
            return keys

    assert api.post(f"/v1/vehicles/{CARS[0]}/rekey", json={}).json()["order_keys"] is None
    desk = OrderDesk(Signer(), None, None)  # type: ignore[arg-type]
    zone.app.state.ports = replace(zone.ports, orders=desk)
    assert api.post(f"/v1/vehicles/{CARS[0]}/rekey", json={}).json()["order_keys"] == [
        {"name": "seller", "key": "1" * 16}
    ]
    keys.clear()
    answer = api.post(f"/v1/vehicles/{CARS[0]}/rekey", json={})
    assert (answer.status_code, answer.json()["order_keys"]) == (201, None)


@pytest.mark.parametrize("act", ["quarantine", "release", "revoke", "retire", "rekey"])
def test_car_that_is_not_there_is_missing(api: httpx.Client, act: str) -> None:
    assert api.post(f"/v1/vehicles/{'z' * 16}/{act}", json={}).status_code == 404
    assert api.get(f"/v1/vehicles/{'z' * 16}/identity").status_code == 404
