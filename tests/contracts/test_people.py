"""People, what lets them in, and approvals: the same on every database."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records import ApiToken, Approval, Person, Records, Session
from carcloud.errors import ConflictError, InputError, MissingError

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ANN = Person("a" * 16, "default", "ann", "Ann", "active", AT, roles=frozenset({"operator", "fleet"}))
BEN = Person("b" * 16, "default", "ben", "Ben", "active", AT, "https://issuer", "sub-1")
QUESTION = Approval("q" * 16, "default", "changePeople", "person:x", "d" * 64, {"a": [1]}, "person:a", AT, LATER)


def add(records: Records, *people: Person) -> None:
    with records.transaction(writing=True) as db:
        for person in people:
            records.people.add(db, person)


def session(hash_: str, person: Person = ANN, at: datetime = AT) -> Session:
    return Session(hash_, person.id, at, at, at + timedelta(hours=12), mfa=True)


class TestPeople:
    def test_person_is_found_by_id_login_and_subject_as_added(self, records: Records) -> None:
        assert records.people.none()
        add(records, ANN, BEN)
        assert records.people.get(ANN.id) == records.people.by_login("ann") == ANN
        assert records.people.by_subject("https://issuer", "sub-1") == BEN
        assert records.people.all("default") == [ANN, BEN]
        assert records.people.all("other") == []
        assert not records.people.none()

    def test_nobody_is_missing(self, records: Records) -> None:
        with pytest.raises(MissingError, match="carcloud person list"):
            records.people.get("nobody")
        assert records.people.by_login("nobody") is records.people.by_subject("x", "y") is None

    @pytest.mark.parametrize("odd", ["a\x00b", "a" * 10_000, "' OR 1=1 --", "\u202e"])
    def test_odd_text_finds_nobody(self, records: Records, odd: str) -> None:
        with pytest.raises((MissingError, InputError)):
            records.people.get(odd)
        with pytest.raises((MissingError, InputError)):
            records.passes.token_by_id(odd)

    def test_second_person_of_a_login_conflicts(self, records: Records) -> None:
        add(records, ANN)
        with pytest.raises(ConflictError, match="cannot be had"):
            add(records, Person("c" * 16, "other", "ann", "Another", "active", AT))

    def test_roles_and_columns_change(self, records: Records) -> None:
        add(records, ANN)
        with records.transaction(writing=True) as db:
            records.people.set_roles(db, ANN.id, {"dpo"})
            records.people.change(db, ANN.id, state="suspended", factor=b"sealed")
        found = records.people.get(ANN.id)
        assert (found.roles, found.state, found.factor) == (frozenset({"dpo"}), "suspended", b"sealed")
        assert "sealed" not in repr(found)

    def test_step_of_a_second_factor_is_used_once_and_in_order(self, records: Records) -> None:
        add(records, ANN)
        with records.transaction(writing=True) as db:
            assert [records.people.use_step(db, ANN.id, step) for step in (7, 7, 6, 8)] == [True, False, False, True]


class TestPasses:
    def test_session_comes_with_its_person_until_it_is_closed(self, records: Records) -> None:
        add(records, ANN)
        with records.transaction(writing=True) as db:
            records.passes.open_session(db, session("s1"), 10)
        assert records.passes.session("s1") == (session("s1"), ANN)
        records.passes.touch_session("s1", LATER)
        found = records.passes.session("s1")
        assert found is not None
        assert found[0].used_at == LATER
        with records.transaction(writing=True) as db:
            records.passes.close_session(db, "s1")
        assert records.passes.session("s1") is None

    def test_person_keeps_the_newest_sessions(self, records: Records) -> None:
        add(records, ANN, BEN)
        with records.transaction(writing=True) as db:
            records.passes.open_session(db, session("ben", BEN), 2)
            for number in range(5):
                records.passes.open_session(db, session(f"s{number}", at=AT + timedelta(seconds=number)), 2)
        left = [name for name in ("s0", "s1", "s2", "s3", "s4", "ben") if records.passes.session(name)]
        assert left == ["s2", "s3", "s4", "ben"]

    def test_ended_sessions_are_forgotten_and_all_of_a_person_closed(self, records: Records) -> None:
        add(records, ANN, BEN)
        with records.transaction(writing=True) as db:
            records.passes.open_session(db, session("old"), 9)
            records.passes.open_session(db, session("new", BEN, AT + timedelta(days=1)), 9)
            assert records.passes.use_link(db, "none", AT) is None
        assert records.passes.session("old") is None
        with records.transaction(writing=True) as db:
            records.passes.close_sessions(db, BEN.id)
        assert records.passes.session("new") is None

    def test_token_is_kept_until_revoked(self, records: Records) -> None:
        add(records, ANN)
        token = ApiToken("t1", "h" * 64, "night export", "default", ANN.id, frozenset({"fleet"}), AT, LATER)
        zone = ApiToken("t2", "i" * 64, "pump", "default", None, frozenset({"analyst"}), LATER, LATER)
        with records.transaction(writing=True) as db:
            records.passes.add_token(db, token)
            records.passes.add_token(db, zone)
        assert records.passes.token("h" * 64) == records.passes.token_by_id("t1") == token
        assert records.passes.token("nothing") is None
        assert records.passes.tokens("default") == [zone, token]
        assert records.passes.tokens("default", ANN.id) == [token]
        with records.transaction(writing=True) as db:
            records.passes.revoke_token(db, "t1", AT)
            records.passes.revoke_token(db, "t1", LATER)
        assert records.passes.token_by_id("t1").revoked_at == AT
        with pytest.raises(MissingError, match="carcloud token list"):
            records.passes.token_by_id("t3")

    def test_link_lets_in_once_and_not_after_its_end(self, records: Records) -> None:
        add(records, ANN)
        with records.transaction(writing=True) as db:
            records.passes.add_link(db, "l1", ANN.id, LATER, AT)
            records.passes.add_link(db, "l2", ANN.id, LATER, AT)
        with records.transaction(writing=True) as db:
            assert [records.passes.use_link(db, "l1", AT) for _ in range(2)] == [ANN.id, None]
            assert records.passes.use_link(db, "l2", LATER + timedelta(seconds=1)) is None

    def test_link_used_at_the_same_moment_by_many_lets_one_in(self, records: Records) -> None:
        add(records, ANN)
        with records.transaction(writing=True) as db:
            records.passes.add_link(db, "l1", ANN.id, LATER, AT)
        found: list[str | None] = []

        def use() -> None:
            with records.transaction(writing=True) as db:
                found.append(records.passes.use_link(db, "l1", AT))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, found)) == ["None"] * 7 + [ANN.id]

    def test_sign_in_under_way_is_taken_back_once(self, records: Records) -> None:
        assert records.passes.begin("s", {"nonce": "n"}, LATER, AT, 1)
        assert not records.passes.begin("t", {}, LATER, AT, 1)
        assert records.passes.end("s", LATER + timedelta(seconds=1)) is None
        assert [records.passes.end("s", AT) for _ in range(2)] == [{"nonce": "n"}, None]

    def test_failures_are_counted_pardoned_and_forgotten(self, records: Records) -> None:
        keys = ["a", "b"]
        for _ in range(3):
            with records.transaction(writing=True) as db:
                records.passes.failures(db, keys, AT)
                records.passes.count_failures(db, keys, AT, AT - timedelta(days=1))
        with records.transaction(writing=True) as db:
            records.passes.pardon(db, ["a"], wholly=False)
            records.passes.pardon(db, ["b"], wholly=True)
            assert records.passes.failures(db, keys, LATER) == {"a": (2, AT), "b": (0, LATER)}
            records.passes.count_failures(db, ["b"], LATER, LATER)
            assert records.passes.failures(db, keys, LATER) == {"a": (0, LATER), "b": (1, LATER)}

    def test_attempts_at_the_same_moment_are_all_counted(self, records: Records) -> None:
        def fail() -> None:
            with records.transaction(writing=True) as db:
                records.passes.failures(db, ["k"], AT)
                records.passes.count_failures(db, ["k"], AT, AT - timedelta(days=1))

        threads = [threading.Thread(target=fail) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with records.transaction(writing=True) as db:
            assert records.passes.failures(db, ["k"], AT) == {"k": (8, AT)}


class TestApprovals:
    def ask(self, records: Records, question: Approval = QUESTION, most: int = 5) -> None:
        with records.transaction(writing=True) as db:
            records.approvals.add(db, question, AT, most)

    def test_what_was_asked_is_approved_and_used_once(self, records: Records) -> None:
        self.ask(records)
        assert records.approvals.get(QUESTION.id, AT) == QUESTION
        with records.transaction(writing=True) as db:
            assert not records.approvals.use(db, QUESTION.id)
            records.approvals.decide(db, QUESTION.id, "approved", "person:b", AT)
        with pytest.raises(ConflictError, match="any more"), records.transaction(writing=True) as db:
            records.approvals.decide(db, QUESTION.id, "refused", "person:c", AT)
        with records.transaction(writing=True) as db:
            standing = records.approvals.standing(db, QUESTION.asked_by, QUESTION.digest, AT)
            assert standing is not None
            assert (standing.state, standing.decided_by, standing.decided_at) == ("approved", "person:b", AT)
            assert [records.approvals.use(db, QUESTION.id) for _ in range(2)] == [True, False]
            assert records.approvals.standing(db, QUESTION.asked_by, QUESTION.digest, AT) is None

    def test_question_ends_by_itself(self, records: Records) -> None:
        self.ask(records)
        late = LATER + timedelta(seconds=1)
        assert records.approvals.newest("default", late, 5)[0].state == "expired"
        with pytest.raises(ConflictError), records.transaction(writing=True) as db:
            records.approvals.decide(db, QUESTION.id, "approved", "person:b", late)

    def test_too_many_open_questions_conflict_and_none_is_missing(self, records: Records) -> None:
        self.ask(records)
        with pytest.raises(ConflictError, match="1 of your questions"):
            self.ask(records, QUESTION, most=1)
        with pytest.raises(MissingError):
            records.approvals.get("none", AT)
        assert records.approvals.newest("other", AT, 5) == []
