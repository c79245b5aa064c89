from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.onboard.queue import Numbered
from carcloud.onboard.window import LIMIT_BATCHES, LIMIT_BYTES, PACE_PER_S, Window


def batches(first: int, last: int, size: int = 10) -> list[Numbered]:
    return [Numbered(number, 1, bytes(size)) for number in range(first, last + 1)]


def numbers(sent: list[Numbered]) -> list[int]:
    return [batch.number for batch in sent]


def test_nothing_is_sent_without_a_connection() -> None:
    window = Window(batches(1, 3))
    assert window.due(0) == []
    assert window.room == (0, 0)


def test_after_a_reconnect_all_that_is_not_acknowledged_goes_again_in_order() -> None:
    window = Window([])
    window.connected(0)
    window.add(batches(1, 5))
    assert numbers(window.due(0)) == [1, 2, 3, 4, 5]
    window.acknowledge(2, 1)
    window.disconnected()
    assert window.due(2) == []
    window.connected(3)
    assert numbers(window.due(3)) == [3, 4, 5]
    assert window.resent == 3


def test_ten_seconds_without_progress_send_all_again_and_twenty_the_next_time() -> None:
    window = Window(batches(1, 2))
    window.connected(0)
    assert numbers(window.due(0)) == [1, 2]
    assert not window.stalled(9.9)
    assert window.stalled(10)
    assert numbers(window.due(10)) == [1, 2]
    assert not window.stalled(29)
    assert window.stalled(30)
    window.due(30)
    window.acknowledge(1, 31)
    assert window.stalled(41)


def test_idle_car_is_never_stalled() -> None:
    window = Window([])
    window.connected(0)
    assert not window.stalled(1000)
    window.add(batches(1, 1))
    assert numbers(window.due(1000)) == [1]
    assert not window.stalled(1009)


def test_old_repeated_and_unknown_acknowledgements_change_nothing() -> None:
    window = Window(batches(5, 8))
    window.connected(0)
    window.due(0)
    assert not window.acknowledge(4, 1)
    assert not window.acknowledge(99, 1)
    assert window.acknowledge(6, 1)
    assert not window.acknowledge(6, 1)
    assert len(window) == 2


def test_window_holds_64_batches_or_4_mib() -> None:
    window = Window([])
    window.connected(0)
    assert window.room == (LIMIT_BATCHES, LIMIT_BYTES)
    window.add(batches(1, 40, 100_000))
    window.due(0)
    assert window.room == (24, LIMIT_BYTES - 4_000_000)


def test_more_than_400_batches_a_second_wait() -> None:
    window = Window([])
    window.connected(0)
    sent, at = 0, 0.0
    while at < 10:
        count, _ = window.room
        window.add(batches(sent + 1, sent + count))
        fresh = window.due(at)
        sent += len(fresh)
        if fresh:
            window.acknowledge(fresh[-1].number, at)
        at += 0.01
    assert 0.98 * PACE_PER_S * 10 <= sent <= PACE_PER_S * 10 + LIMIT_BATCHES


@settings(max_examples=150)
@given(
    total=st.integers(1, 120),
    fates=st.lists(st.sampled_from(["ok", "lost", "ack lost", "ack late", "cut"]), min_size=1, max_size=60),
)
def test_whatever_is_lost_late_or_repeated_all_arrives_once_and_in_order(total: int, fates: list[str]) -> None:
    """A zone that takes only the next number, a line that does what `fates` say at first and is good afterwards."""
    window, line, stored, late = Window([]), deque(fates), [], deque()
    waiting = deque(batches(1, total))
    window.connected(0)
    now = 0.0
    while len(window) or waiting:
        now += 0.05
        assert now < 2000, "no progress"
        count, _ = window.room
        window.add([waiting.popleft() for _ in range(min(count, len(waiting)))])
        for batch in window.due(now):
            fate = line.popleft() if line else "ok"
            if fate == "cut":
                window.disconnected()
                window.connected(now)
                break
            if fate != "lost" and batch.number == len(stored) + 1:
                stored.append(batch.number)
            if fate == "ack late":
                late.append(len(stored))
            elif fate == "ok":
                window.acknowledge(len(stored), now)
        if late and len(late) % 3 == 0:
            window.acknowledge(late.popleft(), now)
        if window.stalled(now):
            window.acknowledge(len(stored), now)  # the answer to the greeting
        assert len(window) <= LIMIT_BATCHES
    assert stored == list(range(1, total + 1))
