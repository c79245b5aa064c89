"""The CAN decoders of a FleetWise manifest as messages of a DBC file, one file for each CAN interface.

Rules:
* FleetWise counts to a signal's lowest bit in either byte order; a DBC counts to the highest of a big-endian one.
* A frame's length is not told; the shortest that holds its signals is taken. The agent also reads longer frames.
* An id above 0x7FF is an extended one; FleetWise does not say so of smaller ids.
* Where two signals share bits of a frame the first stays: a DBC needs a multiplexer to tell them apart.

Source: AWS IoT FleetWise API Reference, CanSignal (start bit); ISO 11898-1 for ids and lengths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from carcloud.vehicle.catalogue import Catalogue
from carcloud.vehicle.fleetwise.record import Record, Remark, shown

STANDARD_ID, EXTENDED_ID = 0x7FF, 0x1FFF_FFFF
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
LIMIT_BITS, LIMIT_NAME = 64, 32
FLOAT_BITS = (32, 64)

_OTHERS = {
    "OBD_SIGNAL": "the agent listens to the bus and asks no OBD questions",
    "MESSAGE_SIGNAL": "the agent reads no ROS 2 topics",
    "CUSTOM_DECODING_SIGNAL": "the agent has no decoder of that maker",
}
_INTERFACES = {
    "OBD_INTERFACE": _OTHERS["OBD_SIGNAL"],
    "VEHICLE_MIDDLEWARE": _OTHERS["MESSAGE_SIGNAL"],
    "CUSTOM_DECODING_INTERFACE": _OTHERS["CUSTOM_DECODING_SIGNAL"],
}


@dataclass(frozen=True)
class FrameSignal:
    """A signal within a frame. start: its start bit as a DBC counts it. bits: those it takes, as byte * 8 + bit."""

    path: str
    name: str
    start: int
    length: int
    big_endian: bool
    signed: bool
    is_float: bool
    factor: float
    offset: float
    bits: frozenset[int]


@dataclass
class Frame:
    """A message of a bus."""

    id: int
    signals: list[FrameSignal] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return what a DBC calls it."""
        return f"FRAME_{self.id:X}"

    @property
    def extended(self) -> bool:
        """Tell whether its id has 29 bits."""
        return self.id > STANDARD_ID

    @property
    def length(self) -> int:
        """Return the length of the shortest frame that holds its signals, in bytes."""
        needed = max(max(signal.bits) for signal in self.signals) // 8 + 1
        return next(length for length in LENGTHS if length >= needed)


@dataclass
class Bus:
    """A CAN interface: what the operating system calls it, and the frames by id."""

    name: str
    frames: dict[int, Frame] = field(default_factory=dict)


def read_frames(
    interfaces: Iterable[Record], decoders: Iterable[Record], catalogue: Catalogue
) -> tuple[dict[str, Bus], list[Remark]]:
    """Return the CAN buses by the id of their interface, those without a frame left out, and remarks.

    Args:
        catalogue: the zone's, with the overlay on top.

    Raises:
        InputError: an interface or a decoder is none.
    """
    remarks: list[Remark] = []
    buses: dict[str, Bus] = {}
    others: dict[str, str] = {}
    for interface in interfaces:
        id_, kind = interface.text("interfaceId"), interface.text("type")
        if kind == "CAN_INTERFACE":
            buses.setdefault(id_, Bus(interface.record("canInterface").text("name")))
        else:
            others[id_] = kind
            why = _INTERFACES.get(kind, "its type is not known here")
            remarks.append(Remark(f"network interface {shown(id_)}", why))
    seen: set[str] = set()
    for decoder in decoders:
        remark = _take(decoder, buses, others, seen, catalogue)
        if remark:
            remarks.append(remark)
    return {id_: bus for id_, bus in buses.items() if bus.frames}, remarks


def _take(
    decoder: Record, buses: Mapping[str, Bus], others: Mapping[str, str], seen: set[str], catalogue: Catalogue
) -> Remark | None:
    path, kind, interface = decoder.text("fullyQualifiedName"), decoder.text("type"), decoder.text("interfaceId")
    if kind != "CAN_SIGNAL":
        return Remark(path, _OTHERS.get(kind, f"its decoder is a {shown(kind)}, which is not known here"))
    if interface not in buses:
        other = others.get(interface)
        return Remark(path, f"its interface {shown(interface)} is " + (f"a {other}" if other else "in no file given"))
    if path not in catalogue:
        return Remark(path, "is decoded, and is no signal of the catalogue")
    if catalogue[path].is_text:
        return Remark(path, f"is a {catalogue[path].type}, and a CAN signal is a number; map its values by hand")
    if path in seen:
        return Remark(path, "has a second decoder, and a mapping takes a signal from one place")
    can = decoder.record("canSignal")
    frame_id = can.whole("messageId")
    if frame_id > EXTENDED_ID:
        return Remark(path, f"its message has the id {frame_id:#x}, which no CAN frame has")
    bus = buses[interface]
    signal = _signal(path, can, {s.name for f in bus.frames.values() for s in f.signals if f.id == frame_id})
    if isinstance(signal, Remark):
        return signal
    frame = bus.frames.get(frame_id, Frame(frame_id))
    shares = next((other.path for other in frame.signals if other.bits & signal.bits), None)
    if shares:
        return Remark(path, f"it shares bits of frame {frame_id:#x} with {shares}; a DBC needs a multiplexer for that")
    bus.frames.setdefault(frame_id, frame).signals.append(signal)
    seen.add(path)
    return None


def _signal(path: str, can: Record, taken: set[str]) -> FrameSignal | Remark:
    length, start, factor = can.whole("length"), can.whole("startBit"), can.number("factor")
    big, signed, offset = can.flag("isBigEndian"), can.flag("isSigned"), can.number("offset")
    is_float = can.text("signalValueType", "INTEGER") == "FLOATING_POINT"
    if not 1 <= length <= LIMIT_BITS:
        return Remark(path, f"has {length} bits; a CAN signal has 1 to {LIMIT_BITS}")
    if is_float and length not in FLOAT_BITS:
        return Remark(path, f"is a floating-point number of {length} bits; a DBC has those of 32 and 64")
    if not factor:
        return Remark(path, "has a factor of 0, so it says nothing")
    bits = _bits(start, length, big)
    if not bits or max(bits) >= LENGTHS[-1] * 8:
        return Remark(path, f"with {length} bits from bit {start} it reaches beyond its frame")
    name = _name(can.text("name", "") or path.rpartition(".")[2], taken)
    return FrameSignal(
        path, name, bits[-1] if big else start, length, big, signed, is_float, factor, offset, frozenset(bits)
    )


def _bits(start: int, length: int, big_endian: bool) -> list[int]:
    """Return the bits of a signal from its lowest on, each as byte * 8 + bit; none where it begins before its frame."""
    if start >= LENGTHS[-1] * 8:
        return []
    if not big_endian:
        return list(range(start, start + length))
    line = start // 8 * 8 + 7 - start % 8  # the place in the order in which a big-endian frame is read
    if line - length + 1 < 0:
        return []
    return [place // 8 * 8 + 7 - place % 8 for place in range(line, line - length, -1)]


def _name(wanted: str, taken: set[str]) -> str:
    """Return a name that a DBC may have and that is not taken."""
    clean = re.sub(r"\W", "_", wanted, flags=re.ASCII)
    base = (clean if re.match(r"[A-Za-z_]", clean) else f"_{clean}")[:LIMIT_NAME]
    name, count = base, 2
    while name in taken:
        name, count = f"{base[: LIMIT_NAME - len(str(count)) - 1]}_{count}", count + 1
    return name
