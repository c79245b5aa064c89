"""What the API shows and takes of terminals of GB/T 32960."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pyotp
from served import CARS, Zone

from carcloud.backends.records import Person
from carcloud.gateway.gbt32960.downwards import CONTROLS, DANGEROUS_PARAMETERS, is_dangerous
from carcloud.safety.people import secrets
from carcloud.safety.people.accounts import make_link
from carcloud.safety.people.register import Register
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.parameters import PARAMETERS
from tests.granted import granted

CAR, OTHER, _ = CARS
SPEED = "Vehicle.Speed"


def test_without_a_door_nobody_is_connected(api: httpx.Client) -> None:
    found = api.get("/v1/gbt32960/sessions").json()
    assert found["sessions"] == []
    assert found["listening"] == {"tcp": False, "tls": False, "certificates": False, "idle_s": None}


def test_no_token_tells_a_terminal_anything(api: httpx.Client) -> None:
    answer = api.post(f"/v1/vehicles/{CAR}/gbt32960", json={"act": "control", "control": "reset"})
    assert answer.status_code == 403


def test_what_cuts_a_terminal_off_or_turns_it_elsewhere_is_dangerous() -> None:
    dangerous = {name for name in CONTROLS if is_dangerous({"act": "control", "control": name})}
    assert dangerous == {"upgrade", "power-off", "factory", "drop-link"}
    assert is_dangerous({"act": "set", "values": {"platform_port": 1}})
    assert not is_dangerous({"act": "set", "values": {"report_period_s": 1}})
    assert not is_dangerous({"act": "query", "parameters": ["platform"]})
    for edition in Edition:
        assert {known.name for known in PARAMETERS[edition].values()} >= DANGEROUS_PARAMETERS


class Door:
    """A door that two cars came in by, and which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, _: str, question: bytes, __: float) -> bytes:
        self.asked.append(orjson.loads(question))
        facts = {"label": None, "edition": 2016, "since": 1.0, "last_at": None, "platform": None}
        counts = {"frames": 3, "faults": 1, "causes": {"checksum": 1}}
        listening = {"tcp": True, "tls": False, "certificates": False, "idle_s": 90.0}
        platform = {"name": "other", "since": 1.0, "cars": 1, "frames": 3, "faults": 0}
        standing = {
            "listening": listening,
            "sessions": [facts | counts | {"vehicle": car} for car in (CAR, OTHER)],
            "faults": {"checksum": 2, "unknown_vin": 1},
            "refused": {"out_of_range": 1},
            "platforms": [platform],
        }
        return orjson.dumps(standing | {"taken": True, "answer": 1, "values": {}})


def test_to_whom_a_grant_opens_a_car_only_its_session_is_shown(zone: Zone, api: httpx.Client) -> None:
    zone.app.state.ports = replace(zone.ports, ask=Door())
    whole = api.get("/v1/gbt32960/sessions").json()
    assert [one["vehicle"] for one in whole["sessions"]] == [CAR, OTHER]
    assert (whole["sessions"][0]["causes"], whole["faults"]["unknown_vin"]) == ({"checksum": 1}, 1)
    _, secret = Register(zone.records).make_token(None, "insurer", ["partner"], 30, "default", "insurer")
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=(SPEED,))
    with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}) as insurer:
        found = insurer.get("/v1/gbt32960/sessions").json()
    assert [one["vehicle"] for one in found["sessions"]] == [CAR]
    assert (found["faults"], found["refused"], found["platforms"]) == ({}, {}, [])
    assert (whole["whole"], found["whole"]) == (True, False)


def test_owner_of_a_car_tells_its_terminal_nothing(zone: Zone) -> None:
    door, now = Door(), datetime.now(UTC)
    zone.app.state.ports = replace(zone.ports, ask=door)
    one = Person(secrets.new_id(), "default", "owner", "owner", "active", now, roles=frozenset({"owner"}))
    with zone.records.transaction(writing=True) as db:
        zone.records.people.add(db, one)
    granted(zone.records, zone.ground, CAR, f"person:{one.id}", "operation", paths=(SPEED,), commands=("unlock",))
    with httpx.Client(base_url=zone.url, headers={"origin": zone.url}, timeout=20) as owner:
        owner.get("/", params={"link": make_link(zone.records, one.id, "machine", now)})
        password = "four words make sense"
        owner.post("/v1/session/password", json={"new": password})
        secret = owner.post("/v1/session/factor", json={"password": password}).json()["secret"]
        owner.post("/v1/session/factor/confirm", json={"code": pyotp.TOTP(secret).now()})
        answer = owner.post(f"/v1/vehicles/{CAR}/gbt32960", json={"act": "control", "control": "reset"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")
    assert "grant" in answer.json()["error"]["message"]
    assert door.asked == []
