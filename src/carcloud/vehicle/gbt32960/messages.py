"""Messages of GB/T 32960.3: what the payload of a frame says, read from frames and written to them.

Rules:
* `read` raises nothing: what cannot be read is a `Fault`. A sealed payload is opened first, by `sealing.unseal`.
* A report keeps the units that could be read. At the first that cannot (a type without a known length, or one that does
  not fit) the rest is refused, with the reason in `fault`: nothing behind it can be found, and nothing is skipped
  silently. What stands behind a signature is not signed, and is refused likewise.
* A signature signs the bytes from the time to the last unit, without the 0xFF before it.
* Times are written in UTC+8, and are aware times in UTC here.
* An answer carries the time of what it answers and may carry more.

Source: GB/T 32960.3-2016 and -2025, 7 and annex B, as public implementations cite them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime

from carcloud.vehicle.gbt32960.forms import (
    CHIP_BYTES,
    CODE_BYTES_2025,
    ICCID_BYTES,
    PASSWORD_BYTES,
    USER_BYTES,
    VIN_BYTES,
    Activation,
    ActivationAnswer,
    Answer,
    Control,
    Heartbeat,
    KeyExchange,
    Login,
    Logout,
    Message,
    Parameters,
    PlatformLogin,
    PlatformLogout,
    Query,
    Report,
    Reserved,
    Signature,
    TimeSync,
)
from carcloud.vehicle.gbt32960.frames import AnswerCode, Cause, Command, Edition, Encryption, Fault, Frame
from carcloud.vehicle.gbt32960.layout import Abnormal, StructureError, read_count
from carcloud.vehicle.gbt32960.parameters import read_ids, read_values
from carcloud.vehicle.gbt32960.times import TIME_BYTES, read_time
from carcloud.vehicle.gbt32960.units import SIGNATURE_TYPE, read_units
from carcloud.vehicle.gbt32960.writing import Sign, write

__all__ = [
    "Activation",
    "ActivationAnswer",
    "Answer",
    "Control",
    "Heartbeat",
    "KeyExchange",
    "Login",
    "Logout",
    "Message",
    "Parameters",
    "PlatformLogin",
    "PlatformLogout",
    "Query",
    "Report",
    "Reserved",
    "Sign",
    "Signature",
    "TimeSync",
    "read",
    "read_parameters",
    "write",
]


_CLEAR, _COMMAND, _RESENT = int(Encryption.NONE), int(AnswerCode.COMMAND), int(Command.RESENT)
_REPORTS = (int(Command.LIVE), _RESENT)
"""As plain numbers: to look them up in their enumerations takes as long as a unit."""


_R, _S = struct.Struct(">BH"), struct.Struct(">H")


class _Reader:
    """Takes a payload from front to back. Raises StructureError where it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int, name: str) -> bytes:
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            raise StructureError(f"{name}: {len(part)} bytes are left of {size}")
        self.at += size
        return part

    def number(self, size: int, name: str) -> int:
        return int.from_bytes(self.take(size, name), "big")

    def text(self, size: int, name: str) -> str:
        text = self.take(size, name).rstrip(b"\0").decode("latin-1")
        if text and not (text.isascii() and text.isprintable()):
            raise StructureError(f"{name}: no printable ASCII")
        return text

    def block(self, name: str) -> bytes:
        return self.take(self.number(2, name), name)

    def time(self) -> datetime:
        return read_time(self.take(TIME_BYTES, "time"))

    def end(self) -> None:
        if (left := len(self.data) - self.at) > 0:
            raise StructureError(f"{left} bytes too many")


def read(frame: Frame) -> Message | Fault:
    """Return what a frame says, or why it cannot be read."""
    if frame.encryption != _CLEAR and frame.payload:
        return Fault(Cause.ENCRYPTED, f"the payload is sealed (encryption {frame.encryption:#04x}): open it first")
    if frame.command in _REPORTS and frame.answer == _COMMAND:
        try:
            at = read_time(frame.payload[:TIME_BYTES])
        except StructureError as error:
            return Fault(Cause.STRUCTURE, str(error))
        return _read_report(frame, at)
    reader = _Reader(frame.payload)
    try:
        return _message(frame, reader)
    except StructureError as error:
        return Fault(Cause.STRUCTURE, str(error), reader.at)


def _message(frame: Frame, reader: _Reader) -> Message:
    if frame.command == Command.ACTIVATION_ANSWER and frame.edition is Edition.E2025:
        result, info = reader.number(1, "result"), reader.number(1, "info")
        reader.end()
        return ActivationAnswer(frame.vin, result, info, frame.answer)
    if not frame.is_command:
        at = reader.time() if len(frame.payload) >= TIME_BYTES else None
        return Answer(frame.vin, frame.command, frame.answer, at, frame.payload[reader.at :])
    known = _READERS[frame.edition].get(frame.command)
    if known is None:
        return Reserved(frame.vin, frame.command, frame.payload)
    message = known(frame, reader)
    reader.end()
    return message


def _read_login(frame: Frame, reader: _Reader) -> Login:
    at, serial, iccid = reader.time(), reader.number(2, "serial"), reader.text(ICCID_BYTES, "iccid")
    count, reader.at = read_count(reader.data, reader.at, 1, "batteries")
    packs: list[int | Abnormal | None] = []
    if frame.edition is Edition.E2016:
        size = reader.number(1, "code length")
        total = count if isinstance(count, int) else 0
    else:
        size = CODE_BYTES_2025
        for _ in range(count if isinstance(count, int) else 0):
            pack, reader.at = read_count(reader.data, reader.at, 1, "packs")
            packs.append(pack)
        total = sum(pack for pack in packs if isinstance(pack, int))
    if total * size > len(reader.data) - reader.at:
        raise StructureError(f"{total} codes of {size} bytes, but {len(reader.data) - reader.at} bytes are left")
    codes = tuple(reader.text(size, "code") for _ in range(total))
    return Login(frame.vin, at, serial, iccid, codes, size, tuple(packs) if isinstance(count, int) else count)


def _read_report(frame: Frame, at: datetime) -> Report:
    data = frame.payload
    units, place, error = read_units(frame.edition, data, TIME_BYTES)
    signature, signed, fault = None, b"", None
    if error is None and place < len(data):
        if data[place] == SIGNATURE_TYPE and frame.edition is Edition.E2025:
            try:
                signature, end = read_signature(data, place + 1)
                signed, place = data[:place], end
                error = _left(data, end)
            except StructureError as short:
                error = str(short)
        else:
            what = f"unit {data[place]:#04x} is unknown; with it {len(data) - place} bytes are refused"
            fault = Fault(Cause.UNKNOWN_UNIT, what, place)
    if error is not None:
        fault = Fault(Cause.STRUCTURE, f"{error}; {len(data) - place} bytes are refused", place)
    return Report(frame.vin, at, tuple(units), frame.command == _RESENT, signature, signed, fault)


def _left(data: bytes, at: int) -> str | None:
    return f"{len(data) - at} bytes too many" if at < len(data) else None


def read_signature(data: bytes, at: int) -> tuple[Signature, int]:
    """Return the signature at `at`, and where it ends. Raise StructureError where it is cut short."""
    try:
        algorithm, size = _R.unpack_from(data, at)
        start = at + _R.size
        place = start + size
        (size,) = _S.unpack_from(data, place)
    except struct.error:
        raise StructureError(f"signature: {len(data) - at} bytes are left") from None
    end = place + _S.size + size
    if end > len(data):
        raise StructureError(f"signature: {len(data) - at} bytes are left of {end - at}")
    return Signature(algorithm, data[start:place], data[place + _S.size : end]), end


def _read_signature(reader: _Reader) -> Signature:
    signature, reader.at = read_signature(reader.data, reader.at)
    return signature


def _read_platform_login(frame: Frame, reader: _Reader) -> PlatformLogin:
    at, serial = reader.time(), reader.number(2, "serial")
    user, password = reader.text(USER_BYTES, "user"), reader.text(PASSWORD_BYTES, "password")
    return PlatformLogin(frame.vin, at, serial, user, password, reader.number(1, "encryption"))


def _read_activation(frame: Frame, reader: _Reader) -> Activation:
    at, chip, key = reader.time(), reader.text(CHIP_BYTES, "chip"), reader.block("key")
    vin, signed = reader.text(VIN_BYTES, "vin"), reader.data[: reader.at]
    return Activation(frame.vin, at, chip, key, vin, _read_signature(reader), signed)


def _read_key_exchange(frame: Frame, reader: _Reader) -> KeyExchange:
    encryption, key = reader.number(1, "encryption"), reader.block("key")
    return KeyExchange(frame.vin, encryption, key, reader.time(), reader.time())


def _read_query(frame: Frame, reader: _Reader) -> Query:
    at = reader.time()
    ids, reader.at = read_ids(reader.data, reader.at)
    return Query(frame.vin, at, ids)


def _read_set(frame: Frame, reader: _Reader) -> Parameters:
    at = reader.time()
    values, reader.at = read_values(frame.edition, reader.data, reader.at)
    return Parameters(frame.vin, at, values)


def _read_control(frame: Frame, reader: _Reader) -> Control:
    at, control = reader.time(), reader.number(1, "control")
    return Control(frame.vin, at, control, reader.take(len(reader.data) - reader.at, "content"))


_READERS_2016: dict[int, Callable[[Frame, _Reader], Message]] = {
    Command.LOGIN: _read_login,
    Command.LOGOUT: lambda frame, reader: Logout(frame.vin, reader.time(), reader.number(2, "serial")),
    Command.PLATFORM_LOGIN: _read_platform_login,
    Command.PLATFORM_LOGOUT: lambda frame, reader: PlatformLogout(frame.vin, reader.time(), reader.number(2, "serial")),
    Command.HEARTBEAT: lambda frame, _: Heartbeat(frame.vin),
    Command.TIME_SYNC: lambda frame, _: TimeSync(frame.vin),
    Command.QUERY: _read_query,
    Command.SET: _read_set,
    Command.CONTROL: _read_control,
}
_READERS = {
    Edition.E2016: _READERS_2016,
    Edition.E2025: _READERS_2016 | {Command.ACTIVATION: _read_activation, Command.KEY_EXCHANGE: _read_key_exchange},
}


def read_parameters(answer: Answer, edition: Edition) -> Parameters | Fault:
    """Return what a terminal answered to a query."""
    if answer.at is None:
        return Fault(Cause.STRUCTURE, "the answer has no time")
    try:
        values, end = read_values(edition, answer.content, 0)
        if end != len(answer.content):
            raise StructureError(f"{len(answer.content) - end} bytes too many")
    except StructureError as error:
        return Fault(Cause.STRUCTURE, str(error))
    return Parameters(answer.vin, answer.at, values, answer.answer)
