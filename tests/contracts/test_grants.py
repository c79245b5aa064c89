"""Grants on both databases: every giving is a version, noted for the audit log; what hangs on one ends with it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records import Claim, Grant, Person, Records, Vehicle
from carcloud.errors import ConflictError, InputError, MissingError
from tests.contracts.giving import consent

CAR, OTHER = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def enrolled(records: Records, *cars: str) -> None:
    for number, car in enumerate(cars):
        records.add_vehicle(Vehicle(car, "acme", f"WVWZZZ1JZXW00000{number}", None, "active", AT))


def noted(records: Records) -> list[tuple[str, str, str]]:
    with records.transaction() as db:
        rows = db.exec_driver_sql("SELECT actor, action, tenant FROM audit_pending ORDER BY id").all()
    return [tuple(row) for row in rows]


def standing(records: Records, at: datetime, *grantees: str) -> list[tuple[str, str]]:
    return [(held.grant.vehicle, held.grant.purpose) for held in records.grants.held(at, grantees or ["zone"])]


def test_every_giving_is_a_version_and_the_newest_stands(records: Records) -> None:
    enrolled(records, CAR, OTHER)
    first = records.grants.give(consent(CAR, "research", AT))
    records.grants.revoke(first.id, "person:a", AT + HOUR)
    second = records.grants.give(consent(CAR, "research", AT + 2 * HOUR))
    records.grants.give(consent(OTHER, "research", AT))
    assert [(grant.version, grant.revoked_by) for grant in records.grants.of(CAR)] == [(2, None), (1, "person:a")]
    assert records.grants.grant(second.id) == second
    assert standing(records, AT + 3 * HOUR) == [(CAR, "research"), (OTHER, "research")]
    held = records.grants.held(AT + 3 * HOUR, ["zone"], [CAR], "acme")
    assert [one.grant for one in held] == [second]
    assert records.grants.held(AT + 3 * HOUR, ["zone"], [CAR], "other") == []
    assert noted(records) == [
        *(("person:p", "giveGrant", "acme"), ("person:a", "revokeGrant", "acme")),
        *[("person:p", "giveGrant", "acme")] * 2,
    ]


def test_what_stands_already_is_not_written_again_unless_it_says_something_else(records: Records) -> None:
    enrolled(records, CAR)
    first = records.grants.give(consent(CAR, "research", AT))
    assert records.grants.give(consent(CAR, "research", AT + HOUR)) == first
    assert records.grants.give(consent(CAR, "research", AT + HOUR, policy="other")) == first
    reworded = records.grants.give(consent(CAR, "research", AT + HOUR, said="other"))
    assert (reworded.version, records.grants.grant(first.id).revoked_at) == (2, AT + HOUR)
    ending = records.grants.give(consent(CAR, "research", AT + HOUR, said="other", until_at=AT + 2 * HOUR))
    again = records.grants.give(consent(CAR, "research", AT + 3 * HOUR, said="other", until_at=AT + 4 * HOUR))
    assert (ending.version, again.version) == (3, 4)


def test_what_is_over_does_not_stand_and_what_begins_later_is_told(records: Records) -> None:
    enrolled(records, CAR)
    records.grants.give(consent(CAR, "research", AT, until_at=AT + HOUR))
    assert standing(records, AT + HOUR - timedelta(microseconds=1)) == [(CAR, "research")]
    assert standing(records, AT + HOUR) == []
    records.grants.give(consent(CAR, "later", AT, from_at=AT + 2 * HOUR))
    assert standing(records, AT + HOUR) == [(CAR, "later")]


def a_person(records: Records, id_: str, *roles: str) -> None:
    one = Person(id_, "acme", id_, id_, "active", AT, roles=frozenset(roles))
    with records.transaction(writing=True) as db:
        records.people.add(db, one)


def own(at: datetime = AT, **more: object) -> Grant:
    given = replace(consent(CAR, "operation", at), grantee="person:anna", paths=("Vehicle.**",), commands=("lock",))
    return replace(given, **more)  # type: ignore[arg-type]


def test_what_was_given_under_a_grant_ends_with_it(records: Records) -> None:
    enrolled(records, CAR)
    a_person(records, "anna", "owner")
    mine = records.grants.give(own())
    theirs = records.grants.give(own(id="child", grantee="app:insurer", under=mine.id))
    (held,) = records.grants.held(AT, ["app:insurer"])
    assert (held.grant, held.under) == (theirs, mine)
    records.grants.revoke(mine.id, "machine", AT + HOUR)
    assert records.grants.grant(theirs.id).revoked_at == AT + HOUR
    assert records.grants.held(AT, ["person:anna", "app:insurer"]) == []
    with pytest.raises(ConflictError, match="ended"):
        records.grants.give(own(AT + HOUR, id="late", grantee="app:other", under=mine.id))
    again = records.grants.give(own(AT + HOUR, id="again"))
    records.grants.give(own(AT + HOUR, id="child2", grantee="app:insurer", under=again.id))
    narrower = records.grants.give(own(AT + 2 * HOUR, id="narrower", commands=()))
    assert [one.grant for one in records.grants.held(AT + 2 * HOUR, ["person:anna", "app:insurer"])] == [narrower]


def test_what_an_owner_gave_counts_while_they_are_one(records: Records) -> None:
    enrolled(records, CAR)
    a_person(records, "anna", "owner")
    mine = records.grants.give(own(owner=True))
    assert records.grants.grant(mine.id).owner
    shared = records.grants.give(own(id="child", grantee="app:insurer", under=mine.id))
    agreed = records.grants.give(consent(CAR, "research", AT, under=mine.id))
    zones = records.grants.give(consent(CAR, "other", AT))

    def counting() -> set[str]:
        return {one.grant.id for one in records.grants.held(AT, ["zone", "app:insurer"])}

    everything = {shared.id, agreed.id, zones.id}
    assert (counting(), records.grants.idle(CAR)) == (everything, set())
    with records.transaction(writing=True) as db:
        records.people.change(db, "anna", state="suspended")
    assert (counting(), records.grants.idle(CAR)) == ({zones.id}, {shared.id, agreed.id})
    with records.transaction(writing=True) as db:
        records.people.change(db, "anna", state="active")
    assert counting() == everything
    with records.transaction(writing=True) as db:
        records.people.set_roles(db, "anna", {"viewer"})
    assert (counting(), records.grants.idle(CAR)) == ({zones.id}, {shared.id, agreed.id})


def test_an_owner_does_not_replace_what_the_zone_gave(records: Records) -> None:
    enrolled(records, CAR)
    mine = records.grants.give(own())
    zones = records.grants.give(own(id="zones", grantee="app:insurer"))
    with pytest.raises(ConflictError, match="The zone gave"):
        records.grants.give(own(id="less", grantee="app:insurer", under=mine.id, commands=()))
    records.grants.revoke(zones.id, "machine", AT)
    records.grants.give(own(id="less", grantee="app:insurer", under=mine.id, commands=()))
    records.grants.give(consent(CAR, "research", AT))
    records.grants.give(consent(CAR, "research", AT, under=mine.id))  # a consent is the person's own


def test_a_rekeyed_car_has_no_grant_left(records: Records) -> None:
    enrolled(records, CAR, OTHER)
    for grant in (own(), consent(CAR, "research", AT), consent(OTHER, "research", AT)):
        records.grants.give(grant)
    claim = Claim("c1", CAR, "ab" * 32, None, AT + HOUR, AT + 2 * HOUR)
    records.life.rekey(CAR, claim, "person:op")
    assert {(grant.revoked_at, grant.revoked_by) for grant in records.grants.of(CAR)} == {(AT + HOUR, "person:op")}
    assert standing(records, AT + HOUR, "zone", "person:anna") == [(OTHER, "research")]
    assert noted(records)[-2:] == [("person:op", "revokeGrant", "acme")] * 2


def test_no_car_no_grant_and_an_erased_one_keeps_none(records: Records) -> None:
    enrolled(records, CAR)
    records.grants.give(consent(CAR, "research", AT))
    records.erasures.begin(CAR, "machine")
    assert records.grants.of(CAR) == []
    for car in (CAR, OTHER):
        with pytest.raises(MissingError):
            records.grants.give(consent(car, "research", AT))
    for act in (lambda: records.grants.grant("nothing"), lambda: records.grants.revoke("nothing", "a", AT)):
        with pytest.raises(MissingError):
            act()


def test_a_grant_that_cannot_be_read_counts_for_nothing_and_can_be_ended(records: Records) -> None:
    enrolled(records, CAR, OTHER)
    broken = records.grants.give(consent(CAR, "research", AT))
    records.grants.give(consent(OTHER, "research", AT))
    far = records.grants.give(consent(OTHER, "later", AT))
    with records.transaction(writing=True) as db:
        db.exec_driver_sql(f"UPDATE grants SET scope = 'none' WHERE id = '{broken.id}'")
        db.exec_driver_sql(f"UPDATE grants SET until_at = {2**62} WHERE id = '{far.id}'")
    unread: list[str] = []
    held = records.grants.held(AT, ["zone"], unread=unread)
    assert unread == [broken.id]
    ends = {one.grant.purpose: one.grant.until_at for one in held}
    assert ends == {"later": datetime(2200, 1, 1, tzinfo=UTC), "research": None}
    assert [grant.id for grant in records.grants.of(CAR)] == [broken.id]
    assert records.grants.revoke(broken.id, "machine", AT + HOUR).revoked_at == AT + HOUR


def test_only_so_many_grants_stand_on_a_car(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carcloud.backends.records.grants.LIMIT_OF_CAR", 2)
    enrolled(records, CAR)
    for number in range(2):
        records.grants.give(own(id=f"g{number}", grantee=f"token:t{number}"))
    with pytest.raises(InputError, match="2 such grants"):
        records.grants.give(own(id="one more", grantee="token:t3"))
    records.grants.give(own(id="instead", grantee="token:t0", commands=()))
    records.grants.revoke("g1", "machine", AT)
    records.grants.give(own(id="one more", grantee="token:t3"))
