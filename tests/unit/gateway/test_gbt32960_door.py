"""The door without a network: who may come in, who gives way, and what is done beside the loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.gateway.gate import Gate
from carcloud.gateway.gbt32960 import admission, checks
from carcloud.gateway.gbt32960.admission import GUESSES, TAKEN_OVER, Admission, Refused
from carcloud.gateway.gbt32960.checks import LIMIT_LOGIN_BYTES, Checks
from carcloud.gateway.gbt32960.connection import Connection
from carcloud.gateway.gbt32960.delivery import Delivery
from carcloud.gateway.gbt32960.door import Door
from carcloud.gateway.gbt32960.numbers import Numbers
from carcloud.gateway.gbt32960.places import Places
from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.gateway.gbt32960.terminals import add_terminal
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.gbt32960.chinese import Sm2Key
from carcloud.vehicle.gbt32960.forms import Heartbeat, Login, Message, Report
from carcloud.vehicle.gbt32960.frames import AnswerCode, Cause, Command, Edition, Encryption, Fault, Frame, FrameReader
from carcloud.vehicle.gbt32960.frames import encode as encode_frame
from carcloud.vehicle.gbt32960.sealing import Keys, seal
from carcloud.vehicle.gbt32960.signature import ECC, SM2, key_bytes, signer
from carcloud.vehicle.gbt32960.units import Unit
from carcloud.vehicle.gbt32960.writing import write

VIN, OTHER = "LSVAA4182E2000001", "LSVAA4182E2000002"
AT = datetime(2026, 3, 1, 8, 0, 0, tzinfo=UTC)
E2016, E2025 = Edition.E2016, Edition.E2025
OK = AnswerCode.OK


class Wire(asyncio.Transport):
    """Keeps what the door sends."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.sent: list[Frame] = []
        self.ended = False

    def write(self, data: Any) -> None:
        self.sent += [one for one in FrameReader().feed(data) if isinstance(one, Frame)]

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Line:
    """A connection to a door, and what came of it."""

    def __init__(self, door: Door, address: str = "192.0.2.1") -> None:
        self.connection, self.wire = Connection(door), Wire(address)
        self.connection.connection_made(self.wire)

    def send(self, *messages: Message, edition: Edition = E2016) -> None:
        self.connection.data_received(b"".join(encode_frame(write(one, edition)) for one in messages))

    async def codes(self, many: int) -> list[tuple[int, int]]:
        """Return command and answer of the first answers, once there are so many."""
        async with asyncio.timeout(30):
            while len(self.wire.sent) < many:
                await asyncio.sleep(0.005)
        return [(one.command, one.answer) for one in self.wire.sent]

    async def log_in(self, vin: str = VIN, edition: Edition = E2016) -> int:
        before = len(self.wire.sent)
        self.send(Login(vin, AT, 1, "8" * 20), edition=edition)
        return (await self.codes(before + 1))[-1][1]


def door_of(records: Records, folder: Path) -> Door:
    delivery = Delivery(Bus(), Numbers(folder / "numbers.sqlite"), IdTable((("Vehicle.Speed", None),)))
    return Door(Gbt32960Settings(port=1), Admission(records), delivery, Gate(records), Keys())


@pytest.fixture
def tried(records: Records, tmp_path: Path) -> Callable[[Callable[[Door], Awaitable[None]]], None]:
    """Try something with a door that two cars may come in by."""
    for vin in (VIN, OTHER):
        add_terminal(records, vin, None, "default", "machine")

    def run(what: Callable[[Door], Awaitable[None]]) -> None:
        async def go() -> None:
            await what(door_of(records, tmp_path))

        asyncio.run(go())

    return run


def activate(records: Records, key: Any, algorithm: int) -> None:
    found = records.terminals.find(VIN)
    assert found is not None
    assert records.terminals.activate(found.vehicle.id, "chip", bytes([algorithm]) + key_bytes(key), AT)


def report(edition: Edition = E2025) -> Report:
    more = {"state": 1, "consumption": None} if edition is E2016 else {}
    return Report(VIN, AT, (Unit("engine", {"speed": 800} | more),))


def test_tries_of_one_address_are_counted_before_they_are_checked(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def fits(password: str, kept: str | None) -> bool:
        checked.append(password)
        time.sleep(0.02)
        return False

    monkeypatch.setattr(admission, "fits", fits)
    add_terminal(records, VIN, None, "default", "machine")

    async def run() -> None:
        one = Admission(records)

        async def guess(number: int) -> str:
            try:
                with one.trying("192.0.2.1"):
                    await one.platform("authority", str(number))
            except Refused as refused:
                return refused.cause
            return ""

        guesses = [asyncio.ensure_future(guess(number)) for number in range(60)]
        await asyncio.sleep(0)
        assert (await one.terminal(VIN)).vehicle.id
        assert not all(guess.done() for guess in guesses), "a car does not wait for passwords"
        causes = await asyncio.gather(*guesses)
        assert len(checked) == GUESSES
        assert causes.count("guessing") == 60 - GUESSES

    asyncio.run(run())


def test_a_try_that_is_right_or_cannot_be_decided_counts_for_nothing(records: Records) -> None:
    one = Admission(records)
    for _ in range(3 * GUESSES):
        with one.trying("192.0.2.1"):
            pass
        with pytest.raises(Refused), one.trying("192.0.2.1"):
            raise Refused(AnswerCode.ERROR, "login_storm")
    for _ in range(GUESSES):
        with pytest.raises(Refused, match="wrong"), one.trying("192.0.2.1"):
            raise Refused(AnswerCode.ERROR, "wrong_password")
    with pytest.raises(Refused, match="guessing"), one.trying("192.0.2.1"):
        pass
    with one.trying("192.0.2.2"):
        pass


def test_a_second_login_waits_until_the_first_session_was_silent_for_longer_than_it_may(tried: Any) -> None:
    async def what(door: Door) -> None:
        car, stranger = Line(door), Line(door)
        assert await car.log_in() == OK
        car.connection.session.last -= 60.0
        assert await stranger.log_in() == AnswerCode.DUPLICATE
        assert not car.wire.ended
        car.connection.session.last -= 31.0
        assert await stranger.log_in() == OK
        assert car.wire.ended

    tried(what)


def test_a_platform_that_speaks_does_not_keep_a_silent_car_from_coming_itself(tried: Any, records: Records) -> None:
    async def what(door: Door) -> None:
        platform, car = Line(door), Line(door)
        platform.connection.session.platform, platform.connection.tenant = "authority", "default"
        assert await platform.log_in() == OK
        platform.send(Heartbeat(VIN))
        assert await car.log_in() == AnswerCode.DUPLICATE
        next(iter(platform.connection.cars.values())).heard -= 91.0
        platform.send(Heartbeat(VIN))
        assert await car.log_in() == OK
        assert not platform.wire.ended
        async with asyncio.timeout(30):
            while not any(entry.action == TAKEN_OVER for entry in records.audit.pending(100)):
                await asyncio.sleep(0.01)

    tried(what)


def test_a_terminal_that_has_activated_speaks_no_older_edition(tried: Any, records: Records) -> None:
    activate(records, ec.generate_private_key(ec.SECP256R1()).public_key(), ECC)

    async def what(door: Door) -> None:
        line = Line(door)
        assert await line.log_in() == AnswerCode.ERROR
        assert await line.log_in(edition=E2025) == OK
        line.send(report(E2016))
        assert (await line.codes(3))[-1] == (Command.LIVE, AnswerCode.ERROR)
        assert door.faults()["old_edition"] == 2

    tried(what)


def test_dear_signatures_are_checked_beside_the_loop_and_only_their_connection_waits(
    tried: Any, records: Records
) -> None:
    mine, wrong = Sm2Key.make(), Sm2Key.make()
    activate(records, Sm2Key(mine.public), SM2)
    forged = encode_frame(write(report(), E2025, signer(wrong)))

    async def what(door: Door) -> None:
        signing, other = Line(door), Line(door)
        assert await signing.log_in(edition=E2025) == OK
        assert await other.log_in(OTHER) == OK
        signing.connection.data_received(forged * 10 + encode_frame(write(Heartbeat(VIN), E2025)))
        other.send(Heartbeat(OTHER))
        assert (await other.codes(2))[-1] == (Command.HEARTBEAT, OK)
        assert len(signing.wire.sent) < 11, "the other did not wait for all of them"
        codes = await signing.codes(12)
        assert codes[1:] == [(Command.LIVE, AnswerCode.SIGNATURE)] * 10 + [(Command.HEARTBEAT, OK)]

    tried(what)


def test_many_wrong_frames_at_once_are_answered_in_their_order_and_end_the_connection(tried: Any) -> None:
    async def what(door: Door) -> None:
        line = Line(door)
        assert await line.log_in() == OK
        bad = encode_frame(Frame(E2016, Command.LIVE, AnswerCode.COMMAND, VIN, Encryption.NONE, b"\1"))
        line.connection.data_received(bad * 3_000)
        assert (await line.codes(10))[1:10] == [(Command.LIVE, AnswerCode.ERROR)] * 9
        assert line.wire.ended

    tried(what)


def test_a_sealed_login_is_opened_for_a_known_vin_and_where_it_is_short(tried: Any, records: Records) -> None:
    key = rsa.generate_private_key(65537, 2048)
    sealed = Frame(E2025, Command.LOGIN, AnswerCode.COMMAND, VIN, Encryption.RSA, bytes(255 * 256))

    async def what(door: Door) -> None:
        taking = door.taking
        taking.keys = Keys(rsa_own=key)
        found = await taking.login(sealed)
        assert isinstance(found, Fault)
        assert found.cause == Cause.TOO_LARGE
        line, asked = Line(door), list[Frame]()
        opened = taking.login

        async def login(frame: Frame) -> Message | Fault:
            asked.append(frame)
            return await opened(frame)

        taking.login = login  # type: ignore[method-assign]
        short = Frame(E2025, Command.LOGIN, AnswerCode.COMMAND, "LSVZZ4182E2000009", Encryption.RSA, bytes(256))
        line.connection.data_received(encode_frame(short))
        assert (await line.codes(1))[0] == (Command.LOGIN, AnswerCode.UNKNOWN)
        assert not asked
        assert len(short.payload) < LIMIT_LOGIN_BYTES

    tried(what)


def test_a_report_that_is_sealed_or_signed_anew_is_the_same_report(tried: Any, records: Records) -> None:
    key, signing = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    activate(records, signing.public_key(), ECC)
    keys = Keys(rsa_own=key, rsa_other=key.public_key())

    async def what(door: Door) -> None:
        line = Line(door)
        door.taking.keys = keys
        assert await line.log_in(edition=E2025) == OK
        (car,) = line.connection.cars.values()
        for resent in (False, True, True):
            frame = write(Report(VIN, AT, report().units, resent), E2025, signer(signing))
            line.connection.data_received(encode_frame(seal(frame, Encryption.RSA, keys)))
        async with asyncio.timeout(30):
            while door.delivery.repeated < 2:
                await asyncio.sleep(0.005)
        assert len(car.lane.waiting) == 1

    tried(what)


def test_checks_go_one_at_a_time_with_a_rest_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LIMIT_WAITING", 3)

    async def run() -> None:
        one, began = Checks(), time.monotonic()
        works = [asyncio.ensure_future(one.do(lambda: time.sleep(0.05))) for _ in range(4)]
        await asyncio.wait(works)
        assert time.monotonic() - began >= 3 * 2 * 0.05
        assert [isinstance(work.exception(), TryLaterError) for work in works] == [False, False, False, True]

    asyncio.run(run())


def test_who_waits_longest_without_a_login_goes_for_a_newcomer(tried: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def what(door: Door) -> None:
        door.places = Places(16)
        car = Line(door)
        assert await car.log_in() == OK
        elsewhere = [Line(door, f"192.0.2.{number}") for number in range(10, 16)]
        same = [Line(door, "192.0.2.9") for _ in range(4)]
        assert Line(door, "192.0.2.9").wire.ended, "nobody goes who has just come"
        monkeypatch.setattr("carcloud.gateway.gbt32960.connection.NEW_S", 0.0)
        same += [Line(door, "192.0.2.9") for _ in range(30)]
        assert sum(not line.wire.ended for line in same) == 4, "of one address a quarter"
        assert sum(not line.wire.ended for line in elsewhere + same) == 8, "of all a half"
        late = Line(door, "192.0.2.8")
        assert await late.log_in(OTHER) == OK
        assert not car.wire.ended
        assert len(door.places) <= 8

    tried(what)
