from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.vehicle.batch import LIMIT_PAYLOAD_BYTES, IdTable, Provenance, decode
from carcloud.vehicle.batching import LIMIT_SAMPLES, LONGEST_WINDOW_US, Batcher, Column

TABLE = IdTable((("Vehicle.Speed", "km/h"), ("Vehicle.LowVoltageSystemState", None), ("Vehicle.IsMoving", None)))


def batcher(**limits) -> Batcher:
    return Batcher(TABLE, Provenance.REPLAY, Counter(), **limits)


def numbers(signal: int, times, values=None) -> Column:
    times = np.array(times, np.int64)
    return Column(signal, times, np.array(times if values is None else values, np.float64))


def rows(packed) -> list[tuple]:
    """Return (signal, time, value or text) of every sample of every batch."""
    found = []
    for one in packed:
        batch = decode(one.payload)
        assert len(batch) == one.samples
        signals = np.repeat(batch.signals, batch.counts).tolist()
        times = (batch.times.astype(np.int64) + batch.base_us).tolist()
        assert (min(times), max(times)) == (one.first_us, one.last_us)
        for row, (signal, time, value) in enumerate(zip(signals, times, batch.values.tolist(), strict=True)):
            found.append((signal, time, batch.texts.get(row, value)))
    return found


def test_batch_closes_when_its_two_seconds_are_over() -> None:
    one = batcher()
    one.add([numbers(0, range(0, 5_000_000, 100_000))])
    ready = one.ready(4_900_000)
    assert [packed.samples for packed in ready] == [20, 20]
    assert [packed.samples for packed in one.rest()] == [10]
    assert one.rest() == []


def test_silent_car_s_batch_closes_by_the_clock() -> None:
    one = batcher()
    one.add([numbers(0, [100])])
    assert one.ready(2_000_000) == []
    assert len(one.ready(2_000_100)) == 1


def test_batch_has_at_most_2400_samples() -> None:
    one = batcher(window_us=LONGEST_WINDOW_US)
    one.add([numbers(0, range(0, 6000)), numbers(2, range(0, 6000))])
    assert [packed.samples for packed in one.ready(6000)] == [LIMIT_SAMPLES] * 5


def test_samples_of_one_instant_stay_together_even_beyond_the_limit() -> None:
    one = batcher(limit_samples=2)
    one.add([numbers(0, [7]), numbers(1, [7]), numbers(2, [7])])
    assert [packed.samples for packed in one.rest()] == [3]


def test_batch_never_spans_more_than_its_times_can_hold() -> None:
    one = batcher(window_us=10**12)
    one.add([numbers(0, [0, LONGEST_WINDOW_US - 1, LONGEST_WINDOW_US, 10**13])])
    assert [packed.samples for packed in one.rest()] == [2, 1, 1]


def test_batch_too_large_for_the_wire_is_split() -> None:
    one, chance = batcher(), np.random.default_rng(1)
    texts = ["".join(chr(33 + code) for code in chance.integers(0, 90, 900)) for _ in range(600)]
    times = np.arange(600, dtype=np.int64)
    one.add([Column(1, times, np.full(600, np.nan), texts), numbers(0, range(600), chance.random(600))])
    packed = one.rest()
    assert len(packed) > 2
    assert all(len(part.payload) <= LIMIT_PAYLOAD_BYTES for part in packed)
    assert sorted(row[2] for row in rows(packed) if row[0] == 1) == sorted(texts)


@settings(max_examples=100)
@given(
    blocks=st.lists(
        st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 9_000_000)), min_size=1, max_size=30), max_size=8
    ),
    limit=st.integers(1, 12),
)
def test_every_sample_comes_out_once_whatever_the_order_it_came_in(blocks, limit) -> None:
    one, given_rows, packed = batcher(limit_samples=limit), [], []
    for number, block in enumerate(blocks):
        columns = []
        for signal in sorted({signal for signal, _ in block}):
            times = [time for own, time in block if own == signal]
            if signal == 1:
                texts = [f"{number} {time}" for time in times]
                columns.append(Column(1, np.array(times, np.int64), np.full(len(times), np.nan), texts))
                given_rows += [(1, time, text) for time, text in zip(times, texts, strict=True)]
            else:
                columns.append(numbers(signal, times))
                given_rows += [(signal, time, float(time)) for time in times]
        one.add(columns)
        packed += one.ready(max(time for _, time in block))
    packed += one.rest()
    assert sorted(rows(packed), key=repr) == sorted(given_rows, key=repr)
