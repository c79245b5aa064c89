"""Questions to the lake end when the client leaves, and tell nothing that was revoked while they waited."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from carcloud.lake.workers import WORKERS
from carcloud.safety.people.register import Register
from tests.unit.api.served import TOKEN, Zone

ENDLESS = {"sql": "SELECT count(*) FROM range(1000000000000) a, range(1000000000000) b"}


def leaving(zone: Zone) -> list[socket.socket]:
    """Return connections that each keep one of the processes busy."""
    body, where = json.dumps(ENDLESS), urlsplit(zone.url)
    head = f"POST /v1/lake/sql HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {TOKEN}\r\n"
    request = f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    lines = [socket.create_connection((where.hostname, where.port), 5) for _ in range(WORKERS)]
    for line in lines:
        line.sendall(request.encode())
    until(zone, WORKERS)
    return lines


def until(zone: Zone, asking: int) -> None:
    end = time.monotonic() + 15
    while zone.lake._places.taken != asking:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_question_of_a_client_that_left_gives_its_place_to_the_next(api: httpx.Client, zone: Zone) -> None:
    lines = leaving(zone)
    with pytest.raises(httpx.ReadTimeout):
        api.post("/v1/lake/sql", json={"sql": "SELECT 1 AS one"}, timeout=0.5)
    for line in lines:
        line.close()
    began = time.monotonic()
    answer = api.post("/v1/lake/sql", json={"sql": "SELECT 1 AS one"}, timeout=20)
    assert answer.json()["rows"] == [[1]]
    assert time.monotonic() - began < 15  # the questions themselves would go on for 30 s
    until(zone, 0)


def test_token_revoked_while_its_question_waits_is_told_nothing(zone: Zone) -> None:
    register = Register(zone.records)
    token, secret = register.make_token(None, "analysis", ["analyst"], 30, "default", None)
    asker = httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=20)
    lines = leaving(zone)
    with ThreadPoolExecutor(1) as pool, asker:
        waits = pool.submit(asker.post, "/v1/lake/sql", json={"sql": "SELECT vehicle FROM vehicles"})
        until(zone, WORKERS + 1)
        register.revoke_token(None, token.id, "default")
        for line in lines:
            line.close()
        answer = waits.result()
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "You may not ask any more, or not as before."
