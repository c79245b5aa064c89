"""CAN decoders of FleetWise: where their bits lie, and what no DBC can say."""

import pytest

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.fleetwise.frames import read_frames
from carcloud.vehicle.fleetwise.record import Record

CATALOGUE = Catalogue([Signal("A.X", "float"), Signal("A.Y", "float"), Signal("A.Text", "string")])
CAN = {"interfaceId": "1", "type": "CAN_INTERFACE", "canInterface": {"name": "can0"}}


def decoder(path="A.X", interface="1", **changed):
    can = {
        "messageId": 0x101,
        "isBigEndian": False,
        "isSigned": False,
        "startBit": 0,
        "length": 8,
        "factor": 1,
        "offset": 0,
    }
    return {"fullyQualifiedName": path, "type": "CAN_SIGNAL", "interfaceId": interface, "canSignal": can | changed}


def read(*decoders, interfaces=(CAN,)):
    return read_frames(
        [Record(each, "interface") for each in interfaces], [Record(each, "decoder") for each in decoders], CATALOGUE
    )


@pytest.mark.parametrize(
    ("start", "length", "big", "dbc"),
    [(4, 12, False, 4), (8, 16, True, 7), (0, 8, True, 7), (20, 12, True, 15), (24, 17, True, 8)],
)
def test_start_bit_is_counted_as_a_dbc_counts_it(start, length, big, dbc):
    buses, remarks = read(decoder(startBit=start, length=length, isBigEndian=big))
    signal = buses["1"].frames[0x101].signals[0]
    assert (signal.start, len(signal.bits), remarks) == (dbc, length, [])


def test_frame_is_as_long_as_its_signals_need():
    buses, _ = read(decoder(startBit=72, length=8), decoder("A.Y", messageId=0x18FF0001, startBit=8))
    lengths = {frame.id: (frame.length, frame.extended) for frame in buses["1"].frames.values()}
    assert lengths == {0x101: (12, False), 0x18FF0001: (2, True)}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"length": 0}, "0 bits"),
        ({"length": 65}, "65 bits"),
        ({"startBit": 510, "length": 8}, "beyond its frame"),
        ({"startBit": 10**9}, "beyond its frame"),
        ({"startBit": 4, "length": 12, "isBigEndian": True}, "beyond its frame"),
        ({"factor": 0}, "factor of 0"),
        ({"messageId": 0x20000000}, "which no CAN frame has"),
        ({"length": 16, "signalValueType": "FLOATING_POINT"}, "floating-point"),
    ],
)
def test_decoder_that_no_dbc_can_say_is_left_out_with_the_reason(changed, reason):
    buses, remarks = read(decoder(**changed))
    assert buses == {}
    assert reason in remarks[0].why


def test_second_signal_on_the_same_bits_is_left_out():
    buses, remarks = read(decoder(), decoder("A.Y", startBit=7))
    assert [signal.path for signal in buses["1"].frames[0x101].signals] == ["A.X"]
    assert "shares bits" in remarks[0].why


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (decoder("A.Text"), "is a string"),
        (decoder("A.Z"), "no signal of the catalogue"),
        (decoder(interface="9"), "in no file given"),
        (decoder() | {"type": "OBD_SIGNAL"}, "asks no OBD questions"),
        (decoder() | {"type": "MESSAGE_SIGNAL"}, "ROS 2"),
        (decoder() | {"type": "CUSTOM_DECODING_SIGNAL"}, "no decoder"),
    ],
)
def test_what_the_agent_cannot_decode_is_left_out_with_the_reason(given, reason):
    buses, remarks = read(given)
    assert buses == {}
    assert reason in remarks[0].why


@pytest.mark.parametrize(
    "broken",
    [
        {"length": "8"},
        {"length": -1},
        {"factor": float("nan")},
        {"isSigned": 1},
        {"messageId": 1.5},
        {"offset": None},
        {"factor": 10**400},
    ],
)
def test_broken_decoder_is_an_error_that_names_it(broken):
    with pytest.raises(InputError, match="decoder: canSignal has"):
        read(decoder(**broken))


def test_names_are_made_fit_for_a_dbc_and_unique():
    buses, _ = read(decoder(name="2nd.Speed"), decoder("A.Y", startBit=8, name="2nd_Speed"))
    assert [signal.name for signal in buses["1"].frames[0x101].signals] == ["_2nd_Speed", "_2nd_Speed_2"]
