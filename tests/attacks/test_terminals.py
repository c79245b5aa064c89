"""Attacks on the door for GB/T 32960: lies, slowness, floods and strangers, while a good terminal goes on."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.backends.records import Vehicle
from carcloud.gateway.gbt32960.terminals import add_terminal
from carcloud.vehicle.gbt32960.forms import Login, PlatformLogin, Report
from carcloud.vehicle.gbt32960.frames import AnswerCode, Command, Edition, Encryption, Frame, encode
from carcloud.vehicle.gbt32960.signature import ECC, key_bytes
from carcloud.vehicle.gbt32960.writing import write
from tests.end_to_end.terminals import ICCID, Terminal, vehicle
from tests.zone import RunningZone, running_zone, until

OK, E2016 = AnswerCode.OK, Edition.E2016
CONFIG = "[gbt32960]\nport = 1\nidle_s = 300.0\nsessions = 200\n"
GOOD, BAD, SIGNING = "LSVAA4182E2000001", "LSVAA4182E2000002", "LSVAA4182E2000003"


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    with running_zone(tmp_path_factory.mktemp("terminals") / "zone", "--free-ports", config=CONFIG) as zone:
        yield zone


@pytest.fixture(scope="module")
def cars(zone: RunningZone) -> list[Vehicle]:
    records = zone.records()
    try:
        return [add_terminal(records, vin, None, "default", "machine") for vin in (GOOD, BAD, SIGNING)]
    finally:
        records.close()


@pytest.fixture
def good(zone: RunningZone, cars: list[Vehicle]) -> Iterator[Terminal]:
    """A good terminal, which has to be served before the attack and after it."""
    assert cars
    with Terminal(zone.file.gbt32960) as terminal:
        until(lambda: terminal.log_in(GOOD, now()) == OK, "the good terminal stays out")
        assert terminal.report(GOOD, now()) == OK
        yield terminal
        assert terminal.report(GOOD, now() - timedelta(days=1)) == OK, "the good terminal is not served any more"


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def bytes_of(vin: str = BAD) -> bytes:
    return encode(write(Report(vin, now(), (vehicle(E2016),)), E2016))


def faults(zone: RunningZone) -> dict[str, int]:
    found: dict[str, int] = zone.get("/v1/gbt32960/sessions")["faults"]
    return found


def closed(terminal: Terminal, within_s: float) -> bool:
    """Tell whether the door closes a connection within so many seconds."""
    terminal.socket.settimeout(within_s)
    try:
        while terminal.socket.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.usefixtures("good")
def test_noise_before_a_login_is_counted_and_ends_soon(zone: RunningZone) -> None:
    before = sum(faults(zone).values())
    for noise in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        b"##" * 20_000,
        os.urandom(60_000),
        b"$$" + b"\xff" * 40_000,
    ):
        with Terminal(zone.file.gbt32960) as stranger, contextlib.suppress(OSError):
            for _ in range(4):
                stranger.socket.sendall(noise)
            assert closed(stranger, 30.0)
    assert sum(faults(zone).values()) > before


@pytest.mark.usefixtures("good")
def test_wrong_check_byte_and_a_lying_length_are_refused_and_the_next_frame_is_read(zone: RunningZone) -> None:
    with Terminal(zone.file.gbt32960) as liar:
        assert liar.log_in(BAD, now()) == OK
        wrong = bytearray(bytes_of())
        wrong[-1] ^= 0x55
        short = bytearray(bytes_of())
        short[22:24] = (3).to_bytes(2, "big")
        liar.socket.sendall(bytes(wrong) + bytes_of())
        assert [liar.answer().answer for _ in range(2)] == [AnswerCode.ERROR, OK]
        liar.socket.sendall(bytes(short) + bytes_of())
        answers = []
        while OK not in answers:
            answers.append(liar.answer().answer)
    assert faults(zone)["checksum"] >= 2


@pytest.mark.usefixtures("good")
def test_slow_loris_and_silence_are_cut_off(zone: RunningZone) -> None:
    with Terminal(zone.file.gbt32960) as silent, Terminal(zone.file.gbt32960) as slow:
        data, began = bytes_of(), time.monotonic()
        with contextlib.suppress(OSError):
            for at in range(len(data)):
                slow.socket.sendall(data[at : at + 1])
                time.sleep(1.0)
        assert time.monotonic() - began < len(data)
        assert closed(silent, 30.0)
    found = faults(zone)
    assert found.get("slow", 0) + found.get("no_login", 0) >= 2


@pytest.mark.usefixtures("good")
def test_a_vin_that_is_not_ones_own_is_not_spoken_for(zone: RunningZone, cars: list[Vehicle]) -> None:
    with Terminal(zone.file.gbt32960) as thief:
        assert thief.log_in(GOOD, now()) == AnswerCode.DUPLICATE
        assert thief.log_in(BAD, now()) == OK
        lie = now() - timedelta(days=9)
        assert thief.report(GOOD, lie) == AnswerCode.ERROR
    query = "select count(*) from samples where vehicle = $v and time = $t::timestamptz"
    until(lambda: zone.lake_is_level(), "the lake is behind")
    assert zone.sql(query, v=cars[0].id, t=lie.isoformat()) == [[0]]


@pytest.mark.usefixtures("good")
def test_a_storm_of_logins_and_connections_takes_nobody_elses_place(zone: RunningZone) -> None:
    sockets = []
    try:
        for number in range(250):
            with contextlib.suppress(OSError):
                one = socket.create_connection(("127.0.0.1", zone.file.gbt32960), 10.0)
                one.sendall(encode(write(Login(f"LSVZZ4182E2{number:06}", now(), 1, ICCID), E2016)))
                sockets.append(one)
        until(lambda: faults(zone).get("too_many_connections", 0) > 0, "connections are not bounded")
        until(lambda: faults(zone).get("unknown_vin", 0) >= 40, "strangers are not refused")
    finally:
        for one in sockets:
            one.close()


@pytest.mark.usefixtures("good")
def test_a_flood_of_reports_is_read_slowly_and_every_taken_one_is_answered(zone: RunningZone) -> None:
    until(lambda: len(zone.get("/v1/gbt32960/sessions")["sessions"]) <= 2, "sessions stay")
    with Terminal(zone.file.gbt32960) as flooder:
        until(lambda: flooder.log_in(BAD, now()) == OK, "the flooder stays out")
        began = now() - timedelta(days=2)
        flood = [
            encode(write(Report(BAD, began + timedelta(seconds=at), (vehicle(E2016),)), E2016)) for at in range(800)
        ]
        flooder.socket.sendall(b"".join(flood))
        assert flooder.answer().answer == OK
    until(lambda: faults(zone).get("slowed_down", 0) + faults(zone).get("no_room", 0) > 0, "the flood is not bounded")


@pytest.mark.usefixtures("good")
def test_sealed_logins_of_strangers_are_not_opened_and_hold_up_nobody(zone: RunningZone) -> None:
    sealed = b"".join(
        encode(Frame(Edition.E2025, Command.LOGIN, AnswerCode.COMMAND, vin, Encryption.RSA, os.urandom(255 * 256)))
        for vin in (BAD, "LSVZZ4182E2000001", BAD)
    )
    for _ in range(8):
        with Terminal(zone.file.gbt32960) as stranger:
            stranger.socket.sendall(sealed)
            assert stranger.answer().answer in (AnswerCode.ERROR, AnswerCode.UNKNOWN)
    assert faults(zone)["too_large"] >= 8


@pytest.mark.usefixtures("good")
def test_passwords_guessed_at_once_are_counted_before_they_are_checked(zone: RunningZone) -> None:
    guessers = [Terminal(zone.file.gbt32960) for _ in range(40)]
    try:
        for number, one in enumerate(guessers):
            one.send(PlatformLogin("PLATFORM000000001", now(), 1, "authority", f"guess-{number}"))
        assert {one.answer().answer for one in guessers} == {AnswerCode.ERROR}
    finally:
        for one in guessers:
            one.socket.close()
    found = faults(zone)
    assert found["wrong_password"] <= 10
    assert found["guessing"] >= 30


@pytest.mark.usefixtures("good")
def test_a_terminal_with_a_key_cannot_be_spoken_for_in_the_edition_without(
    zone: RunningZone, cars: list[Vehicle]
) -> None:
    records, key = zone.records(), ec.generate_private_key(ec.SECP256R1()).public_key()
    try:
        assert records.terminals.activate(cars[2].id, "chip-1", bytes([ECC]) + key_bytes(key), now())
    finally:
        records.close()
    with Terminal(zone.file.gbt32960) as thief:
        assert thief.log_in(SIGNING, now()) == AnswerCode.ERROR
        assert thief.report(SIGNING, now()) == AnswerCode.ERROR
    with Terminal(zone.file.gbt32960, Edition.E2025) as thief:
        assert thief.log_in(SIGNING, now()) == OK
        old = encode(write(Report(SIGNING, now(), (vehicle(E2016),)), E2016))
        thief.socket.sendall(old)
        assert thief.answer().answer == AnswerCode.ERROR
    assert faults(zone)["old_edition"] >= 2


@pytest.mark.usefixtures("good")
def test_a_live_session_is_not_ended_by_who_knows_its_vin(zone: RunningZone) -> None:
    with Terminal(zone.file.gbt32960) as car:
        until(lambda: car.log_in(BAD, now()) == OK, "the car stays out")
        for _ in range(20):
            with Terminal(zone.file.gbt32960) as stranger:
                assert stranger.log_in(BAD, now()) == AnswerCode.DUPLICATE
        assert car.report(BAD, now()) == OK
    assert "taken_over" not in faults(zone)


@pytest.mark.usefixtures("good")
def test_no_vin_stands_in_a_log_or_an_answer(zone: RunningZone) -> None:
    told = zone.client.get("/v1/gbt32960/sessions").text + zone.client.get("/metrics").text
    logs = "".join(file.read_text(errors="replace") for file in zone.folder.logs.glob("*"))
    for vin in (GOOD, BAD, "LSVZZ4182E2"):
        assert vin not in told
        assert vin not in logs
    assert GOOD.encode() not in zone.folder.terminals.read_bytes()
