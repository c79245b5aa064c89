"""The terminal against a platform on the loopback that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from carcloud.errors import ConflictError
from carcloud.onboard.gbt32960.drive import drive_terminals
from carcloud.onboard.gbt32960.store import Store
from carcloud.onboard.gbt32960.terminal import Identity, Line, Terminal
from carcloud.onboard.simulator import Simulator
from carcloud.onboard.source import Slice
from carcloud.vehicle.gbt32960.forms import (
    Answer,
    Control,
    Heartbeat,
    KeyExchange,
    Login,
    Logout,
    Message,
    Parameters,
    Query,
    Report,
    TimeSync,
)
from carcloud.vehicle.gbt32960.frames import Command, Edition, Encryption, Fault, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.messages import read, write
from carcloud.vehicle.gbt32960.sealing import Keys, unseal
from carcloud.vehicle.gbt32960.signature import verify
from carcloud.vehicle.gbt32960.units import Unit

AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
VIN = "LSVAU2A30NN000001"
ME = Identity(VIN, codes=("BATTERY1",))
ENGINE = (Unit("engine", {"state": 1, "speed": 900, "consumption": None}),)
RSA_KEY = rsa.generate_private_key(65537, 2048)


@dataclass
class Platform:
    """Takes what terminals say. `refuse`: commands and the code they are answered with; `mute`: not answered at all."""

    heard: list[Message] = field(default_factory=list)
    refuse: dict[int, int] = field(default_factory=dict)
    mute: set[int] = field(default_factory=set)
    keys: Keys = field(default_factory=Keys)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        frames = FrameReader()
        while data := await reader.read(65_536):
            for frame in frames.feed(data):
                assert isinstance(frame, Frame), frame
                self.hear(frame, writer)
        writer.close()

    def hear(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        opened = unseal(frame, self.keys, datetime.now(UTC))
        assert not isinstance(opened, Fault), opened
        message = read(opened)
        assert isinstance(message, Message), message
        self.heard.append(message)
        if isinstance(message, KeyExchange):
            keys = self.keys.taking(message)
            assert isinstance(keys, Keys)
            self.keys = keys
        if frame.is_command and frame.command not in self.mute:
            at = getattr(message, "at", AT + timedelta(hours=1))
            answer = Answer(frame.vin, frame.command, self.refuse.get(frame.command, 1), at)
            writer.write(encode(write(answer, frame.edition)))

    def say(self, message: Message) -> None:
        self.writers[-1].write(encode(write(message, Edition.E2016)))

    def of(self, kind: type) -> list[Message]:
        return [message for message in self.heard if isinstance(message, kind)]


@asynccontextmanager
async def platform(**given: object) -> AsyncIterator[Platform]:
    found = Platform(**given)  # type: ignore[arg-type]
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for writer in found.writers:
            writer.close()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(terminal: Terminal) -> AsyncIterator[Terminal]:
    task = asyncio.create_task(terminal.run())
    try:
        yield terminal
    finally:
        await terminal.stop()
        await asyncio.wait_for(task, 30)
        terminal.store.close()


def line(found: Platform) -> Line:
    return Line("127.0.0.1", found.port)


def test_what_is_stored_before_the_login_is_re_sent_and_what_comes_after_is_live(tmp_path: Path):
    async def act() -> None:
        async with (
            platform() as found,
            running(Terminal(ME, line(found), Store(tmp_path / "s"), lambda: AT)) as terminal,
        ):
            terminal.report(AT - timedelta(hours=1), ENGINE)
            await until(lambda: terminal.logged_in)
            terminal.report(AT, ENGINE)
            await terminal.drained()
            assert terminal.ahead_s == 3600
        kinds = [type(message) for message in found.heard]
        assert kinds[:2] == [Login, TimeSync]
        assert kinds[-1] is Logout
        reports = {(message.at, message.resent) for message in found.of(Report) if isinstance(message, Report)}
        assert reports == {(AT - timedelta(hours=1), True), (AT, False)}
        assert (terminal.counts["live"], terminal.counts["resent"], terminal.counts["answered"]) == (1, 1, 2)
        (login,) = found.of(Login)
        assert isinstance(login, Login)
        assert (login.serial, login.codes) == (1, ("BATTERY1",))

    asyncio.run(act())


def test_a_refused_login_is_tried_after_a_minute_three_times_and_then_each_half_hour(tmp_path: Path):
    clock, slept, refuse = [AT], [], {int(Command.LOGIN): 4}

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += timedelta(seconds=seconds)
        if len(slept) == 5:
            refuse.clear()

    async def act() -> Platform:
        async with platform(refuse=refuse) as found:
            terminal = Terminal(ME, line(found), Store(tmp_path / "s"), lambda: clock[0], sleep)
            async with running(terminal):
                await until(lambda: terminal.logged_in)
            return found

    found = asyncio.run(act())
    assert slept == [60, 60, 60, 1800, 1800]
    assert [message.serial for message in found.of(Login) if isinstance(message, Login)] == [1, 2, 3, 4, 5, 6]


def test_a_report_without_an_answer_stays_and_is_re_sent_on_the_next_line(tmp_path: Path):
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async def act() -> None:
        async with platform(mute={Command.LIVE}) as found:
            terminal = Terminal(ME, line(found), Store(tmp_path / "s"), lambda: AT, sleep)
            async with running(terminal):
                await until(lambda: terminal.logged_in)
                terminal.report(AT, ENGINE)
                await until(lambda: found.of(Report))
                assert len(terminal.store) == 1
                found.writers[-1].close()
                await terminal.drained()
            assert [message.resent for message in found.of(Report) if isinstance(message, Report)] == [False, True]

    asyncio.run(act())


def test_a_refused_report_goes_and_is_counted(tmp_path: Path):
    async def act() -> None:
        async with (
            platform(refuse={Command.LIVE: 2, Command.RESENT: 2}) as found,
            running(Terminal(ME, line(found), Store(tmp_path / "s"), lambda: AT)) as terminal,
        ):
            terminal.report(AT, ENGINE)
            await terminal.drained()
            assert terminal.counts["refused"] == 1

    asyncio.run(act())


@pytest.mark.parametrize("encryption", [Encryption.AES128, Encryption.SM4, Encryption.RSA])
def test_reports_of_2025_are_sealed_by_an_exchanged_key_and_signed(tmp_path: Path, encryption):
    keys = Keys(aes128=b"a" * 16, sm4=b"s" * 16, rsa_other=RSA_KEY.public_key())
    me = replace(ME, edition=Edition.E2025, encryption=encryption, keys=keys, key=RSA_KEY)

    async def act() -> None:
        async with platform(keys=Keys(rsa_own=RSA_KEY)) as found:
            async with running(Terminal(me, line(found), Store(tmp_path / "s"))) as terminal:
                at = datetime.now(UTC).replace(microsecond=0)
                terminal.report(at, (Unit("engine", {"speed": 900}),))
                await terminal.drained()
            (report,) = found.of(Report)
            assert isinstance(report, Report)
            assert report.at == at
            assert verify(report, RSA_KEY.public_key())
            assert len(found.of(KeyExchange)) == (encryption is not Encryption.RSA)

    asyncio.run(act())


def test_a_platform_asks_sets_and_orders(tmp_path: Path):
    orders: list[Control] = []

    async def act() -> None:
        async with platform() as found:
            terminal = Terminal(ME, line(found), Store(tmp_path / "s"), lambda: AT, ordered=orders.append)
            async with running(terminal):
                await until(lambda: terminal.logged_in)
                for message in (Parameters(VIN, AT, {2: 30}), Query(VIN, AT, (2, 9)), Control(VIN, AT, 3)):
                    found.say(message)
                await until(lambda: len(found.of(Answer)) == 3)
                answers = [message for message in found.of(Answer) if isinstance(message, Answer)]
                assert {answer.command: answer.ok for answer in answers} == {0x80: True, 0x81: True, 0x82: True}
                assert terminal.parameters[2] == 30
                assert orders == [Control(VIN, AT, 3)]

    asyncio.run(act())


def test_a_heartbeat_is_sent_after_the_silence_that_the_platform_sets(tmp_path: Path):
    async def act() -> None:
        async with platform() as found, running(Terminal(ME, line(found), Store(tmp_path / "s"))) as terminal:
            await until(lambda: terminal.logged_in)
            found.say(Parameters(VIN, AT, {9: 1}))
            await until(lambda: terminal.parameters[9] == 1)
            terminal.report(AT, ENGINE)
            await until(lambda: found.of(Heartbeat))

    asyncio.run(act())


class Minute(Simulator):
    """A simulated fleet whose drive ends after a minute."""

    def slices(self) -> Iterator[Slice]:
        until_us = 0
        for piece in super().slices():
            until_us = until_us or piece.until_us + 60_000_000
            if piece.until_us > until_us:
                return
            yield piece


def test_a_simulated_fleet_is_driven(tmp_path: Path):
    async def act() -> None:
        async with platform() as found:
            fleet = Minute(2, 3, int(AT.timestamp()) * 1_000_000)
            who = {name: Identity(f"LSVAU2A30NN00000{at}") for at, name in enumerate(fleet.vehicles())}
            told = await drive_terminals(fleet, who, line(found), tmp_path, speed=1e6, period_s=10.0)
            assert told.waiting == told.dropped == 0
            reports = [message for message in found.of(Report) if isinstance(message, Report)]
            assert len(reports) == told.reports >= 4
            assert {unit.name for unit in reports[-1].units} >= {"vehicle", "motors", "position"}
            assert {report.vin for report in reports} == {identity.vin for identity in who.values()}

    asyncio.run(act())


def test_the_store_keeps_seven_days_and_its_limit_and_counts_what_it_drops(tmp_path: Path):
    store = Store(tmp_path / "s", limit_bytes=10_000)
    store.keep(AT - timedelta(days=8), b"old")
    store.keep(AT - timedelta(days=6), b"new")
    assert [kept.payload for kept in store.oldest(5, (), AT)] == [b"new"]
    for _ in range(120):
        store.keep(AT, bytes(100))
    assert len(store) * 100 <= 10_000
    assert store.dropped == 122 - len(store)
    with pytest.raises(ConflictError):
        Store(tmp_path / "s")
    store.close()


def test_the_serial_begins_anew_each_day_of_china(tmp_path: Path):
    store = Store(tmp_path / "s")
    at = datetime(2026, 3, 1, 15, 59, tzinfo=UTC)
    assert [store.serial(at), store.serial(at), store.serial(at + timedelta(minutes=1))] == [1, 2, 1]
    store.close()
