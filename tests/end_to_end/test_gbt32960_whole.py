"""Terminals of GB/T 32960 through a whole zone: both editions, TCP and TLS, to the lake; and what goes wrong."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from carcloud.backends.records import Vehicle
from carcloud.gateway.gbt32960.delivery import LIMIT_FRAMES
from carcloud.gateway.gbt32960.terminals import add_platform, add_terminal
from carcloud.safety.identity import Trust
from carcloud.vehicle.gbt32960.forms import (
    Activation,
    ActivationAnswer,
    Answer,
    KeyExchange,
    Parameters,
    Query,
    Report,
    Signature,
    TimeSync,
)
from carcloud.vehicle.gbt32960.frames import AnswerCode, Command, Edition, Encryption, encode
from carcloud.vehicle.gbt32960.messages import read
from carcloud.vehicle.gbt32960.sealing import Keys, seal
from carcloud.vehicle.gbt32960.signature import ECC, key_bytes, signer
from carcloud.vehicle.gbt32960.times import read_time
from carcloud.vehicle.gbt32960.units import Unit
from carcloud.vehicle.gbt32960.writing import write
from tests.end_to_end.terminals import Terminal, values_of, vehicle
from tests.zone import RunningZone, carcloud, running_zone, until

E2016, E2025 = Edition.E2016, Edition.E2025
CONFIG = "[gbt32960]\nport = 1\ntls_port = 1\n"
OK = AnswerCode.OK


def vin(number: int) -> str:
    return f"LSVAA4182E2{number:06}"


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    with running_zone(tmp_path_factory.mktemp("gbt32960") / "zone", "--free-ports", config=CONFIG) as zone:
        yield zone


def added(zone: RunningZone, number: int) -> Vehicle:
    records = zone.records()
    try:
        return add_terminal(records, vin(number), None, "default", "machine")
    finally:
        records.close()


def this_second() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def rows(zone: RunningZone, car: Vehicle) -> int:
    return int(zone.sql("select count(*) from samples where vehicle = $v", v=car.id)[0][0])


def test_what_terminals_of_both_editions_report_stands_in_the_lake(zone: RunningZone) -> None:
    at, trust = this_second(), Trust(zone.folder.keys).servers
    place = {"flags": 0, "longitude": 121.473701, "latitude": 31.230416}
    cells = {"pack": 1, "voltage": 380.0, "current": 10.0}
    said = {
        E2016: (Unit("position", place),),
        E2025: (
            Unit("position", place | {"datum": 1}),
            Unit("cells", {"packs": (cells | {"cells": [3.7, None, 3.9]},)}),
        ),
    }
    cars = {E2016: added(zone, 1), E2025: added(zone, 2)}
    for edition, port, known in ((E2016, zone.file.gbt32960, None), (E2025, zone.file.gbt32960_tls, trust)):
        with Terminal(port, edition, known) as terminal:
            car = cars[edition]
            assert terminal.log_in(car.vin, at) == OK
            assert terminal.report(car.vin, at, vehicle(edition), *said[edition]) == OK
            terminal.send(TimeSync(car.vin))
            assert abs(read_time(terminal.answer().payload) - datetime.now(UTC)) < timedelta(minutes=2)
            assert terminal.report(car.vin, at - timedelta(days=3), vehicle(edition, speed=30.0), resent=True) == OK
    until(lambda: zone.lake_is_level(), "the lake is behind")
    for edition, car in cars.items():
        query = "select signal, value, text from samples where vehicle = $v and time = $t::timestamptz"
        found = values_of(zone.sql(query, v=car.id, t=at.isoformat()))
        assert found["Vehicle.Speed"] == 50.5
        assert found["Vehicle.TraveledDistance"] == 1_234_500
        assert found["Vehicle.GBT32960.ChargeState"] == "NOT_CHARGING"
        assert (found["Vehicle.CurrentLocation.Latitude"], found["Vehicle.CurrentLocation.Longitude"]) == (
            pytest.approx(31.230416),
            pytest.approx(121.473701),
        )
        assert ("Vehicle.Chassis.Accelerator.PedalPosition" in found) == (edition is E2016)
        assert "Vehicle.Chassis.Brake.PedalPosition" not in found, "what is missing is no sample"
        earlier = values_of(zone.sql(query, v=car.id, t=(at - timedelta(days=3)).isoformat()))
        assert earlier["Vehicle.Speed"] == 30.0
    assert json.loads(str(found["Vehicle.GBT32960.Pack1.CellVoltages"])) == [3.7, None, 3.9]
    (kinds,) = zone.sql("select distinct provenance from samples where vehicle = $v", v=cars[E2025].id)
    assert kinds == ["measured"]


def test_who_may_not_come_in_is_told_so_and_others_go_on(zone: RunningZone) -> None:
    car, at = added(zone, 11), this_second()
    with Terminal(zone.file.gbt32960) as first, Terminal(zone.file.gbt32960) as second:
        assert second.log_in(vin(999_999), at) == AnswerCode.UNKNOWN
        assert first.log_in(car.vin, at) == OK
        assert second.log_in(car.vin, at) == AnswerCode.DUPLICATE
        assert first.report(car.vin, at) == OK
        told = zone.get("/v1/gbt32960/sessions")
        (session,) = [one for one in told["sessions"] if one["vehicle"] == car.id]
        assert (session["edition"], session["frames"], session["platform"]) == (2016, 1, None)
        assert told["faults"]["unknown_vin"] >= 1
        assert told["faults"]["duplicate_vin"] >= 1
        assert car.vin not in json.dumps(told)
        began = time.monotonic()
        answer = zone.client.post(f"/v1/vehicles/{car.id}/quarantine")
        assert answer.status_code == 200, answer.text
        with pytest.raises(ConnectionError):
            first.answer()
        assert time.monotonic() - began < 15.0
        assert second.log_in(car.vin, at) == AnswerCode.ERROR
    assert carcloud("vehicle", "release", car.id, "--data", str(zone.data)).returncode == 0
    with Terminal(zone.file.gbt32960) as terminal:
        assert until(lambda: terminal.log_in(car.vin, at) == OK or None, "a released car stays out")


def test_a_platform_brings_its_tenants_cars_by_name_and_password(zone: RunningZone) -> None:
    at, cars = this_second(), [added(zone, 21), added(zone, 22)]
    records = zone.records()
    password = add_platform(records, "authority", "default", "machine")
    records.close()
    with Terminal(zone.file.gbt32960, E2025) as platform:
        assert platform.log_in_platform("authority", "wrong password", at) == AnswerCode.ERROR
        assert platform.log_in_platform("authority", password, at) == OK
        for car in cars:
            assert platform.report(car.vin, at) == OK
        assert platform.report(vin(999_999), at) == AnswerCode.UNKNOWN
        told = zone.get("/v1/gbt32960/sessions")
        assert {one["vehicle"] for one in told["sessions"] if one["platform"] == "authority"} == {
            one.id for one in cars
        }
        (shown,) = told["platforms"]
        assert (shown["name"], shown["cars"]) == ("authority", 2)
        assert carcloud("gbt32960", "platform", "remove", "authority", "--data", str(zone.data)).returncode == 0
        with pytest.raises(ConnectionError):
            platform.answer()


def test_a_terminal_is_asked_for_its_parameters_and_danger_takes_two_people(zone: RunningZone) -> None:
    car, at = added(zone, 31), this_second()
    with Terminal(zone.file.gbt32960) as terminal:
        assert terminal.log_in(car.vin, at) == OK
        told: list[Query] = []

        def answer() -> None:
            question = read(terminal.answer())
            assert isinstance(question, Query)
            told.append(question)
            frame = write(Parameters(car.vin, question.at, {0x02: 10, 0x08: "V1.2"}, AnswerCode.OK), E2016)
            said = Answer(car.vin, Command.QUERY, AnswerCode.OK, question.at, frame.payload[6:])
            terminal.send(said)

        answering = threading.Thread(target=answer)
        answering.start()
        asked = carcloud("gbt32960", "query", car.id, "report_period_s", "software", "--data", str(zone.data))
        answering.join()
        assert asked.returncode == 0, asked.stderr
        assert "report_period_s = 10" in asked.stdout
        assert told[0].parameters == (0x02, 0x08)
        waits = carcloud("gbt32960", "control", car.id, "power-off", "--data", str(zone.data))
        assert "waits for a second person" in waits.stdout, waits.stderr
    gone = carcloud("gbt32960", "query", car.id, "--data", str(zone.data))
    assert gone.returncode == 1
    assert "is not connected" in gone.stderr


def test_a_terminal_of_2025_activates_once_signs_and_seals_what_it_reports(zone: RunningZone) -> None:
    car, at = added(zone, 36), this_second()
    mine, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    said = Report(car.vin, at, (vehicle(E2025),))
    with Terminal(zone.file.gbt32960, E2025) as terminal:
        for key, chip, done in ((mine, "CHIP000000000001", 1), (mine, "CHIP000000000001", 1), (other, "CHIP2", 2)):
            activation = Activation(car.vin, at, chip, key_bytes(key.public_key()), car.vin, Signature(ECC, b""))
            terminal.socket.sendall(encode(write(activation, E2025, signer(key))))
            told = read(terminal.answer())
            assert isinstance(told, ActivationAnswer)
            assert told.result == done
        assert terminal.log_in(car.vin, at) == OK
        for key, code in ((mine, OK), (other, AnswerCode.SIGNATURE)):
            terminal.socket.sendall(encode(write(said, E2025, signer(key))))
            assert terminal.answer().answer == code
        pem = carcloud("gbt32960", "key", "--data", str(zone.data)).stdout.encode()
        door = load_pem_public_key(pem)
        assert isinstance(door, rsa.RSAPublicKey)
        secret = os.urandom(16)
        sealed = door.encrypt(secret, padding.PKCS1v15())
        exchange = KeyExchange(car.vin, Encryption.AES128, sealed, at - timedelta(days=1), at + timedelta(days=1))
        assert terminal.ask(exchange) == OK
        for key_bytes_, code in ((secret, OK), (os.urandom(16), AnswerCode.DECRYPTION)):
            frame = write(Report(car.vin, at - timedelta(hours=1), (vehicle(E2025),)), E2025, signer(mine))
            terminal.socket.sendall(encode(seal(frame, Encryption.AES128, Keys(aes128=key_bytes_))))
            assert terminal.answer().answer == code
    until(lambda: zone.lake_is_level(), "the lake is behind")
    query = "select count(*) from samples where vehicle = $v and signal = 'Vehicle.Speed'"
    assert zone.sql(query, v=car.id) == [[2]]


@dataclass
class Sender:
    """A terminal that keeps what is not answered and sends it again, as the standard wants it."""

    car: Vehicle
    answered: list[datetime] = field(default_factory=list)
    stop: bool = False

    def run(self, port: int, began: datetime) -> None:
        """Report every second of a made-up day, one after another, through whatever happens."""
        second, sent = 0, False
        while not self.stop:
            try:
                with Terminal(port, timeout_s=20.0) as terminal:
                    if terminal.log_in(self.car.vin, began) != OK:
                        time.sleep(0.5)
                        continue
                    while not self.stop:
                        at = began + timedelta(seconds=second)
                        if terminal.report(self.car.vin, at, vehicle(E2016, odometer=float(second)), resent=sent) == OK:
                            self.answered.append(at)
                            second, sent = second + 1, False
                        else:
                            sent = True
            except OSError:
                sent = True
                time.sleep(0.2)


def await_answers(senders: list[Sender], more: int) -> None:
    """Wait until each has got so many more answers."""
    wanted = [(one, len(one.answered) + more) for one in senders]
    until(lambda: all(len(one.answered) >= many for one, many in wanted), "reports are not answered")


def test_killing_door_broker_and_governor_loses_and_doubles_nothing_that_was_answered(zone: RunningZone) -> None:
    began = this_second() - timedelta(days=1)
    senders = [Sender(added(zone, 41 + number)) for number in range(4)]
    threads = [threading.Thread(target=one.run, args=(zone.file.gbt32960, began)) for one in senders]
    for thread in threads:
        thread.start()
    for part in ("gbt32960", "nats-server", "governor", "gbt32960"):
        await_answers(senders, 3)
        zone.kill(part)
    await_answers(senders, 1)
    for one in senders:
        one.stop = True
    for thread in threads:
        thread.join()
    until(lambda: zone.lake_is_level(), "the lake is behind")
    for one in senders:
        query = "select time, count(*) from samples where vehicle = $v and signal = 'Vehicle.Speed' group by time"
        kept = {datetime.fromisoformat(at): count for at, count in zone.sql(query, v=one.car.id)}
        assert set(one.answered) <= kept.keys(), "an answered report is lost"
        assert set(kept.values()) == {1}, "a report stands twice"


def test_nothing_is_answered_while_nothing_is_durable_and_what_is_sent_again_stands_once(zone: RunningZone) -> None:
    car, began, many = added(zone, 51), this_second() - timedelta(days=2), LIMIT_FRAMES + 6
    times = [began + timedelta(seconds=second) for second in range(many)]
    reports = [Report(car.vin, at, (vehicle(E2016),)) for at in times]
    governor = zone.children()["governor"]
    with Terminal(zone.file.gbt32960) as terminal:
        assert terminal.log_in(car.vin, began) == OK
        os.kill(governor, signal.SIGSTOP)
        try:
            terminal.send(*reports)
            until(lambda: faults_of(zone, car) >= 6, "what waits is not bounded")
            terminal.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                terminal.answer()
            zone.kill("gbt32960")
        finally:
            os.kill(governor, signal.SIGCONT)
    until(lambda: again(zone, car, reports), "what is sent again is not answered")
    until(lambda: zone.lake_is_level(), "the lake is behind")
    query = "select time, count(*) from samples where vehicle = $v and signal = 'Vehicle.Speed' group by time"
    kept = {datetime.fromisoformat(at): count for at, count in zone.sql(query, v=car.id)}
    assert kept == dict.fromkeys(times, 1)


def faults_of(zone: RunningZone, car: Vehicle) -> int:
    """Return how many faults a car's session counts."""
    found = zone.get("/v1/gbt32960/sessions")["sessions"]
    return sum(int(one["faults"]) for one in found if one["vehicle"] == car.id)


def again(zone: RunningZone, car: Vehicle, reports: list[Report]) -> bool:
    """Connect anew and report again, one after the other; tell whether all was answered."""
    try:
        with Terminal(zone.file.gbt32960) as terminal:
            return terminal.log_in(car.vin, reports[0].at) == OK and all(
                terminal.ask(report) == OK for report in reports
            )
    except OSError:
        return False
