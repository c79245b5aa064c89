"""One connection, as a pure state machine: bytes come in, acts come out; whoever has the socket does them.

Rules:
* Before anything else a connection logs in: a terminal by its VIN, or a platform by name and password. A terminal's
  connection carries its own VIN only. A platform's carries many; what it reports of a car logs that car in. So does an
  activation, which comes before a terminal's first login.
* Frames are taken in their order: while a login is looked up, what came behind it waits. What waits is bounded.
* What cannot be read is counted by cause, and answered where its header could be read: 02, and in the edition of 2025
  05 for a signature, 06 for a structure, 07 for an encryption. The rest of the connection goes on.
* A connection that is not logged in soon, that begins a frame and does not end it, that says nothing for long, or that
  says hardly anything but faults is closed. One that sends too many frames a second is read more slowly.
* Time is passed in, in seconds; times in frames are answered as they came.

Source: GB/T 32960.3-2016 and -2025, 6.3 to 6.5 and 7; as docs/gbt32960.md reads them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.vehicle.gbt32960.frames import AnswerCode, Cause, Command, Edition, Encryption, Fault, Frame, FrameReader
from carcloud.vehicle.gbt32960.frames import encode as encode_frame
from carcloud.vehicle.gbt32960.times import TIME_BYTES

LOGIN_WITHIN_S = 15.0
FRAME_WITHIN_S = 10.0
LIMIT_LATER = 64
LIMIT_FAULTS = 200
"""Faults beyond the frames that were sound, after which a connection is closed; before its login a tenth of them."""
LIMIT_LOGINS = 3
LIMIT_CARS = 50_000
"""Cars that one platform brings on one connection."""
_OF_CARS = (Command.LIVE, Command.RESENT, Command.LOGOUT, Command.ACTIVATION, Command.KEY_EXCHANGE)
_UPLINK = (Command.QUERY, Command.SET, Command.CONTROL)


@dataclass(frozen=True)
class Send:
    """Put bytes on the wire."""

    data: bytes


@dataclass(frozen=True)
class Close:
    """End the connection, for this cause; an empty one is no fault."""

    cause: str


@dataclass(frozen=True)
class Admit:
    """Look up whether this VIN may come in, then call `admitted` or `refused` of the session."""

    frame: Frame


@dataclass(frozen=True)
class AdmitPlatform:
    """Look up whether this platform may come in, then call `admitted` or `refused` of the session."""

    frame: Frame


@dataclass(frozen=True)
class Take:
    """Take a frame of an admitted car: a report, an activation, or a key."""

    frame: Frame


@dataclass(frozen=True)
class Leave:
    """A car has logged out."""

    vin: str


@dataclass(frozen=True)
class Heard:
    """The answer of a terminal to what it was asked."""

    frame: Frame


Act = Send | Close | Admit | AdmitPlatform | Take | Leave | Heard


@dataclass
class Session:
    """One connection. `now`: seconds, of any clock that does not go back. `platform`: who logged in, if one did."""

    settings: Gbt32960Settings
    began: float
    cars: set[str] = field(default_factory=set)
    platform: str | None = None
    edition: Edition | None = None
    frames: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.last = self.began
        self._reader = FrameReader(min(self.settings.frame_bytes, 65_556) - 25)
        self._unfinished: float | None = None
        self._asking: Frame | None = None
        self._later: deque[Frame | Fault] = deque()
        self._logins = self._faulty = 0
        self._second, self._in_second = 0, 0

    @property
    def logged_in(self) -> bool:
        """Tell whether a terminal or a platform has logged in."""
        return bool(self.cars) or self.platform is not None

    @property
    def is_asking(self) -> bool:
        """Tell whether a login is being looked up."""
        return self._asking is not None

    def slow_down_s(self, now: float) -> float:
        """Return for how many seconds the connection shall not be read: it has sent what it may in this one."""
        if len(self._later) > LIMIT_LATER:
            return 0.05
        limit = self.settings.frames_per_s * max(len(self.cars), 1)
        over = int(now) == self._second and self._in_second >= limit
        return self._second + 1 - now if over else 0.0

    def take(self, data: bytes, now: float) -> list[Act]:
        """Take bytes; return what is to be done."""
        self.last = now
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        found = self._reader.feed(data)
        self._in_second += len(found)
        if not self._reader.waiting_bytes:
            self._unfinished = None
        elif self._unfinished is None or found:
            self._unfinished = now
        return self._go_on(found)

    def look(self, now: float) -> list[Act]:
        """Look at the clock; return what is to be done."""
        if not self.logged_in and self._asking is None and now - self.began > LOGIN_WITHIN_S:
            return [self._close("no_login")]
        if self._unfinished is not None and now - self._unfinished > FRAME_WITHIN_S:
            return [self._close("slow")]
        return [self._close("idle")] if now - self.last > self.settings.idle_s else []

    def ended(self) -> None:
        """The other side ended the connection: count what it cut short."""
        for fault in self._reader.finish():
            if isinstance(fault, Fault):
                self.faults[fault.cause] += 1

    def admitted(self, platform: str = "") -> list[Act]:
        """Who asked may come in, a platform under this name: answer, and go on with what came meanwhile."""
        frame, self._asking = self._asking, None
        if frame is None:
            return []
        if frame.command == Command.PLATFORM_LOGIN:
            self.platform = platform
            acts: list[Act] = [Send(answer(frame, AnswerCode.OK))]
        else:
            self.cars.add(frame.vin)
            acts = [Send(answer(frame, AnswerCode.OK))] if frame.command == Command.LOGIN else self._frame(frame)
        return acts + self._go_on(())

    def refused(self, code: AnswerCode, cause: str) -> list[Act]:
        """The car or platform that asked may not come in: answer it; after a few of these the connection ends."""
        frame, self._asking = self._asking, None
        if frame is None:
            return []
        acts: list[Act] = [Send(answer(frame, code))]
        self.faults[cause] += 1  # of a platform's cars only answered: its others go on
        self._logins += not self.logged_in
        if self._logins >= LIMIT_LOGINS:
            return [*acts, Close(cause)]
        return acts + self._go_on(())

    def wrong(self, frame: Frame, cause: str) -> list[Act]:
        """What a frame says cannot be taken: answer it with its code, and count it."""
        self.frames -= 1
        ended = self._fault(cause)
        acts: list[Act] = [Send(answer(frame, code_of(cause, frame.edition)))]
        return [*acts, ended] if ended is not None else acts

    def _go_on(self, found: Sequence[Frame | Fault]) -> list[Act]:
        self._later.extend(found)
        acts: list[Act] = []
        while self._later and self._asking is None:
            one = self._later.popleft()
            if isinstance(one, Fault):
                acts += self._unreadable(one)
            else:
                self.frames += 1
                self.edition = one.edition
                acts += self._frame(one)
            if acts and isinstance(acts[-1], Close):
                self._later.clear()
        return acts

    def _frame(self, frame: Frame) -> list[Act]:
        command = frame.command
        if not frame.is_command:
            return [Heard(frame)] if frame.vin in self.cars and command in _UPLINK else self._odd(frame, "not_asked")
        if command == Command.LOGIN:
            return self._login(frame)
        if command == Command.PLATFORM_LOGIN:
            return self._ask(frame, AdmitPlatform) if not self.logged_in else self._odd(frame, "second_login")
        if command == Command.ACTIVATION and not self.logged_in:
            return self._ask(frame, Admit)
        if not self.logged_in:
            return self._odd(frame, "not_logged_in")
        if command in (Command.HEARTBEAT, Command.TIME_SYNC):
            return [Take(frame)] if command == Command.TIME_SYNC else [Send(answer(frame, AnswerCode.OK))]
        if command == Command.PLATFORM_LOGOUT:
            return [Send(answer(frame, AnswerCode.OK)), Close("")]
        return self._of_car(frame)

    def _login(self, frame: Frame) -> list[Act]:
        if frame.vin in self.cars:
            return [Send(answer(frame, AnswerCode.OK))]
        if self.cars and self.platform is None:
            return self._odd(frame, "second_vin")
        return self._ask(frame, Admit)

    def _of_car(self, frame: Frame) -> list[Act]:
        if frame.command not in _OF_CARS:
            return self._odd(frame, Cause.UNSUPPORTED)
        if frame.vin not in self.cars:
            return self._ask(frame, Admit) if self.platform is not None else self._odd(frame, "second_vin")
        if frame.command != Command.LOGOUT:
            return [Take(frame)]
        self.cars.discard(frame.vin)
        acts: list[Act] = [Leave(frame.vin), Send(answer(frame, AnswerCode.OK))]
        return acts if self.platform is not None else [*acts, Close("")]

    def _ask(self, frame: Frame, act: Callable[[Frame], Admit | AdmitPlatform]) -> list[Act]:
        if len(self.cars) >= LIMIT_CARS:
            return self._odd(frame, "too_many_cars")
        self._asking = frame
        return [act(frame)]

    def _odd(self, frame: Frame, cause: str) -> list[Act]:
        """Refuse a sound frame that has no place here."""
        acts: list[Act] = [Send(answer(frame, code_of(cause, frame.edition)))] if frame.is_command else []
        ended = self._fault(cause)
        return [*acts, ended] if ended is not None else acts

    def _unreadable(self, fault: Fault) -> list[Act]:
        acts: list[Act] = []
        if fault.about is not None and fault.about.is_command:
            acts.append(Send(answer(fault.about, AnswerCode.ERROR)))
        ended = self._fault(fault.cause)
        return [*acts, ended] if ended is not None else acts

    def _fault(self, cause: str) -> Close | None:
        self.faults[cause] += 1
        self._faulty += 1
        limit = LIMIT_FAULTS if self.logged_in else LIMIT_FAULTS // 10
        return Close("faults") if self._faulty - self.frames // 2 >= limit else None

    def _close(self, cause: str) -> Close:
        self.faults[cause] += 1
        return Close(cause)


_CODES_2025: dict[str, AnswerCode] = {
    Cause.SIGNATURE: AnswerCode.SIGNATURE,
    Cause.STRUCTURE: AnswerCode.STRUCTURE,
    Cause.UNKNOWN_UNIT: AnswerCode.STRUCTURE,
    Cause.DECRYPTION: AnswerCode.DECRYPTION,
    Cause.ENCRYPTED: AnswerCode.DECRYPTION,
}


def code_of(cause: str, edition: Edition) -> AnswerCode:
    """Return the answer byte for what was wrong, as the edition has it."""
    return _CODES_2025.get(cause, AnswerCode.ERROR) if edition is Edition.E2025 else AnswerCode.ERROR


def answer(frame: Frame, code: AnswerCode, payload: bytes | None = None) -> bytes:
    """Return the answer to a frame: its header with the code, and the time it named."""
    body = frame.payload[:TIME_BYTES] if payload is None and frame.encryption == Encryption.NONE else payload or b""
    head, check = _head(frame.edition, frame.command, code, frame.vin, len(body))
    for byte in body:
        check ^= byte
    return b"%b%b%c" % (head, body, check)


@lru_cache(16_384)
def _head(edition: Edition, command: int, code: AnswerCode, vin: str, length: int) -> tuple[bytes, int]:
    """Return the header of an answer, and the check byte as far as it goes."""
    whole = encode_frame(Frame(edition, command, code, vin, Encryption.NONE, bytes(length)))  # zeros change no check
    return whole[: len(whole) - length - 1], whole[-1]
