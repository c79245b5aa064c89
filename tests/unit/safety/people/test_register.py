"""People, tokens and the second person."""

from collections.abc import Callable

import pytest
from staff import Clock, audited, person

from carcloud.backends.records import Approval, Entry, Person, Records
from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError
from carcloud.safety.people.accounts import Accounts, StrangerError, caller_of, make_link
from carcloud.safety.people.approvals import Approvals
from carcloud.safety.people.caller import Caller
from carcloud.safety.people.denials import OF_ONE, Denials
from carcloud.safety.people.policy import Policies
from carcloud.safety.people.register import Change, Register


@pytest.fixture
def approvals(records: Records, policies: Policies, clock: Clock) -> Approvals:
    return Approvals(records, policies, clock)


@pytest.fixture
def register(records: Records, approvals: Approvals, clock: Clock) -> Register:
    return Register(records, approvals, clock)


@pytest.fixture
def as_caller(records: Records) -> Callable[..., Caller]:
    def made(login: str, *roles: str, mfa: bool = True) -> Caller:
        return caller_of(person(records, login, *roles), mfa=mfa)

    return made


def test_first_two_operators_are_made_by_one_and_the_third_takes_two(
    register: Register, approvals: Approvals, as_caller: Callable[..., Caller], records: Records
) -> None:
    one = as_caller("one", "operator")
    made = register.add(one, "two", "Two", ["operator"], "default")
    assert isinstance(made, tuple)
    two = caller_of(made[0], mfa=True)
    waits = register.add(one, "three", "Three", ["operator"], "default")
    assert isinstance(waits, Approval)
    assert waits.asked == {"login": "three", "name": "Three", "roles": ["operator"]}
    same = register.add(one, "three", "Three", ["operator"], "default")
    assert isinstance(same, Approval)
    assert same.id == waits.id
    with pytest.raises(NotAllowedError, match="themselves"):
        approvals.decide(one, waits.id, "approve")
    assert approvals.decide(two, waits.id, "approve").state == "approved"
    assert isinstance(register.add(one, "three", "Three", ["operator"], "default"), tuple)
    with pytest.raises(ConflictError, match="cannot be had"):
        register.add(one, "three", "Three", ["operator"], "default")
    outcomes = [(actor, action, outcome) for actor, action, outcome in audited(records) if action != "signIn"]
    assert (one.id, "changePeople", "denied") in outcomes
    assert (two.id, "approve", "done") in outcomes


def test_second_person_may_do_the_act_and_is_not_behind_the_asker(
    approvals: Approvals, register: Register, as_caller: Callable[..., Caller], clock: Clock
) -> None:
    one, two, fleet = as_caller("one", "operator"), as_caller("two", "operator"), as_caller("fleet", "fleet")
    token, _ = register.make_token(one, "robot", ["operator"], 5, "default")
    robot = Caller(f"token:{token.id}", "robot", frozenset({"operator"}), "default")
    waits = approvals.require(robot, "changePeople", "person:new", {"login": "x"})
    assert waits is not None
    for wrong in (one, fleet, Caller("person:f", "F", frozenset({"operator"}), "other", True)):
        with pytest.raises((NotAllowedError, MissingError)):
            approvals.decide(wrong, waits.id, "approve")
    approvals.decide(two, waits.id, "approve")
    assert approvals.require(one, "changePeople", "person:new", {"login": "x"}) is not None, "another asker"
    assert approvals.require(robot, "changePeople", "person:new", {"login": "y"}) is not None, "another content"
    assert approvals.require(robot, "changePeople", "person:new", {"login": "x"}) is None
    assert approvals.require(robot, "changePeople", "person:new", {"login": "x"}) is not None, "used up"
    late = approvals.require(robot, "sendOrder", "orders", {"n": 900})
    assert late is not None
    clock.go(days=1, seconds=1)
    with pytest.raises(ConflictError, match="any more"):
        approvals.decide(fleet, late.id, "approve")


def test_one_operator_weakens_no_other_and_not_their_own_roles(
    register: Register, as_caller: Callable[..., Caller], records: Records
) -> None:
    one, two = as_caller("one", "operator"), as_caller("two", "operator", "dpo")
    ben = person(records, "ben", "analyst")
    other, own = two.id.partition(":")[2], one.id.partition(":")[2]
    grave = [
        (other, Change(state="suspended")),
        (other, Change(roles=frozenset())),
        (other, Change(reset=True)),
        (ben.id, Change(roles=frozenset({"analyst", "dpo"}))),
        (own, Change(roles=frozenset({"operator", "fleet"}))),
    ]
    for id_, change in grave:
        assert isinstance(register.change(one, id_, change), Approval), change
    assert isinstance(register.change(one, ben.id, Change(roles=frozenset({"fleet"}), name="Benjamin")), Person)
    assert isinstance(register.change(one, other, Change(name="Deux")), Person)
    assert isinstance(register.change(None, other, Change(state="suspended")), Person), "the machine's user may"


def test_suspended_operator_is_no_second_person(
    register: Register, as_caller: Callable[..., Caller], records: Records
) -> None:
    one, two = as_caller("one", "operator"), as_caller("two", "operator")
    ben = person(records, "ben", "analyst")
    dpo = Change(roles=frozenset({"dpo"}))
    assert isinstance(register.change(one, ben.id, dpo), Approval)
    register.change(None, two.id.partition(":")[2], Change(state="suspended"))
    assert isinstance(register.change(one, ben.id, dpo), Person)


def test_reset_person_has_nothing_left_that_lets_them_in(
    register: Register, accounts: Accounts, as_caller: Callable[..., Caller], clock: Clock, records: Records
) -> None:
    maker, other = as_caller("ann", "analyst"), as_caller("ben", "analyst")
    secrets = [register.make_token(by, "export", ["analyst"], 5, "default")[1] for by in (maker, other)]
    link = make_link(records, maker.id.partition(":")[2], "machine", clock.at)
    held = accounts.sign_in_by_link(make_link(records, maker.id.partition(":")[2], "machine", clock.at), "127.0.0.1")
    register.change(None, maker.id.partition(":")[2], Change(reset=True))
    assert [accounts.by_token(secret) is not None for secret in secrets] == [False, True]
    assert accounts.by_session(held.secret) is None
    with pytest.raises(StrangerError):
        accounts.sign_in_by_link(link, "127.0.0.1")


def test_bad_people_and_tokens_are_refused(register: Register, as_caller: Callable[..., Caller]) -> None:
    one, said = as_caller("one", "operator", "analyst"), set()
    for login in ("", "a b", "../x", "é", "x" * 65, "-x"):
        with pytest.raises(ConflictError, match="login") as refused:
            register.add(one, login, "Name", [], "default")
        said.add((type(refused.value), refused.value.message, refused.value.do))
    register.add(None, "theirs", "Name", [], "acme")
    for by in (None, one):
        with pytest.raises(ConflictError) as refused:
            register.add(by, "theirs", "Name", [], "default")
        said.add((type(refused.value), refused.value.message, refused.value.do))
    assert len(said) == 1  # whether a login is of another tenant, or none, is said alike
    for name in ("", " ", "x" * 201, "a\nb", "\x1b[2J"):
        with pytest.raises(InputError, match="name"):
            register.add(one, "fine", name, [], "default")
    with pytest.raises(InputError, match="role 'root'"):
        register.add(one, "fine", "Name", ["root"], "default")
    with pytest.raises(MissingError):
        register.change(one, "nobody", Change(name="x"))
    with pytest.raises(NotAllowedError, match="roles of the person"):
        register.make_token(one, "t", ["fleet"], 5, "default")
    for days in (0, -1, 367):
        with pytest.raises(InputError, match="days"):
            register.make_token(one, "t", ["analyst"], days, "default")
    with pytest.raises(InputError, match="role"):
        register.make_token(one, "t", [], 5, "default")


def test_token_lets_in_until_its_end_with_what_its_maker_still_has(
    register: Register, accounts: Accounts, as_caller: Callable[..., Caller], clock: Clock, records: Records
) -> None:
    one = as_caller("one", "engineer", "analyst")
    token, secret = register.make_token(one, "robot", ["engineer", "analyst"], 5, "default")
    assert secret.startswith("cct_")
    found = accounts.by_token(secret)
    assert found is not None
    assert (found.id, found.roles, found.mfa) == (f"token:{token.id}", {"engineer", "analyst"}, False)
    maker = one.id.partition(":")[2]
    with records.transaction(writing=True) as db:
        records.people.set_roles(db, maker, ["analyst"])
    weaker = accounts.by_token(secret)
    assert weaker is not None
    assert weaker.roles == {"analyst"}
    with records.transaction(writing=True) as db:
        records.people.change(db, maker, state="suspended")
    assert accounts.by_token(secret) is None
    _, own = register.make_token(None, "machine's", ["analyst"], 5, "default")
    assert accounts.by_token(own)
    clock.go(days=6)
    assert accounts.by_token(own) is None
    assert accounts.by_token("cct_nothing") is None


def test_denials_are_counted_where_they_are_too_many(records: Records) -> None:
    now = 0.0
    denials = Denials(records, lambda: now)
    for _ in range(OF_ONE + 10):
        denials.note(Entry("person:a", "readTwin", "zone", "denied"))
    denials.note(Entry("person:b", "readTwin", "zone", "denied"))
    now = 61.0
    denials.note(Entry("person:a", "readTwin", "zone", "denied"))
    assert len(audited(records)) == OF_ONE + 2
    with records.transaction() as db:
        facts = list(db.exec_driver_sql("SELECT facts FROM audit_pending WHERE facts <> '{}'").scalars())
    assert facts == ['{"left_out_before":10}']
