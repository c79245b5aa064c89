import multiprocessing
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from carcloud.errors import ConflictError
from carcloud.onboard.queue import KeptPlan, Parcel, Place, Queue
from carcloud.vehicle.batch import Batch, decode, encode

MUCH = 1 << 30


def payload(value: float) -> bytes:
    columns = np.array([0], np.uint16), np.array([1], np.uint32), np.array([0], np.int32), np.array([value])
    return encode(Batch(bytes(8), 1, 1, 0, *columns))


def value(sent: bytes) -> float:
    return float(decode(sent).values[0])


@pytest.fixture
def queue(tmp_path):
    opened = Queue(tmp_path / "car.queue")
    yield opened
    opened.close()


def test_batch_gets_its_number_when_it_leaves_and_goes_when_it_is_acknowledged(queue) -> None:
    queue.append([(payload(1), 1), (payload(2), 1), (payload(3), 1)])
    sent = queue.number(2, MUCH)
    assert [(batch.number, value(batch.payload)) for batch in sent] == [(1, 1.0), (2, 2.0)]
    assert decode(sent[0].payload).queue == queue.id
    assert queue.ack(1) == 1
    assert queue.ack(1) == 0
    assert queue.ack(99) == 0
    assert (queue.batches, queue.samples) == (2, 2)
    assert [batch.number for batch in queue.in_flight()] == [2]


def test_the_most_important_batches_leave_first_and_among_those_the_oldest(queue) -> None:
    queue.append([Parcel(payload(n), 1, priority) for n, priority in enumerate((5, 9, 1, 5, 1))])
    assert [value(batch.payload) for batch in queue.number(2, MUCH)] == [2.0, 4.0]
    queue.append([Parcel(payload(9), 1, 1)])
    assert [(b.number, value(b.payload)) for b in queue.number(9, MUCH)] == [(3, 9.0), (4, 0.0), (5, 3.0), (6, 1.0)]


def test_batches_that_are_held_back_get_no_number_until_they_are_let_go(queue) -> None:
    queue.append([Parcel(payload(1), 1, 1, "night"), Parcel(payload(2), 1, 9), Parcel(payload(3), 1, 5, "day")])
    queue.hold({"night", "another"})
    assert queue.held_batches == 1
    assert [value(batch.payload) for batch in queue.number(9, MUCH)] == [3.0, 2.0]
    assert queue.number(9, MUCH) == []
    queue.hold(())
    assert (queue.held_batches, [value(batch.payload) for batch in queue.number(9, MUCH)]) == (0, [1.0])
    assert queue.waiting_bytes().keys() == {"", "day", "night"}


def test_plans_are_kept_with_what_they_have_done_in_one_flush_with_their_batches(tmp_path) -> None:
    first = Queue(tmp_path / "car.queue")
    first.keep_plan(KeptPlan("night", b"{1}", b"{}"))
    first.keep_plan(KeptPlan("night", b"{2}", b"{}"))
    first.keep_plan(KeptPlan("day", b"{3}", b"{}"))
    first.append([Parcel(payload(1), 1, 1, "night")], Place("drive", 0, 7, 99), {"night": b"[9]", "gone": b"[8]"})
    first.drop_plan("day")
    first.close()
    second = Queue(tmp_path / "car.queue")
    assert second.plans() == [KeptPlan("night", b"{2}", b"[9]")]
    assert second.place("drive") == Place("drive", 0, 7, 99)
    second.close()


def test_a_full_queue_drops_the_oldest_of_the_least_important_never_for_less(queue) -> None:
    size = max(len(payload(n)) for n in range(9))
    queue.limit_bytes = 4 * size
    queue.append([Parcel(payload(n), 1, priority) for n, priority in enumerate((1, 9, 9, 5))])
    queue.append(queue.admit([Parcel(payload(4), 1, 5), Parcel(payload(5), 1, 5)]))
    assert queue.admit([Parcel(payload(6), 1, 9)]) == [], "all that waits is more important"
    assert (queue.counts.dropped_batches, queue.counts.dropped_samples, queue.batches) == (3, 3, 4)
    queue.append(queue.admit([Parcel(payload(7), 1, 5)]))
    assert [value(batch.payload) for batch in queue.number(9, MUCH)] == [0.0, 4.0, 5.0, 7.0]
    assert len(queue.admit([Parcel(payload(8), 1, 9)])) == 1, "what has a number keeps its room"


def test_a_week_in_a_garage_keeps_what_matters_most(queue) -> None:
    """No network: three plans bring in a batch every ten minutes of a week, and there is room for a quarter of it."""
    size, times = len(payload(1)), 7 * 24 * 6
    queue.limit_bytes = times * 3 * size // 4
    for start in range(0, times, 6):
        hour = [
            Parcel(payload(time), 1, priority, name)
            for time in range(start, start + 6)
            for name, priority in (("weather", 9), ("crash", 1), ("wear", 5))
            if name != "crash" or not time % 6
        ]
        queue.append(queue.admit(hour))
        assert queue.bytes <= queue.limit_bytes
    weather = queue.waiting_bytes().get("weather", 0) // size
    assert weather <= 1, "what the odd room at the end is left to"
    sent = [value(batch.payload) for batch in queue.number(3 * times, MUCH)]
    crashes, wear = sent[: times // 6], sent[times // 6 : len(sent) - weather]
    assert crashes == [float(time) for time in range(0, times, 6)], "every one of the most important"
    assert wear == [float(time) for time in range(times - len(wear), times)], "of the next the newest"
    assert len(wear) > times // 2


def test_reopened_queue_goes_on_where_it_was(tmp_path) -> None:
    first = Queue(tmp_path / "car.queue")
    first.append([(payload(n), 1) for n in range(4)])
    first.number(3, MUCH)
    first.ack(1)
    first.know_table(b"12345678", b"{}")
    first.close()
    second = Queue(tmp_path / "car.queue")
    assert second.id == first.id
    assert [(b.number, value(b.payload)) for b in second.in_flight()] == [(2, 1.0), (3, 2.0)]
    assert [(b.number, value(b.payload)) for b in second.number(9, MUCH)] == [(4, 3.0)]
    assert second.tables() == {b"12345678": b"{}"}
    second.close()


def test_second_opener_of_a_queue_is_refused(queue) -> None:
    with pytest.raises(ConflictError, match="cannot be taken"):
        Queue(queue.file)


def test_file_that_is_no_queue_is_refused(tmp_path) -> None:
    (tmp_path / "car.queue").write_bytes(b"this is not a database, " * 100)
    with pytest.raises(ConflictError, match="is damaged"):
        Queue(tmp_path / "car.queue")


def test_only_what_has_no_number_is_dropped(queue) -> None:
    queue.append([(payload(1), 5), (payload(2), 7)])
    queue.number(1, MUCH)
    assert queue.drop_oldest()
    assert not queue.drop_oldest()
    assert (queue.counts.dropped_batches, queue.counts.dropped_samples, queue.batches) == (1, 7, 1)


def test_full_is_when_the_bytes_reach_the_limit(tmp_path) -> None:
    queue = Queue(tmp_path / "car.queue", limit_bytes=200)
    while not queue.full:
        queue.append([(payload(1), 1)])
    assert queue.bytes >= 200
    queue.number(9, MUCH)
    queue.ack(queue.numbered)
    assert (queue.full, queue.bytes, queue.samples) == (False, 0, 0)
    queue.close()


def test_renewed_queue_numbers_what_is_left_from_one_under_another_id(queue) -> None:
    queue.append([(payload(n), 1) for n in range(4)])
    queue.number(3, MUCH)
    queue.ack(1)
    before = queue.id
    queue.renew()
    assert queue.id != before
    assert [(b.number, value(b.payload)) for b in queue.number(9, MUCH)] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def damage(file: Path, where: str) -> None:
    with sqlite3.connect(file) as db:
        db.execute(f"update batches set payload = zeroblob(length(payload)) where {where}")
    db.close()


def test_damaged_record_that_has_a_number_is_replaced_by_a_tombstone(tmp_path) -> None:
    queue = Queue(tmp_path / "car.queue")
    queue.append([(payload(1), 1), (payload(2), 1)])
    queue.number(2, MUCH)
    queue.close()
    damage(queue.file, "number = 1")
    again = Queue(queue.file)
    tomb, whole = again.in_flight()
    assert (decode(tomb.payload).number, len(decode(tomb.payload))) == (1, 0)
    assert value(whole.payload) == 2
    assert again.counts.damaged_batches == 1
    again.close()


def test_damaged_record_without_a_number_uses_none_up(tmp_path) -> None:
    queue = Queue(tmp_path / "car.queue")
    queue.append([(payload(1), 1), (payload(2), 1)])
    queue.close()
    damage(queue.file, "place = 1")
    again = Queue(queue.file)
    assert [(b.number, value(b.payload)) for b in again.number(9, MUCH)] == [(1, 2.0)]
    assert (again.counts.damaged_batches, again.batches) == (1, 1)
    again.close()


def _append_for_ever(file: Path, told: multiprocessing.Queue) -> None:
    queue, n = Queue(file), 0
    while True:
        queue.append([(payload(n + k), 1) for k in range(3)])
        n += 3
        sent = queue.number(2, MUCH)
        queue.ack(sent[-1].number - 3)
        told.put((n, sent[-1].number))


def test_kill_loses_nothing_that_was_stored_and_reuses_no_number(tmp_path) -> None:
    context = multiprocessing.get_context("spawn")
    for attempt in range(3):
        file, told = tmp_path / f"{attempt}.queue", context.Queue()
        process = context.Process(target=_append_for_ever, args=(file, told))
        process.start()
        known = [told.get(timeout=30) for _ in range(5 + attempt * 7)]
        process.kill()
        process.join()
        stored, numbered = known[-1]
        queue = Queue(file)
        assert queue.numbered >= numbered
        rest = queue.in_flight() + queue.number(10**6, MUCH)
        values = [value(batch.payload) for batch in rest]
        assert values == [float(batch.number - 1) for batch in rest]
        assert values[-1] >= stored - 1
        queue.close()


class QueueAgainstModel(RuleBasedStateMachine):
    """Random appends, sends, acks, crashes and reopenings, against a list that forgets nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.queue = Queue(self.folder / "car.queue")
        self.waiting: list[float] = []
        self.numbered: dict[int, float] = {}
        self.acked = 0
        self.given: dict[int, float] = {}
        self.next = 0.0

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        values = [self.next + k for k in range(count)]
        self.queue.append([(payload(v), 1) for v in values])
        self.waiting += values
        self.next += count

    @rule(count=st.integers(0, 5), size=st.sampled_from([0, 90, 200, MUCH]))
    def send(self, count: int, size: int) -> None:
        for batch in self.queue.number(count, size):
            expected = self.waiting.pop(0)
            assert value(batch.payload) == expected
            assert batch.number not in self.given
            assert batch.number == len(self.given) + 1
            self.given[batch.number] = self.numbered[batch.number] = expected

    @rule(number=st.integers(0, 40))
    def ack(self, number: int) -> None:
        self.queue.ack(number)
        if number <= len(self.given):
            self.acked = max(self.acked, number)
            self.numbered = {n: v for n, v in self.numbered.items() if n > self.acked}

    @precondition(lambda self: self.waiting)
    @rule()
    def drop_oldest(self) -> None:
        assert self.queue.drop_oldest()
        self.waiting.pop(0)

    @rule()
    def crash_and_reopen(self) -> None:
        self.queue.close()
        self.queue = Queue(self.folder / "car.queue")

    @invariant()
    def agrees(self) -> None:
        assert {b.number: value(b.payload) for b in self.queue.in_flight()} == self.numbered
        assert self.queue.batches == len(self.numbered) + len(self.waiting)
        assert self.queue.numbered == len(self.given)

    def teardown(self) -> None:
        self.queue.close()


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(max_examples=25, stateful_step_count=25)
