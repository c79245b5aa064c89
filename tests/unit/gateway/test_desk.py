import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from sqlalchemy import select

from carcloud.backends.records import Records
from carcloud.backends.records.audit import pending
from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.gateway.claims import Given, make_claim, rekey
from carcloud.gateway.desk import LIMIT_CERTIFICATES, LIMIT_NOTED, LIMIT_WRONG, WRONG_S, Desk, OverError, TooOftenError
from carcloud.gateway.enrolment import Endpoints, change
from carcloud.safety.claim import new_token, request_for, serial_hash
from carcloud.safety.identity import Authority, Issued, vehicle_identity
from tests.csr import wrong_requests

VIN = "WBA00000000000001"
HERE = "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now

    def when(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(records: Records, tmp_path: Path, endpoints: Endpoints, clock: Clock) -> Desk:
    authority = Authority(tmp_path / "keys", clock.when)

    def issue(key: bytes, vehicle: str, tenant: str) -> Issued:
        public = load_der_public_key(key)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return authority.issue_for(public, vehicle, tenant)

    return Desk(records, issue, endpoints, authority.server_trust.read_bytes(), clock)


@pytest.fixture
def given(records: Records) -> Given:
    return make_claim(records, VIN, "person:p")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def joined(desk: Desk, given: Given, **more: str) -> tuple[x509.Certificate, dict[str, Any]]:
    key = new_key()
    answer = desk.enrol(request_for(key, given.vehicle.id, given.token, **more), HERE)
    leaf = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert leaf.public_key() == key.public_key()
    return leaf, answer


def renewed(desk: Desk, leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey, name: str = "") -> x509.Certificate:
    answer = desk.renew(request_for(key, name), leaf.public_bytes(Encoding.DER), vehicle_identity(leaf))
    return x509.load_pem_x509_certificate(answer["certificate"].encode())


def noted(records: Records, action: str) -> list[Any]:
    return [row for row in records.rows(select(pending)) if row.action == action]


def test_car_that_proves_its_claim_gets_a_certificate_and_is_active(records: Records, desk: Desk, given: Given) -> None:
    assert records.vehicle(given.vehicle.id).state == "claimable"
    leaf, answer = joined(desk, given)
    assert vehicle_identity(leaf).vehicle == given.vehicle.id == answer["vehicle"]["id"]
    assert records.vehicle(given.vehicle.id).state == "active"
    assert records.standing(f"{leaf.serial_number:x}")[1].id == given.vehicle.id
    (made,), (done,) = noted(records, "makeClaim"), noted(records, "enrolVehicle")
    assert (made.actor, done.actor, done.outcome) == ("person:p", f"vehicle:{given.vehicle.id}", "done")
    assert given.token not in str(records.rows(select(pending)))


def test_a15_claim_used_twice_is_a_conflict_for_the_same_key_and_for_another(
    records: Records, desk: Desk, given: Given
) -> None:
    request = request_for(new_key(), given.vehicle.id, given.token)
    desk.enrol(request, HERE)
    for again in (request, request_for(new_key(), given.vehicle.id, given.token)):
        with pytest.raises(ConflictError, match="used already"):
            desk.enrol(again, HERE)
    assert [row.outcome for row in noted(records, "enrolVehicle")] == ["done", "denied", "denied"]


def test_claim_is_used_once_by_whoever_is_first_of_many_at_the_same_time(
    records: Records, desk: Desk, given: Given
) -> None:
    outcomes: list[str] = []

    def ask(number: int) -> None:
        try:
            desk.enrol(request_for(new_key(), given.vehicle.id, given.token), f"192.0.2.{number}")
            outcomes.append("joined")
        except ConflictError:
            outcomes.append("conflict")

    crowd = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["joined"]
    assert len(records.certificates(given.vehicle.id)) == 1


def test_claim_whose_time_is_over_or_that_was_replaced_is_gone(
    records: Records, desk: Desk, given: Given, clock: Clock
) -> None:
    newer = rekey(records, given.vehicle.id, "machine")
    with pytest.raises(OverError) as gone:
        joined(desk, given)
    assert gone.value.status == 410
    clock.now += 73 * 3600
    with pytest.raises(OverError):
        joined(desk, newer)


@pytest.mark.parametrize("token", [new_token("nobody1234567890"), None], ids=["of nobody", "of the car"])
def test_wrong_claim_tells_nothing_and_has_to_wait_after_a_few_tries(
    desk: Desk, given: Given, clock: Clock, token: str | None
) -> None:
    wrong = token or new_token(given.vehicle.id)
    for _ in range(LIMIT_WRONG):
        with pytest.raises(NotAllowedError, match="The claim is wrong"):
            desk.enrol(request_for(new_key(), wrong.partition(".")[0], wrong), HERE)
    with pytest.raises(TooOftenError) as waits:
        joined(desk, given)
    assert waits.value.status == 429
    clock.now += WRONG_S
    joined(desk, given)


def test_wrong_claims_of_one_address_do_not_keep_another_out(desk: Desk, given: Given) -> None:
    for _ in range(LIMIT_WRONG):
        with pytest.raises(InputError):
            desk.enrol(b"rubbish", "203.0.113.9")
    joined(desk, given)


def test_refusals_are_noted_but_do_not_fill_the_log(records: Records, desk: Desk) -> None:
    for number in range(LIMIT_NOTED + 20):
        with pytest.raises(InputError):
            desk.enrol(b"rubbish", f"198.51.100.{number}")
    rows = noted(records, "enrolVehicle")
    assert len(rows) == LIMIT_NOTED
    assert not any("198.51.100" in row.facts for row in rows)


@pytest.mark.parametrize("wrong", [*wrong_requests("abcdefghijklmnop")], ids=lambda case: case[0])
def test_a16_request_that_is_not_as_it_must_be_gets_nothing(
    records: Records, desk: Desk, given: Given, wrong: tuple[str, bytes]
) -> None:
    with pytest.raises(InputError):
        desk.enrol(wrong[1], HERE)
    assert records.vehicle(given.vehicle.id).state == "claimable"


def test_a16_claim_of_one_car_is_no_claim_for_another(records: Records, desk: Desk, given: Given) -> None:
    other = make_claim(records, VIN[:-1] + "2", "machine")
    with pytest.raises(NotAllowedError):
        desk.enrol(request_for(new_key(), other.vehicle.id, given.token), HERE)
    with pytest.raises(InputError, match="proves no claim"):
        desk.enrol(request_for(new_key(), given.vehicle.id), HERE)
    with pytest.raises(InputError, match="proves no claim"):
        desk.enrol(request_for(new_key(), "", given.token), HERE)


def test_claim_bound_to_a_control_unit_is_for_the_car_that_has_it(records: Records, desk: Desk) -> None:
    given = make_claim(records, VIN, "machine", serial_hash=serial_hash("ECU 7"))
    for serial in ("", "ECU 8"):
        with pytest.raises(NotAllowedError, match="control unit"):
            joined(desk, given, serial=serial)
    joined(desk, given, serial="ECU 7")


def test_certificate_is_renewed_in_its_last_third_and_not_before(
    records: Records, desk: Desk, given: Given, clock: Clock
) -> None:
    leaf, _ = joined(desk, given)
    clock.now += timedelta(days=19, hours=23).total_seconds()
    with pytest.raises(ConflictError, match=r"last third.*Ask again from 20"):
        renewed(desk, leaf, new_key())
    clock.now += 2 * 3600
    newer = renewed(desk, leaf, new_key(), given.vehicle.id)
    assert newer.serial_number != leaf.serial_number
    assert vehicle_identity(newer).vehicle == given.vehicle.id
    assert [row.actor for row in noted(records, "renewVehicle")] == [f"vehicle:{given.vehicle.id}"]


def test_renewal_wants_a_new_key_and_no_other_name(desk: Desk, given: Given, clock: Clock) -> None:
    key = new_key()
    answer = desk.enrol(request_for(key, given.vehicle.id, given.token), HERE)
    leaf = x509.load_pem_x509_certificate(answer["certificate"].encode())
    clock.now += 25 * 86400
    with pytest.raises(InputError, match="has already"):
        renewed(desk, leaf, key)
    with pytest.raises(InputError, match="another vehicle"):
        renewed(desk, leaf, new_key(), "z" * 16)


@pytest.mark.parametrize("act", ["revoke", "quarantine", "retire"])
def test_renewal_that_overtakes_the_end_of_its_certificate_records_nothing(
    records: Records, desk: Desk, given: Given, clock: Clock, act: Any
) -> None:
    leaf, _ = joined(desk, given)
    clock.now += 25 * 86400
    change(records, given.vehicle.id, act, "machine")
    with pytest.raises(ConflictError, match="does not hold"):
        renewed(desk, leaf, new_key())
    assert len(records.certificates(given.vehicle.id)) == 1


def test_car_has_few_certificates_that_hold(desk: Desk, given: Given, clock: Clock) -> None:
    leaf, _ = joined(desk, given)
    clock.now += 25 * 86400
    for _ in range(LIMIT_CERTIFICATES - 1):
        renewed(desk, leaf, new_key())
    with pytest.raises(ConflictError, match=f"has {LIMIT_CERTIFICATES} certificates"):
        renewed(desk, leaf, new_key())


def test_rekeyed_car_joins_anew_under_its_id_and_its_old_certificates_are_over(
    records: Records, desk: Desk, given: Given
) -> None:
    old, _ = joined(desk, given)
    again = rekey(records, given.vehicle.id, "person:p")
    assert again.vehicle.state == "claimable"
    assert records.standing(f"{old.serial_number:x}")[0].revoked_at is not None
    newer, _ = joined(desk, again)
    assert vehicle_identity(newer).vehicle == given.vehicle.id
    assert orjson.loads(noted(records, "rekeyVehicle")[0].facts)["certificates"] == "ended"


def test_signer_away_uses_no_claim_up(records: Records, endpoints: Endpoints, given: Given, clock: Clock) -> None:
    def away(*_: object) -> Issued:
        raise TryLaterError("away")

    desk = Desk(records, away, endpoints, b"", clock)
    with pytest.raises(TryLaterError):
        joined(desk, given)
    assert records.claims.of(given.vehicle.id)[0].used_at is None
    assert records.vehicle(given.vehicle.id).state == "claimable"


@pytest.mark.parametrize("wrong", [{"hours": 0}, {"hours": 5000}, {"serial_hash": "xyz"}, {"label": ""}])
def test_claim_that_cannot_be_is_refused_before_a_car_is_made(records: Records, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        make_claim(records, VIN, "machine", **wrong)
    assert not records.vehicles()


def test_vin_of_a_claimable_car_is_taken_and_unknown_cars_are_not_rekeyed(records: Records, given: Given) -> None:
    with pytest.raises(ConflictError):
        make_claim(records, VIN, "machine")
    with pytest.raises(MissingError):
        rekey(records, "nobody", "machine")


def test_token_is_in_no_file_of_the_records(records: Records, desk: Desk, given: Given, tmp_path: Path) -> None:
    secret = given.token.partition(".")[2].encode()
    joined(desk, given)
    assert not any(secret in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
