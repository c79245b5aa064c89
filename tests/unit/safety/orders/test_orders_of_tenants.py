"""Orders of two tenants of one zone: what is of one counts nothing with the other's cars."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from carcloud.errors import ConflictError, NotAllowedError
from carcloud.safety.identity import Authority
from carcloud.safety.orders.authorisation import draft, sign
from carcloud.safety.orders.keys import OrderKeys, certify, orders_folder
from carcloud.safety.orders.people import People
from carcloud.safety.orders.server import OrderSigners
from carcloud.vehicle.order import Fault, Refused, SessionInfo, SessionRequest
from tests.unit.safety.orders.pair import Body, Clock, Pair

ACCESS = 1


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, Pair]:
    """Give two tenants under one root, each with a registered person."""
    authority, clock = Authority(tmp_path / "keys"), Clock()
    ours, theirs = (Pair(tmp_path / name, clock, name, authority) for name in ("ours", "theirs"))
    ours.person("ada", "fleet")
    theirs.person("bob", "fleet")
    return ours, theirs


def test_each_tenants_people_order_its_own_cars(pairs: tuple[Pair, Pair]) -> None:
    for pair, name in zip(pairs, ("ada", "bob"), strict=True):
        body = Body()
        car = pair.car("a1", body)
        pair.handshake("a1", car, ACCESS)
        said = pair.tell("a1", car, pair.signed("a1", *pair.authorise(name, "lock", "a1")).encode())
        assert said[-1] == ("done", None)
        assert body.done == [("lock", {})]


def test_order_signer_of_one_tenant_opens_no_session_with_anothers_car(pairs: tuple[Pair, Pair]) -> None:
    ours, theirs = pairs
    car = theirs.car("b2", Body())
    asked = ours.signer.begin("b2", ACCESS, "fleet")
    (answer,) = car.hear(asked)
    assert Refused.decode(answer).fault == Fault.ROLE
    true = theirs.signer.begin("b2", ACCESS, "fleet")
    (info,) = car.hear(true)
    with pytest.raises(NotAllowedError, match="no session"):
        ours.signer.open("b2", info)
    challenge = SessionRequest.decode(asked).challenge
    moved = SessionInfo.decode(info)
    ours.signer._challenges[moved.challenge] = ("b2", ACCESS, "fleet"), ours.clock()
    with pytest.raises(NotAllowedError, match="another car"):
        ours.signer.open("b2", info)
    assert challenge != moved.challenge


def test_authority_of_one_tenant_certifies_no_role_of_another(pairs: tuple[Pair, Pair]) -> None:
    ours, theirs = pairs
    forger = OrderKeys(ours.folder / "orders")
    forger.tenant = "theirs"  # whoever holds a tenant's authority can write any name into a role's certificate
    request = SessionRequest.decode(ours.signer.begin("b2", ACCESS, "fleet"))
    leaf = forger._issue("fleet", forger.key("fleet"))
    asked = SessionRequest(ACCESS, "fleet", request.challenge, leaf.public_bytes(Encoding.DER), forger.authority)
    (answer,) = theirs.car("b2", Body()).hear(asked.encode())
    assert Refused.decode(answer).fault == Fault.ROLE
    own = SessionRequest(ACCESS, "fleet", request.challenge, leaf.public_bytes(Encoding.DER), _authority(theirs))
    (answer,) = theirs.car("b2", Body()).hear(own.encode())
    assert Refused.decode(answer).fault == Fault.ROLE


def _authority(pair: Pair) -> bytes:
    return OrderKeys(pair.folder / "orders").authority


def test_person_of_one_tenant_orders_nothing_of_another(pairs: tuple[Pair, Pair]) -> None:
    ours, theirs = pairs
    signers = OrderSigners([ours.signer, theirs.signer])
    now = int(ours.clock())
    named = draft("theirs", ["b2"], "unlock", {}, "fleet", now, now + 60)
    signatures = [sign(ours.keys["ada"], named)]
    with pytest.raises(NotAllowedError, match="does not know"):
        signers.of("theirs").check(named, signatures)
    with pytest.raises(NotAllowedError, match="another tenant"):
        signers.of("ours").check(named, signatures)
    own = ours.authorise("ada", "unlock", "b2")
    assert signers.of("ours").sign("b2", *own) is None, "it names a car of ours, as which theirs never proves itself"
    with pytest.raises(NotAllowedError, match="another tenant"):
        signers.of("theirs").sign("b2", *own)


def test_removing_a_person_or_using_a_nonce_of_one_tenant_touches_no_other(pairs: tuple[Pair, Pair]) -> None:
    ours, theirs = pairs
    shared = ours.keys["ada"]
    theirs.people.add("ada", shared.public_key(), ["fleet"], (), "given")
    text, signatures = ours.authorise("ada", "lock", "a1")
    ours.signer.sign("a1", text, signatures)
    theirs.signer.sign("a1", there := text.replace(b'"ours"', b'"theirs"'), [sign(shared, there)])
    ours.people.remove("ada")
    with pytest.raises(NotAllowedError):
        ours.signer.check(text, signatures)
    theirs.signer.check(there, [sign(shared, there)])


def test_folder_is_of_one_tenant_for_ever(pairs: tuple[Pair, Pair]) -> None:
    ours, _ = pairs
    with pytest.raises(ConflictError, match="ours"):
        certify(ours.folder / "orders", ours.authority, "theirs")
    with pytest.raises(ConflictError, match="Two folders"):
        OrderSigners([ours.signer, ours.new_signer()])


def test_order_signer_of_a_new_tenant_is_found_when_it_is_asked_for(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    authority = Authority(keys)
    signers = OrderSigners([], lambda tenant: orders_folder(keys, tenant, "default"))
    for name in ("acme", "../../keys", "", "default"):
        with pytest.raises(NotAllowedError, match="no keys for tenant"):
            signers.of(name)
    certify(orders_folder(keys, "acme", "default"), authority, "acme")
    assert signers.of("acme").keys.tenant == "acme"
    assert orders_folder(keys, "default", "default") == keys / "orders"
    People(keys / "tenants" / "acme" / "orders").pair("eva", ["fleet"], ())
    (keys / "tenants" / "acme").rename(keys / "tenants" / "other")
    with pytest.raises(NotAllowedError, match="no keys for tenant"):
        signers.of("other")
    signers.close()
