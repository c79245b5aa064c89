"""Numbering of one queue."""

from carcloud.stream.marks import LIMIT_QUEUES, Marks, Turn

CAR = "car"


def test_the_first_number_is_one():
    marks = Marks()
    assert marks.mark(CAR, 7) == 0
    assert [marks.turn(CAR, 7, number) for number in (1, 2)] == [Turn.NEXT, Turn.LATER]


def test_only_the_number_after_the_mark_is_next():
    marks = Marks()
    marks.advance(CAR, 7, 41)
    turns = [marks.turn(CAR, 7, number) for number in (1, 40, 41, 42, 43, 2**63 - 1)]
    assert turns == [Turn.EARLIER, Turn.EARLIER, Turn.EARLIER, Turn.NEXT, Turn.LATER, Turn.LATER]


def test_queues_and_cars_are_numbered_apart():
    marks = Marks()
    marks.advance(CAR, 7, 1)
    assert marks.turn(CAR, 8, 1) is Turn.NEXT
    assert marks.turn("another", 7, 1) is Turn.NEXT


def test_a_queue_too_many_pushes_out_the_one_used_longest_ago():
    marks = Marks()
    for queue in range(LIMIT_QUEUES):
        marks.advance(CAR, queue, 5)
    assert all(marks.mark(CAR, queue) == 5 for queue in range(LIMIT_QUEUES))
    marks.advance(CAR, 0, 6)
    marks.advance(CAR, LIMIT_QUEUES, 1)
    assert marks.mark(CAR, 1) == 0
    assert [marks.mark(CAR, queue) for queue in (0, 2, LIMIT_QUEUES)] == [6, 5, 1]


def test_queues_of_one_car_push_out_no_other_cars():
    marks = Marks()
    marks.advance("another", 1, 9)
    for queue in range(3 * LIMIT_QUEUES):
        marks.advance(CAR, queue, 1)
    assert marks.mark("another", 1) == 9
    assert len(marks.dump()[CAR]) == LIMIT_QUEUES


def test_a_dump_keeps_marks_and_the_order_of_use():
    marks = Marks()
    for queue in (2**64 - 1, 1, 10):
        marks.advance(CAR, queue, queue % 97 + 1)
    dumped = marks.dump()
    assert list(dumped[CAR]) == ["f" * 16, f"{1:016x}", f"{10:016x}"]
    loaded = Marks.load(dumped)
    assert loaded.dump() == dumped
    assert loaded.turn(CAR, 10, 12) is Turn.NEXT
