"""The messages of GB/T 32960.3, as values.

Source: GB/T 32960.3-2016 and -2025, 7 and annex B, as public implementations cite them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from carcloud.vehicle.gbt32960.frames import AnswerCode, Command, Encryption, Fault
from carcloud.vehicle.gbt32960.layout import Abnormal
from carcloud.vehicle.gbt32960.parameters import ParameterValue
from carcloud.vehicle.gbt32960.units import Unit

ICCID_BYTES, CODE_BYTES_2025, USER_BYTES, PASSWORD_BYTES, CHIP_BYTES, VIN_BYTES = 20, 24, 12, 20, 16, 17


@dataclass
class Signature:
    """What proves who wrote a report. `algorithm`: 1 SM2, 2 RSA (`s` is empty), 3 ECC."""

    algorithm: int
    r: bytes
    s: bytes = b""


@dataclass
class Message:
    """What a car, or a platform under the name in `vin`, says or is told."""

    COMMAND: ClassVar[Command]
    vin: str


@dataclass
class Login(Message):
    """A car comes. `codes` are its batteries' codes, of `code_bytes` each.

    `packs` are the batteries of each of its control units (2025 only; a sentinel stays one). In 2016 there are as many
    codes as control units. Where the count of control units is a sentinel, `packs` is it.
    """

    COMMAND = Command.LOGIN
    at: datetime
    serial: int
    iccid: str
    codes: tuple[str, ...] = ()
    code_bytes: int = CODE_BYTES_2025
    packs: tuple[int | Abnormal | None, ...] | Abnormal | None = ()


@dataclass
class Logout(Message):
    """A car goes, with the serial it came with."""

    COMMAND = Command.LOGOUT
    at: datetime
    serial: int


@dataclass(eq=False)
class Report(Message):
    """What a car measured at one time; `resent` where it was stored first.

    `signed` are the bytes a signature signs: the payload up to it. `fault` says why the rest was refused.
    """

    at: datetime
    units: tuple[Unit, ...]
    resent: bool = False
    signature: Signature | None = None
    signed: bytes = b""
    fault: Fault | None = None

    def __eq__(self, other: object) -> bool:
        """Compare all but the signed bytes, which only a report that was read has."""
        return isinstance(other, Report) and _said(self) == _said(other)

    __hash__ = None  # type: ignore[assignment]


def _said(report: Report) -> tuple[object, ...]:
    return report.vin, report.at, report.units, report.resent, report.signature, report.fault


@dataclass
class PlatformLogin(Message):
    """A platform comes, to say what its cars said."""

    COMMAND = Command.PLATFORM_LOGIN
    at: datetime
    serial: int
    user: str
    password: str
    encryption: int = Encryption.NONE

    def __repr__(self) -> str:
        return f"PlatformLogin(vin={self.vin!r}, serial={self.serial}, user={self.user!r})"


@dataclass
class PlatformLogout(Message):
    """A platform goes."""

    COMMAND = Command.PLATFORM_LOGOUT
    at: datetime
    serial: int


@dataclass
class Heartbeat(Message):
    """A sign of life."""

    COMMAND = Command.HEARTBEAT


@dataclass
class TimeSync(Message):
    """A question for the time."""

    COMMAND = Command.TIME_SYNC


@dataclass
class Activation(Message):
    """A car's security chip asks to be known: its id, its public key, and a signature of it all (2025)."""

    COMMAND = Command.ACTIVATION
    at: datetime
    chip: str
    key: bytes
    activated: str
    signature: Signature
    signed: bytes = b""


@dataclass
class ActivationAnswer(Message):
    """What became of an activation. `result`: 1 done, 2 not; `info`: 1 fine, 2 chip used, 3 VIN known (2025)."""

    COMMAND = Command.ACTIVATION_ANSWER
    result: int
    info: int
    answer: int = AnswerCode.COMMAND


@dataclass
class KeyExchange(Message):
    """The key that payloads are sealed with from one time to another, itself encrypted (2025)."""

    COMMAND = Command.KEY_EXCHANGE
    encryption: int
    key: bytes
    valid_from: datetime
    valid_until: datetime

    def __repr__(self) -> str:
        return f"KeyExchange(vin={self.vin!r}, encryption={self.encryption}, valid_from={self.valid_from!r})"


@dataclass
class Query(Message):
    """A platform asks a terminal for parameters."""

    COMMAND = Command.QUERY
    at: datetime
    parameters: tuple[int, ...]


@dataclass
class Parameters(Message):
    """Parameters and their values: what a terminal answers to a query (`answer`), or what a platform sets."""

    COMMAND = Command.SET
    at: datetime
    values: Mapping[int, ParameterValue]
    answer: int = AnswerCode.COMMAND


@dataclass
class Control(Message):
    """What a terminal is told to do: 1 upgrade, 2 power off, 3 reset, 4 factory, 5 drop the link, 6 alarm, 7 sample."""

    COMMAND = Command.CONTROL
    at: datetime
    control: int
    content: bytes = b""


@dataclass
class Answer(Message):
    """The answer to a command: its code, the time it repeats (None where it has none), and what else stands there."""

    command: int
    answer: int
    at: datetime | None = None
    content: bytes = b""

    @property
    def ok(self) -> bool:
        """Tell whether the command was taken."""
        return self.answer == AnswerCode.OK


@dataclass
class Reserved(Message):
    """A command kept for later orders, or for platforms among themselves: its bytes as they came."""

    command: int
    content: bytes
