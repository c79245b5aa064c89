"""Frames of GB/T 32960.3: how a message lies on the wire, and how frames are found in a stream of bytes.

Rules:
* A frame is: start (2), command, answer, VIN (17 ASCII), encryption, length (2), payload, check byte. Big endian.
* The start tells the edition: `##` is 2016, `$$` is 2025. The check byte is the XOR from command to payload's end.
* The reader believes nothing and raises nothing. What is no frame becomes a `Fault` with its cause, and the search goes
  on one byte behind the false start, so that no lying length swallows a good frame.
* What the reader gives does not depend on how the stream was cut into pieces; it keeps one frame's bytes at most.
* Behind a false start every place may be another, with a length as long. So there the XORs of all beginnings are made
  once, and the check of a candidate costs two of them, however long it says it is.

Source: GB/T 32960.3-2016 and -2025, 6.2 (frame), 6.3 (commands and answers), as public implementations cite them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum

import numpy as np

from carcloud.errors import InputError

VIN_BYTES = 17
LIMIT_PAYLOAD_BYTES = 65_531
HEADER = struct.Struct(">2sBB17sBH")


class Edition(Enum):
    """Which text of the standard a frame follows; its value is the frame's start."""

    E2016 = b"##"
    E2025 = b"$$"

    @property
    def year(self) -> int:
        """Return the year of the edition."""
        return 2016 if self is Edition.E2016 else 2025

    __hash__ = object.__hash__
    """As of any object: editions are looked up for each unit, and the hash of Enum is slow."""


_EDITIONS = {edition.value: edition for edition in Edition}


class Command(IntEnum):
    """What a frame is about. 0x83 to 0xBF are kept for later orders, 0xC0 to 0xFE for platforms among themselves."""

    LOGIN = 0x01
    LIVE = 0x02
    RESENT = 0x03
    LOGOUT = 0x04
    PLATFORM_LOGIN = 0x05
    PLATFORM_LOGOUT = 0x06
    HEARTBEAT = 0x07
    TIME_SYNC = 0x08
    ACTIVATION = 0x09
    ACTIVATION_ANSWER = 0x0A
    KEY_EXCHANGE = 0x0B
    QUERY = 0x80
    SET = 0x81
    CONTROL = 0x82


class AnswerCode(IntEnum):
    """The answer byte. The three before COMMAND came with the edition of 2025."""

    OK = 0x01
    ERROR = 0x02
    DUPLICATE = 0x03
    UNKNOWN = 0x04
    SIGNATURE = 0x05
    STRUCTURE = 0x06
    DECRYPTION = 0x07
    COMMAND = 0xFE


class Encryption(IntEnum):
    """How a payload is sealed. SM2 and SM4 came with the edition of 2025."""

    NONE = 0x01
    RSA = 0x02
    AES128 = 0x03
    SM2 = 0x04
    SM4 = 0x05
    ABNORMAL = 0xFE
    INVALID = 0xFF


_ENCRYPTIONS = frozenset(map(int, Encryption))


class Cause(StrEnum):
    """Why bytes, a frame, or a part of a report were refused."""

    NOISE = "noise"
    HEADER = "header"
    TOO_LARGE = "too_large"
    CHECKSUM = "checksum"
    TRUNCATED = "truncated"
    ENCRYPTED = "encrypted"
    DECRYPTION = "decryption"
    STRUCTURE = "structure"
    UNKNOWN_UNIT = "unknown_unit"
    SIGNATURE = "signature"
    UNSUPPORTED = "unsupported"


@dataclass(slots=True)
class Fault:
    """What could not be read, and why; `at` is the place in the payload, or the number of bytes passed by as noise.

    `about`: the frame whose check byte is wrong, as it came: good for an answer, and for nothing else.
    """

    cause: Cause
    detail: str
    at: int = 0
    about: Frame | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Frame:
    """One frame, not changed once made. `command`, `answer`, `encryption` are the bytes as sent, reserved ones too."""

    edition: Edition
    command: int
    answer: int
    vin: str
    encryption: int
    payload: bytes

    @property
    def is_command(self) -> bool:
        """Tell whether this is no answer."""
        return self.answer == AnswerCode.COMMAND


def encode(frame: Frame) -> bytes:
    """Return a frame's bytes. Raise InputError where VIN or payload do not fit."""
    vin = frame.vin.encode("utf-8", "replace").ljust(VIN_BYTES, b"\0")
    if len(vin) != VIN_BYTES or _vin(vin) is None:
        raise InputError(f"{frame.vin[:32]!r} does not fit a frame.", "A VIN has 17 printable ASCII characters.")
    if len(frame.payload) > LIMIT_PAYLOAD_BYTES:
        raise InputError(
            f"A payload of {len(frame.payload)} bytes does not fit a frame.", f"Send at most {LIMIT_PAYLOAD_BYTES}."
        )
    fields = (frame.edition.value, frame.command, frame.answer, vin, frame.encryption, len(frame.payload))
    data = HEADER.pack(*fields) + frame.payload
    return data + bytes([checksum(data[2:])])


_XOR = np.bitwise_xor.reduce


def checksum(data: bytes | bytearray | memoryview) -> int:
    """Return the XOR of all bytes."""
    return int(_XOR(np.frombuffer(data, np.uint8))) if len(data) else 0


def _vin(raw: bytes) -> str | None:
    """Return the VIN without zeros behind it, or None where it is no printable ASCII."""
    text = raw.rstrip(b"\0").decode("latin-1")
    return text if text.isascii() and (text.isprintable() or not text) else None


class FrameReader:
    """Finds frames in a stream. `limit_bytes` is the largest payload let in.

    A false frame is told once: what else cannot be read within its stated length belongs to the same fault.
    """

    def __init__(self, limit_bytes: int = LIMIT_PAYLOAD_BYTES) -> None:
        self._limit = limit_bytes
        self._buffer = bytearray()
        self._need = HEADER.size
        self._noise = 0
        self._vin: tuple[bytes, str | None] = b"", ""  # the last one, as sent and as read
        self._covered = 0  # how many of the buffer's bytes belong to a fault already told
        self._sums: np.ndarray | None = None  # the XOR up to each place, while false starts are read

    @property
    def waiting_bytes(self) -> int:
        """Return how much of an unfinished frame is kept."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | Fault]:
        """Take the next bytes of the stream; return what they complete, in order."""
        found: list[Frame | Fault] = []
        if not self._buffer and not self._noise and not self._covered:
            taken = self._whole(data, found)
            if taken == len(data):
                return found
            data = data[taken:]
        self._buffer += data
        return found + self._read(final=False) if len(self._buffer) >= self._need else found

    def _whole(self, data: bytes, found: list[Frame | Fault]) -> int:
        """Read good frames that stand side by side, the usual case; return where they end."""
        at, most = 0, len(data) - HEADER.size
        while at < most and data[at : at + 2] in _EDITIONS and isinstance(frame := self._frame(data, at), Frame):
            found.append(frame)
            at += HEADER.size + len(frame.payload) + 1
        return at

    def finish(self) -> list[Frame | Fault]:
        """Take the end of the stream: return what still hides in an unfinished frame, and what was cut short."""
        found = self._read(final=True)
        self._tell_noise(found)
        return found

    def _read(self, *, final: bool) -> list[Frame | Fault]:
        found: list[Frame | Fault] = []
        buffer, at, self._need = bytes(self._buffer), 0, HEADER.size
        while True:
            start = _next_start(buffer, at, final=final)
            self._noise += max(0, start - max(at, self._covered))
            at = start
            result = self._frame(buffer, at) if len(buffer) - at >= HEADER.size else HEADER.size
            if isinstance(result, Fault) and result.cause is Cause.CHECKSUM and self._sums is None:
                self._sums = np.bitwise_xor.accumulate(np.frombuffer(buffer, np.uint8))
            if isinstance(result, int):
                if at == len(buffer) or not final:
                    self._need = result
                    break
                result = Fault(Cause.TRUNCATED, f"the stream ended {len(buffer) - at} bytes into a frame")
            at = self._take(result, buffer, at, found)
        self._buffer, self._sums = bytearray(buffer[at:]), None
        self._covered = max(0, self._covered - at)
        return found

    def _take(self, result: Frame | Fault, buffer: bytes, at: int, found: list[Frame | Fault]) -> int:
        """Tell a result; return where to search on."""
        if isinstance(result, Frame):
            self._tell_noise(found)
            found.append(result)
            return at + HEADER.size + len(result.payload) + 1
        if at >= self._covered:
            self._tell_noise(found)
            found.append(result)
            self._covered = at + _covered_bytes(result, buffer, at)
        return at + 1

    def _tell_noise(self, found: list[Frame | Fault]) -> None:
        if self._noise:
            found.append(Fault(Cause.NOISE, f"{self._noise} bytes that belong to no frame", self._noise))
            self._noise = 0

    def _frame(self, buffer: bytes, at: int) -> Frame | Fault | int:
        """Read the frame that starts at `at`; where its end is still to come, return how many bytes it takes."""
        start, command, answer, vin, encryption, length = HEADER.unpack_from(buffer, at)
        if vin != self._vin[0]:
            self._vin = vin, _vin(vin)
        name = self._vin[1]
        if name is None or encryption not in _ENCRYPTIONS:
            what = "the VIN is no ASCII" if name is None else f"encryption {encryption:#04x} is unknown"
            return Fault(Cause.HEADER, what)
        if length > self._limit:
            return Fault(Cause.TOO_LARGE, f"{length} bytes of payload; at most {self._limit} are taken")
        end = at + HEADER.size + length
        if len(buffer) <= end:
            return int(HEADER.size + length + 1)
        if self._sums is None:
            check = _XOR(np.frombuffer(buffer, np.uint8, end - at - 2, at + 2))
        else:
            check = self._sums[end - 1] ^ self._sums[at + 1]
        if check != buffer[end]:
            if at < self._covered:
                return _AGAIN
            what = f"the check byte of a frame of {length} bytes of payload does not match"
            about = Frame(_EDITIONS[start], command, answer, name, encryption, buffer[at + HEADER.size : end])
            return Fault(Cause.CHECKSUM, what, about=about)
        return Frame(_EDITIONS[start], command, answer, name, encryption, buffer[at + HEADER.size : end])


_AGAIN = Fault(Cause.CHECKSUM, "a false start within a frame whose check byte is wrong, which is told")
_START = re.compile(rb"##|\$\$")


def _next_start(buffer: bytes, at: int, *, final: bool) -> int:
    """Return where the next start is, or may be: a single sign at the end may be half of one."""
    if (match := _START.search(buffer, at)) is not None:
        return match.start()
    half = not final and len(buffer) > at and buffer[-1] in b"#$"
    return len(buffer) - half


def _covered_bytes(fault: Fault, buffer: bytes, at: int) -> int:
    """Return how many bytes a fault speaks for: its frame's, or of a length that is not believed only the header's."""
    if fault.cause is Cause.TRUNCATED:
        return len(buffer) - at
    length: int = HEADER.unpack_from(buffer, at)[5]
    return HEADER.size + (length + 1 if fault.cause is Cause.CHECKSUM else 0)
