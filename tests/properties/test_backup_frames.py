"""Frames of a backup: whatever goes in comes out, and nothing else ever does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carcloud.errors import ConflictError
from carcloud.safety.backup import frames
from carcloud.safety.backup.frames import FrameReader, FrameWriter

KEY = bytes(range(32))
SMALL = 64
HEAD = len(frames.MAGIC) + frames.SALT_BYTES
STEP = SMALL + frames.TAG_BYTES


@pytest.fixture(autouse=True, scope="module")
def small_frames() -> object:
    """Frames of 64 bytes, so that many fit into a test."""
    before, frames.FRAME_BYTES = frames.FRAME_BYTES, SMALL
    yield
    frames.FRAME_BYTES = before


def sealed(parts: list[bytes], key: bytes = KEY, name: str = "backup/piece") -> bytes:
    sink = io.BytesIO()
    writer = FrameWriter(sink, key, name)
    for part in parts:
        writer.write(part)
    writer.close()
    assert writer.size == len(sink.getvalue())
    return sink.getvalue()


def opened(data: bytes, key: bytes = KEY, name: str = "backup/piece", step: int = 1 << 16) -> bytes:
    reader, found = FrameReader(io.BytesIO(data), key, name), []
    while part := reader.read(step):
        found.append(part)
    return b"".join(found)


@given(parts=st.lists(st.binary(max_size=3 * SMALL), max_size=6), step=st.integers(1, 3 * SMALL))
def test_what_goes_in_comes_out(parts: list[bytes], step: int) -> None:
    data = sealed(parts)
    assert opened(data, step=step) == b"".join(parts)
    whole = len(b"".join(parts))
    count = max(-(-whole // SMALL), 1)
    assert len(data) == HEAD + whole + count * frames.TAG_BYTES


@given(body=st.binary(min_size=1, max_size=4 * SMALL), at=st.integers(0), bit=st.integers(0, 7))
def test_a_bit_that_flips_anywhere_is_found(body: bytes, at: int, bit: int) -> None:
    data = bytearray(sealed([body]))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(ConflictError):
        opened(bytes(data))


@given(body=st.binary(min_size=1, max_size=5 * SMALL), cut=st.integers(1))
def test_a_piece_that_was_cut_short_anywhere_is_found(body: bytes, cut: int) -> None:
    data = sealed([body])
    with pytest.raises(ConflictError):
        opened(data[: len(data) - 1 - cut % (len(data) - 1)])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_frames_dropped_from_the_end_are_called_so(count: int) -> None:
    data = sealed([bytes(5 * SMALL)])
    with pytest.raises(ConflictError, match=f"cut short behind frame {4 - count}"):
        opened(data[: -count * STEP])


def test_frames_that_changed_places_or_were_repeated_or_taken_out_do_not_open() -> None:
    data = sealed([bytes(range(64)) * 4])
    head, parts = data[:HEAD], [data[at : at + STEP] for at in range(HEAD, len(data), STEP)]
    first, second, third, last = parts
    for order in (
        [second, first, third, last],
        [first, third, last],
        [first, first, second, third, last],
        [*parts, last],
    ):
        with pytest.raises(ConflictError):
            opened(head + b"".join(order))


@pytest.mark.parametrize(("key", "name"), [(bytes(32), "backup/piece"), (KEY, "other/piece"), (KEY, "backup/other")])
def test_another_key_or_another_name_opens_nothing(key: bytes, name: str) -> None:
    with pytest.raises(ConflictError, match="was changed, or has another key"):
        opened(sealed([b"secret"]), key, name)


def test_a_piece_that_was_never_closed_counts_as_cut_short() -> None:
    sink = io.BytesIO()
    FrameWriter(sink, KEY, "backup/piece").write(bytes(3 * SMALL))
    with pytest.raises(ConflictError, match="cut short"):
        opened(sink.getvalue())


def test_the_same_bytes_are_never_sealed_to_the_same() -> None:
    first, second = sealed([bytes(200)]), sealed([bytes(200)])
    assert first[HEAD:] != second[HEAD:]
    assert opened(first) == opened(second)


@pytest.mark.parametrize("data", [b"", b"CCBACK1\n", b"x" * 200, frames.MAGIC + bytes(31)])
def test_what_is_no_piece_is_called_so(data: bytes) -> None:
    with pytest.raises(ConflictError, match="is no piece"):
        opened(data)
