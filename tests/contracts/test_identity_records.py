"""Claims, states and suspicions in the records, on every backend."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from carcloud.backends.records import Certificate, Claim, Entry, Records, Vehicle
from carcloud.backends.records.audit import pending
from carcloud.errors import ConflictError, MissingError
from carcloud.vehicle.life import Act

AT = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)
CAR = Vehicle("a" * 16, "default", "WBA00000000000001", "red", "claimable", AT)
CLAIM = Claim("c1", CAR.id, "ab" * 32, None, AT, AT + timedelta(hours=72))
LEAF = Certificate("1f", CAR.id, AT + timedelta(hours=1), AT + timedelta(days=30))
DONE = Entry("machine", "enrolVehicle", f"vehicle:{CAR.id}")


def noted(records: Records) -> list[str]:
    return [row.action for row in records.rows(select(pending).order_by(pending.c.id))]


@pytest.fixture
def claimable(records: Records) -> Records:
    records.add_vehicle(CAR, claim=CLAIM, entries=[Entry("person:p", "makeClaim", f"vehicle:{CAR.id}")])
    return records


class TestClaims:
    def test_claim_is_used_once_with_its_certificate_and_its_entry(self, claimable: Records) -> None:
        assert claimable.life.join(CLAIM, LEAF, DONE).state == "active"
        assert claimable.standing("1f")[1].state == "active"
        assert claimable.claims.of(CAR.id) == [replace(CLAIM, used_at=LEAF.issued_at)]
        with pytest.raises(ConflictError, match="used already"):
            claimable.life.join(CLAIM, replace(LEAF, serial="2f"), DONE)
        assert [each.serial for each in claimable.certificates(CAR.id)] == ["1f"]
        assert noted(claimable) == ["makeClaim", "enrolVehicle"]

    def test_of_many_that_use_a_claim_at_once_one_wins(self, claimable: Records) -> None:
        outcomes: list[str] = []

        def use(number: int) -> None:
            try:
                claimable.life.join(CLAIM, replace(LEAF, serial=f"{number}f"), DONE)
                outcomes.append("joined")
            except ConflictError:
                outcomes.append("late")

        crowd = [threading.Thread(target=use, args=(number,)) for number in range(5)]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join()
        assert sorted(outcomes) == ["joined", *["late"] * 4]
        assert len(claimable.certificates(CAR.id)) == 1

    def test_claim_that_is_over_is_not_used(self, claimable: Records) -> None:
        late = replace(LEAF, issued_at=CLAIM.ends_at)
        with pytest.raises(ConflictError):
            claimable.life.join(CLAIM, late, DONE)
        assert claimable.vehicle(CAR.id).state == "claimable"

    def test_open_claims_are_those_that_can_be_used(self, claimable: Records) -> None:
        assert claimable.claims.open("default", AT, 10) == [CLAIM]
        assert claimable.claims.open("other", AT, 10) == []
        assert claimable.claims.open("default", CLAIM.ends_at, 10) == []
        newer = replace(CLAIM, id="c2", made_at=AT + timedelta(hours=1))
        claimable.life.rekey(CAR.id, newer, "machine")
        assert claimable.claims.open("default", AT, 10) == [newer]
        assert claimable.claims.of(CAR.id)[1].withdrawn_at == newer.made_at

    def test_vehicle_that_is_refused_leaves_no_claim_and_no_entry(self, claimable: Records) -> None:
        before = noted(claimable)
        other = replace(CAR, id="b" * 16)
        with pytest.raises(ConflictError):
            claimable.add_vehicle(other, claim=replace(CLAIM, id="c9", vehicle=other.id), entries=[DONE])
        assert claimable.claims.of("b" * 16) == []
        assert noted(claimable) == before

    @pytest.mark.parametrize("same", [{"vin": CAR.vin}, {"label": CAR.label}])
    def test_vin_and_label_stay_taken_until_the_car_is_revoked_or_retired(
        self, claimable: Records, same: dict[str, str]
    ) -> None:
        other = replace(CAR, **{"id": "b" * 16, "vin": "WBA00000000000002", "label": "blue", "state": "active"} | same)
        claimable.life.join(CLAIM, LEAF, DONE)
        for act in ("quarantine", "release"):
            with pytest.raises(ConflictError, match="enrolled already"):
                claimable.add_vehicle(other)
            claimable.life.change(CAR.id, act, AT)  # type: ignore[arg-type]
        claimable.life.change(CAR.id, "retire", AT)
        claimable.add_vehicle(other)


class TestLife:
    @pytest.mark.parametrize("act", ["revoke", "retire"])
    def test_certificates_and_claims_end_with_the_car(self, claimable: Records, act: Act) -> None:
        claimable.life.join(CLAIM, LEAF, DONE)
        claimable.life.change(CAR.id, act, AT + timedelta(days=1), Entry("machine", f"{act}Vehicle", "vehicle:a"))
        assert claimable.certificate("1f").revoked_at == AT + timedelta(days=1)
        assert noted(claimable)[-1] == f"{act}Vehicle"

    def test_step_that_is_not_possible_changes_and_notes_nothing(self, claimable: Records) -> None:
        with pytest.raises(ConflictError):
            claimable.life.change(CAR.id, "release", AT, Entry("machine", "releaseVehicle", "vehicle:a"))
        with pytest.raises(MissingError):
            claimable.life.change("nobody", "revoke", AT)
        assert noted(claimable) == ["makeClaim"]

    def test_renewal_holds_only_on_a_certificate_that_holds(self, claimable: Records) -> None:
        claimable.life.join(CLAIM, LEAF, DONE)
        newer = replace(LEAF, serial="2f", issued_at=AT + timedelta(days=21))
        claimable.life.renew("1f", newer)
        claimable.life.change(CAR.id, "quarantine", AT)
        for serial in ("1f", "9f"):
            with pytest.raises(ConflictError, match="does not hold"):
                claimable.life.renew(serial, replace(LEAF, serial="3f"))
        assert [each.serial for each in claimable.certificates(CAR.id)] == ["2f", "1f"]

    def test_cars_are_counted_by_state_and_tenant(self, claimable: Records) -> None:
        claimable.add_vehicle(replace(CAR, id="b" * 16, vin="WBA00000000000002", label=None, state="active"))
        assert claimable.life.counts("default") == {
            "claimable": 1,
            "active": 1,
            "quarantined": 0,
            "revoked": 0,
            "retired": 0,
            "replica": 0,
        }
        assert set(claimable.life.counts("other").values()) == {0}
        assert claimable.life.outside() == {CAR.id}

    def test_car_whose_last_certificate_ends_soon_is_named_and_one_that_renewed_is_not(
        self, claimable: Records
    ) -> None:
        claimable.life.join(CLAIM, LEAF, DONE)
        soon = LEAF.not_after + timedelta(seconds=1)
        assert claimable.life.ending("default", soon, 10) == [LEAF]
        assert claimable.life.ending("default", LEAF.not_after, 10) == []
        assert claimable.life.ending("other", soon, 10) == []
        claimable.life.renew("1f", replace(LEAF, serial="2f", not_after=LEAF.not_after + timedelta(days=20)))
        assert claimable.life.ending("default", soon, 10) == []


class TestSuspicions:
    def test_suspicion_is_raised_once_counted_and_settled_by_an_act(self, claimable: Records) -> None:
        claimable.life.join(CLAIM, LEAF, DONE)
        entry = Entry("process:gateway", "suspectClone", f"vehicle:{CAR.id}")
        assert claimable.suspicions.raise_(CAR.id, "why", AT, entry)
        assert not claimable.suspicions.raise_(CAR.id, "why", AT + timedelta(minutes=1), entry)
        (found,) = claimable.suspicions.open(10)
        assert (found.vehicle, found.times, found.last) == (CAR.id, 2, AT + timedelta(minutes=1))
        assert claimable.suspicions.open(10, "other") == []
        assert noted(claimable).count("suspectClone") == 1
        claimable.life.change(CAR.id, "quarantine", AT)
        assert claimable.suspicions.open(10) == [found]
        claimable.life.change(CAR.id, "release", AT + timedelta(hours=1))
        assert claimable.suspicions.open(10) == []
        assert claimable.suspicions.of(CAR.id)[0].settled_at == AT + timedelta(hours=1)
        assert claimable.suspicions.raise_(CAR.id, "again", AT, entry)
