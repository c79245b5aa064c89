from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from carcloud.backends.records import Certificate, Records, Tenant
from carcloud.errors import NotAllowedError, TryLaterError
from carcloud.gateway.enrolment import Endpoints, Enrolment, change, enrol, renew, revoke
from carcloud.gateway.gate import BELIEVE_S, Gate
from carcloud.safety.identity import Authority
from carcloud.vehicle.life import Act

VIN = "WBA00000000000001"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(records: Records, clock: Clock) -> Gate:
    return Gate(records, clock)


@pytest.fixture
def car(records: Records, authority: Authority, endpoints: Endpoints) -> Enrolment:
    return enrol(records, authority, VIN, endpoints)


def der(chain: bytes) -> bytes:
    return x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER)


def test_enrolled_car_is_admitted_with_pem_and_der(gate: Gate, car: Enrolment) -> None:
    for certificate in (car.credentials.chain, der(car.credentials.chain)):
        identity = gate.admit(certificate)
        assert (identity.tenant, identity.vehicle) == ("default", car.vehicle.id)


def test_revoked_car_is_refused_at_once_where_the_gate_was_told(gate: Gate, records: Records, car: Enrolment) -> None:
    gate.admit(car.credentials.chain)
    revoke(records, car.vehicle.id)
    gate.forget(car.vehicle.id)
    with pytest.raises(NotAllowedError, match="revoked"):
        gate.admit(car.credentials.chain)


def test_revoked_car_is_refused_after_half_a_minute_where_the_gate_was_not_told(
    gate: Gate, records: Records, car: Enrolment, clock: Clock
) -> None:
    gate.admit(car.credentials.chain)
    revoke(records, car.vehicle.id)
    clock.now += BELIEVE_S + 1
    with pytest.raises(NotAllowedError, match="revoked"):
        gate.admit(car.credentials.chain)


def test_car_enrolled_again_does_not_come_in_with_its_old_certificate(
    gate: Gate, records: Records, authority: Authority, endpoints: Endpoints, car: Enrolment
) -> None:
    revoke(records, car.vehicle.id)
    again = enrol(records, authority, VIN, endpoints)
    gate.admit(again.credentials.chain)
    with pytest.raises(NotAllowedError):
        gate.admit(car.credentials.chain)


def test_renewed_car_is_admitted_with_both_certificates(
    gate: Gate, records: Records, authority: Authority, endpoints: Endpoints, car: Enrolment
) -> None:
    newer = renew(records, authority, car.vehicle.id, endpoints)
    assert gate.admit(newer.credentials.chain).vehicle == gate.admit(car.credentials.chain).vehicle


def test_quarantined_car_is_greeted_and_not_admitted_until_it_is_released(
    gate: Gate, records: Records, car: Enrolment
) -> None:
    assert not gate.greet(car.credentials.chain).quarantined
    change(records, car.vehicle.id, "quarantine", "machine")
    gate.forget(car.vehicle.id)
    assert gate.greet(car.credentials.chain).quarantined
    with pytest.raises(TryLaterError, match="quarantine"):
        gate.admit(car.credentials.chain)
    change(records, car.vehicle.id, "release", "machine")
    gate.forget(car.vehicle.id)
    gate.admit(car.credentials.chain)


@pytest.mark.parametrize("act", ["revoke", "retire"])
def test_car_that_lost_its_right_is_not_even_greeted(gate: Gate, records: Records, car: Enrolment, act: Act) -> None:
    change(records, car.vehicle.id, act, "machine")
    with pytest.raises(NotAllowedError, match="revoked"):
        gate.greet(car.credentials.chain)


def test_expired_certificate_is_refused(gate: Gate, car: Enrolment, clock: Clock) -> None:
    clock.now += timedelta(days=30, seconds=1).total_seconds()
    with pytest.raises(NotAllowedError, match="expired"):
        gate.admit(car.credentials.chain)


def test_certificate_the_zone_did_not_record_is_refused(gate: Gate, authority: Authority, car: Enrolment) -> None:
    with pytest.raises(NotAllowedError, match="did not issue"):
        gate.admit(authority.issue_vehicle(car.vehicle.id, "default").chain)


def test_certificate_recorded_for_another_vehicle_is_refused(
    gate: Gate, records: Records, authority: Authority, car: Enrolment
) -> None:
    stray = authority.issue_vehicle("a" * 16, "default")
    records.add_certificate(Certificate(stray.serial, car.vehicle.id, stray.issued_at, stray.not_after))
    with pytest.raises(NotAllowedError, match="another vehicle"):
        gate.admit(stray.chain)


def test_certificate_that_names_another_tenant_than_the_car_has_is_refused(
    gate: Gate, records: Records, authority: Authority, endpoints: Endpoints
) -> None:
    car = enrol(records, authority, VIN, endpoints, tenant="other")
    assert gate.admit(car.credentials.chain).tenant == "other"
    forged = authority.issue_vehicle(car.vehicle.id, "default")
    now = datetime.now(UTC)
    records.add_certificate(Certificate(forged.serial, car.vehicle.id, now, forged.not_after))
    with pytest.raises(NotAllowedError, match="another vehicle"):
        gate.admit(forged.chain)


def test_cars_of_a_suspended_tenant_are_kept_out_for_a_while_from_the_notice_on(
    gate: Gate, records: Records, authority: Authority, endpoints: Endpoints
) -> None:
    records.tenants.add(Tenant("other", "active", datetime.now(UTC)))
    car = enrol(records, authority, VIN, endpoints, tenant="other")
    assert gate.admit(car.credentials.chain).tenant == "other"
    records.tenants.set_state("other", "suspended")
    gate.forget_all()
    with pytest.raises(TryLaterError, match="suspended"):
        gate.admit(car.credentials.chain)
    records.tenants.set_state("other", "active")
    gate.forget_all()
    assert gate.admit(car.credentials.chain).vehicle == car.vehicle.id


@pytest.mark.parametrize("certificate", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_bytes_that_are_no_certificate_are_refused(gate: Gate, certificate: bytes) -> None:
    with pytest.raises(NotAllowedError, match="cannot be read"):
        gate.admit(certificate)


def test_flooding_car_is_kept_out_for_its_time_and_no_other_car(
    gate: Gate, records: Records, authority: Authority, endpoints: Endpoints, car: Enrolment, clock: Clock
) -> None:
    other = enrol(records, authority, VIN[:-1] + "2", endpoints)
    gate.refuse(car.vehicle.id, 10)
    with pytest.raises(TryLaterError, match="10 s more"):
        gate.admit(car.credentials.chain)
    gate.admit(other.credentials.chain)
    clock.now += 11
    gate.admit(car.credentials.chain)


def test_car_admitted_before_is_believed_while_the_records_are_away_but_no_other(
    gate: Gate, records: Records, authority: Authority, endpoints: Endpoints, car: Enrolment, tmp_path: Path
) -> None:
    other = enrol(records, authority, VIN[:-1] + "2", endpoints)
    gate.admit(car.credentials.chain)
    records.close()
    (tmp_path / "records.db").rename(tmp_path / "away.db")
    for leftover in tmp_path.glob("records.db-*"):
        leftover.unlink()
    (tmp_path / "records.db").mkdir()
    gate.admit(car.credentials.chain)
    with pytest.raises(TryLaterError):
        gate.admit(other.credentials.chain)
