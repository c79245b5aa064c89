"""Who may come in, and what every answer carries."""

import hashlib
import socket
from pathlib import Path

import httpx
import pytest
from served import CARS, TOKEN, Zone

from carcloud.api.door import FOR_STRANGERS

COOKIE = f"carcloud_{hashlib.sha256(TOKEN.encode()).hexdigest()[:8]}"
SQL = {"sql": "SELECT 1 AS one"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"cookie": f"{COOKIE}=wrong"}],
)
def test_stranger_is_refused_in_the_one_shape(stranger: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/v1/vehicles", "/v1/openapi.json", "/v1/nothing", "/v1"):
        answer = stranger.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "not_allowed"
        assert answer.json()["error"]["do"]


def test_link_in_the_address_becomes_a_session_once_and_leaves_the_address(stranger: httpx.Client, zone: Zone) -> None:
    link = zone.link()
    answer = stranger.get("/", params={"link": link, "lang": "zh"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?lang=zh")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert link not in cookie
    assert stranger.get("/v1/vehicles").status_code == 200
    again = httpx.get(f"{zone.url}/", params={"link": link})
    assert again.status_code == 401
    assert "set-cookie" not in again.headers


def test_token_in_the_address_and_wrong_link_set_no_cookie(stranger: httpx.Client) -> None:
    for query in ({"token": TOKEN}, {"token": "wrong"}, {"link": "wrong"}):
        answer = stranger.get("/", params=query)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_dns_rebinding_is_refused(stranger: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""):
        for path in ("/", "/healthz", "/v1/vehicles"):
            answer = stranger.get(path, headers={"host": host, "authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 403


def test_cross_site_post_with_the_cookie_is_refused(stranger: httpx.Client, zone: Zone) -> None:
    stranger.get("/", params={"link": zone.link()})
    for origin in ({}, {"origin": "https://evil.example"}, {"origin": "null"}):
        assert stranger.post("/v1/lake/sql", json=SQL, headers=origin).status_code == 403
    assert stranger.post("/v1/lake/sql", json=SQL, headers={"origin": zone.url}).status_code == 200


def test_every_answer_carries_security_headers(api: httpx.Client, stranger: httpx.Client) -> None:
    for answer in (api.get("/v1/vehicles"), stranger.get("/v1/vehicles"), stranger.get("/"), stranger.get("/x.js")):
        policy = answer.headers["content-security-policy"]
        assert "worker-src 'self' blob:" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"]


def test_body_beyond_a_megabyte_is_refused(api: httpx.Client) -> None:
    big = b'{"sql": "' + b"x" * 1_000_001 + b'"}'
    declared = api.post("/v1/lake/sql", content=big)
    assert (declared.status_code, declared.json()["error"]["code"]) == (413, "input")


def test_body_beyond_a_megabyte_without_a_length_is_refused(api: httpx.Client) -> None:
    chunks = (b"x" * 100_000 for _ in range(11))
    assert api.post("/v1/lake/sql", content=chunks, headers={"content-type": "application/json"}).status_code == 413


def test_nonsense_gets_the_one_shape(api: httpx.Client) -> None:
    for answer, status, code in (
        (api.get("/v1/nothing"), 404, "missing"),
        (api.get("/v1/vehicles/nobody"), 404, "missing"),
        (api.put("/v1/vehicles"), 405, "input"),
        (api.get("/v1/vehicles?limit=many"), 400, "input"),
        (api.get("/v1/vehicles?limit=0"), 400, "input"),
        (api.get("/v1/vehicles?state=lost"), 400, "input"),
        (api.post("/v1/lake/sql", content=b"{", headers={"content-type": "application/json"}), 400, "input"),
        (api.post("/v1/lake/sql", json={}), 400, "input"),
        (api.post("/v1/lake/sql", content=b'{"sql": "\\ud800"}'), 400, "input"),
        (api.post("/v1/lake/sql", content=b'{"sql": "SELECT $a", "parameters": {"a": "\\ud800"}}'), 400, "input"),
        (api.get("/v1/vehicles/%00%ff"), 404, "missing"),
        (api.get("/v1/signals"), 400, "input"),
        (api.get("/v1/orders?before=2026-01-01T00:00:00"), 400, "input"),
        (api.get(f"/v1/audit?after={10**22}"), 400, "input"),
        (api.get(f"/v1/audit/{10**22}"), 404, "missing"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        assert set(answer.json()["error"]) == {"code", "message", "do"}


def test_console_that_is_not_built_says_how_to_build_it(stranger: httpx.Client) -> None:
    answer = stranger.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "make console" in answer.text


def test_console_is_served_with_fitting_cache_headers(stranger: httpx.Client, zone: Zone) -> None:
    (zone.pages / "assets").mkdir(parents=True)
    (zone.pages / "index.html").write_text("<!doctype html>console")
    (zone.pages / "assets" / "main-1a2b.js").write_text("let a = 1")
    for path in ("/", "/index.html", "/vehicles/some"):
        answer = stranger.get(path)
        assert (answer.text, answer.headers["cache-control"]) == ("<!doctype html>console", "no-cache")
    script = stranger.get("/assets/main-1a2b.js")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-type"].startswith("text/javascript")
    assert stranger.get("/assets/gone.js").status_code == 404
    tag = stranger.get("/").headers["etag"]
    assert stranger.get("/", headers={"if-none-match": tag}).status_code in (200, 304)


def test_no_address_of_the_api_is_answered_by_the_built_console(api: httpx.Client, zone: Zone) -> None:
    zone.pages.mkdir()
    (zone.pages / "index.html").write_text("<!doctype html>console")
    for path, methods in api.get("/v1/openapi.json").json()["paths"].items():
        if "get" in methods:
            with api.stream("GET", path.replace("{", "").replace("}", "")) as answer:
                kind = answer.headers.get("content-type", "")
                body = "" if kind.startswith("text/event-stream") else answer.read().decode(errors="replace")
            assert "Nothing is at this address" not in body, path
            assert "<!doctype" not in body, path


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/assets/../../secret.txt"]
)
def test_path_that_climbs_out_of_the_pages_finds_nothing(zone: Zone, path: str, tmp_path: Path) -> None:
    zone.pages.mkdir()
    (zone.pages.parent / "secret.txt").write_text("secret")
    with socket.create_connection(("127.0.0.1", zone.socket.getsockname()[1])) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"404" in answer.splitlines()[0]
    assert b"secret\n" not in answer


def test_openapi_describes_every_route_and_the_error_shape(api: httpx.Client) -> None:
    schema = api.get("/v1/openapi.json").json()
    assert set(schema["paths"]) == {
        "/healthz",
        "/metrics",
        "/v1/status",
        "/v1/status/history",
        "/v1/vehicles",
        "/v1/vehicles/search",
        "/v1/vehicles/{vehicle}",
        "/v1/vehicles/{vehicle}/signals",
        "/v1/vehicles/{vehicle}/desired",
        "/v1/vehicles/{vehicle}/gbt32960",
        "/v1/vehicles/{vehicle}/viss/{path}",
        "/v1/signals",
        "/v1/governance",
        "/v1/governance/check",
        "/v1/retention",
        "/v1/flows",
        "/v1/relays",
        "/v1/gbt32960/sessions",
        "/v1/zone",
        "/v1/flows/{flow}/read",
        "/v1/erasures",
        "/v1/requests",
        "/v1/requests/{request}/close",
        "/v1/reports/{kind}",
        "/v1/vehicles/{vehicle}/erase",
        "/v1/grants",
        "/v1/vehicles/{vehicle}/grants",
        "/v1/vehicles/{vehicle}/grants/{grant}",
        "/v1/identity",
        "/v1/claims",
        "/v1/vehicles/{vehicle}/identity",
        "/v1/vehicles/{vehicle}/rekey",
        "/v1/vehicles/{vehicle}/quarantine",
        "/v1/vehicles/{vehicle}/release",
        "/v1/vehicles/{vehicle}/revoke",
        "/v1/vehicles/{vehicle}/retire",
        "/v1/events",
        "/v1/catalogue",
        "/v1/conditions/check",
        "/v1/map",
        "/v1/lake/sql",
        "/v1/lake/tables",
        "/v1/recordings",
        "/v1/recordings/{id}",
        "/v1/recordings/{id}/parts/{number}",
        "/v1/recordings/{id}/done",
        "/v1/runs",
        "/v1/runs/{id}",
        "/v1/runs/{id}/scenarios",
        "/v1/runs/{id}/beside/{other}",
        "/v1/gates",
        "/v1/gates/{digest}",
        "/v1/candidates",
        "/v1/candidates/{digest}/withdraw",
        "/v1/gates/limits",
        "/v1/errands",
        "/v1/errands/{id}/stop",
        "/v1/runs/{run}/scenarios/{id}/motion",
        "/v1/scenarios/{id}",
        "/v1/scenarios/{id}/motion",
        "/v1/scenarios/{id}/lanes",
        "/v1/scenarios/{id}/features",
        "/v1/scenarios/{id}/series",
        "/v1/quarantine",
        "/v1/quarantine/{entry}",
        "/v1/session",
        "/v1/session/ways",
        "/v1/session/oidc",
        "/v1/session/oidc/answer",
        "/v1/session/password",
        "/v1/session/factor",
        "/v1/session/factor/confirm",
        "/v1/session/factor/remove",
        "/v1/people",
        "/v1/people/{person}",
        "/v1/people/{person}/link",
        "/v1/roles",
        "/v1/tenants",
        "/v1/tenants/{name}",
        "/v1/tenants/{name}/quotas",
        "/v1/tenants/{name}/resume",
        "/v1/tenants/{name}/suspend",
        "/v1/tokens",
        "/v1/tokens/{token}",
        "/v1/orders",
        "/v1/orders/events",
        "/v1/orders/keys",
        "/v1/orders/{order}",
        "/v1/plans",
        "/v1/plans/{name}",
        "/v1/plans/check",
        "/v1/plans/try",
        "/v1/plans/targets",
        "/v1/plans/{name}/withdraw",
        "/v1/plans/{name}/cars",
        "/v1/vehicles/{vehicle}/plans",
        "/v1/audit",
        "/v1/audit/checkpoint",
        "/v1/audit/tile/{path}",
        "/v1/audit/{number}",
        "/v1/approvals",
        "/v1/approvals/{approval}",
    }
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["description"]
            assert "422" not in operation["responses"]
            known = path.startswith("/v1/") and (method.upper(), path) not in FOR_STRANGERS
            assert ("security" in operation) == known
            assert "ErrorBody" in str(operation["responses"]["4XX"])


def test_part_that_fails_unexpectedly_answers_500_without_details(api: httpx.Client, zone: Zone) -> None:
    zone.bus.last = {"zone": 1}
    answer = api.get("/v1/status")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "error")
    assert "pydantic" not in answer.text


def test_vehicles_of_the_zone_are_there(api: httpx.Client) -> None:
    assert [car["id"] for car in api.get("/v1/vehicles").json()["vehicles"]] == list(CARS)
