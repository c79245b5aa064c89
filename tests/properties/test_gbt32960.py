"""GB/T 32960 on any input: round trips, arbitrary bytes, streams cut anywhere."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.vehicle.gbt32960.composing import units_of
from carcloud.vehicle.gbt32960.forms import Activation, Login, Report
from carcloud.vehicle.gbt32960.frames import Cause, Edition, Encryption, Fault, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.mapping import samples
from carcloud.vehicle.gbt32960.messages import Answer, read, read_parameters, write
from carcloud.vehicle.gbt32960.rules import table
from carcloud.vehicle.gbt32960.sealing import Keys, unseal
from tests.gbt32960 import message, report

rngs = st.integers(0, 2**32).map(random.Random)
editions = st.sampled_from(Edition)
commands = st.sampled_from([*range(1, 12), 0x80, 0x81, 0x82, 0xC0])


@given(rngs, editions)
def test_a_message_that_is_written_is_read_as_it_was(rng, edition):
    for said in (report(rng, edition), message(rng, edition)):
        frame = write(said, edition)
        (found,) = FrameReader().feed(encode(frame))
        assert found == frame
        again = read(frame)
        if isinstance(again, Report | Activation):
            again = replace(again, signed=b"")
        if isinstance(said, Login) and edition is Edition.E2016:
            said = replace(said, packs=())
        assert again == said


@given(rngs, editions)
def test_a_frame_that_is_read_without_a_fault_is_written_as_the_same_bytes(rng, edition):
    frame = write(report(rng, edition), edition)
    found = read(frame)
    assert isinstance(found, Report)
    assert found.fault is None
    assert write(found, edition) == frame


def judge(frame: Frame) -> None:
    """Take a frame through everything; nothing may raise."""
    unseal(frame, Keys(b"k" * 16, b"k" * 16), datetime.now(UTC))
    found = read(frame)
    if isinstance(found, Report):
        values = samples(found, frame.edition)
        again = units_of({table().signals[place][0]: value for place, value in values.rows}, frame.edition)
        write(Report(found.vin, found.at, again), frame.edition)
    if isinstance(found, Answer):
        read_parameters(found, frame.edition)


@given(editions, commands, st.sampled_from([1, 2, 0xFE, 0xFE, 0xFE]), st.sampled_from(Encryption), st.binary())
def test_arbitrary_payloads_raise_nothing(edition, command, answer, encryption, payload):
    judge(Frame(edition, command, answer, "LSVAU2A30NN000001", encryption, payload))
    judge(Frame(edition, command, answer, "LSVAU2A30NN000001", Encryption.NONE, b"\x1a\x03\x01\x0c\x05\x06" + payload))


@given(rngs, editions, st.data())
def test_a_report_with_one_byte_changed_cut_or_added_raises_nothing(rng, edition, data):
    frame = write(report(rng, edition), edition)
    at = data.draw(st.integers(0, len(frame.payload) - 1))
    changed = bytearray(frame.payload)
    changed[at] = data.draw(st.integers(0, 255))
    for payload in (bytes(changed), frame.payload[:at], frame.payload + frame.payload[at:]):
        judge(replace(frame, payload=payload))


noise = st.binary(max_size=60) | st.text("#$", max_size=60).map(str.encode)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[Frame]]:
    """Draw frames with noise between them; also the good frames."""
    rng, parts, good = draw(rngs), [], []
    for _ in range(draw(st.integers(0, 4))):
        edition = draw(editions)
        frame = write(message(rng, edition), edition)
        data = encode(frame)
        kind = draw(st.sampled_from(["good", "good", "checksum", "cut", "noise"]))
        if kind == "checksum":
            data = data[:-1] + bytes([data[-1] ^ 1])
        parts.append(draw(noise) if kind == "noise" else data[: len(data) // 2] if kind == "cut" else data)
        if kind == "good":
            good.append(frame)
    return b"".join(parts), good


@given(streams(), st.data())
@settings(deadline=None)
def test_what_a_stream_holds_does_not_depend_on_how_it_is_cut(stream, data):
    whole = FrameReader()
    expected = [*whole.feed(stream[0]), *whole.finish()]
    reader, found, at = FrameReader(), [], 0
    while at < len(stream[0]):
        size = data.draw(st.integers(1, 80))
        found += reader.feed(stream[0][at : at + size])
        at += size
        assert reader.waiting_bytes <= 65_556 + 80
    assert found + reader.finish() == expected


@given(streams())
def test_every_good_frame_is_found_whatever_lies_between(stream):
    reader = FrameReader()
    found = [item for item in [*reader.feed(stream[0]), *reader.finish()] if isinstance(item, Frame)]
    rest = iter(found)
    missed = [frame for frame in stream[1] if frame not in rest]
    assert not missed or _swallowed(stream[0], found)


def _swallowed(data: bytes, found: list[Frame]) -> bool:
    """Tell whether noise happens to be a frame of its own, check byte and all: then what lies in it is its payload."""
    return any(b"##" in frame.payload or b"$$" in frame.payload for frame in found)


@given(st.binary(max_size=400) | st.text("#$\x01\xfe", max_size=400).map(lambda text: text.encode("latin-1")))
def test_arbitrary_bytes_are_faults_or_frames_and_keep_little(data):
    reader = FrameReader(100)
    found = [*reader.feed(data)]
    assert reader.waiting_bytes <= 125
    found += reader.finish()
    for item in found:
        if isinstance(item, Frame):
            judge(item)
            assert encode(item) in data
        else:
            assert isinstance(item, Fault)
            assert item.cause in (Cause.NOISE, Cause.HEADER, Cause.TOO_LARGE, Cause.CHECKSUM, Cause.TRUNCATED)
