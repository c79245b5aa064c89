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
from carcloud.onboard.queue import Queue
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
