"""What leaves by a flow over HTTP: declared, consented, changed, counted; and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from served import CARS, MOMENT, Zone
from sqlalchemy import text

from carcloud.lake.rows import SCHEMA
from carcloud.safety.flows.tokens import make_token
from tests.granted import consent

READ = "/v1/flows/research-eu/read"
SPEED = "Vehicle.Speed"


def row(vehicle: str, at_s: float, value: float, chunk: int, signal: str = SPEED) -> dict[str, Any]:
    at = MOMENT + timedelta(seconds=at_s)
    fixed = {"text": None, "provenance": "measured", "tenant": "default", "day": at.date().isoformat()}
    return {"vehicle": vehicle, "signal": signal, "time": at, "value": value, "chunk": chunk} | fixed


def store(folder: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_deltalake(folder / "lake", table, partition_by=["tenant", "day"], mode="append")


@pytest.fixture
def partner(zone: Zone) -> Iterator[httpx.Client]:
    """A client with a token of the flow research-eu."""
    _, secret = make_token(zone.records, zone.border.flow("research-eu"), "default", 30, "machine", datetime.now(UTC))
    with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=20) as client:
        yield client


@pytest.fixture
def agreed(zone: Zone, tmp_path: Path) -> Zone:
    """A zone with rows of three cars, of which the first two agreed to research."""
    for car in CARS[:2]:
        consent(zone.records, zone.ground, car, "research")
    store(tmp_path, [row(car, 7 * at, 10 * at + 3, at) for car in CARS for at in range(10)])
    store(tmp_path, [row(CARS[0], 1, 4.0, 5, "Vehicle.Cabin.Door.Count")])
    return zone


def audited(zone: Zone) -> list[tuple[str, str, str]]:
    with zone.records.transaction() as db:
        query = text("SELECT action, object, outcome FROM audit_pending WHERE action <> 'makeToken' ORDER BY id")
        return [tuple(row) for row in db.execute(query)]


def test_a_flow_lets_out_what_it_declares_changed_and_counted(agreed: Zone, partner: httpx.Client) -> None:
    answer = partner.post(READ, json={})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert [column["name"] for column in said["columns"]] == [
        "vehicle",
        "signal",
        "time",
        "value",
        "text",
        "provenance",
    ]
    assert len(said["rows"]) == 20
    assert {each[1] for each in said["rows"]} == {SPEED}
    assert {each[2] for each in said["rows"]} == {"2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"}
    assert {each[3] for each in said["rows"]} == {10.0 * at + 5 for at in range(10)}
    assert len({each[0] for each in said["rows"]}) == 2
    assert not any(car in answer.text for car in CARS)
    assert audited(agreed)[-1] == ("readFlow", "flow:research-eu", "done")


def test_rows_under_pseudonyms_leave_too_and_their_car_is_counted_once(
    agreed: Zone, partner: httpx.Client, api: httpx.Client, tmp_path: Path
) -> None:
    tenants = dict.fromkeys(CARS, "default")
    names = [agreed.records.pseudonyms.of(tenants, epoch) for epoch in ("2026-02", "2026-03")]
    store(tmp_path, [row(name[car], 80, 203.0, 11 + at) for at, name in enumerate(names) for car in CARS])
    answer = partner.post(READ, json={})
    said = answer.json()
    assert len(said["rows"]) == 24  # of the third car, which did not agree, none
    assert len({each[0] for each in said["rows"]}) == 6
    assert not any(name in answer.text for each in names for name in each.values())
    hidden = {each[0] for each in said["rows"] if each[3] == 205.0}
    assert len(hidden) == 4
    again = partner.post(READ, json={"vehicles": sorted(hidden)})
    assert {each[0] for each in again.json()["rows"]} == hidden
    assert api.get("/v1/flows").json()["flows"][0]["meters"][0]["people"] == 2


def test_rows_leave_when_their_step_is_over_and_none_is_lost_by_waiting(
    agreed: Zone, partner: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
    base = (begins - MOMENT).total_seconds()
    rows = ((0, 1, 103, 21), (1, 30, 113, 21), (0, 59, 123, 22), (1, 61, 133, 22), (0, 63, 143, 23), (0, 5, 153, 24))
    store(tmp_path, [row(CARS[car], base + at, value, chunk) for car, at, value, chunk in rows])
    after = partner.post(READ, json={"until": begins.isoformat()}).json()["next"]
    got = []
    for second in (31, 59, 62, 69, 71, 119, 129, 131, 189, 191):
        monkeypatch.setattr(agreed.border.meter, "now", lambda at=second: begins + timedelta(seconds=at))
        said = partner.post(READ, json={"after": after}).json()
        assert not said["more"]
        if said["rows"]:
            got.append((second, sorted(each[3] for each in said["rows"])))
            again = partner.post(READ, json={"after": after, "upto": said["next"]}).json()
            assert again["rows"] == said["rows"]
        after = said["next"]
    assert got == [(71, [105.0, 115.0]), (131, [125.0, 135.0, 145.0, 155.0])]


def test_arrow_says_the_same_and_where_to_go_on(agreed: Zone, partner: httpx.Client) -> None:
    answer = partner.post(READ, json={}, headers={"accept": "application/vnd.apache.arrow.stream"})
    rows = pa.ipc.open_stream(answer.content).read_all()
    plain = partner.post(READ, json={}).json()
    assert rows["value"].to_pylist() == [each[3] for each in plain["rows"]]
    assert rows["vehicle"].to_pylist() == [each[0] for each in plain["rows"]]
    assert answer.headers["x-carcloud-more"] == "false"
    assert not any(car.encode() in answer.content for car in CARS)


def test_reading_goes_on_where_it_ended_and_gets_everything_once(
    agreed: Zone, partner: httpx.Client, tmp_path: Path
) -> None:
    got, after, more = [], None, True
    while more:
        page = partner.post(READ, json={"limit": 3, "after": after}).json()
        assert len(page["rows"]) <= 3
        got, after, more = [*got, *page["rows"]], page["next"], page["more"]
    assert sorted(map(str, got)) == sorted(map(str, partner.post(READ, json={}).json()["rows"]))
    assert partner.post(READ, json={"after": after}).json()["rows"] == []
    store(tmp_path, [row(CARS[0], 100, 33.0, 10)])
    assert [each[3] for each in partner.post(READ, json={"after": after}).json()["rows"]] == [35.0]


def test_a_part_can_be_asked_for(agreed: Zone, partner: httpx.Client) -> None:
    every = partner.post(READ, json={}).json()["rows"]
    car = every[0][0]
    assert partner.post(READ, json={"vehicles": [car, "f" * 32]}).json()["rows"] == [
        each for each in every if each[0] == car
    ]
    assert partner.post(READ, json={"vehicles": [CARS[0]]}).json()["rows"] == []
    assert len(partner.post(READ, json={"paths": ["Vehicle.*"]}).json()["rows"]) == 20
    cut = partner.post(READ, json={"since": "2026-03-01T12:00:59Z", "until": "2026-03-01T12:01:59.999Z"}).json()["rows"]
    assert {each[2] for each in cut} == {"2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(
    "asked",
    [
        {"paths": ["Vehicle.Cabin.Door.Count"]},
        {"paths": ["' OR 1=1 --"]},
        {"paths": ["Vehicle.Speed') UNION SELECT vin FROM vehicles --"]},
        {"after": "bm8="},
        {"after": "'; DROP TABLE exported; --"},
        {"limit": 0},
        {"limit": 100_001},
        {"since": "yesterday"},
    ],
)
def test_what_does_not_leave_cannot_be_asked_for(agreed: Zone, partner: httpx.Client, asked: dict[str, Any]) -> None:
    answer = partner.post(READ, json=asked)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["do"]


def test_a_withdrawn_consent_holds_at_once(agreed: Zone, partner: httpx.Client) -> None:
    consent(agreed.records, agreed.ground, CARS[0], "research", agreed=False)
    assert len({each[0] for each in partner.post(READ, json={}).json()["rows"]}) == 1


def test_an_erased_car_leaves_no_more_and_stays_counted(agreed: Zone, partner: httpx.Client, api: httpx.Client) -> None:
    assert len({each[0] for each in partner.post(READ, json={}).json()["rows"]}) == 2
    agreed.records.erasures.begin(CARS[0], "test")
    assert len({each[0] for each in partner.post(READ, json={}).json()["rows"]}) == 1
    assert api.get("/v1/flows").json()["flows"][0]["meters"][0]["people"] == 2


def test_the_meter_stops_before_its_limit(agreed: Zone, partner: httpx.Client, api: httpx.Client) -> None:
    consent(agreed.records, agreed.ground, CARS[2], "research")
    answer = partner.post(READ, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "export_stopped")
    assert "rows" not in answer.json()
    assert audited(agreed)[-1] == ("readFlow", "flow:research-eu", "denied")
    shown = api.get("/v1/flows").json()
    assert shown["flows"][0]["meters"] == [{"class": "personal", "people": 0, "limit": 2, "stop": 2}]
    consent(agreed.records, agreed.ground, CARS[2], "research", agreed=False)
    assert partner.post(READ, json={}).status_code == 200
    assert api.get("/v1/flows").json()["flows"][0]["meters"][0]["people"] == 2


def test_the_token_of_a_flow_opens_nothing_else(zone: Zone, partner: httpx.Client, api: httpx.Client) -> None:
    refused = [
        partner.post("/v1/lake/sql", json={"sql": "SELECT 1"}),
        partner.post("/v1/flows/ended/read", json={}),
        partner.post("/v1/flows/none/read", json={}),
        partner.get("/v1/flows"),
        partner.get("/v1/vehicles"),
        api.post(READ, json={}),
    ]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in refused] == [(403, "not_allowed")] * 6
    assert audited(zone) == [
        ("queryLake", "zone", "denied"),
        ("readFlow", "flow:ended", "denied"),
        ("readFlow", "flow:none", "denied"),
        ("readFlows", "zone", "denied"),
        ("readVehicles", "zone", "denied"),
        ("readFlow", "flow:research-eu", "denied"),
    ]


def test_an_ended_flow_lets_nothing_out(zone: Zone) -> None:
    _, secret = make_token(zone.records, zone.border.flow("ended"), "default", 30, "machine", datetime.now(UTC))
    answer = httpx.post(f"{zone.url}/v1/flows/ended/read", json={}, headers={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "flow_ended")
    assert audited(zone)[-1] == ("readFlow", "flow:ended", "denied")


def test_an_officer_reads_what_may_leave_and_to_whom(zone: Zone, api: httpx.Client) -> None:
    said = api.get("/v1/flows").json()
    assert (said["zone"], said["calendar"]) == ("test", "UTC")
    assert said["meters"] == [{"class": "personal", "people": 0, "limit": 100, "stop": 90}]
    flow = said["flows"][0]
    assert {key: flow[key] for key in ("name", "to", "purpose", "needs_consent", "pseudonym", "time_s", "ended")} == {
        "name": "research-eu",
        "to": "eu",
        "purpose": "research",
        "needs_consent": True,
        "pseudonym": True,
        "time_s": 60,
        "ended": False,
    }
    assert flow["signals"] == [{"path": SPEED, "class": "personal", "unit": "km/h", "exactness": 10.0}]
    assert said["flows"][1]["ended"] is True
