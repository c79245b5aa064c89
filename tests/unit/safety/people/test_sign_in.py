"""Signing in: passwords, codes, waits, sessions and links."""

from datetime import timedelta

import pyotp
import pytest
from staff import Clock, audited, person

from carcloud.backends.records import Person, Records
from carcloud.errors import ConflictError, InputError, NotAllowedError
from carcloud.safety.people import codes, passwords, throttle
from carcloud.safety.people.accounts import (
    SESSION_IDLES,
    SESSION_LASTS,
    Accounts,
    CodeNeededError,
    SignedIn,
    StrangerError,
    first_person,
    make_link,
)
from carcloud.safety.people.own import Own

WORDS = "four plain words here"
HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def ann(accounts: Accounts) -> Person:
    """Ann, who has a password."""
    made = person(accounts.records, "ann", "fleet")
    with accounts.records.transaction(writing=True) as db:
        accounts.records.people.change(db, made.id, password=passwords.hashed(WORDS, "ann"))
    return accounts.records.people.get(made.id)


def factor_of(accounts: Accounts, held: SignedIn, clock: Clock) -> tuple[pyotp.TOTP, SignedIn]:
    """Set up a second factor; return it with the session that has shown it."""
    own = Own(accounts)
    secret, address = own.begin_factor(held, WORDS, HERE, "test")
    assert address.startswith("otpauth://totp/carcloud%20test:ann?")
    totp = pyotp.TOTP(secret)
    fresh = accounts.by_session(held.secret)
    assert fresh is not None
    with pytest.raises(InputError, match="wrong"):
        own.confirm_factor(fresh, "000000" if totp.at(clock.at) != "000000" else "000001", HERE)
    return totp, own.confirm_factor(fresh, totp.at(clock.at), HERE)


def test_right_password_opens_a_session_that_ends(accounts: Accounts, ann: Person, clock: Clock) -> None:
    held = accounts.sign_in(" Ann ", WORDS, "", HERE)
    assert held.caller.id == f"person:{ann.id}"
    assert not held.caller.mfa
    found = accounts.by_session(held.secret)
    assert found is not None
    assert found.caller.roles == {"fleet"}
    clock.go(seconds=(SESSION_IDLES.total_seconds() + 1))
    assert accounts.by_session(held.secret) is None
    busy = accounts.sign_in("ann", WORDS, "", HERE)
    for _ in range(12):
        assert accounts.by_session(busy.secret)
        clock.go(hours=1)
    clock.go(seconds=1)
    assert SESSION_LASTS.total_seconds() == 12 * 3600
    assert accounts.by_session(busy.secret) is None
    assert audited(accounts.records) == [(f"person:{ann.id}", "signIn", "done")] * 2


def test_wrong_password_unknown_login_and_suspended_person_are_one(accounts: Accounts, ann: Person) -> None:
    said = set()
    for login, password in (("ann", "another password"), ("nobody", WORDS), ("", ""), ("ann\x00", WORDS)):
        with pytest.raises(StrangerError) as failed:
            accounts.sign_in(login, password, "", HERE)
        said.add(str(failed.value))
    with accounts.records.transaction(writing=True) as db:
        accounts.records.people.change(db, ann.id, state="suspended")
    with pytest.raises(StrangerError) as failed:
        accounts.sign_in("ann", WORDS, "", HERE)
    assert len(said | {str(failed.value)}) == 1
    assert audited(accounts.records) == [("process:api", "signIn", "failed")] * 5


def test_waits_grow_and_end_and_leave_others_in(accounts: Accounts, ann: Person, clock: Clock) -> None:
    def fail(address: str = HERE) -> None:
        with pytest.raises(StrangerError):
            accounts.sign_in("ann", "a wrong password", "", address)

    for _ in range(throttle.HERE.free):
        fail()
    for wait_s in (1, 2, 4):
        with pytest.raises(throttle.ThrottledError, match=rf"Wait {wait_s} s"):
            accounts.sign_in("ann", WORDS, "", HERE)
        assert accounts.sign_in("ann", WORDS, "", THERE)
        clock.go(seconds=wait_s)
        fail()
    clock.go(minutes=15)
    assert accounts.sign_in("ann", WORDS, "", HERE)
    fail()
    assert accounts.sign_in("ann", WORDS, "", HERE), "a success forgets the failures before it"


def test_waits_have_their_limits() -> None:
    for limit in (throttle.HERE, throttle.ADDRESS, throttle.ANYWHERE):
        waits = [limit.wait_s(failures) for failures in range(limit.free + 40)]
        assert waits[: limit.free] == [0] * limit.free
        assert waits == sorted(waits)
        assert waits[-1] == limit.longest_s <= 900
    assert throttle.network("2001:db8::1") == throttle.network("2001:db8::ffff") != throttle.network("2001:db8:1::1")
    assert throttle.network("::ffff:192.0.2.1") == "192.0.2.1"
    assert throttle.network("") == ""


def test_code_is_wanted_used_once_and_may_be_a_step_off(accounts: Accounts, ann: Person, clock: Clock) -> None:
    totp, held = factor_of(accounts, accounts.sign_in("ann", WORDS, "", HERE), clock)
    assert held.caller.mfa
    with pytest.raises(CodeNeededError, match="wanted"):
        accounts.sign_in("ann", WORDS, "", HERE)
    with pytest.raises(CodeNeededError, match="already"):
        accounts.sign_in("ann", WORDS, totp.at(clock.at), HERE)
    clock.go(seconds=60)
    code = totp.at(clock.at - timedelta(seconds=30))
    assert accounts.sign_in("ann", WORDS, f"{code[:3]} {code[3:]}", HERE).caller.mfa
    for stale in (code, totp.at(clock.at - timedelta(seconds=60)), totp.at(clock.at + timedelta(seconds=60))):
        with pytest.raises(CodeNeededError):
            accounts.sign_in("ann", WORDS, stale, THERE)
    assert accounts.sign_in("ann", WORDS, totp.at(clock.at + timedelta(seconds=30)), HERE).caller.mfa


def test_codes_are_those_of_the_standard() -> None:
    """Source: RFC 6238, appendix B, the last six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    clock = Clock()
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        clock.at = clock.at.fromtimestamp(seconds, clock.at.tzinfo)
        assert codes.step_of(secret, code, clock.at) == seconds // 30
    for wrong in ("", "12345", "1234567", "٢٨٧٠٨٢", "28708x"):
        assert codes.step_of(secret, wrong, clock.at) is None


def test_what_one_changes_about_oneself_wants_the_password_and_ends_sessions(
    accounts: Accounts, ann: Person, clock: Clock
) -> None:
    own, held = Own(accounts), accounts.sign_in("ann", WORDS, "", HERE)
    elsewhere = accounts.sign_in("ann", WORDS, "", THERE)
    with pytest.raises(NotAllowedError, match="password is wrong"):
        own.set_password(held, "a wrong password", "another fine password", HERE)
    fresh = own.set_password(held, WORDS, "another fine password", HERE)
    assert accounts.by_session(fresh.secret)
    assert accounts.by_session(held.secret) is accounts.by_session(elsewhere.secret) is None
    kept = accounts.records.people.get(ann.id).password or ""
    assert kept.startswith("$argon2id$")
    assert "another" not in kept


@pytest.mark.parametrize("bad", ["", "short", "a" * 11, "a" * 1025, "aaaaaaaaaaaaaaaa", "my name is ann really"])
def test_password_that_is_none_to_keep(bad: str) -> None:
    with pytest.raises(InputError, match="password"):
        passwords.hashed(bad, "ann")


def test_password_fits_in_every_spelling_and_nobodys_never() -> None:
    kept = passwords.hashed("pa\u0308ssword of mine", "ann")
    assert passwords.fits("p\u00e4ssword of mine", kept)
    assert not passwords.fits("of nobody", None)
    assert not passwords.fits("x", "no hash at all")


def test_link_lets_the_first_person_in_once(accounts: Accounts, records: Records, clock: Clock) -> None:
    first = first_person(records, "default", clock.at)
    assert first_person(records, "default", clock.at) == first
    link = make_link(records, first, "machine", clock.at)
    held = accounts.sign_in_by_link(link, HERE)
    assert (held.person.login, held.caller.roles, held.caller.mfa) == ("admin", {"operator"}, False)
    late = make_link(records, first, "machine", clock.at)
    clock.go(minutes=15, seconds=1)
    for used in (link, late, "", "none"):
        with pytest.raises(StrangerError, match="link"):
            accounts.sign_in_by_link(used, HERE)
    with pytest.raises(StrangerError):
        accounts.sign_in("admin", "", "", HERE)


def test_first_start_that_breaks_off_is_begun_again(records: Records, clock: Clock) -> None:
    with records.transaction(writing=True) as db:
        db.exec_driver_sql("CREATE TRIGGER full BEFORE INSERT ON meta BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    with pytest.raises(ConflictError):
        first_person(records, "default", clock.at)
    assert records.people.none()
    with records.transaction(writing=True) as db:
        db.exec_driver_sql("DROP TRIGGER full")
    assert records.people.get(first_person(records, "default", clock.at)).login == "admin"


def test_codes_to_remove_a_second_factor_are_not_guessed(accounts: Accounts, ann: Person, clock: Clock) -> None:
    own = Own(accounts)
    totp, held = factor_of(accounts, accounts.sign_in("ann", WORDS, "", HERE), clock)
    held = accounts.by_session(held.secret) or held
    wrong = "000000" if totp.at(clock.at) != "000000" else "000001"
    for _ in range(throttle.HERE.free):
        with pytest.raises(NotAllowedError, match="code is wrong"):
            own.remove_factor(held, WORDS, wrong, HERE)
    clock.go(seconds=0.5)
    with pytest.raises(throttle.ThrottledError):
        own.remove_factor(held, WORDS, totp.at(clock.at + timedelta(seconds=30)), HERE)
    failed = (f"person:{ann.id}", "changeSelf", "failed")
    assert audited(accounts.records).count(failed) == throttle.HERE.free
    clock.go(minutes=20)
    removed = own.remove_factor(held, WORDS, totp.at(clock.at), HERE)
    assert accounts.records.people.get(ann.id).factor is None
    assert not removed.caller.mfa


def test_secrets_are_in_no_record(accounts: Accounts, ann: Person, clock: Clock) -> None:
    held = accounts.sign_in("ann", WORDS, "", HERE)
    totp, _ = factor_of(accounts, held, clock)
    link = make_link(accounts.records, ann.id, "machine", clock.at)
    with accounts.records.transaction() as db:
        dump = "\n".join(db.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    for secret in (WORDS, held.secret, totp.secret, link):
        assert secret not in dump
