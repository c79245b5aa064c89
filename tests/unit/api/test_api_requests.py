"""Requests of people and reports, as the API gives them."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from served import CARS, Zone


def test_request_is_taken_down_listed_and_closed_once(api: httpx.Client) -> None:
    today = datetime.now(UTC).date()
    made = api.post("/v1/requests", json={"kind": "erasure", "vehicle": CARS[0], "reference": "file 7"})
    assert made.status_code == 200, made.text
    assert made.json()["due"] == str(today + timedelta(days=30))
    listed = api.get("/v1/requests").json()
    assert [one["id"] for one in listed["requests"]] == [made.json()["id"]]
    assert listed["deadlines"]["access"] == 30
    path = f"/v1/requests/{made.json()['id']}/close"
    assert api.post(path, json={"outcome": "refused"}).json()["error"]["code"] == "input"
    assert api.post(path, json={"outcome": "done"}).json()["outcome"] == "done"
    assert api.post(path, json={"outcome": "done"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "gossip"}, 400),
        ({"kind": "access", "vehicle": "z" * 16}, 404),
        ({"kind": "access", "reference": "x" * 65}, 400),
        ({"kind": "access", "received": "2999-01-01"}, 400),
        ({"kind": "access", "received": "0001-01-01"}, 400),
        ({"kind": "access", "received": "9999-12-31"}, 400),
        ({"kind": "access", "received": "yesterday"}, 400),
        ({}, 400),
    ],
)
def test_request_that_cannot_be_is_refused(api: httpx.Client, body: dict[str, str], status: int) -> None:
    answer = api.post("/v1/requests", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["do"]
    assert api.get("/v1/requests").json()["requests"] == []


def test_reports_come_as_json_and_as_a_file(api: httpx.Client) -> None:
    for kind in ("processing", "impact", "annual"):
        found = api.get(f"/v1/reports/{kind}", params={"language": "zh"}).json()
        assert found["sections"]
        assert "Acme Motors" in str(found)
    file = api.get("/v1/reports/processing", params={"markdown": True})
    assert file.headers["content-type"].startswith("text/markdown")
    assert "attachment" in file.headers["content-disposition"]
    assert file.text.startswith("# Record of processing")


@pytest.mark.parametrize("path", ["/v1/reports/gossip", "/v1/reports/annual?year=1", "/v1/reports/annual?language=xx"])
def test_report_that_cannot_be_is_refused(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]["do"]


def test_requests_of_a_zone_stay_without_who_asked(api: httpx.Client, zone: Zone) -> None:
    api.post("/v1/requests", json={"kind": "access", "reference": "Ann Example"})
    with zone.records.transaction() as db:
        facts = db.exec_driver_sql("SELECT facts FROM audit_pending WHERE action = 'addRequest'").scalar_one()
    assert "Ann" not in facts
