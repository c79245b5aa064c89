"""Frames, messages and faults, one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960 import frames
from carcloud.vehicle.gbt32960.forms import Answer, Heartbeat, Parameters, PlatformLogin, Report, Signature
from carcloud.vehicle.gbt32960.frames import Cause, Edition, Encryption, Fault, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.layout import ABNORMAL
from carcloud.vehicle.gbt32960.messages import read, read_parameters, write
from carcloud.vehicle.gbt32960.units import ALARMS, Unit, alarms_of, flags_of, gear_of

AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
VIN = "LSVAU2A30NN000001"
ENGINE = Unit("engine", {"state": 1, "speed": 900, "consumption": None})
GOOD = encode(write(Report(VIN, AT, (ENGINE,)), Edition.E2016))
BEAT = write(Heartbeat(VIN), Edition.E2016)


def causes(data: bytes, limit: int = 65_531) -> list[str]:
    reader = FrameReader(limit)
    found = [*reader.feed(data), *reader.finish()]
    return [item.cause.value if isinstance(item, Fault) else "frame" for item in found]


def test_a_time_is_written_in_utc_plus_8():
    assert GOOD[24:30] == bytes((26, 3, 1, 12, 5, 6))


def test_bytes_that_are_no_frame_are_noise_counted_once():
    assert causes(b"hello # $ world") == ["noise"]
    assert causes(b"hello" + GOOD + b"$" + GOOD) == ["noise", "frame", "noise", "frame"]
    assert causes(GOOD + b"#" + GOOD) == ["frame", "header", "frame"]
    assert causes(b"") == []


def test_a_wrong_check_byte_is_told_and_the_next_frame_is_read():
    assert causes(GOOD[:-1] + bytes([GOOD[-1] ^ 1]) + GOOD) == ["checksum", "frame"]


def test_a_length_that_lies_does_not_swallow_the_next_frame():
    lying = GOOD[:22] + (len(GOOD) + 10).to_bytes(2, "big") + GOOD[24:]
    assert causes(lying + GOOD + GOOD) == ["checksum", "frame", "frame"]
    longer = GOOD[:22] + (5_000).to_bytes(2, "big") + GOOD[24:]
    assert causes(longer + GOOD + GOOD) == ["truncated", "frame", "frame"]


def test_a_length_beyond_the_limit_is_refused_without_waiting_for_it():
    reader = FrameReader(1_000)
    (fault,) = reader.feed(GOOD[:22] + b"\xff\xff")
    assert isinstance(fault, Fault)
    assert fault.cause is Cause.TOO_LARGE
    assert reader.waiting_bytes < 24


def test_a_stream_cut_short_is_truncated():
    assert causes(GOOD + GOOD[:-1]) == ["frame", "truncated"]
    assert causes(GOOD[:10]) == ["truncated"]


@pytest.mark.parametrize(("at", "byte"), [(21, 0x09), (6, 0x80), (6, 0x07)])
def test_a_header_of_no_known_encryption_or_no_ascii_is_refused(at, byte):
    assert causes(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :] + GOOD)[0] == "header"


def test_frames_of_both_editions_follow_each_other():
    assert causes(GOOD + encode(write(Heartbeat(VIN), Edition.E2025)) + GOOD) == ["frame"] * 3


def test_a_vin_that_does_not_fit_is_not_written():
    for vin in ("x" * 18, "über", "a\nb"):
        with pytest.raises(InputError):
            encode(Frame(Edition.E2016, 7, 0xFE, vin, 1, b""))
    with pytest.raises(InputError):
        encode(Frame(Edition.E2016, 2, 0xFE, VIN, 1, bytes(65_532)))


def report(payload: bytes, edition: Edition = Edition.E2016) -> Report:
    found = read(Frame(edition, 2, 0xFE, VIN, Encryption.NONE, bytes((26, 3, 1, 12, 5, 6)) + payload))
    assert isinstance(found, Report)
    return found


def test_an_unknown_unit_refuses_the_rest_and_keeps_what_came_before():
    engine = bytes((4, 1, 3, 0x84, 0xFF, 0xFF))
    for edition, code in ((Edition.E2016, 0x0A), (Edition.E2016, 0xFF), (Edition.E2025, 0x09), (Edition.E2025, 0x33)):
        ours = engine if edition is Edition.E2016 else bytes((4, 3, 0x84))
        found = report(ours + bytes((code, 1, 2, 3)) + ours, edition)
        assert [unit.name for unit in found.units] == ["engine"]
        assert found.fault is not None
        assert found.fault.cause is Cause.UNKNOWN_UNIT
        assert f"{code:#04x}" in found.fault.detail


@pytest.mark.parametrize("payload", ["0401", "0801ff", "020300", "800005aabb", "80", "09010103", "07000000000005"])
def test_a_unit_that_does_not_fit_is_a_fault_of_structure(payload):
    found = report(bytes.fromhex(payload))
    assert found.units == ()
    assert found.fault is not None
    assert found.fault.cause is Cause.STRUCTURE


def test_a_sentinel_in_place_of_a_count_carries_no_items():
    for raw, value in ((0xFF, None), (0xFE, ABNORMAL)):
        found = report(bytes((2, raw)) + bytes((4, 1, 3, 0x84, 0xFF, 0xFF)))
        assert found.units[0].fields == {"motors": value}
        assert found.units[1] == ENGINE


@pytest.mark.parametrize("payload", [b"", b"\x1a\x03", bytes((26, 13, 1, 0, 0, 0)), bytes((255,) * 6)])
def test_a_report_without_a_time_is_refused(payload):
    found = read(Frame(Edition.E2016, 2, 0xFE, VIN, Encryption.NONE, payload))
    assert isinstance(found, Fault)
    assert found.cause is Cause.STRUCTURE


def test_a_sealed_payload_is_not_read_before_it_is_opened():
    found = read(Frame(Edition.E2016, 2, 0xFE, VIN, Encryption.AES128, b"x" * 16))
    assert isinstance(found, Fault)
    assert found.cause is Cause.ENCRYPTED


def test_bytes_behind_a_message_are_refused():
    for command, payload in ((7, b"x"), (4, bytes((26, 3, 1, 12, 5, 6, 0, 1, 9)))):
        assert isinstance(read(Frame(Edition.E2016, command, 0xFE, VIN, Encryption.NONE, payload)), Fault)


def test_an_answer_repeats_the_time_and_parameters_are_read_of_it():
    values = {1: 500, 4: 5, 5: "a.com", 9: None, 12: ABNORMAL}
    frame = write(Parameters(VIN, AT, values, answer=1), Edition.E2016)
    answer = read(frame)
    assert isinstance(answer, Answer)
    assert (answer.ok, answer.at) == (True, AT)
    found = read_parameters(answer, Edition.E2016)
    assert isinstance(found, Parameters)
    assert found.values == values
    assert isinstance(read_parameters(Answer(VIN, 0x80, 1, AT, b"\x01\x77\x00"), Edition.E2016), Fault)


def test_a_value_a_field_cannot_say_is_not_written():
    for unit in (
        Unit("engine", {"state": 1, "speed": 1e9, "consumption": 0}),
        Unit("engine", {"state": 1, "speed": float("nan"), "consumption": 0}),
        Unit("engine", {"state": 1}),
        Unit("stacks", {"stacks": ()}),
        Unit("oem", {"type": 5, "content": b""}),
    ):
        with pytest.raises(InputError):
            write(Report(VIN, AT, (unit,)), Edition.E2016)


def test_a_signature_of_2025_stands_behind_the_units_and_signs_what_is_before_it():
    engine = Unit("engine", {"speed": 900})
    frame = write(Report(VIN, AT, (engine,)), Edition.E2025, lambda data: Signature(2, data[::-1]))
    found = read(frame)
    assert isinstance(found, Report)
    assert found.signed == frame.payload[:9]
    assert found.signature == Signature(2, frame.payload[:9][::-1])


def test_alarms_have_names_and_gears_are_those_of_vss():
    assert alarms_of(flags_of(list(ALARMS))) == list(ALARMS)
    with pytest.raises(InputError):
        flags_of(["NO_SUCH"])
    assert [gear_of(bits) for bits in (0x0D, 0x0E, 0x2F, 0x13, 0, 0x8E)] == [-1, 127, 126, 3, 0, None]


def test_no_password_is_shown():
    assert "secret" not in repr(PlatformLogin(VIN, AT, 1, "user", "secret"))


def test_false_starts_with_long_lengths_are_not_summed_up_each_by_itself(monkeypatch):
    false, summed = GOOD[:22] + (65_531).to_bytes(2, "big"), []

    def xor(data):
        summed.append(len(data))
        return np.bitwise_xor.reduce(data)

    monkeypatch.setattr(frames, "_XOR", xor)
    reader, rubbish = FrameReader(), false * (6 * 65_536 // len(false))
    for at in range(0, len(rubbish), 1448):
        reader.feed(rubbish[at : at + 1448])
    assert sum(summed) < 100 * len(rubbish), "not once for each false start"


def test_a_good_frame_among_false_starts_of_long_lengths_is_found():
    false = GOOD[:22] + (4_000).to_bytes(2, "big")
    found = causes(false * 200 + GOOD + false * 300 + GOOD + b"x" * 5_000)
    assert found.count("frame") == 2
