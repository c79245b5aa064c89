"""People who want more than their roles allow, and strangers who want to be somebody."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from carcloud.backends.records import Vehicle
from carcloud.safety.people.accounts import first_person
from tests.people import PASSWORD, Visitor, join
from tests.zone import RunningZone

BAD_GUESS = "a wrong password indeed"


@pytest.fixture(scope="module")
def operator(target: RunningZone) -> Visitor:
    """An operator with a second factor."""
    return join(target, "operator", factor=True)


@pytest.fixture
def stranger(target: RunningZone) -> Iterator[Visitor]:
    """Nobody the zone knows."""
    visitor = Visitor(target)
    yield visitor
    visitor.client.close()


def noted(zone: RunningZone, actor: str) -> list[tuple[str, str]]:
    """Return action and outcome of all that was noted of this actor, whether it is in the log already or not."""
    records = zone.records()
    try:
        with records.transaction() as db:
            tables = ("audit_pending", "audit_leaves")
            queries = (f"SELECT action, outcome FROM {table} WHERE actor = ?" for table in tables)
            return [(row.action, row.outcome) for query in queries for row in db.exec_driver_sql(query, (actor,))]
    finally:
        records.close()


def denied(zone: RunningZone, actor: str) -> set[str]:
    """Return the acts of this actor that were noted as denied."""
    return {action for action, outcome in noted(zone, actor) if outcome == "denied"}


def test_important_data_opened_or_exported_by_a_role_that_may_not(target: RunningZone, operator: Visitor) -> None:
    """A31."""
    marketer, analyst, plain = join(target, "marketer"), join(target, "analyst"), join(target, "operator")
    question = {"sql": "SELECT * FROM samples"}
    entry = "/v1/quarantine/" + "0" * 64
    for visitor, path in ((marketer, entry), (analyst, entry), (plain, entry), (marketer, "/v1/vehicles")):
        answer = visitor.client.get(path)
        assert answer.status_code == 403, (visitor.login, path, answer.text)
    assert plain.client.get(entry).json()["error"]["code"] == "factor_needed"
    assert operator.client.get(entry).status_code == 404
    arrow = {"accept": "application/vnd.apache.arrow.stream"}
    assert marketer.client.post("/v1/lake/sql", json=question, headers=arrow).status_code == 403
    assert {"openQuarantine", "readVehicles", "queryLake"} <= denied(target, marketer.myself()["id"])
    assert denied(target, plain.myself()["id"]) == {"openQuarantine"}


def test_single_administrator_makes_an_operator_alone(target: RunningZone, operator: Visitor) -> None:
    """A32."""
    wanted = {"login": f"puppet-{secrets.token_hex(4)}", "name": "Puppet", "roles": ["operator"]}
    asked = operator.client.post("/v1/people", json=wanted)
    assert asked.status_code == 202, asked.text
    approval = asked.json()["approval"]["id"]
    own = operator.client.post(f"/v1/approvals/{approval}", json={"decision": "approve"})
    assert own.status_code == 403
    made = operator.client.post("/v1/tokens", json={"name": "mine", "roles": ["operator"], "days": 1}).json()
    by_token = {"authorization": f"Bearer {made['secret']}"}
    for headers in (by_token, {"authorization": f"Bearer {target.token}"}):
        answer = httpx.post(f"{target.url}/v1/approvals/{approval}", json={"decision": "approve"}, headers=headers)
        assert answer.status_code == 403
    link_only = join(target, "operator")
    for answer in (
        httpx.post(f"{target.url}/v1/people", json=wanted | {"roles": ["fleet"]}, headers=by_token),
        link_only.client.post("/v1/people", json=wanted | {"roles": ["fleet"]}),
    ):
        assert answer.status_code == 403, answer.text
    assert link_only.client.post("/v1/people", json=wanted).json()["error"]["code"] == "factor_needed"
    assert operator.client.post("/v1/people", json=wanted).status_code == 202
    ways_round = (
        ("PATCH", {"roles": ["operator", "dpo"]}),
        ("PATCH", {"state": "suspended"}),
        ("PATCH", {"reset": True}),
    )
    others = [one for one in operator.client.get("/v1/people").json()["people"] if "operator" in one["roles"]]
    for other in others:
        for method, change in ways_round:
            answer = operator.client.request(method, f"/v1/people/{other['id']}", json=change)
            assert answer.status_code == 202, (change, answer.text)
    another = next(one for one in others if f"person:{one['id']}" != operator.myself()["id"])
    assert operator.client.post(f"/v1/people/{another['id']}/link").status_code == 202
    assert wanted["login"] not in {one["login"] for one in operator.client.get("/v1/people").json()["people"]}
    second = join(target, "operator", factor=True)
    decided = second.client.post(f"/v1/approvals/{approval}", json={"decision": "approve"})
    assert decided.json()["state"] == "approved", decided.text
    assert operator.client.post("/v1/people", json=wanted | {"name": "Another"}).status_code == 202
    assert [operator.client.post("/v1/people", json=wanted).status_code for _ in range(2)] == [201, 409]


def test_vehicle_of_another_tenant_by_its_id(target: RunningZone) -> None:
    """A33."""
    foreign = Vehicle(secrets.token_hex(8), "other", "WVWZZZ1JZXW00000X", None, "active", datetime.now(UTC))
    records = target.records()
    records.add_vehicle(foreign)
    records.close()
    visitor = join(target, "operator", "engineer")
    for path in (f"/v1/vehicles/{foreign.id}", f"/v1/vehicles/{foreign.id}/signals"):
        known, unknown = visitor.client.get(path), visitor.client.get(path.replace(foreign.id, "0" * 16))
        assert known.status_code == unknown.status_code == 404
        assert known.text.replace(foreign.id, "0" * 16) == unknown.text
    assert visitor.client.get("/v1/events", params={"vehicles": foreign.id}).status_code == 404
    assert foreign.id not in visitor.client.get("/v1/vehicles", params={"limit": 1000}).text
    assert denied(target, visitor.myself()["id"]) == set()  # nor does the log tell it from a car that nobody has


def test_order_and_approval_without_a_second_factor(target: RunningZone, operator: Visitor) -> None:
    """A34."""
    fleet = join(target, "fleet")
    fleet.set_password()
    mine = fleet.myself()
    assert "sendOrder" not in mine["may"]
    assert {"sendOrder", "approve"} <= set(mine["may_with_factor"])
    answer = fleet.client.post("/v1/approvals/none", json={"decision": "approve"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "factor_needed")
    order = {"authorisation": {}, "signatures": []}
    unproven = fleet.client.post("/v1/orders", json=order)
    assert (unproven.status_code, unproven.json()["error"]["code"]) == (403, "factor_needed")
    token = fleet.client.post("/v1/tokens", json={"name": "pump", "roles": ["fleet"], "days": 1}).json()["secret"]
    for bearer in (token, target.token):
        headers = {"authorization": f"Bearer {bearer}"}
        assert httpx.post(f"{target.url}/v1/orders", json=order, headers=headers).status_code == 403
    assert operator.client.post("/v1/orders", json=order).status_code == 403
    held = httpx.get(f"{target.url}/v1/session", headers={"authorization": f"Bearer {token}"}).json()
    assert "sendOrder" not in held["may"]
    assert held["may_with_factor"] == []
    assert "sendOrder" not in operator.myself()["may"]
    assert denied(target, fleet.myself()["id"]) == {"approve", "sendOrder"}
    fleet.set_factor()
    assert {"sendOrder", "approve"} <= set(fleet.myself()["may"])
    assert fleet.client.post("/v1/orders", json=order).status_code == 400


def test_session_fixed_by_an_attacker(target: RunningZone, stranger: Visitor) -> None:
    victim, name = join(target, "engineer"), next(iter(stranger.open(target.link()).cookies))
    for planted in ("planted", stranger.client.cookies[name]):
        victim.client.cookies.clear()
        victim.client.cookies.set(name, planted)
        victim.client.get(target.link(victim.login))
        fresh = [cookie.value for cookie in victim.client.cookies.jar if cookie.value != planted]
        assert len(fresh) == 1
        assert httpx.get(f"{target.url}/v1/session", cookies={name: planted}).status_code == 401
        assert httpx.get(f"{target.url}/v1/session", cookies={name: fresh[0] or ""}).json()["login"] == victim.login


def test_cookie_stolen_before_signing_out_and_before_a_new_password(target: RunningZone) -> None:
    victim = join(target, "engineer")
    stolen = dict(victim.client.cookies)
    assert httpx.get(f"{target.url}/v1/session", cookies=stolen).status_code == 200
    assert victim.client.delete("/v1/session").status_code == 204
    assert httpx.get(f"{target.url}/v1/session", cookies=stolen).status_code == 401
    victim.open(target.link(victim.login))
    stolen, waiting = dict(victim.client.cookies), target.link(victim.login)
    victim.set_password()
    assert httpx.get(f"{target.url}/v1/session", cookies=stolen).status_code == 401
    assert httpx.get(waiting).status_code == 401
    assert victim.myself()["password"]
    open_ = {"present": BAD_GUESS, "new": "another fine password"}
    assert victim.client.post("/v1/session/password", json=open_).status_code == 403
    assert victim.client.post("/v1/session/factor", json={"password": BAD_GUESS}).status_code == 403


def test_live_events_go_on_after_signing_out(target: RunningZone) -> None:
    victim = join(target, "engineer")
    made = victim.client.post("/v1/tokens", json={"name": "x", "roles": ["engineer"], "days": 1}).json()
    with ExitStack() as stack:
        by_cookie = stack.enter_context(httpx.Client(cookies=dict(victim.client.cookies), timeout=30))
        by_token = stack.enter_context(httpx.Client(headers={"authorization": f"Bearer {made['secret']}"}, timeout=30))
        pool = stack.enter_context(ThreadPoolExecutor())
        streams = [
            stack.enter_context(thief.stream("GET", f"{target.url}/v1/events")) for thief in (by_cookie, by_token)
        ]
        assert [stream.status_code for stream in streams] == [200, 200]
        ended = [pool.submit(stream.read) for stream in streams]
        assert victim.client.delete(f"/v1/tokens/{made['token']['id']}").status_code == 204
        assert victim.client.delete("/v1/session").status_code == 204
        assert all(end.result(30).startswith(b": welcome") for end in ended)


def test_passwords_tried_by_force_while_the_right_person_comes_in(target: RunningZone) -> None:
    victim = join(target, "engineer")
    victim.set_password()
    attacker = Visitor(target, victim.login, "127.0.0.7")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: attacker.sign_in(BAD_GUESS), range(24)))
    codes = [answer.status_code for answer in answers]
    assert codes.count(401) <= 8, codes
    assert set(codes) <= {401, 429, 503}
    assert next(answer for answer in answers if answer.status_code == 429).headers["retry-after"]
    assert Visitor(target, victim.login, "127.0.0.8").sign_in().status_code == 200


def test_address_that_the_sender_writes_counts_for_nothing(target: RunningZone) -> None:
    login = f"ghost-{secrets.token_hex(4)}"
    headers = {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9", "forwarded": "for=203.0.113.9"}
    given = {"login": login, "password": BAD_GUESS}
    answer = Visitor(target).client.post("/v1/session", json=given, headers=headers)
    assert answer.status_code == 401
    records = target.records()
    try:
        with records.transaction() as db:
            tables = ("audit_pending", "audit_details")
            queries = (f"SELECT details FROM {table} WHERE details LIKE ?" for table in tables)
            kept = [row.details for query in queries for row in db.exec_driver_sql(query, (f"%{login}%",))]
    finally:
        records.close()
    assert kept
    assert all("127.0.0.1" in text and "203.0.113" not in text for text in kept)


def test_other_site_signs_a_browser_in_or_acts_with_its_cookie(target: RunningZone) -> None:
    victim = join(target, "operator")
    victim.set_password()
    for origin in ("https://evil.example", "null", f"{target.url}.evil.example"):
        there = {"origin": origin}
        own = {"login": victim.login, "password": PASSWORD}
        assert httpx.post(f"{target.url}/v1/session", json=own, headers=there).status_code == 403
        assert victim.client.delete("/v1/session", headers=there).status_code == 403
        added = {"login": "evil", "name": "Evil", "roles": ["fleet"]}
        assert victim.client.post("/v1/people", json=added, headers=there).status_code == 403
        assert victim.client.patch("/v1/people/x", json={}, headers=there).status_code == 403
    assert victim.myself()["login"] == victim.login


def test_one_time_link_used_twice_at_once_or_late(target: RunningZone) -> None:
    link = target.link()
    with ThreadPoolExecutor(8) as pool:
        codes = [answer.status_code for answer in pool.map(lambda _: httpx.get(link), range(8))]
    assert sorted(codes) == [303] + [401] * 7
    records = target.records()
    now = datetime.now(UTC)
    first = first_person(records, "default", now)
    with records.transaction(writing=True) as db:
        records.passes.add_link(db, "0" * 64, first, now - timedelta(hours=1), now)
        assert records.passes.use_link(db, "0" * 64, now) is None
    records.close()


def test_token_or_session_in_an_address(target: RunningZone, operator: Visitor) -> None:
    cookie = dict(operator.client.cookies)
    for secret in (target.token, *cookie.values()):
        for query in (f"?token={secret}", f"?link={secret}", f"?access_token={secret}"):
            for path in ("/", "/v1/status", "/v1/session"):
                answer = httpx.get(f"{target.url}{path}{query}")
                assert "set-cookie" not in answer.headers
                assert answer.status_code == 401 or path == "/"


def test_code_used_twice_and_codes_guessed(target: RunningZone) -> None:
    victim = join(target, "fleet", factor=True)
    attacker = Visitor(target, victim.login, "127.0.0.9")
    assert attacker.sign_in().json()["error"]["code"] == "code_needed"
    code = victim.code()
    assert victim.sign_in(code=code).json()["mfa"]
    assert attacker.sign_in(code=code).status_code == 401
    assert attacker.sign_in(code=victim.code(-1)).status_code == 401
    answers = [attacker.sign_in(code=f"{guess:06}").status_code for guess in range(8)]
    assert answers.count(401) <= 5
    assert answers[-1] == 429


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
def test_signing_in_leads_to_another_site(target: RunningZone, where: str) -> None:
    there = httpx.get(f"{target.link()}&next={where}&redirect={where}")
    assert there.status_code == 303
    assert there.headers["location"].startswith("/?")
    assert Visitor(target).client.get(f"/{where}").headers.get("location") is None


def test_logins_told_apart_by_the_answer(target: RunningZone) -> None:
    person, suspended = join(target, "engineer"), join(target, "engineer")
    linked = join(target, "engineer")
    for visitor in (person, suspended):
        visitor.set_password()
    id_ = suspended.myself()["id"].partition(":")[2]
    assert target.client.patch(f"/v1/people/{id_}", json={"state": "suspended"}).status_code == 200
    assert suspended.client.get("/v1/session").status_code == 401
    said, took = set(), list[float]()
    logins = [(person.login, BAD_GUESS), (linked.login, BAD_GUESS), ("nobody", BAD_GUESS), (suspended.login, PASSWORD)]
    for number, (login, password) in enumerate(logins):
        began = time.monotonic()
        answer = Visitor(target, login, f"127.0.1.{number + 1}").sign_in(password)
        took.append(time.monotonic() - began)
        said.add((answer.status_code, answer.text, *sorted(set(answer.headers) - {"date"})))
    assert len(said) == 1
    assert min(took) > 0.02, "an answer without a password being checked"


def test_token_beyond_its_maker_or_its_end(target: RunningZone) -> None:
    engineer = join(target, "engineer", "analyst")

    def make(**given: Any) -> httpx.Response:
        return engineer.client.post("/v1/tokens", json={"name": "x", "roles": ["engineer"], "days": 1} | given)

    assert make(roles=["operator"]).status_code == 403
    assert make(days=100_000).status_code == 400
    made = make().json()
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert httpx.get(f"{target.url}/v1/catalogue", headers=headers).status_code == 200
    again = {"name": "child", "roles": ["engineer"], "days": 1}
    assert httpx.post(f"{target.url}/v1/tokens", json=again, headers=headers).status_code == 403
    own = {"new": "a password for the maker"}
    assert httpx.post(f"{target.url}/v1/session/password", json=own, headers=headers).status_code == 403
    other = join(target, "engineer")
    assert other.client.delete(f"/v1/tokens/{made['token']['id']}").status_code == 404
    id_ = engineer.myself()["id"].partition(":")[2]
    assert target.client.patch(f"/v1/people/{id_}", json={"roles": ["analyst"]}).status_code == 200
    assert httpx.get(f"{target.url}/v1/catalogue", headers=headers).status_code == 403
    assert engineer.client.delete(f"/v1/tokens/{made['token']['id']}").status_code == 204
    assert httpx.get(f"{target.url}/v1/catalogue", headers=headers).status_code == 401


def test_flood_of_denied_requests_fills_no_log(target: RunningZone) -> None:
    partner = join(target, "partner")
    for _ in range(100):
        assert partner.client.get("/v1/vehicles").status_code == 403
    assert 0 < len(noted(target, partner.myself()["id"])) <= 64
