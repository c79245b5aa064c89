"""Another zone that lies to one which takes in its flow: nothing of it gets in, and no token gets out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from carcloud.backends.records import Certificate, Records
from carcloud.errors import ConflictError, InputError, NotAllowedError, TryLaterError
from carcloud.gateway.enrolment import Endpoints, renew
from carcloud.gateway.gate import Gate
from carcloud.safety.flows import reader as rooms
from carcloud.safety.flows.flow import parse
from carcloud.safety.flows.reader import SCHEMA, FlowReader, NonsenseError, RefusedError
from carcloud.safety.identity import Authority
from carcloud.vehicle.life import ACTS
from tests.other_zone import Answer, OtherZone, arrow, other_zone, page, refusal, row

ROWS = [row("a" * 32, second, 1.5) for second in range(3)]
HEADERS = {"x-carcloud-next": "p1", "x-carcloud-more": "false"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[OtherZone, str]]:
    with other_zone() as made:
        yield made


def ask(served: tuple[OtherZone, str], answer: Answer | None = None, limit: int = 100) -> rooms.Page:
    zone, url = served
    zone.say = None if answer is None else lambda _: answer
    with contextlib.closing(FlowReader(url, "research", zone.token)) as reader:
        return reader.page({"limit": limit})


@pytest.mark.parametrize(
    "answer",
    [
        (200, HEADERS, b"<html>"),
        (200, HEADERS, b""),
        (200, HEADERS, arrow(ROWS)[:-200]),
        (200, HEADERS, arrow(ROWS, compression="zstd")),
        (200, HEADERS, arrow(ROWS, units=[1])),
        (200, HEADERS, arrow(ROWS, units={"Vehicle.Speed": 5})),
        (200, HEADERS, arrow(ROWS, schema=SCHEMA.remove(5))),
        (200, HEADERS, arrow([(*ROWS[0][:3], "1", None, "x")], schema=SCHEMA.set(3, pa.field("value", pa.string())))),  # type: ignore[list-item]
        (200, HEADERS, arrow([(None, *ROWS[0][1:])])),  # type: ignore[list-item]
        page(ROWS * 50, "p1"),
        page(ROWS, "no place"),
        page(ROWS, ""),
        (200, HEADERS | {"x-carcloud-more": "perhaps"}, arrow(ROWS)),
        (302, {"location": "http://169.254.169.254/"}, b""),
        (404, {}, b"nothing here"),
        (403, {}, orjson.dumps({"error": {"code": 1, "message": None, "do": []}})),
    ],
)
def test_what_is_no_page_is_nonsense(served: tuple[OtherZone, str], answer: Answer) -> None:
    with pytest.raises(NonsenseError):
        ask(served, answer)


def test_a_flatbuffer_that_points_nowhere_is_nonsense(served: tuple[OtherZone, str]) -> None:
    good = arrow(ROWS)
    for at in range(0, len(good), 31):
        spoilt = bytearray(good)
        spoilt[at] ^= 0xFF
        with contextlib.suppress(NonsenseError):
            assert ask(served, (200, HEADERS, bytes(spoilt))).rows.num_rows <= 100


def test_a_refusal_is_told_as_the_zone_said_it_and_cut_short(served: tuple[OtherZone, str]) -> None:
    with pytest.raises(RefusedError) as refused:
        ask(served, refusal(403, "export_stopped", "Stopped.\x1b[2J" + "x" * 5000))
    assert refused.value.message.startswith("Stopped.[2J")
    assert len(refused.value.message) <= rooms.LIMIT_SAID
    for answer in (refusal(409, "try_later", "Later."), refusal(503, "starting", "Starting."), (500, {}, b"")):
        with pytest.raises(TryLaterError):
            ask(served, answer)


def test_an_answer_without_end_is_not_read(served: tuple[OtherZone, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LIMIT_ANSWER_BYTES", 1000)
    with pytest.raises(NonsenseError):
        ask(served, (200, HEADERS, bytes(1_000_000)))


@pytest.mark.parametrize(
    "url", ["http://zone.example", "ftp://localhost", "https://me:secret@zone.example", "https://", "x"]
)
def test_no_token_goes_to_an_address_that_is_not_safe(url: str) -> None:
    with pytest.raises(InputError):
        FlowReader(url, "f", "t")
    with pytest.raises(InputError, match="not safely"):
        parse(f'replicas: {{a: {{from: "{url}", flow: f, token_file: t}}}}', "tests")


def test_car_of_another_zone_comes_in_with_no_certificate_whatever(tmp_path: Path) -> None:
    records, authority, now = Records.open(f"sqlite:///{tmp_path}/records.db"), Authority(tmp_path), datetime.now(UTC)
    (vehicle,) = records.replicas.take("from-cn", {"a" * 32}, "default", now).values()
    made = authority.issue_vehicle(vehicle, "default")  # of the zone's own authority, as by a stolen key
    gate = Gate(records)
    with pytest.raises(NotAllowedError):
        gate.admit(made.chain)
    serial = made.serial
    records.add_certificate(Certificate(serial, vehicle, now, now + timedelta(days=1)))
    gate.forget(vehicle)
    with pytest.raises(NotAllowedError):
        Gate(records).admit(made.chain)
    with pytest.raises(ConflictError):
        renew(records, authority, vehicle, Endpoints("localhost", 1, "https://localhost:1"))
    for act in ACTS:
        with pytest.raises(ConflictError):
            records.life.change(vehicle, act, now)
    records.close()
