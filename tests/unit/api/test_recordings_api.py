"""Recordings over HTTP: manifest, parts, and what is refused."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from served import CARS, Zone

from carcloud.api import recordings as routes
from carcloud.research.manifest import PART_BYTES
from carcloud.safety.governance.policy import parse
from carcloud.safety.people.register import Register

POLICY = """
name: tests
purposes:
  development: {basis: legitimate-interest, why: Better driving functions.}
  research: {basis: consent, why: Better driving functions.}
rules:
  - {paths: [Vehicle.Recording], class: personal, purposes: [development, research]}
"""
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"files": [{"name": "../drive.mcap", "bytes": 1}]}, "no name of a file"),
    ({"files": [{"name": "/etc/passwd", "bytes": 1}]}, "no name of a file"),
    ({"files": [{"name": "a\\..\\b", "bytes": 1}]}, "no name of a file"),
    ({"files": [{"name": "a", "bytes": 0}]}, "is empty"),
    ({"files": []}, "1 to 1000 files"),
    ({"files": [{"name": "a", "bytes": 1}, {"name": "a/b", "bytes": 1}]}, "one name"),
    ({"files": [{"name": "a", "bytes": 10 << 30}]}, "at most"),
    ({"sha256": "none"}, "sha256"),
    ({"road": "town.xodr"}, "none of its files"),
    ({"purpose": "selling"}, "no purpose"),
    ({"purpose": ""}, "has a purpose"),
    ({"licence": ""}, "may be used"),
    ({"vehicle": "dddddddddddddddd"}, "No vehicle"),
    ({"vehicle": CARS[0], "purpose": "research"}, "did not consent"),
    ({"place": "a\nb"}, "no plain text"),
]
RULES = [
    ("{paths: [Vehicle.Recording], class: personal, keep: false}", "drops Vehicle.Recording"),
    ("{paths: [Vehicle.Speed], class: personal, purposes: [research]}", "drops Vehicle.Recording"),
    ("{paths: ['**'], class: personal, purposes: [research]}", "for research, not for development"),
    ("{paths: ['**'], class: personal, purposes: [development], time: 60}", "cuts its times"),
    ("{paths: ['**'], class: personal, purposes: [development], car: pseudonym}", "names of cars that change"),
]
DRIVE = secrets.token_bytes(PART_BYTES + 1000)


def manifest(data: bytes = DRIVE, **said: Any) -> dict[str, Any]:
    files = [{"name": "drive.mcap", "bytes": len(data)}]
    known = {"files": files, "sha256": hashlib.sha256(data).hexdigest(), "purpose": "development"}
    return known | {"licence": "CC0-1.0"} | said


def put(client: httpx.Client, id_: str, number: int, part: bytes, sha256: str | None = None) -> httpx.Response:
    headers = {"x-sha256": sha256 or hashlib.sha256(part).hexdigest()}
    return client.put(f"/v1/recordings/{id_}/parts/{number}", content=part, headers=headers)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


@pytest.fixture
def engineer(zone: Zone) -> Iterator[httpx.Client]:
    zone.policy = parse(POLICY, "tests")
    with client_of(zone, "engineer") as client:
        yield client


def client_of(zone: Zone, role: str) -> httpx.Client:
    _, secret = Register(zone.records).make_token(None, role, [role], 30, "default")
    return httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=30)


def test_a_recording_comes_in_parts_and_goes_on_where_it_was_cut_off(engineer: httpx.Client, zone: Zone) -> None:
    begun = engineer.post("/v1/recordings", json=manifest(vehicle=CARS[0], place="Bonn")).json()
    assert (begun["state"], begun["missing"], begun["part_bytes"]) == ("uploading", [1, 2], PART_BYTES)
    assert (begun["vehicle"], begun["place"], begun["basis"]) == (CARS[0], "Bonn", "legitimate-interest")
    first, last = DRIVE[:PART_BYTES], DRIVE[PART_BYTES:]
    assert put(engineer, begun["id"], 2, last).json() == {"number": 2, "bytes": 1000}
    assert problem(engineer.post(f"/v1/recordings/{begun['id']}/done"))[1] == "1 parts are missing: 1."
    again = engineer.post("/v1/recordings", json=manifest(vehicle=CARS[0])).json()
    assert (again["id"], again["missing"]) == (begun["id"], [1]), "begun again, it goes on"
    assert put(engineer, begun["id"], 1, first).status_code == 200
    for _ in range(2):
        done = engineer.post(f"/v1/recordings/{begun['id']}/done").json()
        assert (done["state"], done["missing"]) == ("waiting", [])
    assert b"".join(zone.objects.read(f"default/recordings/{begun['id']}")) == DRIVE
    assert problem(put(engineer, begun["id"], 1, first))[0] == 409
    listed = engineer.get("/v1/recordings", params={"state": "waiting"}).json()["recordings"]
    assert [one["id"] for one in listed] == [begun["id"]]


def test_a_wrong_part_is_not_kept_and_a_wrong_whole_is_refused(engineer: httpx.Client, zone: Zone) -> None:
    wrong = manifest(sha256="0" * 64)
    begun = engineer.post("/v1/recordings", json=wrong).json()
    first, last = DRIVE[:PART_BYTES], DRIVE[PART_BYTES:]
    for answer in (
        put(engineer, begun["id"], 1, first, "0" * 64),
        put(engineer, begun["id"], 1, last),
        put(engineer, begun["id"], 3, last),
        put(engineer, begun["id"], 2, last[:-1]),
    ):
        assert answer.status_code == 400, answer.text
    assert engineer.get(f"/v1/recordings/{begun['id']}").json()["missing"] == [1, 2]
    put(engineer, begun["id"], 1, first)
    put(engineer, begun["id"], 2, last)
    code, message = problem(engineer.post(f"/v1/recordings/{begun['id']}/done"))
    assert (code, message) == (400, "Its bytes have another SHA-256 than its manifest says.")
    refused = engineer.get(f"/v1/recordings/{begun['id']}").json()
    assert (refused["state"], refused["error"]) == ("refused", message)
    assert zone.objects.keys("default") == [], "its bytes are gone"
    assert engineer.post("/v1/recordings", json=wrong).json()["state"] == "uploading", "it may begin again"


def test_what_cannot_be_kept_is_refused_before_its_first_byte(engineer: httpx.Client, zone: Zone) -> None:
    for said, wrong in WRONG:
        answer = engineer.post("/v1/recordings", json=manifest(**said))
        assert 400 <= answer.status_code < 500, said
        assert wrong in answer.json()["error"]["message"], said
        assert answer.json()["error"]["do"]
    assert zone.records.recordings.listed("default") == []


def test_a_recording_is_judged_by_the_governances_rule(engineer: httpx.Client, zone: Zone) -> None:
    for rule, wrong in RULES:
        zone.policy = parse(POLICY.replace(POLICY.splitlines()[-1], f"  - {rule}"), "tests")
        code, message = problem(engineer.post("/v1/recordings", json=manifest()))
        assert code == 403
        assert wrong in message, rule


def test_consent_of_the_cars_person_is_named_in_the_recording(engineer: httpx.Client, zone: Zone) -> None:
    with client_of(zone, "operator") as operator:
        given = operator.post(f"/v1/vehicles/{CARS[0]}/grants", json={"grantee": "zone", "purpose": "research"})
    begun = engineer.post("/v1/recordings", json=manifest(vehicle=CARS[0], purpose="research")).json()
    assert (begun["basis"], begun["consent"]) == ("consent", given.json()["id"])


def test_a_larger_body_is_for_parts_alone(engineer: httpx.Client) -> None:
    begun = engineer.post("/v1/recordings", json=manifest()).json()
    assert put(engineer, begun["id"], 1, bytes(PART_BYTES + 1)).status_code == 413
    path = f"/v1/recordings/{begun['id']}"
    assert engineer.post("/v1/recordings", content=bytes(2_000_000)).status_code == 413
    assert engineer.put(path, content=bytes(2_000_000)).status_code == 413


def test_parts_beyond_those_in_memory_come_later(engineer: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = engineer.post("/v1/recordings", json=manifest()).json()
    monkeypatch.setattr(routes, "_places", routes.asyncio.Semaphore(0))
    answer = put(engineer, begun["id"], 2, DRIVE[PART_BYTES:])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_who_reads_may_not_change(engineer: httpx.Client, zone: Zone) -> None:
    begun = engineer.post("/v1/recordings", json=manifest()).json()
    for role in ("analyst", "operator"):
        with client_of(zone, role) as reader:
            assert reader.get(f"/v1/recordings/{begun['id']}").status_code == 200
            assert reader.post("/v1/recordings", json=manifest()).status_code == 403
            assert put(reader, begun["id"], 2, DRIVE[PART_BYTES:]).status_code == 403
            assert reader.delete(f"/v1/recordings/{begun['id']}").status_code == 403
    with client_of(zone, "fleet") as other:
        assert other.get("/v1/recordings").status_code == 403


def test_what_is_forgotten_is_gone_and_may_come_again(engineer: httpx.Client, zone: Zone) -> None:
    small = b"a drive"
    begun = engineer.post("/v1/recordings", json=manifest(small, name="Anna's drive")).json()
    put(engineer, begun["id"], 1, small)
    engineer.post(f"/v1/recordings/{begun['id']}/done")
    assert engineer.delete(f"/v1/recordings/{begun['id']}").json() == {"rows": 0}
    gone = engineer.get(f"/v1/recordings/{begun['id']}").json()
    assert (gone["state"], gone["name"], gone["files"], gone["vehicle"]) == ("erased", "", [], "")
    assert zone.objects.keys("default") == []
    assert engineer.post("/v1/recordings", json=manifest(small)).json()["id"] != begun["id"]
    changes = [act.facts for act in zone.records.audit.pending(100) if act.action == "changeRecordings"]
    assert len(changes) == 5
    assert not any("Anna" in fact for fact in changes)


def test_an_upload_that_nobody_ends_is_forgotten_after_a_week(engineer: httpx.Client, zone: Zone) -> None:
    begun = engineer.post("/v1/recordings", json=manifest()).json()
    put(engineer, begun["id"], 2, DRIVE[PART_BYTES:])
    now = datetime.now(UTC)
    assert zone.desk.tidy("process:research", now + timedelta(days=6)) == 0
    assert zone.desk.tidy("process:research", now + timedelta(days=8)) == 1
    assert zone.objects.keys("default") == []
    assert engineer.get(f"/v1/recordings/{begun['id']}").json()["state"] == "erased"
