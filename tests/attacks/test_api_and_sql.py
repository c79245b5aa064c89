"""The API on loopback: other sites in the same browser, strangers on the same machine, and SQL that wants out."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import psutil
import pytest

from carcloud.lake.workers import WORKERS
from tests.attacks.attacker import Car, hung_up, sample
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, until

V1 = ("/v1/status", "/v1/vehicles", "/v1/events", "/v1/lake/tables", "/v1/quarantine", "/v1/openapi.json", "/v1/map")


@pytest.fixture(scope="module")
def lake(target: RunningZone) -> Iterator[Callable[[str], httpx.Response]]:
    """Ask the lake, which holds at least one row."""
    with Car(target, enrolled(target)) as own:
        own.say(sample(46))
        until(lambda: target.status()["lake"]["rows"], "the lake stays empty", 20)

    def ask(sql: str) -> httpx.Response:
        return target.client.post("/v1/lake/sql", json={"sql": sql})

    yield ask
    assert ask("SELECT 1 AS one").json()["rows"] == [[1]]


def raw(zone: RunningZone, request: bytes) -> bytes:
    """Send bytes to the API and return what comes back within two seconds."""
    parts = b""
    with socket.create_connection((zone.file.api_host, zone.file.api), 5) as line, suppress(OSError):
        line.sendall(request)
        line.settimeout(2)
        while part := line.recv(65536):
            parts += part
    return parts


@pytest.mark.parametrize("path", V1)
def test_no_token_and_wrong_token(target: RunningZone, path: str) -> None:
    near = target.token[:-1] + ("A" if target.token[-1] != "A" else "B")
    for headers in (
        {},
        *({"authorization": f"Bearer {token}"} for token in ("x", near, target.token.lower(), "é")),
        {"authorization": f"Basic {target.token}"},
        {"cookie": f"carcloud={target.token}"},
        {"x-token": target.token},
    ):
        encoded = {name: value.encode() for name, value in headers.items()}
        answer = httpx.get(target.url + path, headers=encoded, trust_env=False)
        assert answer.status_code == 401, (path, headers)
    assert httpx.get(f"{target.url}{path}?token={target.token}", trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "path", ["//v1/status", "/v1//status", "/./v1/status", "/x/../v1/status", "/V1/status", "/%76%31/status"]
)
def test_spelling_of_the_path_does_not_go_around_the_token(target: RunningZone, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: {target.file.api_host}:{target.file.api}\r\nConnection: close\r\n\r\n"
    answer = raw(target, head.encode())
    assert b'"stream"' not in answer
    assert b'"tenant"' not in answer


def test_dns_rebinding_by_another_host_name(target: RunningZone) -> None:
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8420",
        "",
        "[::1]evil",
        "127.0.0.1@evil",
    ):
        head = f"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {target.token}\r\n"
        answer = raw(target, f"{head}X-Forwarded-Host: localhost\r\nConnection: close\r\n\r\n".encode())
        assert b'"stream"' not in answer, host
        assert b" 403 " in answer.split(b"\r\n")[0] or b" 400 " in answer.split(b"\r\n")[0], host


def test_cross_site_post_with_the_cookie(target: RunningZone) -> None:
    with httpx.Client(base_url=target.url, trust_env=False) as browser:
        browser.get(target.link())
        assert browser.get("/v1/status").status_code == 200
        question = {"sql": "SELECT 1 AS one"}
        for origin in (
            "https://evil.example",
            "null",
            "",
            f"{target.url}.evil.example",
            f"https://evil@{target.file.api_host}",
        ):
            answer = browser.post("/v1/lake/sql", json=question, headers={"origin": origin})
            assert answer.status_code == 403, origin
        form = browser.post("/v1/lake/sql", content=json.dumps(question), headers={"content-type": "text/plain"})
        assert form.status_code == 403
        assert browser.post("/v1/lake/sql", json=question, headers={"origin": target.url}).status_code == 200
        own = browser.get("/v1/status", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in own.headers
        cookie = httpx.get(target.link(), trust_env=False).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('{data}/keys/receipt.key')",
        "SELECT * FROM '{data}/keys/api.token'",
        "SELECT * FROM read_csv('{data}/run/zone.json')",
        "SELECT * FROM glob('{data}/**')",
        "SELECT * FROM '{data}/lake/receipts/*.jsonl'",
        "SELECT * FROM read_parquet('{data}/lake/samples/*/*.parquet')",
        "SELECT * FROM samples, read_text('/etc/hostname')",
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "SELECT * FROM query_table('/etc/passwd')",
        "COPY samples TO '/stolen.csv'",
        "COPY (SELECT 1) TO '{data}/lake/samples/x.parquet'",
        "WITH x AS (COPY samples TO '/stolen.csv') SELECT 1",
        "EXPORT DATABASE '/stolen'",
        "ATTACH '{data}/records.sqlite' AS r (TYPE sqlite)",
        "INSTALL httpfs",
        "LOAD '/evil.so'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO samples SELECT * FROM samples",
        "DELETE FROM vehicles",
        "DROP VIEW samples",
        "SELECT 1; SELECT * FROM read_text('/etc/passwd')",
        "SELECT current_setting('allowed_directories')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT getenv('HOME')",
        "FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM sqlite_scan('{data}/records.sqlite', 'vehicles')",
        "SELECT * FROM postgres_scan('host=localhost', 'public', 'x')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "EXPLAIN ANALYZE COPY samples TO '/stolen.csv'",
        "PREPARE p AS SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM parquet_metadata('{data}/lake/samples/*/*.parquet')",
        "SELECT * FROM json_execute_serialized_sql('x')",
        "SELECT write_log('x')",
        "SELECT json_serialize_plan('FROM read_parquet(''{data}/lake/samples/*/*/*.parquet'')', optimize := true)",
        "SELECT json_serialize_plan('SELECT current_setting(''allowed_directories'')', optimize := true)",
        "SELECT stats(vehicle), current_query_id() FROM samples",
        "FROM read_json_auto('{data}/catalogue.json')",
        "SUMMARIZE '{data}/keys/api.token'",
        "DESCRIBE SELECT * FROM read_text('/etc/passwd')",
        "PIVOT (SELECT * FROM read_text('/etc/passwd')) ON content IN ('a')",
    ],
)
def test_sql_that_wants_out(lake: Callable[[str], httpx.Response], target: RunningZone, sql: str) -> None:
    answer = lake(sql.replace("{data}", str(target.data)))
    assert answer.status_code in (400, 403), answer.text
    assert set(answer.json()) == {"error"}
    assert "root:" not in answer.text
    assert target.token not in answer.text


def test_sql_parameter_is_data_not_sql(target: RunningZone, lake: Callable[[str], httpx.Response]) -> None:
    evil = "x' UNION SELECT content FROM read_text('/etc/passwd') --"
    question = {"sql": "SELECT $p AS p", "parameters": {"p": evil}}
    assert target.client.post("/v1/lake/sql", json=question).json()["rows"] == [[evil]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000000000) a, range(1000000000000) b",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT levenshtein(repeat('ab', 200000), repeat('ba', 200000))",
    ],
)
def test_endless_query_is_stopped(lake: Callable[[str], httpx.Response], sql: str) -> None:
    began = time.monotonic()
    answer = lake(sql)
    assert answer.status_code in (400, 403), answer.text
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(n) FROM range(100000000000) t(n)",
        "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(3000)",
        "SELECT * FROM range(100000000) a(n) ORDER BY hash(n), n DESC",
    ],
)
def test_memory_bomb_is_refused(lake: Callable[[str], httpx.Response], target: RunningZone, sql: str) -> None:
    api = psutil.Process(target.children()["api"])
    answer = lake(sql)
    assert answer.status_code in (400, 503), answer.text[:200]
    assert api.is_running()
    assert api.memory_info().rss < 1 << 30


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 10000000000)",
        "SELECT repeat('x', 4000000000)",
        "SELECT length(repeat('x', 3000000000))",
        "SELECT lpad('x', 2000000000, 'y')",
        "SELECT printf('%2000000000d', 1)",
        "SELECT range(2000000000)",
        "SELECT [x * 2 FOR x IN range(1000000000)]",
        "SELECT [NULL FOR x IN range(60000000)]",
        "SELECT regexp_replace(repeat('a', 300000000), '(a|aa)+b', 'x')",
        "SELECT string_agg(repeat('x', 1000000), '') FROM range(900)",
        "SELECT repeat('x', 1000000) FROM range(20000)",
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "application/vnd.apache.arrow.stream"])
def test_giant_value_in_one_step(target: RunningZone, sql: str, accept: str) -> None:
    api, began = psutil.Process(target.children()["api"]), time.monotonic()
    answer = target.client.post("/v1/lake/sql", json={"sql": sql}, headers={"accept": accept})
    assert answer.status_code == 400, answer.text[:200]
    assert answer.json()["error"]["do"]
    assert time.monotonic() - began < 30
    assert api.memory_info().rss < 512 << 20
    assert sum(process.memory_info().rss for process in query_processes(target)) < 4 << 30
    assert target.sql("SELECT 1 AS one") == [[1]]


def test_query_process_killed_in_mid_query_is_replaced(target: RunningZone) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(target.client.post, "/v1/lake/sql", json={"sql": "SELECT lpad('x', 2000000000, 'y')"})
        time.sleep(0.5)
        killed = query_processes(target)
        for process in killed:
            process.kill()
        answer = asked.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "try_later")
    assert psutil.wait_procs(killed, 20)[1] == []
    assert [target.sql("SELECT 1 AS one") for _ in range(4)] == [[[1]]] * 4
    assert len(query_processes(target)) == WORKERS


def test_api_killed_in_mid_query_leaves_no_query_process(victim: RunningZone) -> None:
    until(lambda: len(query_processes(victim)) == WORKERS, "the query processes do not start")
    left = query_processes(victim)
    with ThreadPoolExecutor() as pool, suppress(httpx.TransportError):
        asked = pool.submit(victim.client.post, "/v1/lake/sql", json={"sql": "SELECT lpad('x', 2000000000, 'y')"})
        time.sleep(0.5)
        victim.kill("api")
        asked.result()
    assert psutil.wait_procs(left, 5)[1] == []
    until(lambda: victim.health() == "ok", "the API does not come back")
    assert victim.sql("SELECT 1 AS one") == [[1]]


def query_processes(zone: RunningZone) -> list[psutil.Process]:
    """Return the processes that answer the zone's SQL."""
    found = []
    for child in psutil.Process(zone.children()["api"]).children():
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "carcloud.lake.worker" in child.cmdline() else []
    return found


@pytest.mark.parametrize(
    "path",
    [
        *("/../keys/api.token", "/../../../../etc/passwd", "/..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd"),
        *(
            "/..\\..\\etc\\passwd",
            "/assets/../../app.py",
            "/assets/%2e%2e/%2e%2e/app.py",
            "//etc/passwd",
            "/\0index.html",
        ),
        *("/assets/..%00/index.html", "/%c0%ae%c0%ae/etc/passwd", "/....//....//etc/passwd", "/file:///etc/passwd"),
    ],
)
def test_path_out_of_the_pages_folder(target: RunningZone, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = raw(target, head)
    for stolen in (b"root:", target.token.encode(), b"import ", b"FastAPI"):
        assert stolen not in answer


def test_live_streams_are_limited_and_given_back(target: RunningZone) -> None:
    with (
        ExitStack() as stack,
        httpx.Client(
            base_url=target.url,
            headers=dict(target.client.headers),
            trust_env=False,
            limits=httpx.Limits(max_connections=200),
        ) as greedy,
    ):
        answers = [stack.enter_context(greedy.stream("GET", "/v1/events")).status_code for _ in range(80)]
        assert answers.count(200) == 32  # half of the 64 is for one caller
        assert set(answers) == {200, 503}
        assert target.get("/healthz")["status"] == "ok"

    def served() -> bool:
        with target.client.stream("GET", "/v1/events") as answer:
            return answer.status_code == 200

    until(served, "the places were not given back", 10)


def test_body_beyond_the_limit_and_lengths_that_lie(target: RunningZone) -> None:
    assert target.client.post("/v1/lake/sql", content=b" " * 1_100_000).status_code == 413
    endless = (b" " * 65536 for _ in range(1000))
    with suppress(httpx.TransportError):
        assert target.client.post("/v1/lake/sql", content=endless).status_code == 413
    deep = b'{"sql": ' + b"[" * 100_000 + b"}"
    assert (
        target.client.post("/v1/lake/sql", content=deep, headers={"content-type": "application/json"}).status_code
        == 400
    )


def test_slow_head_silence_and_line_breaks_are_given_up(target: RunningZone) -> None:
    head = f"GET /healthz HTTP/1.1\r\nHost: {target.file.api_host}\r\n".encode()
    refused = f"POST /v1/lake/sql HTTP/1.1\r\nHost: {target.file.api_host}\r\ncontent-length: 1000000\r\n\r\n".encode()
    with ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection((target.file.api_host, target.file.api), 5)) for _ in range(4)
        ]
        drip, answered, body, _silent = lines
        drip.sendall(head)
        answered.sendall(head + b"\r\n")
        body.sendall(refused)
        assert b" 200 " in answered.recv(65536)
        assert b" 401 " in body.recv(65536)
        began = time.monotonic()
        while time.monotonic() - began < 13:
            for line, dripped in ((drip, b"x: y\r\n"), (answered, b"\r\n"), (body, b" ")):
                with suppress(OSError):
                    line.sendall(dripped)
            time.sleep(0.5)
        assert all(map(hung_up, lines))
    assert target.client.get("/healthz").status_code == 200


def test_slow_body_is_given_up(target: RunningZone) -> None:
    began = time.monotonic()
    head = f"POST /v1/lake/sql HTTP/1.1\r\nHost: {target.file.api_host}\r\nAuthorization: Bearer {target.token}\r\n"
    with socket.create_connection((target.file.api_host, target.file.api), 5) as line:
        line.sendall(f"{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n".encode())
        for _ in range(18):
            line.sendall(b" ")
            time.sleep(0.5)
        assert b" 408 " in line.recv(65536).split(b"\r\n")[0]
    assert time.monotonic() - began < 15


def test_head_without_end_is_cut_off(target: RunningZone) -> None:
    sent = 0
    with socket.create_connection((target.file.api_host, target.file.api), 5) as line, suppress(OSError):
        line.sendall(b"GET /healthz HTTP/1.1\r\n")
        while sent < 20_000_000:
            line.sendall(b"x-endless: " + b"y" * 8000 + b"\r\n")
            sent += 8013
    assert sent < 20_000_000


@pytest.mark.parametrize("id_", ["' OR 1=1 --", "%00", "..%2fstatus", "*", "a" * 5000, "%F0%9F%9A%97"])
def test_id_that_is_no_id(target: RunningZone, id_: str) -> None:
    for path in (f"/v1/vehicles/{id_}", f"/v1/vehicles/{id_}/signals", f"/v1/quarantine/{id_}"):
        answer = target.client.get(path)
        assert answer.status_code in (400, 404), (path, answer.text)
