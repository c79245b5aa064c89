"""Queues in a restored zone: what is lost is counted and said, and in normal life nothing can be passed over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from carcloud.stream.chunk import RawPosition, Record
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.restored import ALARM_STAYS, Restored
from carcloud.stream.settings import FloodLimits
from tests.stream import CAR, CATALOGUE, NOW_US, OTHER, TABLE, batch, hello, up

ROWS = [("Vehicle.Speed", NOW_US, 50.0)]
AT = datetime.now(UTC)


def said(at: datetime = AT) -> str:
    return orjson.dumps({"backup": "2026-11-23T17-30-00Z", "chunk": 9, "at": at}).decode()


def new(restored: Restored | None, mark: int = 3) -> Intake:
    marks, known = Marks(), {CAR: "default", OTHER: "default"}
    marks.advance(CAR, 7, mark)
    return Intake(CATALOGUE, marks, {TABLE.hash: TABLE}, known.get, FloodLimits(), restored)


def greet(intake: Intake, acked: int, queue: int = 7) -> None:
    intake.take(up(kind="event"), hello(queue, acked=acked), NOW_US)


def test_in_a_restored_zone_a_queue_goes_on_where_its_car_was_told_it_stood() -> None:
    intake = new(Restored(said()))
    greet(intake, 8)
    assert [(lost.queue, lost.numbers) for lost in intake.lost] == [(7, 5)]
    assert intake.moved == {(CAR, 7): 8}
    assert intake.needs_chunk
    intake.take(up(), batch(ROWS, 7, 9), NOW_US)
    assert [arrival.number for arrival in intake.arrivals] == [9]
    entry = intake.lost[0].entry()
    assert (entry.object, entry.outcome, entry.facts["numbers"]) == (f"vehicle:{CAR}", "failed", 5)


def test_batches_that_came_before_the_hello_are_taken_in_their_turn_and_older_ones_dropped() -> None:
    intake = new(Restored(said()))
    for number in (6, 10, 9):
        intake.take(up(), batch(ROWS, 7, number), NOW_US)
    greet(intake, 8)
    assert [arrival.number for arrival in intake.arrivals] == [9, 10]
    assert intake.waiting == 0


def test_a_queue_that_the_backup_never_saw_goes_on_too() -> None:
    intake = new(Restored(said()))
    greet(intake, 40, queue=8)
    assert [(lost.queue, lost.numbers) for lost in intake.lost] == [(8, 40)]


@pytest.mark.parametrize("restored", [None, Restored(), Restored(None, {"at": "x", "moved": []})])
def test_in_a_zone_that_was_never_restored_no_hello_passes_over_a_batch(restored: Restored | None) -> None:
    intake = new(restored)
    greet(intake, 8)
    assert (intake.lost, intake.moved) == ([], {})
    assert intake.marks.mark(CAR, 7) == 3


def test_a_queue_is_moved_once_after_a_restore_and_never_once_it_went_on() -> None:
    intake = new(Restored(said()))
    intake.take(up(), batch(ROWS, 7, 4), NOW_US)
    greet(intake, 8)
    greet(intake, 5, queue=8)
    greet(intake, 9, queue=8)
    assert [(lost.queue, lost.numbers) for lost in intake.lost] == [(8, 5)]
    assert intake.marks.mark(CAR, 7) == 4
    assert intake.marks.mark(CAR, 8) == 5


def test_which_queues_went_on_is_kept_over_a_restart_and_forgotten_with_the_next_restore() -> None:
    first = Restored(said())
    record = Record(10, 0, 0, RawPosition(), marks=[(CAR, f"{7:016x}", 4)])
    first.fold(record)
    first.fold(Record(9, 0, 0, RawPosition(), marks=[(CAR, f"{8:016x}", 4)]))  # from the backup itself
    kept = orjson.loads(orjson.dumps(first.dump()))
    again, next_ = Restored(said(), kept), Restored(said(AT + timedelta(hours=1)), kept)
    for restored, queues in ((again, [8]), (next_, [7, 8])):
        intake = new(restored)
        for queue in (7, 8):
            greet(intake, 8, queue)
        assert [lost.queue for lost in intake.lost] == queues


def test_an_erased_car_leaves_nothing_behind() -> None:
    intake = new(Restored(said()))
    greet(intake, 8)
    intake.drop(CAR)
    assert intake.lost == []
    assert CAR not in json.dumps(intake.restored.dump())


@pytest.mark.parametrize("acked", [-1, 1 << 63, 1.5, "8", True, None, [8]])
def test_what_is_no_number_is_refused(acked: object) -> None:
    intake = new(Restored(said()))
    intake.take(up(kind="event"), json.dumps({"event": "hello", "queue": f"{7:016x}", "acked": acked}).encode(), NOW_US)
    assert [refusal.cause for refusal in intake.refusals] == ["bad_json"]
    assert intake.lost == []


def test_the_alarm_says_how_much_is_gone_and_goes_after_a_while() -> None:
    assert Restored(said()).alarm(0) is None
    assert Restored().alarm(5) is None
    found = Restored(said()).alarm(5)
    assert found
    assert "2026-11-23T17-30-00Z: 5 batches" in found[0]
    assert Restored(said(AT - ALARM_STAYS)).alarm(5) is None
