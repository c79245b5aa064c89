"""Giving an order: through the order signer's socket into real records, and what is noted of it."""

from __future__ import annotations

import asyncio
import base64
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.audit import pending
from carcloud.backends.records.orders import Order
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.gateway.outbox import give
from carcloud.safety.grants.reach import Part, Reach
from carcloud.safety.orders.authorisation import Signature
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.frames import LIMIT_REQUEST_BYTES
from carcloud.safety.orders.people import pairing_proof
from carcloud.safety.orders.server import OrderServer, OrderSigners
from carcloud.safety.orders.session import point
from carcloud.vehicle.commands import CarState
from tests.unit.safety.orders.pair import Clock, Pair

CARS = ("a1", "b2")


class Desk:
    """Records, an order signer behind its socket, and what the cloud knows of the cars."""

    def __init__(self, folder: Path) -> None:
        self.pair, self.clock = Pair(folder, Clock()), Clock()
        self.pair.person("ada", "fleet")
        self.records = Records.open(f"sqlite:///{folder}/records.db")
        for car in CARS:
            self.records.add_vehicle(Vehicle(car, "default", f"{car:0>17}", None, "active", datetime.now(UTC)))
        self.place = Path(tempfile.mkdtemp()) / "s"  # the path of a socket must be short
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.place))
        self.server = OrderServer(OrderSigners([self.pair.signer]), listener)
        self.server.start()
        self.client = OrderSignerClient(lambda: self.place)
        self.signer = self.client.of("default")
        self.states: dict[str, CarState] = {}

    async def look(self, vehicle: str) -> CarState:
        return self.states.get(vehicle, CarState())

    def give(
        self,
        text: bytes,
        signatures: list[Signature],
        tenant: str = "default",
        parts: tuple[Part, ...] | None = None,
    ) -> list[Order]:
        said = text.decode(), as_sent(signatures)
        return asyncio.run(give(self.records, self.client, self.look, *said, Reach(tenant, parts), "person:p1"))

    def noted(self) -> list[tuple[str, str, str, str]]:
        rows = self.records.rows(select(pending.c.actor, pending.c.action, pending.c.object, pending.c.outcome))
        return [(row[0], row[1], row[2], row[3]) for row in rows if row[1] == "sendOrder"]


def as_sent(signatures: list[Signature]) -> list[dict[str, str]]:
    return [{"key": one.key, "signature": base64.b64encode(one.value).decode()} for one in signatures]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.client.close()
    made.server.close()
    made.records.close()


def test_one_authorisation_queues_an_order_for_each_car_once(desk: Desk) -> None:
    given = desk.pair.authorise("ada", "climate-temperature", *CARS, temperature_c=21.5)
    queued = desk.give(*given)
    assert [(one.vehicle, one.state, orjson.loads(one.parameters)) for one in queued] == [
        (car, "queued", {"temperature_c": 21.5}) for car in CARS
    ]
    assert desk.give(*given) == queued
    assert desk.noted() == [("person:p1", "sendOrder", f"order:{one.id}", "done") for one in queued]


def test_what_is_denied_is_noted_and_not_queued(desk: Desk) -> None:
    desk.states["a1"] = CarState(speed_kmh=60.0)
    with pytest.raises(NotAllowedError, match="moves"):
        desk.give(*desk.pair.authorise("ada", "unlock", "a1"))
    text, _ = desk.pair.authorise("ada", "lock", "a1")
    with pytest.raises(NotAllowedError, match="not know"):
        desk.give(text, [Signature("0" * 16, bytes(64))])
    with pytest.raises(MissingError):
        desk.give(*desk.pair.authorise("ada", "lock", "c3"))
    with pytest.raises(MissingError):
        desk.give(*desk.pair.authorise("ada", "lock", "a1"), tenant="other")
    assert [row[3] for row in desk.noted()] == ["denied"] * 4
    assert desk.records.orders.listed("default") == []


def test_a_plan_goes_to_cars_while_it_is_kept_not_withdrawn_and_not_over(desk: Desk) -> None:
    until = datetime(2099, 1, 1, tzinfo=UTC)
    plan = KeptPlan("default", "steering", 1, "a" * 64, b"{}", until, "person:p1", datetime.now(UTC))
    desk.records.plans.add(plan, replace(plan, version=2, digest="b" * 64, until=datetime(2026, 1, 1, tzinfo=UTC)))
    with pytest.raises(MissingError, match="No such plan"):
        desk.give(*desk.pair.authorise("ada", "plan-take", "a1", plan="c" * 64))
    with pytest.raises(ConflictError, match="time is over"):
        desk.give(*desk.pair.authorise("ada", "plan-take", "a1", plan="b" * 64))
    (queued,) = desk.give(*desk.pair.authorise("ada", "plan-take", "a1", plan="a" * 64))
    assert orjson.loads(queued.parameters) == {"plan": "a" * 64}
    desk.records.plans.withdraw("default", "steering", 1, "person:p1", datetime.now(UTC))
    with pytest.raises(ConflictError, match="withdrawn"):
        desk.give(*desk.pair.authorise("ada", "plan-take", "a1", plan="a" * 64))
    (queued,) = desk.give(*desk.pair.authorise("ada", "plan-drop", "a1", plan="a" * 64))
    assert queued.command == "plan-drop"


def test_suspended_tenant_and_one_without_keys_give_no_orders(desk: Desk) -> None:
    given = desk.pair.authorise("ada", "lock", "a1")
    desk.records.add_vehicle(Vehicle("o1", "other", f"{'o1':0>17}", None, "active", datetime.now(UTC)))
    with pytest.raises(NotAllowedError, match="no keys for tenant"):
        desk.give(*desk.pair.authorise("ada", "lock", "o1"), tenant="other")
    desk.records.tenants.ensure("default", datetime.now(UTC))
    desk.records.tenants.set_state("default", "suspended")
    with pytest.raises(NotAllowedError, match="suspended"):
        desk.give(*given)
    desk.records.tenants.set_state("default", "active")
    assert [one.state for one in desk.give(*given)] == ["queued"]
    assert [row[3] for row in desk.noted()] == ["denied", "denied", "done"]


def test_who_reaches_by_grants_orders_granted_commands_of_granted_cars_only(desk: Desk) -> None:
    parts = (Part("a1", {}, frozenset({"lock"})), Part("b2", {}, frozenset()))
    (queued,) = desk.give(*desk.pair.authorise("ada", "lock", "a1"), parts=parts)
    assert queued.command == "lock"
    for wanted in (("unlock", "a1"), ("lock", "b2"), ("lock", "a1", "b2")):
        with pytest.raises(NotAllowedError, match="No grant"):
            desk.give(*desk.pair.authorise("ada", *wanted), parts=parts)
    with pytest.raises(MissingError):
        desk.give(*desk.pair.authorise("ada", "lock", "b2"), parts=parts[:1])
    assert [row[3] for row in desk.noted()] == ["done", *["denied"] * 4]


def test_text_that_is_none_is_no_authorisation(desk: Desk) -> None:
    work = give(desk.records, desk.client, desk.look, "\ud800", as_sent([]), Reach("default"), "person:p1")
    with pytest.raises(InputError, match="no authorisation"):
        asyncio.run(work)


def test_car_that_is_not_active_takes_no_orders(desk: Desk) -> None:
    desk.records.add_vehicle(Vehicle("q9", "default", "0" * 15 + "q9", None, "quarantined", datetime.now(UTC)))
    with pytest.raises(ConflictError, match="quarantined"):
        desk.give(*desk.pair.authorise("ada", "lock", "q9"))


def test_more_than_ten_cars_need_two_signatures_here_too(desk: Desk) -> None:
    cars = [f"m{number:02}" for number in range(11)]
    for car in cars:
        desk.records.add_vehicle(Vehicle(car, "default", f"{car:0>17}", None, "active", datetime.now(UTC)))
    text, signatures = desk.pair.authorise("ada", "lock", *cars)
    with pytest.raises(NotAllowedError, match="two people"):
        desk.give(text, signatures)
    desk.pair.person("bob", "fleet")
    from_both = [*signatures, desk.pair.sign("bob", text)]
    assert len(desk.give(text, from_both)) == 11


def test_order_signer_answers_rubbish_in_an_orderly_way(desk: Desk) -> None:
    for wrong in (b"", b"[]", b'{"act":"sign"}', b'{"act":"nothing"}', b'{"act":["sign"]}', b"\xff", b"[" * 5000):
        answer = orjson.loads(desk.server.answer(wrong))
        assert answer["error"]["code"] == "input"
    for act in ("open", "result", "pair", "begin", "forget", "sign", "check"):
        request = {"act": act, "vehicle": 1, "domain": "x", "role": [], "message": "=", "text": {}, "signatures": 3}
        assert "error" in orjson.loads(desk.server.answer(orjson.dumps(request)))
    with pytest.raises(InputError, match="too much"):
        desk.signer.check("x" * LIMIT_REQUEST_BYTES, [])
    with pytest.raises(InputError):
        desk.signer.begin("a1", 9, "fleet")


def test_client_finds_a_restarted_order_signer_and_says_when_there_is_none(desk: Desk) -> None:
    assert [one["name"] for one in desk.signer.people()] == ["ada"]
    desk.server.close()
    with pytest.raises(TryLaterError):
        OrderSignerClient(lambda: desk.place).of("default").people()
    desk.place.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(desk.place))
    desk.server = OrderServer(OrderSigners([desk.pair.new_signer()]), listener)
    desk.server.start()
    assert OrderSignerClient(lambda: desk.place).of("default").check(*_given(desk)) == ["ada"]


def _given(desk: Desk) -> tuple[str, list[dict[str, str]]]:
    text, signatures = desk.pair.authorise("ada", "lock", "a1")
    return text.decode(), as_sent(signatures)


def test_browser_is_paired_through_the_socket(desk: Desk) -> None:
    code, key = desk.pair.people.pair("mia", ["fleet"], []), ec.generate_private_key(ec.SECP256R1())
    own = point(key.public_key())
    sent = base64.b64encode(own).decode()
    with pytest.raises(CarcloudError):
        desk.signer.pair("../mia", sent, base64.b64encode(bytes(32)).decode())
    paired = desk.signer.pair("mia", sent, base64.b64encode(pairing_proof(code, "mia", own)).decode())
    assert paired["roles"] == ["fleet"]
    assert {one["label"] for one in desk.signer.people()} == {"given", "browser"}
