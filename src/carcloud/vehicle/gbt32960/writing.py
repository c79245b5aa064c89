"""Messages as frames: the way out.

Rules:
* What was read and is written again is the same bytes.
* A report is signed by its writer: `sign` gets the bytes to be signed and returns the signature.
"""

from __future__ import annotations

from collections.abc import Callable

from carcloud.errors import InputError
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
from carcloud.vehicle.gbt32960.frames import AnswerCode, Command, Edition, Encryption, Frame
from carcloud.vehicle.gbt32960.layout import write_count
from carcloud.vehicle.gbt32960.parameters import write_ids, write_values
from carcloud.vehicle.gbt32960.times import write_time
from carcloud.vehicle.gbt32960.units import SIGNATURE_TYPE, write_unit

Sign = Callable[[bytes], Signature]


def write(message: Message, edition: Edition, sign: Sign | None = None) -> Frame:
    """Return a message as a frame, not sealed. `sign` signs reports and activations of 2025 anew.

    Raises:
        InputError: the edition has no such message, or it cannot say a value.
    """
    command, answer, payload = _payload(message, edition, sign)
    return Frame(edition, command, answer, message.vin, Encryption.NONE, payload)


def _payload(message: Message, edition: Edition, sign: Sign | None) -> tuple[int, int, bytes]:
    if isinstance(message, Report):
        return Command.RESENT if message.resent else Command.LIVE, AnswerCode.COMMAND, _report(message, edition, sign)
    if isinstance(message, Answer):
        time = b"" if message.at is None else write_time(message.at)
        return message.command, message.answer, time + message.content
    if isinstance(message, ActivationAnswer):
        _only_2025(message, edition)
        return message.COMMAND, message.answer, bytes([message.result, message.info])
    if isinstance(message, Parameters):
        command = Command.SET if message.answer == AnswerCode.COMMAND else Command.QUERY
        return command, message.answer, write_time(message.at) + write_values(edition, message.values)
    if isinstance(message, Reserved):
        return message.command, AnswerCode.COMMAND, message.content
    return message.COMMAND, AnswerCode.COMMAND, _command(message, edition, sign)


def _command(message: Message, edition: Edition, sign: Sign | None) -> bytes:
    match message:
        case Login():
            return _login(message, edition)
        case Logout() | PlatformLogout():
            return write_time(message.at) + _u16(message.serial)
        case PlatformLogin():
            names = _text(message.user, USER_BYTES, "user") + _text(message.password, PASSWORD_BYTES, "password")
            return write_time(message.at) + _u16(message.serial) + names + bytes([message.encryption])
        case Heartbeat() | TimeSync():
            return b""
        case Query():
            return write_time(message.at) + write_ids(message.parameters)
        case Control():
            return write_time(message.at) + bytes([message.control]) + message.content
        case Activation():
            _only_2025(message, edition)
            text = write_time(message.at) + _text(message.chip, CHIP_BYTES, "chip") + _block(message.key)
            text += _text(message.activated, VIN_BYTES, "VIN")
            return text + _signature(message.signature if sign is None else sign(text))
        case KeyExchange():
            _only_2025(message, edition)
            times = write_time(message.valid_from) + write_time(message.valid_until)
            return bytes([message.encryption]) + _block(message.key) + times
    raise InputError(f"{type(message).__name__} is no message of GB/T 32960.", "Write one of its messages.")


def _login(login: Login, edition: Edition) -> bytes:
    head = write_time(login.at) + _u16(login.serial) + _text(login.iccid, ICCID_BYTES, "ICCID")
    if edition is Edition.E2016:
        total = len(login.codes) if isinstance(login.packs, tuple) else login.packs
        count = write_count(total, 1, "batteries") + bytes([login.code_bytes])
        return head + count + b"".join(_text(code, login.code_bytes, "code") for code in login.codes)
    packs = login.packs if isinstance(login.packs, tuple) else ()
    if sum(pack for pack in packs if isinstance(pack, int)) != len(login.codes):
        raise InputError(f"{len(login.codes)} codes do not fit {packs} packs.", "Say as many codes as packs.")
    count = write_count(len(packs) if isinstance(login.packs, tuple) else login.packs, 1, "batteries")
    count += b"".join(write_count(pack, 1, "packs") for pack in packs)
    return head + count + b"".join(_text(code, CODE_BYTES_2025, "code") for code in login.codes)


def _report(report: Report, edition: Edition, sign: Sign | None) -> bytes:
    signed = write_time(report.at) + b"".join(write_unit(edition, unit) for unit in report.units)
    if edition is Edition.E2016:
        return signed
    signature = report.signature if sign is None else sign(signed)
    return signed if signature is None else signed + bytes([SIGNATURE_TYPE]) + _signature(signature)


def _only_2025(message: Message, edition: Edition) -> None:
    if edition is not Edition.E2025:
        raise InputError(f"The edition of 2016 has no {type(message).__name__}.", "Leave it out, or use that of 2025.")


def _signature(signature: Signature) -> bytes:
    return bytes([signature.algorithm]) + _block(signature.r) + _block(signature.s)


def _block(data: bytes) -> bytes:
    return _u16(len(data)) + data


def _u16(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise InputError(f"{value} does not fit two bytes.", "Use a number from 0 to 65,535.")
    return value.to_bytes(2, "big")


def _text(text: str, size: int, name: str) -> bytes:
    data = text.encode("ascii", "replace")
    if len(data) > size or not text.isascii() or (text and not text.isprintable()):
        raise InputError(f"This {name} does not fit {size} bytes of ASCII.", "Shorten it, and leave out other signs.")
    return data.ljust(size, b"\0")
