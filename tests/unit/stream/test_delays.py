"""Delays of a fold: of the last minute only, as median and 99th percentile."""

import pytest

from carcloud.stream.delays import LIMIT_KEPT, Delays
from tests.stream import NOW_US

SECOND_US = 1_000_000


def test_before_anything_came_nothing_is_known():
    assert Delays().spread(NOW_US) == {"p50": None, "p99": None}


def test_median_and_99th_percentile_are_in_seconds():
    delays = Delays()
    delays.note([NOW_US - number * SECOND_US for number in range(100, 0, -1)], NOW_US)
    assert delays.spread(NOW_US) == {"p50": 51.0, "p99": 100.0}


def test_a_single_delay_is_both():
    delays = Delays()
    delays.note([NOW_US - SECOND_US // 4], NOW_US)
    assert delays.spread(NOW_US) == {"p50": 0.25, "p99": 0.25}


def test_a_chunk_of_which_nothing_was_received_counts_for_nothing():
    delays = Delays()
    delays.note([0, 0], NOW_US)
    assert delays.spread(NOW_US)["p50"] is None


@pytest.mark.parametrize(("later_s", "known"), [(0, True), (59, True), (60, False), (3600, False), (-1, False)])
def test_only_the_last_minute_counts_also_after_the_clock_was_set_back(later_s, known):
    delays = Delays()
    delays.note([NOW_US - SECOND_US], NOW_US)
    assert (delays.spread(NOW_US + later_s * SECOND_US)["p99"] is not None) is known


def test_no_more_than_the_newest_are_kept():
    delays = Delays()
    delays.note([NOW_US - SECOND_US] * LIMIT_KEPT, NOW_US)
    delays.note([NOW_US - 3 * SECOND_US] * LIMIT_KEPT, NOW_US)
    assert delays.spread(NOW_US) == {"p50": 3.0, "p99": 3.0}


def test_without_a_given_moment_the_clock_is_asked():
    delays = Delays()
    delays.note([NOW_US])
    assert delays.spread()["p50"] is not None
