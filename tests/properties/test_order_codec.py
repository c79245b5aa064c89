"""Messages of orders: what is written is read back; anything else is refused, never half read."""

from __future__ import annotations

import contextlib
import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from carcloud.onboard.orders import WINDOW, Window
from carcloud.vehicle.order import KINDS, Message, OrderError, canonical, metadata, read, read_canonical

NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=16)


def value_of(field: dataclasses.Field) -> st.SearchStrategy:
    sizes = field.metadata["sizes"]
    if field.metadata["kind"] is int:
        return st.integers(0, 256 ** sizes[0] - 1)
    if field.metadata["kind"] is str:
        return NAMES
    return st.binary(min_size=sizes[0], max_size=min(sizes[-1], sizes[0] + 64))


MESSAGES = st.one_of(
    [st.builds(kind, **{one.name: value_of(one) for one in dataclasses.fields(kind)}) for kind in KINDS.values()]
)


@given(MESSAGES)
def test_message_is_read_back(message: Message) -> None:
    assert read(message.encode()) == message


@given(MESSAGES, st.data())
def test_there_is_one_way_to_write_a_message(message: Message, data: st.DataObject) -> None:
    """Whatever is read from changed bytes is written as exactly those bytes again."""
    written = bytearray(message.encode())
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read(bytes(written))
    except OrderError:
        return
    assert found.encode() == bytes(written)
    assert found != message


@given(MESSAGES, st.data())
def test_cut_or_lengthened_message_is_refused(message: Message, data: st.DataObject) -> None:
    written = message.encode()
    cut = data.draw(st.integers(0, len(written) - 1))
    for wrong in (written[:cut], written + data.draw(st.binary(min_size=1, max_size=8))):
        try:
            read(wrong)
        except OrderError:
            continue
        raise AssertionError("it was read")


@given(st.binary(max_size=200))
def test_rubbish_is_refused_in_an_orderly_way(data: bytes) -> None:
    with contextlib.suppress(OrderError):
        assert read(data).encode() == data
    with contextlib.suppress(OrderError):
        assert canonical(read_canonical(data)) == data


TAGS = st.dictionaries(st.integers(0, 254), st.binary(max_size=32), max_size=6)


@given(TAGS, TAGS)
def test_other_metadata_are_other_bytes(one: dict[int, bytes], other: dict[int, bytes]) -> None:
    assert (metadata(one) == metadata(other)) == (one == other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_canonical_json_has_one_form(value: dict) -> None:
    try:
        text = canonical(value)
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    assert canonical(read_canonical(text, 10_000)) == text


@given(st.lists(st.integers(0, 300), max_size=200))
def test_window_takes_each_counter_once_and_none_too_old(counters: list[int]) -> None:
    window, taken = Window(), set[int]()
    for counter in counters:
        fresh = counter not in taken and counter > 0 and counter > max(taken, default=0) - WINDOW
        assert window.take(counter) == fresh
        if fresh:
            taken.add(counter)
