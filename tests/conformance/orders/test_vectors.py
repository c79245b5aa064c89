"""What docs/orders.md says, as bytes that another program wrote: ours are the same."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.safety.orders.authorisation import PURPOSE, key_id, parse, signed
from carcloud.safety.orders.certificates import order_key_statement
from carcloud.safety.orders.people import pairing_proof
from carcloud.safety.orders.session import (
    info_holds,
    open_order,
    open_result,
    point,
    public_key,
    seal,
    session_key,
    shared,
)
from carcloud.vehicle.order import Fault, Refused, Result, SessionInfo, SessionRequest, SignedOrder, canonical, read

GIVEN = json.loads((Path(__file__).parent / "vectors.json").read_text())
VEHICLE, KEY = GIVEN["vehicle"], bytes.fromhex(GIVEN["key"])


def private(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int(GIVEN[f"{name}_private"], 16), ec.SECP256R1())


def wire(name: str) -> bytes:
    return bytes.fromhex(GIVEN[name])


def test_authorisation_its_signature_and_its_orders_id() -> None:
    text, person = GIVEN["authorisation"].encode(), private("person").public_key()
    given = parse(text)
    assert (given.digest, given.order_id(VEHICLE).hex(), key_id(person)) == (
        GIVEN["digest"],
        GIVEN["order"],
        GIVEN["key_id"],
    )
    assert signed(person, PURPOSE + text, wire("authorisation_signature"))
    assert not signed(person, PURPOSE + text + b" ", wire("authorisation_signature"))


def test_key_of_the_session() -> None:
    secret = shared(private("role"), private("car").public_key())
    assert secret.hex() == GIVEN["x"]
    assert session_key(secret, VEHICLE, GIVEN["domain"], GIVEN["role"]) == KEY


def test_session_request_and_information() -> None:
    asked, info = SessionRequest.decode(wire("session_request")), SessionInfo.decode(wire("session_information"))
    assert (asked.encode(), info.encode()) == (wire("session_request"), wire("session_information"))
    assert asked.challenge == info.challenge == wire("challenge")
    assert (info.counter, info.clock, info.point) == (41, 7200, point(private("car").public_key()))
    assert info_holds(KEY, VEHICLE, info)
    proved = order_key_statement(VEHICLE, info.point)
    assert signed(private("certificate").public_key(), proved, info.proof)
    assert public_key(info.point) == private("car").public_key()


def test_order_is_opened_and_sealed_to_the_same_bytes() -> None:
    order = SignedOrder.decode(wire("order_message"))
    assert order.covered(VEHICLE) == wire("order_metadata")
    body = open_order(KEY, VEHICLE, order)
    assert body == GIVEN["order_body"].encode() == canonical(json.loads(GIVEN["order_body"]))
    assert seal(KEY, order.nonce, body, order.covered(VEHICLE)) == (order.sealed, order.tag)
    assert order.encode() == wire("order_message")
    assert open_order(KEY, "abcdefghijklmnoq", order) is None


def test_result_is_bound_to_the_order() -> None:
    order, result = SignedOrder.decode(wire("order_message")), Result.decode(wire("result_message"))
    assert result.request_hash == order.request_hash
    assert open_result(KEY, VEHICLE, result) == GIVEN["result_body"].encode()
    assert result.encode() == wire("result_message")


def test_refusal_and_pairing() -> None:
    assert read(wire("refused")) == Refused(GIVEN["domain"], GIVEN["role"], wire("challenge"), Fault.EPOCH)
    proof = pairing_proof(GIVEN["pairing_code"], "mia", point(private("person").public_key()))
    assert proof.hex() == GIVEN["pairing_proof"]
