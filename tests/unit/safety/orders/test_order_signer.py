"""The order signer and a car, face to face: what is done, and what neither can be made to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.onboard.journal import KEEP_S, LIMIT_ORDERS, Journal
from carcloud.safety.orders.authorisation import draft, sign
from carcloud.safety.orders.certificates import ORDER_PURPOSE
from carcloud.safety.orders.ledger import Finished
from carcloud.safety.orders.people import TRIES, People, pairing_proof
from carcloud.safety.orders.session import point, seal_order
from carcloud.safety.orders.signer import LIMIT_ALONE, SESSION_LIFE_S, SIGNED_LIFE_S
from carcloud.vehicle.commands import CarState, Domain
from carcloud.vehicle.order import Fault, Refused, SessionRequest, SignedOrder
from tests.unit.safety.orders.pair import Body, Clock, Pair

ACCESS = int(Domain.ACCESS)
DONE = [("accepted", None), ("done", None)]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = Pair(tmp_path, Clock())
    made.person("ada", "fleet")
    return made


def faults(answers: list[bytes]) -> list[Fault]:
    return [Fault(Refused.decode(answer).fault) for answer in answers]


def test_order_is_authorised_signed_carried_out_and_its_result_believed(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    authorised = pair.authorise("ada", "climate-temperature", "a1", temperature_c=21.5)
    assert pair.signer.sign("a1", *authorised) is None, "a session is needed first"
    pair.handshake("a1", car, Domain.COMFORT)
    assert pair.tell("a1", car, pair.signed("a1", *authorised).encode()) == DONE
    assert body.done == [("climate-temperature", {"temperature_c": 21.5})]
    assert pair.signer.sign("a1", *authorised) == Finished("done", None)


def test_order_offered_again_is_answered_from_the_journal_also_after_a_reboot(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    authorised = pair.authorise("ada", "unlock", "a1")
    pair.handshake("a1", car, ACCESS)
    pair.signer.sign("a1", *authorised)  # its result is lost on the way
    first, second = pair.signed("a1", *authorised), pair.signed("a1", *authorised)
    assert len(list(car.hear(first.encode()))) == 2
    assert len(list(car.hear(second.encode()))) == 1
    car.close()
    car = pair.car("a1", body)
    assert faults(list(car.hear(pair.signed("a1", *authorised).encode()))) == [Fault.SESSION]
    pair.handshake("a1", car, ACCESS)
    assert pair.tell("a1", car, pair.signed("a1", *authorised).encode()) == [("done", None)]
    assert body.done == [("unlock", {})]


def test_car_killed_in_mid_order_says_that_nobody_knows_and_does_not_act_again(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    authorised = pair.authorise("ada", "unlock", "a1")
    pair.handshake("a1", car, ACCESS)
    answers = car.hear(pair.signed("a1", *authorised).encode())
    assert pair.signer.result("a1", next(answers)).state == "accepted"
    car.close()  # killed before it acted
    car = pair.car("a1", body)
    pair.handshake("a1", car, ACCESS)
    assert pair.tell("a1", car, pair.signed("a1", *authorised).encode()) == [("failed", "interrupted")]
    assert body.done == []


def test_replayed_counter_old_epoch_and_expired_order_change_nothing(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    pair.handshake("a1", car, ACCESS)
    one = pair.signed("a1", *pair.authorise("ada", "unlock", "a1")).encode()
    late = pair.signed("a1", *pair.authorise("ada", "lock", "a1")).encode()
    held = pair.signed("a1", *pair.authorise("ada", "lock", "a1")).encode()
    assert len(list(car.hear(one))) == 2
    assert faults(list(car.hear(one))) == [Fault.COUNTER]
    pair.clock.now += SIGNED_LIFE_S + 1
    assert faults(list(car.hear(late))) == [Fault.EXPIRED]
    pair.clock.now -= SIGNED_LIFE_S + 1
    car.close()
    car = pair.car("a1", body)
    pair.handshake("a1", car, ACCESS)
    assert faults(list(car.hear(held))) == [Fault.EPOCH]
    assert body.done == [("unlock", {})]


def test_every_flipped_bit_of_an_order_is_refused(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    pair.handshake("a1", car, ACCESS)
    message = pair.signed("a1", *pair.authorise("ada", "unlock", "a1")).encode()
    for bit in range(8 * len(message)):
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        for answer in car.hear(bytes(flipped)):
            assert Refused.decode(answer).fault != Fault.NONE
    assert body.done == []
    assert pair.tell("a1", car, message) == DONE, "the true one still counts"


def test_every_flipped_bit_of_a_result_is_refused(pair: Pair) -> None:
    car = pair.car("a1", Body())
    pair.handshake("a1", car, ACCESS)
    authorised = pair.authorise("ada", "unlock", "a1")
    _, result = car.hear(pair.signed("a1", *authorised).encode())
    for bit in range(8 * len(result)):
        flipped = bytearray(result)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((NotAllowedError, MissingError)):
            pair.signer.result("a1", bytes(flipped))
    assert pair.signer.result("a1", result).state == "done"


def test_every_flipped_bit_of_session_information_is_refused(pair: Pair) -> None:
    car = pair.car("a1", Body())
    request = pair.signer.begin("a1", ACCESS, "fleet")
    (info,) = car.hear(request)
    challenges = dict(pair.signer._challenges)
    for bit in range(0, 8 * len(info), 5):
        flipped = bytearray(info)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotAllowedError):
            pair.signer.open("a1", bytes(flipped))
        pair.signer._challenges.update(challenges)
    pair.signer.open("a1", info)
    with pytest.raises(NotAllowedError):
        pair.signer.open("a1", info)


def test_order_and_result_are_for_one_car_only(pair: Pair) -> None:
    bodies = Body(), Body()
    cars = pair.car("a1", bodies[0]), pair.car("b2", bodies[1])
    pair.handshake("a1", cars[0], ACCESS)
    pair.handshake("b2", cars[1], ACCESS)
    authorised = pair.authorise("ada", "unlock", "a1")
    with pytest.raises(NotAllowedError, match="does not name this car"):
        pair.signer.sign("b2", *authorised)
    made = pair.signed("a1", *authorised)
    assert faults(list(cars[1].hear(made.encode()))) == [Fault.EPOCH]
    assert faults(list(cars[1].hear(replace(made, epoch=cars[1].epoch).encode()))) == [Fault.SEAL]
    _, result = cars[0].hear(made.encode())
    with pytest.raises(NotAllowedError):
        pair.signer.result("b2", result)
    assert bodies[1].done == []


def test_session_of_another_role_domain_or_certificate_is_refused(pair: Pair) -> None:
    car = pair.car("a1", Body())
    true = SessionRequest.decode(pair.signer.begin("a1", ACCESS, "fleet"))
    assert faults(list(car.hear(replace(true, role="owner").encode()))) == [Fault.ROLE]

    chain = x509.load_pem_x509_certificates((pair.folder / "cars" / "a1" / "vehicle.pem").read_bytes())
    leaf, issuer = (one.public_bytes(Encoding.DER) for one in chain)
    assert faults(list(car.hear(replace(true, certificate=leaf, authority=issuer).encode()))) == [Fault.ROLE]
    assert faults(list(car.hear(replace(true, authority=issuer).encode()))) == [Fault.ROLE]
    stranger = Pair(pair.folder / "stranger", pair.clock)
    assert faults(list(car.hear(stranger.signer.begin("a1", ACCESS, "fleet")))) == [Fault.ROLE]


def test_vehicle_and_server_authorities_cannot_stand_in_for_the_authority_of_orders(pair: Pair) -> None:

    car, key = pair.car("a1", Body()), ec.generate_private_key(ec.SECP256R1())
    for name in ("vehicle-ca", "server-ca"):
        uri = [x509.UniformResourceIdentifier("spiffe://default/order/fleet")]
        leaf = pair.authority._leaf("order fleet", key.public_key(), name, uri, ORDER_PURPOSE, timedelta(days=1))
        issuer = pair.authority._load(name)[0]
        asked = SessionRequest(
            ACCESS, "fleet", bytes(16), leaf.public_bytes(Encoding.DER), issuer.public_bytes(Encoding.DER)
        )
        assert faults(list(car.hear(asked.encode()))) == [Fault.ROLE]


def test_expired_role_certificate_is_refused_by_the_cars_clock(pair: Pair) -> None:
    car = pair.car("a1", Body())
    request = pair.signer.begin("a1", ACCESS, "fleet")
    pair.clock.now += 200 * 24 * 3600
    assert faults(list(car.hear(request))) == [Fault.ROLE]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda pair: pair.authorise("ada", "unlock", "a1", role="owner"), "not registered as owner"),
        (lambda pair: pair.authorise("eve", "unlock", "a1"), "does not know"),
        (lambda pair: pair.authorise("bob", "unlock", "a1", role="operator"), "may not order unlock"),
        (lambda pair: pair.authorise("own", "unlock", "a1", role="owner"), "not registered for this car"),
    ],
)
def test_what_no_registered_person_may_order_is_not_signed(
    pair: Pair, change: Callable[[Pair], tuple[bytes, list]], reason: str
) -> None:
    pair.person("bob", "operator")
    pair.person("own", "owner", vehicles=("b2",))
    pair.keys["eve"] = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(NotAllowedError, match=reason):
        pair.signer.sign("a1", *change(pair))


def test_changed_text_expired_authorisation_and_a_foreign_tenant_are_refused(pair: Pair) -> None:
    text, signatures = pair.authorise("ada", "lock", "a1")
    with pytest.raises(NotAllowedError, match="not the key's"):
        pair.signer.sign("a1", text.replace(b'"lock"', b'"unlock"'), signatures)
    with pytest.raises(InputError, match="canonical"):
        pair.signer.sign("a1", text.replace(b":", b": ", 1), signatures)
    foreign = draft("other", ["a1"], "lock", {}, "fleet", int(pair.clock()), int(pair.clock()) + 60)
    with pytest.raises(NotAllowedError, match="another tenant"):
        pair.signer.sign("a1", foreign, [sign(pair.keys["ada"], foreign)])
    pair.clock.now += 601
    with pytest.raises(NotAllowedError, match="expired"):
        pair.signer.sign("a1", text, signatures)


def test_nonce_serves_one_authorisation(pair: Pair) -> None:
    text, signatures = pair.authorise("ada", "lock", "a1")
    pair.signer.sign("a1", text, signatures)
    again = text.replace(b'"lock"', b'"unlock"')

    with pytest.raises(ConflictError, match="nonce"):
        pair.signer.sign("a1", again, [sign(pair.keys["ada"], again)])
    assert pair.signer.sign("a1", text, signatures) is None


def test_more_than_ten_cars_within_an_hour_need_two_people(pair: Pair) -> None:
    pair.person("bob", "fleet")
    cars = [f"c{number}" for number in range(LIMIT_ALONE + 1)]
    text, signatures = pair.authorise("ada", "lock", *cars)
    with pytest.raises(NotAllowedError, match="two people"):
        pair.signer.check(text, signatures)
    with pytest.raises(NotAllowedError, match="two people"):
        pair.signer.check(text, [*signatures, *signatures])
    pair.signer.check(text, [*signatures, sign(pair.keys["bob"], text)])
    for car in cars[:-1]:
        pair.signer.sign(car, *pair.authorise("ada", "lock", car))
    with pytest.raises(NotAllowedError, match="two people"):
        pair.signer.sign(cars[-1], *pair.authorise("ada", "lock", cars[-1]))
    pair.signer.sign(cars[0], *pair.authorise("ada", "lock", cars[0]))
    pair.clock.now += 3601
    pair.signer.sign(cars[-1], *pair.authorise("ada", "lock", cars[-1]))


def test_interlock_of_the_car_holds_whatever_the_cloud_signs(pair: Pair) -> None:
    body = Body(CarState(speed_kmh=60.0))
    car = pair.car("a1", body)
    pair.handshake("a1", car, ACCESS)
    order = pair.signed("a1", *pair.authorise("ada", "unlock", "a1"))
    assert pair.tell("a1", car, order.encode()) == [("rejected", "moving")]
    assert body.done == []


def test_car_holds_role_domain_and_bounds_even_against_its_own_order_signer(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    pair.handshake("a1", car, Domain.COMFORT)
    session = pair.signer._sessions["a1", int(Domain.COMFORT), "fleet"]
    for number, (content, reason) in enumerate(
        [
            (b'{"command":"unlock","expires_at":1900000000,"parameters":{}}', "not_allowed"),
            (
                b'{"command":"climate-temperature","expires_at":1900000000,"parameters":{"temperature_c":99}}',
                "malformed",
            ),
            (b'{"command":"explode","expires_at":1900000000,"parameters":{}}', "malformed"),
            (b"[]", "malformed"),
        ],
        1,
    ):
        order = seal_order(
            session.key, "a1", bytes([number] * 16), 2, "fleet", session.epoch, number, session.clock + 60, content
        )
        pair.signer.ledger.note_signing(order.request_hash, order.order.hex(), "a1")
        assert pair.tell("a1", car, order.encode())[-1] == ("rejected", reason)
    assert body.done == []


def test_recording_has_no_body_to_order_about_and_a_broken_one_says_so(pair: Pair) -> None:
    for vehicle, body, said in (
        ("a1", None, ("rejected", "unsupported")),
        ("b2", Body(broken=True), ("failed", "broken")),
    ):
        car = pair.car(vehicle, body)
        pair.handshake(vehicle, car, ACCESS)
        assert (
            pair.tell(vehicle, car, pair.signed(vehicle, *pair.authorise("ada", "lock", vehicle)).encode())[-1] == said
        )


def test_session_is_renewed_after_an_hour_and_after_the_signer_restarts(pair: Pair) -> None:
    car = pair.car("a1", Body())
    pair.handshake("a1", car, ACCESS)
    authorised = pair.authorise("ada", "lock", "a1", lasts_s=7200)
    assert isinstance(pair.signer.sign("a1", *authorised), SignedOrder)
    pair.clock.now += SESSION_LIFE_S + 1
    assert pair.signer.sign("a1", *authorised) is None
    pair.handshake("a1", car, ACCESS)
    made = pair.signed("a1", *authorised)
    pair.signer.ledger.close()
    pair.signer = pair.new_signer()
    answers = list(car.hear(made.encode()))
    with pytest.raises(MissingError, match="no session"):
        pair.signer.result("a1", answers[-1])
    pair.handshake("a1", car, ACCESS)
    assert pair.signer.result("a1", answers[-1]).state == "done", "what was signed before the restart is known"


def test_unsigned_order_whose_signer_never_saw_it_has_no_result(pair: Pair) -> None:
    car = pair.car("a1", Body())
    pair.handshake("a1", car, ACCESS)
    session = pair.signer._sessions["a1", ACCESS, "fleet"]
    content = b'{"command":"lock","expires_at":1900000000,"parameters":{}}'
    order = seal_order(session.key, "a1", bytes(16), 1, "fleet", session.epoch, 9, session.clock + 60, content)
    with pytest.raises(NotAllowedError, match="answers no order"):
        pair.tell("a1", car, order.encode())


def test_browsers_key_is_paired_once_by_its_code(pair: Pair) -> None:
    people, key = People(pair.folder / "orders", pair.clock), ec.generate_private_key(ec.SECP256R1())
    own = point(key.public_key())
    code = people.pair("mia", ["fleet"], [])
    with pytest.raises(NotAllowedError):
        people.take_pairing("mia", own, bytes(32))
    assert people.take_pairing("mia", own, pairing_proof(code, "mia", own)).label == "browser"
    with pytest.raises(NotAllowedError):
        people.take_pairing("mia", own, pairing_proof(code, "mia", own))
    code = people.pair("tom", ["fleet"], [])
    for _ in range(TRIES):
        with pytest.raises(NotAllowedError):
            people.take_pairing("tom", own, bytes(32))
    with pytest.raises(NotAllowedError):
        people.take_pairing("tom", own, pairing_proof(code, "tom", own))
    code = people.pair("eva", ["fleet"], [])
    pair.clock.now += 601
    with pytest.raises(NotAllowedError):
        people.take_pairing("eva", own, pairing_proof(code, "eva", own))


def test_journal_that_fails_carries_nothing_out_and_ends_no_car(pair: Pair) -> None:
    body = Body()
    car = pair.car("a1", body)
    pair.handshake("a1", car, ACCESS)
    order = pair.signed("a1", *pair.authorise("ada", "unlock", "a1"))
    car.close()  # as where the disk fails
    assert list(car.hear(order.encode())) == []
    assert (body.done, car.refused) == ([], 1)


def test_damaged_journal_is_said_and_a_full_one_rejects(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"no database" * 1000)
    with pytest.raises(TryLaterError, match="journal"):
        Journal(tmp_path / "journal")
    journal = Journal(tmp_path / "other")
    rows = [(number.to_bytes(16, "big"),) for number in range(LIMIT_ORDERS)]
    journal._db.execute("begin")
    journal._db.executemany("insert into orders values (?, 1000000, null)", rows)
    journal._db.execute("commit")
    assert not journal.begin(b"x" * 16, 1_000_000, 1_000_000 + KEEP_S)
    assert journal.begin(b"x" * 16, 2_000_000, 1_000_001 + KEEP_S), "what is old is forgotten"
