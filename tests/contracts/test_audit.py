"""The audit log's tables on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records import Entry, Records
from carcloud.backends.records.audit import FOLD, LIMIT_FACTS_BYTES, Details, Leaf, Run, Wanted
from carcloud.errors import InputError

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, UTC)


def leaf(number: int, action: str = "revokeVehicle", actor: str = "machine") -> Leaf:
    at = AT + timedelta(seconds=number)
    return Leaf(number, at, "default", actor, action, f"vehicle:{number % 3}", "done")


def test_acts_wait_in_the_order_they_were_noted_until_they_are_settled(records: Records):
    for n in range(3):
        records.audit.add(Entry("machine", "revokeVehicle", f"vehicle:{n}", facts={"b": 1, "a": "ü\0"}, at=AT))
    first, second, third = records.audit.pending(10)
    assert (first.object, first.at, first.facts) == ("vehicle:0", AT, '{"a":"ü\\u0000","b":1}')
    records.audit.settle(0, [leaf(0), leaf(1)], [], [], [first.id, third.id])
    assert [act.id for act in records.audit.pending(10)] == [second.id]
    assert records.audit.waiting() == 1
    records.audit.add(Entry("machine", "revokeVehicle", "vehicle:9"))
    assert records.audit.pending(10)[-1].id > third.id


def test_note_that_fails_with_its_effect_is_none(records: Records):
    def failing() -> None:
        with records.transaction(writing=True) as db:
            records.audit.note(db, Entry("machine", "revokeVehicle", "vehicle:1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert records.audit.waiting() == 0


@pytest.mark.parametrize(
    "entry",
    [
        Entry("machine", "a", "b", facts={"long": "x" * LIMIT_FACTS_BYTES}),
        Entry("machine", "a", "b", details={"long": "x" * 300_000}),
        Entry("m" * 97, "a", "b"),
        Entry("machine", "a" * 65, "b"),
        Entry("machine", "a", "b" * 161),
        Entry("machine", "a", "b", facts={"set": {1}}),
    ],
)
def test_act_too_long_for_a_leaf_is_refused_when_it_is_noted(records: Records, entry: Entry):
    with pytest.raises(InputError):
        records.audit.add(entry)
    assert records.audit.waiting() == 0


def test_settling_again_changes_nothing(records: Records):
    kept = [Details(1, b"salt", '{"a":1}')]
    for _ in range(2):
        records.audit.settle(0, [leaf(0), leaf(1)], kept, [Run(2, 1, 5)], [])
    assert records.audit.size() == 7
    assert records.audit.details(1) == kept[0]
    assert records.positions()[FOLD, 0] == 5
    records.audit.settle(7, [], [], [Run(7, 6, 3)], [])
    assert records.audit.runs() == [Run(2, 1, 8)]
    records.audit.settle(10, [leaf(10)], [], [Run(11, 9, 1)], [])
    assert records.audit.runs() == [Run(2, 1, 8), Run(11, 9, 1)]
    assert records.audit.size() == 12


def test_acts_are_found_by_their_words_and_times(records: Records):
    acts = [leaf(n, action="signIn" if n % 2 else "makeClaim", actor=f"person:{n % 4}") for n in range(12)]
    records.audit.settle(0, acts, [], [], [])

    def found(limit: int = 100, before: int | None = None, **words: object) -> list[int]:
        return [one.number for one in records.audit.leaves(Wanted(**words), limit, before)]  # type: ignore[arg-type]

    assert found() == list(range(11, -1, -1))
    assert found(limit=2, before=5) == [4, 3]
    assert found(action="signIn", actor="person:1") == [9, 5, 1]
    assert found(object="vehicle:0", outcome="done") == [9, 6, 3, 0]
    assert found(since=AT + timedelta(seconds=3), until=AT + timedelta(seconds=5)) == [4, 3]
    assert found(outcome="denied") == []
    assert [one.number for one in records.audit.index(4, 7)] == [4, 5, 6]


def test_details_are_erased_and_the_rest_stays(records: Records):
    records.audit.settle(0, [leaf(0), leaf(1)], [Details(n, b"s", "{}") for n in (0, 1)], [], [])
    assert records.audit.erase_details([1, 5]) == 1
    assert records.audit.details(1) is None
    assert records.audit.details(0) == Details(0, b"s", "{}")
    assert records.audit.details_within(0, 2) == [Details(0, b"s", "{}")]
    assert records.audit.details_within(1, 2) == []
    assert records.audit.size() == 2


def test_gap_is_noted_with_the_position_behind_it(records: Records):
    records.audit.skip(41, Entry("process:audit", "missChunks", "stream", "failed", facts={"first": 1, "last": 41}))
    assert records.positions()[FOLD, 0] == 41
    assert records.audit.pending(1)[0].action == "missChunks"
