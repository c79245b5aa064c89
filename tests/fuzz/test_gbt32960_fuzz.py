"""The reader and the decoder of GB/T 32960 on bytes nobody sends: they tell faults, keep little and raise nothing."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from carcloud.vehicle.gbt32960.frames import Edition, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.mapping import samples
from carcloud.vehicle.gbt32960.messages import Report, read, write
from tests.gbt32960 import message, report

LIMIT = 2_048


def pour(data: bytes, step: int) -> None:
    reader = FrameReader(LIMIT)
    found = []
    for at in range(0, len(data), step):
        found += reader.feed(data[at : at + step])
        assert reader.waiting_bytes <= LIMIT + 25 + step
    for item in [*found, *reader.finish()]:
        if isinstance(item, Frame) and isinstance(said := read(item), Report):
            samples(said, item.edition)


@given(st.binary(max_size=1_000), st.integers(1, 200))
def test_any_bytes(data, step):
    pour(data, step)


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 4_000), st.binary(max_size=6)), max_size=8),
    st.integers(1, 500),
)
def test_frames_with_bytes_changed_put_in_or_taken_out(seed, changes, step):
    rng = random.Random(seed)
    parts = []
    for edition in rng.choices(list(Edition), k=rng.randint(1, 4)):
        said = report(rng, edition) if rng.random() < 0.7 else message(rng, edition)
        parts.append(encode(write(said, edition)))
    data = bytearray(b"".join(parts))
    for at, put in changes:
        at %= len(data)
        data[at : at + rng.randint(0, 3)] = put
        if not data:
            return
    pour(bytes(data), step)
