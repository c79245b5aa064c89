"""Sampling and windows of plans: whatever comes in whatever pieces, they keep what they promise."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carcloud.vehicle.plans.sampling import Sampler, Sampling, chosen
from carcloud.vehicle.plans.windows import PIECE_US, Piece, Windows, minute, pieces

TIMES = st.lists(st.integers(0, 300_000), min_size=1, max_size=60).map(sorted)
VALUES = st.floats(-50, 50).map(lambda value: round(value, 1))


@given(TIMES, st.data(), st.floats(0.1, 10))
def test_curve_passes_every_sample_it_leaves_out_within_the_error(times: list[int], data: st.DataObject, by: float):
    times = sorted(set(times))
    values = np.array(data.draw(st.lists(VALUES, min_size=len(times), max_size=len(times))))
    mask = chosen(Sampling("curve", by), np.array(times), values)
    assert mask[0]
    assert mask[-1]
    drawn = np.interp(times, np.array(times)[mask], values[mask])
    assert np.abs(drawn - values).max() <= by + 1e-9


@given(TIMES, st.data(), st.floats(0.1, 10))
def test_band_keeps_what_lies_far_from_the_last_kept(times: list[int], data: st.DataObject, by: float):
    values = data.draw(st.lists(VALUES, min_size=len(times), max_size=len(times)))
    last, kept = None, []
    for value in values:
        kept.append(last is None or abs(value - last) >= by)
        last = value if kept[-1] else last
    assert chosen(Sampling("band", by), np.array(times), np.array(values)).tolist() == kept


@given(
    TIMES,
    st.data(),
    st.sampled_from([Sampling(), Sampling("every", 20_000), Sampling("change"), Sampling("band", 5)]),
    st.integers(0, 60),
)
def test_pieces_give_what_the_whole_gives(times: list[int], data: st.DataObject, sampling: Sampling, at: int):
    values = np.array(data.draw(st.lists(VALUES, min_size=len(times), max_size=len(times))))
    sampler, moments = Sampler(sampling), np.array(times)
    parts = [sampler.take(moments[:at], values[:at]), sampler.take(moments[at:], values[at:])]
    assert np.concatenate(parts).tolist() == chosen(sampling, moments, values).tolist()


def test_texts_are_kept_on_change():
    assert chosen(Sampling("change"), np.arange(4), ["P", "P", "D", "P"]).tolist() == [True, False, True, True]


@given(
    st.lists(st.integers(0, 10 * PIECE_US), max_size=20).map(sorted),
    st.integers(0, 2 * PIECE_US),
    st.integers(0, 2 * PIECE_US),
    st.integers(1, PIECE_US),
)
def test_windows_hold_what_lies_near_a_firing_and_come_alike_however_time_is_told(
    firings: list[int], before: int, after: int, step: int
):
    whole = pieces(firings, before, after)
    windows, told = Windows(before, after), list[Piece]()
    left = list(firings)
    for until in range(0, 14 * PIECE_US, max(step, PIECE_US // 7)):
        while left and left[0] < until:
            windows.fire(left.pop(0))
        told += windows.ready(until)
    assert left == []
    assert told + windows.ready(2**63 - 1) == whole
    for probe in {at + shift for at in firings for shift in (-before - 1, -before, 0, after, after + 1)}:
        near = any(at - before <= probe <= at + after for at in firings)
        assert near == any(one.start_us <= probe <= one.end_us for one in whole)
    assert all(one.start_us // PIECE_US == one.end_us // PIECE_US for one in whole)


def test_plan_without_a_condition_collects_in_whole_minutes_until_it_is_over():
    assert minute(PIECE_US * 5 // 2, 9 * PIECE_US) == Piece(2 * PIECE_US, 3 * PIECE_US - 1, False)
    assert minute(2 * PIECE_US, 2 * PIECE_US + 7) == Piece(2 * PIECE_US, 2 * PIECE_US + 6, False)
