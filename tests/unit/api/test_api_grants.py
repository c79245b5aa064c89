"""Grants over HTTP: consents, owners and what they share, and partners who see what is granted and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from carcloud.backends.records import Person, Vehicle
from carcloud.backends.records.orders import Given, Order
from carcloud.lake.rows import PARTITIONS, SCHEMA
from carcloud.safety.people import secrets
from carcloud.safety.people.accounts import make_link
from carcloud.safety.people.register import Change, Register
from carcloud.stream import subjects
from carcloud.twin.values import Last
from tests.granted import granted
from tests.unit.api.served import CARS, MOMENT, MOMENT_US, Zone

CAR, OTHER, THIRD = CARS
SPEED, DOORS = "Vehicle.Speed", "Vehicle.Cabin.Door.Count"
GRANTS = f"/v1/vehicles/{CAR}/grants"
LONG_AGO = MOMENT - timedelta(days=1)


@pytest.fixture
def client_of(zone: Zone) -> Iterator[Callable[..., httpx.Client]]:
    """Clients of programs by token, and of people by session."""
    made: list[httpx.Client] = []

    def token(role: str, app: str | None = None) -> httpx.Client:
        _, secret = Register(zone.records).make_token(None, role, [role], 30, "default", app)
        made.append(httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=20))
        return made[-1]

    yield token
    for client in made:
        client.close()


@pytest.fixture
def come_in(zone: Zone) -> Iterator[Callable[..., httpx.Client]]:
    """Let people in, each with a role; a client's `id` header says who it is."""
    made: list[httpx.Client] = []

    def person(name: str, role: str) -> httpx.Client:
        now = datetime.now(UTC)
        one = Person(secrets.new_id(), "default", name, name, "active", now, roles=frozenset({role}))
        with zone.records.transaction(writing=True) as db:
            zone.records.people.add(db, one)
        client = httpx.Client(base_url=zone.url, headers={"origin": zone.url}, timeout=20)
        client.get("/", params={"link": make_link(zone.records, one.id, "machine", now)})
        client.headers["x-who"] = f"person:{one.id}"
        made.append(client)
        return client

    yield person
    for client in made:
        client.close()


def who(client: httpx.Client) -> str:
    return client.headers["x-who"]


def drive(zone: Zone, *cars: str) -> None:
    for number, car in enumerate(cars):
        zone.twin.put(car, SPEED, Last(51.5 + number, MOMENT_US, "measured"))
        zone.twin.put(car, DOORS, Last(4, MOMENT_US, "measured"))


def row(car: str, second: int, value: float, signal: str = SPEED) -> dict[str, Any]:
    at = MOMENT + timedelta(seconds=second)
    one = {"vehicle": car, "signal": signal, "time": at, "value": value, "text": None, "provenance": "measured"}
    return one | {"chunk": 1, "tenant": "default", "day": f"{at:%Y-%m-%d}"}


def store(folder: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_deltalake(folder / "lake", table, partition_by=list(PARTITIONS), mode="append")


def standing(answer: dict[str, Any]) -> dict[str, bool]:
    return {state["purpose"]: state["given"] for state in answer["consents"]}


def test_a_consent_is_a_grant_to_the_zone_and_the_zone_is_told(api: httpx.Client, zone: Zone) -> None:
    before = api.get(GRANTS).json()
    assert [(state["purpose"], state["needed"], state["given"]) for state in before["consents"]] == [
        ("operation", False, False),
        ("research", True, False),
    ]
    given = api.post(GRANTS, json={"grantee": "zone", "purpose": "research"})
    assert (given.status_code, given.json()["standing"]) == (201, "holds")
    assert standing(api.get(GRANTS).json()) == {"operation": False, "research": True}
    assert api.get("/v1/governance").json()["purposes"][1]["consented"] == 1
    ended = api.delete(f"{GRANTS}/{given.json()['id']}").json()
    assert (ended["standing"], ended["revoked_by"]) == ("revoked", "token:machine")
    assert standing(api.get(GRANTS).json())["research"] is False
    assert zone.notices == [(subjects.GRANT, CAR.encode())] * 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"grantee": "zone", "purpose": "operation"}, "research"),
        ({"grantee": "zone", "purpose": "selling"}, "operation, research"),
        ({"grantee": "zone", "purpose": "research", "paths": [SPEED]}, "Leave paths"),
        ({"grantee": "everybody", "purpose": "operation", "paths": [SPEED]}, "app:NAME"),
        ({"grantee": "app:a", "purpose": "operation"}, "Name paths"),
        ({"grantee": "app:a", "purpose": "operation", "paths": ["Vehicle.Nothing"]}, "catalogue"),
        ({"grantee": "app:a", "purpose": "operation", "paths": ["../etc"]}, "catalogue"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [DOORS]}, "another purpose"),
        ({"grantee": "person:a", "purpose": "operation", "commands": ["explode"]}, "lock"),
        ({"grantee": "app:a", "purpose": "operation", "commands": ["lock"]}, "person:ID"),
        ({"grantee": "token:a", "purpose": "operation", "commands": ["lock"]}, "person:ID"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [SPEED]}, "anyway"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [SPEED], "precision": {SPEED: 0}}, "step"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [SPEED], "precision": {SPEED: 1e-10}}, "step"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [SPEED], "precision": {SPEED: 1e13}}, "step"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [SPEED], "precision": {DOORS: 2}}, "in a precision"),
        ({"grantee": "app:a", "purpose": "operation", "paths": [SPEED], "until": "2020-01-01T00:00:00Z"}, "later"),
        ({"grantee": "zone", "purpose": "research", "until": "9999-12-31T23:59:59-14:00"}, "between"),
        ({"grantee": "zone", "purpose": "research", "from": "0001-01-01T00:00:00+14:00"}, "between"),
    ],
)
def test_a_wrong_grant_is_told_what_to_do(api: httpx.Client, wrong: dict[str, Any], told: str) -> None:
    answer = api.post(GRANTS, json=wrong)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["error"]["do"]
    assert api.get(GRANTS).json()["grants"] == []


def test_nobody_is_granted_to_and_nothing_is_found(api: httpx.Client, zone: Zone) -> None:
    for body in ({"grantee": "person:nobody"}, {"grantee": "token:nobody"}):
        answer = api.post(GRANTS, json=body | {"purpose": "operation", "paths": [SPEED]})
        assert answer.status_code == 404
    assert api.get("/v1/vehicles/nobody/grants").status_code == 404
    assert api.delete(f"{GRANTS}/nothing").status_code == 404
    other = granted(zone.records, zone.ground, OTHER, "app:a", "operation", paths=(SPEED,))
    assert api.delete(f"{GRANTS}/{other.id}").status_code == 404
    assert zone.notices == []


def test_a_partner_without_a_grant_is_let_in_nowhere(zone: Zone, client_of: Callable[..., httpx.Client]) -> None:
    drive(zone, CAR)
    insurer = client_of("partner", "insurer")
    for path in ("/v1/vehicles", f"/v1/signals?paths={SPEED}", "/v1/events", "/v1/orders", "/v1/grants"):
        assert insurer.get(path).status_code == 403, path
    assert insurer.post("/v1/lake/sql", json={"sql": "SELECT 1"}).status_code == 403
    for path in (f"/v1/vehicles/{CAR}", f"/v1/vehicles/{CAR}/signals", GRANTS):
        assert insurer.get(path).status_code == 404, path


def test_a_new_owner_sees_no_order_of_those_who_had_the_car_before(
    zone: Zone, come_in: Callable[..., httpx.Client]
) -> None:
    owner, now = come_in("owner", "owner"), datetime.now(UTC)
    earlier, later, hour = "1" * 32, "2" * 32, timedelta(hours=1)
    given = Given("d" * 64, b"{}", "[]", now)
    ends = now + hour
    zone.records.orders.add(
        given,
        [
            Order(id_, given.id, "default", CAR, command, "{}", "owner", "k" * 16, "queued", None, ends, queued)
            for id_, command, queued in (
                (earlier, "unlock", now - hour),
                (later, "unlock", now + hour),
                ("3" * 32, "horn", now + hour),
            )
        ],
        "person:seller",
    )
    granted(zone.records, zone.ground, CAR, owner.headers["x-who"], "operation", paths=(SPEED,), commands=("unlock",))
    assert [one["id"] for one in owner.get("/v1/orders").json()["orders"]] == [later]
    assert owner.get(f"/v1/orders/{later}").status_code == 200
    for hidden in (earlier, "3" * 32):
        assert owner.get(f"/v1/orders/{hidden}").status_code == 404


def test_a_partner_sees_what_is_granted_as_exactly_as_it_is_granted(
    zone: Zone, client_of: Callable[..., httpx.Client]
) -> None:
    drive(zone, CAR, OTHER)
    insurer, another = client_of("partner", "insurer"), client_of("partner", "another")
    paths = ("Vehicle.**", "Vehicle.VehicleIdentification.VIN")
    scope: dict[str, Any] = {"paths": paths, "precision": {SPEED: 10}, "from_at": LONG_AGO}
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", **scope)
    (car,) = insurer.get("/v1/vehicles").json()["vehicles"]
    assert (car["id"], car["vin"], car["signals"]) == (CAR, "WBA00000000000000", 1)
    signals = insurer.get(f"/v1/vehicles/{CAR}/signals").json()["signals"]
    assert {path: value["value"] for path, value in signals.items()} == {SPEED: 55.0}
    fleet = insurer.get("/v1/signals", params={"paths": f"{SPEED},{DOORS}"}).json()["vehicles"]
    assert [(row["id"], row["values"]) for row in fleet] == [(CAR, [55.0, None])]
    assert insurer.get(f"/v1/vehicles/{OTHER}/signals").status_code == 404
    assert insurer.get(f"/v1/events?vehicles={OTHER}").status_code == 404
    (mine,) = insurer.get("/v1/grants").json()["grants"]
    assert (mine["vehicle"], mine["precision"], mine["standing"]) == (CAR, {SPEED: 10}, "holds")
    assert another.get("/v1/vehicles").status_code == 403
    assert (
        insurer.post(GRANTS, json={"grantee": "app:another", "purpose": "operation", "paths": [SPEED]}).status_code
        == 403
    )


def test_a_vin_is_shown_only_where_a_grant_names_it(zone: Zone, client_of: Callable[..., httpx.Client]) -> None:
    insurer = client_of("partner", "insurer")
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=("Vehicle.**",))
    detail = insurer.get(f"/v1/vehicles/{CAR}").json()
    assert (detail["vin"], detail["certificate"], detail["last_seen"]) == (None, None, None)
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=("Vehicle.VehicleIdentification.VIN",))
    assert insurer.get(f"/v1/vehicles/{CAR}").json()["vin"] == "WBA00000000000000"


def test_what_was_measured_before_the_grant_began_is_not_seen(
    zone: Zone, client_of: Callable[..., httpx.Client]
) -> None:
    drive(zone, CAR)
    insurer = client_of("partner", "insurer")
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=(SPEED,))
    assert insurer.get(f"/v1/vehicles/{CAR}/signals").json()["signals"] == {}
    zone.twin.put(CAR, SPEED, Last(7.0, int(datetime.now(UTC).timestamp() * 1e6), "measured"))
    assert insurer.get(f"/v1/vehicles/{CAR}/signals").json()["signals"][SPEED]["value"] == 7.0


def test_an_owner_shares_a_part_and_no_more_than_they_hold(
    zone: Zone, come_in: Callable[..., httpx.Client], client_of: Callable[..., httpx.Client]
) -> None:
    drive(zone, CAR)
    anna, bert, insurer = come_in("anna", "owner"), come_in("bert", "owner"), client_of("partner", "insurer")
    ends = datetime.now(UTC) + timedelta(days=30)
    scope: dict[str, Any] = {"paths": (SPEED,), "precision": {SPEED: 5}, "commands": ("lock",), "until_at": ends}
    scope |= {"owner": True}
    granted(zone.records, zone.ground, CAR, who(anna), "operation", **scope, from_at=LONG_AGO)
    wanted = {"grantee": "app:insurer", "purpose": "operation", "paths": [SPEED]}
    for more in (
        {},  # the owner sees speeds to 5 km/h only
        {"precision": {SPEED: 1}},
        {"precision": {SPEED: 7}},  # would cut through the owner's steps
        {"precision": {SPEED: 5}, "commands": ["unlock"], "grantee": who(bert)},
        {"precision": {SPEED: 5}, "from": "2020-01-01T00:00:00Z"},
        {"precision": {SPEED: 5}, "until": (ends + timedelta(days=1)).isoformat()},
    ):
        answer = anna.post(GRANTS, json=wanted | more)
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"]["do"]
    shared = anna.post(GRANTS, json=wanted | {"precision": {SPEED: 10}, "from": MOMENT.isoformat()})
    assert shared.status_code == 201, shared.text
    assert insurer.get(f"/v1/vehicles/{CAR}/signals").json()["signals"][SPEED]["value"] == 55.0
    assert datetime.fromisoformat(shared.json()["until"]) - ends < timedelta(seconds=1)
    assert anna.post(f"/v1/vehicles/{OTHER}/grants", json=wanted).status_code == 404
    assert bert.get(GRANTS).status_code == 404
    passed_on = anna.post(GRANTS, json=wanted | {"grantee": who(bert), "precision": {SPEED: 5}})
    assert passed_on.status_code == 201
    assert bert.get(f"/v1/vehicles/{CAR}").status_code == 200
    assert bert.post(GRANTS, json=wanted | {"precision": {SPEED: 10}}).status_code == 403  # not the zone's to bert


def test_an_owner_agrees_withdraws_and_gives_up_and_what_they_gave_ends(
    zone: Zone, api: httpx.Client, come_in: Callable[..., httpx.Client], client_of: Callable[..., httpx.Client]
) -> None:
    anna, insurer = come_in("anna", "owner"), client_of("partner", "insurer")
    own = granted(zone.records, zone.ground, CAR, who(anna), "operation", paths=(SPEED,), owner=True)
    zones = granted(zone.records, zone.ground, CAR, "app:workshop", "operation", paths=(SPEED,))
    agreed = anna.post(GRANTS, json={"grantee": "zone", "purpose": "research"}).json()
    shared = anna.post(GRANTS, json={"grantee": "app:insurer", "purpose": "operation", "paths": [SPEED]}).json()
    shown = anna.get(GRANTS).json()
    assert (standing(shown)["research"], shown["may_give"], shown["may_revoke"]) == (True, True, True)
    assert {grant["id"] for grant in shown["grants"]} == {own.id, zones.id, agreed["id"], shared["id"]}
    assert [grant["id"] for grant in insurer.get(GRANTS).json()["grants"]] == [shared["id"]]
    assert anna.delete(f"{GRANTS}/{zones.id}").status_code == 404
    assert anna.delete(f"{GRANTS}/{agreed['id']}").status_code == 200
    assert standing(anna.get(GRANTS).json())["research"] is False
    assert api.delete(f"{GRANTS}/{own.id}").status_code == 200
    assert insurer.get(GRANTS).status_code == 404
    assert anna.get(GRANTS).status_code == 404
    assert {grant["standing"] for grant in api.get(GRANTS).json()["grants"] if grant["id"] != zones.id} == {"revoked"}


def test_only_whom_the_zone_made_owner_gives_and_withdraws_and_sees_what_is_agreed(
    zone: Zone, api: httpx.Client, come_in: Callable[..., httpx.Client], client_of: Callable[..., httpx.Client]
) -> None:
    anna, bert, insurer = come_in("anna", "owner"), come_in("bert", "owner"), client_of("partner", "insurer")
    granted(zone.records, zone.ground, CAR, who(anna), "operation", paths=(SPEED,), owner=True)
    for other in (who(bert), "app:insurer"):
        granted(zone.records, zone.ground, CAR, other, "operation", paths=(SPEED,))
    agreed = anna.post(GRANTS, json={"grantee": "zone", "purpose": "research"}).json()
    assert bert.post(GRANTS, json={"grantee": "zone", "purpose": "research"}).status_code == 403
    assert bert.delete(f"{GRANTS}/{agreed['id']}").status_code == 403
    for partner in (bert, insurer):
        shown = partner.get(GRANTS).json()
        assert (shown["consents"], [grant["id"] == agreed["id"] for grant in shown["grants"]]) == ([], [False])
        assert (shown["may_give"], shown["may_own"]) == (False, False)
    assert api.get(GRANTS).json()["may_own"] is True
    whose = {"grantee": who(bert), "purpose": "operation", "paths": [SPEED], "owner": True}
    assert anna.post(GRANTS, json=whose).status_code == 403
    assert api.post(GRANTS, json=whose | {"grantee": "app:insurer"}).status_code == 400
    assert api.post(GRANTS, json=whose).json()["owner"] is True
    assert bert.get(GRANTS).json()["may_give"] is True


def test_what_a_suspended_owner_gave_counts_for_nothing(
    zone: Zone, api: httpx.Client, come_in: Callable[..., httpx.Client], client_of: Callable[..., httpx.Client]
) -> None:
    anna, insurer = come_in("anna", "owner"), client_of("partner", "insurer")
    granted(zone.records, zone.ground, CAR, who(anna), "operation", paths=(SPEED,), owner=True)
    anna.post(GRANTS, json={"grantee": "zone", "purpose": "research"})
    anna.post(GRANTS, json={"grantee": "app:insurer", "purpose": "operation", "paths": [SPEED]})
    assert insurer.get(GRANTS).status_code == 200
    Register(zone.records).change(None, who(anna).partition(":")[2], Change(state="suspended"))
    assert insurer.get(GRANTS).status_code == 404
    shown = api.get(GRANTS).json()
    assert standing(shown)["research"] is False
    assert {grant["grantee"]: grant["standing"] for grant in shown["grants"]} == {
        **{"zone": "idle", "app:insurer": "idle"},
        who(anna): "holds",
    }


def test_a_rekeyed_car_begins_without_grants(
    zone: Zone, api: httpx.Client, come_in: Callable[..., httpx.Client]
) -> None:
    anna = come_in("anna", "owner")
    granted(zone.records, zone.ground, CAR, who(anna), "operation", paths=(SPEED,))
    api.post(GRANTS, json={"grantee": "zone", "purpose": "research"})
    assert api.post(f"/v1/vehicles/{CAR}/rekey", json={}).status_code == 201
    assert anna.get(GRANTS).status_code == 404
    assert standing(api.get(GRANTS).json()) == {"operation": False, "research": False}
    assert zone.notices[-1] == (subjects.GRANT, CAR.encode())


def test_a_grant_from_before_a_car_changed_hands_takes_another_word(
    zone: Zone, api: httpx.Client, client_of: Callable[..., httpx.Client]
) -> None:
    client_of("partner", "insurer")
    assert api.post(f"/v1/vehicles/{CAR}/rekey", json={}).status_code == 201
    before = {"grantee": "app:insurer", "purpose": "operation", "paths": [SPEED], "from": LONG_AGO.isoformat()}
    refused = api.post(GRANTS, json=before)
    assert (refused.status_code, "changed hands" in refused.json()["error"]["message"]) == (400, True)
    assert api.post(GRANTS, json=before | {"anyway": True}).status_code == 201
    with zone.records.transaction() as db:
        last = db.exec_driver_sql("SELECT facts FROM audit_pending ORDER BY id DESC LIMIT 1").scalar_one()
    assert json.loads(last)["from"] == LONG_AGO.isoformat(timespec="seconds")


def test_a_reworded_purpose_ends_what_was_agreed_to(
    zone: Zone, api: httpx.Client, client_of: Callable[..., httpx.Client]
) -> None:
    insurer = client_of("partner", "insurer")
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=(SPEED,))
    api.post(GRANTS, json={"grantee": "zone", "purpose": "research"})
    zone.reword("Better driving functions.", "Better driving functions and advertising.")
    shown = api.get(GRANTS).json()
    assert standing(shown)["research"] is False
    assert {grant["grantee"]: grant["standing"] for grant in shown["grants"]} == {
        "zone": "reworded",
        "app:insurer": "holds",
    }
    assert api.post(GRANTS, json={"grantee": "zone", "purpose": "research"}).json()["version"] == 2
    zone.reword("Running the service.", "Running the service and more.")
    assert insurer.get(GRANTS).status_code == 404


def test_a_car_of_another_tenant_is_no_ones_to_grant(api: httpx.Client, zone: Zone) -> None:
    zone.records.add_vehicle(Vehicle("d" * 16, "other", "WBA00000000000009", None, "active", MOMENT))
    answer = api.post(f"/v1/vehicles/{'d' * 16}/grants", json={"grantee": "zone", "purpose": "research"})
    assert answer.status_code == 404


def lines_of(stream: httpx.Response) -> Iterator[str]:
    for line in stream.iter_lines():
        if line:
            yield line


def test_a_live_stream_shows_what_is_granted_and_ends_within_a_second_of_its_revoking(
    zone: Zone, api: httpx.Client, client_of: Callable[..., httpx.Client]
) -> None:
    insurer, now_us = client_of("partner", "insurer"), int(datetime.now(UTC).timestamp() * 1e6)
    scope: dict[str, Any] = {"paths": (SPEED,), "precision": {SPEED: 10}, "from_at": LONG_AGO}
    given = granted(zone.records, zone.ground, CAR, "app:insurer", "operation", **scope)
    with insurer.stream("GET", "/v1/events") as stream:
        lines = lines_of(stream)
        assert next(lines) == ": welcome"
        while not zone.twin.watchers:
            time.sleep(0.01)
        drive(zone, OTHER, CAR)
        zone.twin.put(CAR, SPEED, Last(7.0, now_us, "measured"))
        assert next(lines) == "event: signals"
        told = json.loads(next(lines).removeprefix("data: "))
        values = {path: value["value"] for path, value in told["signals"].items()}
        assert (told["vehicle"], values) == (CAR, {SPEED: 5.0})
        revoked = api.delete(f"{GRANTS}/{given.id}")
        at = time.monotonic()
        assert revoked.status_code == 200
        assert next(lines) == "event: error"
        assert time.monotonic() - at < 1.0
        assert "has changed" in next(lines)
        assert list(lines) == []
    assert insurer.get("/v1/events").status_code == 403


def test_a_live_stream_ends_when_its_grant_does_by_itself(zone: Zone, client_of: Callable[..., httpx.Client]) -> None:
    insurer = client_of("partner", "insurer")
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=(SPEED,), until_at=ends)
    with insurer.stream("GET", "/v1/events") as stream:
        lines = list(lines_of(stream))
    assert "event: error" in lines
    assert datetime.now(UTC) >= ends


def test_sql_reads_what_is_granted(zone: Zone, tmp_path: Path, client_of: Callable[..., httpx.Client]) -> None:
    store(tmp_path, [row(car, second, 7.0 * second) for car in (CAR, OTHER) for second in range(10)])
    store(tmp_path, [row(CAR, 1, 4.0, DOORS)])
    insurer = client_of("partner", "insurer")
    since, until = MOMENT + timedelta(seconds=2), MOMENT + timedelta(days=10_000)
    scope: dict[str, Any] = {"paths": ("**",), "precision": {"**": 10}, "from_at": since, "until_at": until}
    granted(zone.records, zone.ground, CAR, "app:insurer", "operation", **scope)

    def ask(sql: str) -> Any:
        answer = insurer.post("/v1/lake/sql", json={"sql": sql})
        assert answer.status_code == 200, answer.text
        return answer.json()["rows"]

    assert ask("SELECT DISTINCT vehicle, signal FROM samples") == [[CAR, SPEED]]
    seen = [15.0, 25.0, 25.0, 35.0, 45.0, 45.0, 55.0, 65.0]
    assert ask("SELECT value FROM samples ORDER BY time") == [[value] for value in seen]
    assert ask("SELECT vehicle FROM vehicles") == [[CAR]]
    assert ask("SELECT path FROM signals") == []
    tables = insurer.get("/v1/lake/tables").json()["tables"]
    assert [table["name"] for table in tables] == ["samples", "signals", "vehicles"]
    (kept,) = client_of("owner", "insurer").get("/v1/retention").json()["signals"]
    assert (kept["signal"], kept["rows"]) == (SPEED, 8)
    assert insurer.get("/v1/retention").status_code == 403
    refused = insurer.post("/v1/lake/sql", json={"sql": "EXPLAIN SELECT * FROM samples"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
