"""Whatever frames say, their batch says the same: each row once, in the order the wire wants."""

import math

from hypothesis import given
from hypothesis import strategies as st

from carcloud.gateway.gbt32960.columns import Samples, batch_of, samples_of
from carcloud.vehicle.batch import decode

VALUES = st.floats(allow_nan=False, width=32) | st.text(max_size=20)
ROWS = st.dictionaries(st.integers(0, 40), VALUES, min_size=1, max_size=20).map(lambda rows: sorted(rows.items()))
SECONDS = st.integers(0, 2000).map(lambda second: second * 1_000_000)
FRAMES = st.lists(st.builds(samples_of, SECONDS, ROWS), min_size=1, max_size=8)
ALIKE = st.tuples(st.lists(st.integers(0, 2000), min_size=1, max_size=8), ROWS).map(
    lambda drawn: [samples_of(second * 1_000_000, drawn[1]) for second in drawn[0]]
)


@given(FRAMES | ALIKE)
def test_a_batch_holds_the_rows_of_its_frames_and_no_other(frames: list[Samples]) -> None:
    batch = decode(batch_of(bytes(8), 1, 1, frames))
    found, at = [], 0
    for signal, count in zip(batch.signals.tolist(), batch.counts.tolist(), strict=True):
        for row in range(at, at + count):
            value = batch.texts.get(row, float(batch.values[row]))
            assert (row in batch.texts) == math.isnan(batch.values[row])
            found.append((signal, batch.base_us + int(batch.times[row]), value))
        at += count
    said = [(place, time_us, value) for time_us, *rows in frames for place, value in zip(*rows, strict=True)]
    assert sorted(found, key=repr) == sorted(said, key=repr)
