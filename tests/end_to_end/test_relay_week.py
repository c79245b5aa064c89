"""A gateway, a relay, and a second zone as the authority: the link is cut for a week's data, and all arrives once."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carcloud.backends.records import Vehicle
from carcloud.gateway.gbt32960.terminals import add_platform, add_terminal
from carcloud.safety.keys import write_file
from carcloud.vehicle.gbt32960.frames import AnswerCode, Edition
from carcloud.vehicle.gbt32960.units import Unit
from tests.end_to_end.terminals import Terminal, vehicle
from tests.zone import RunningZone, carcloud, running_zone, until

GOVERNANCE = """
name: reporting
purposes:
  reporting: {basis: legal-obligation, why: The authority is told how new energy vehicles fare.}
  research: {basis: consent, why: Better driving functions.}
rules:
  - {paths: [Vehicle.Powertrain.TractionBattery.CurrentVoltage], class: operational, purposes: [research]}
  - {paths: [Vehicle.TraveledDistance], class: operational, purposes: [reporting], exactness: 1000}
  - {paths: ["Vehicle.**"], class: personal, purposes: [reporting]}
"""
FLOWS = """
relays:
  city:
    to: city-centre
    address: 127.0.0.1:{port}
    tls: false
    edition: 2016
    user: here
    password_file: {password}
    code: RELAY000000000001
    purpose: reporting
    why: The authority asks for it.
    classes: [personal, operational]
    limits: {{personal: 100}}
    vehicles: all
"""
ZONE = 'governance = "{folder}/governance.yaml"\nflows = "{folder}/flows.yaml"\n[gbt32960]\nport = 1\n'
VINS = [f"LSVAA4182E2{number:06}" for number in (1, 2, 3)]
STRANGER = "LSVAA4182E2999999"
OK = AnswerCode.OK

pytestmark = pytest.mark.timeout(600)


class Cable:
    """A line between two ports, which can be cut: then nobody is there, and what was said last may be lost."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.to = 0
        self._cut, self._open = threading.Event(), list[socket.socket]()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open = []

    def mend(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                if self._cut.is_set() or not self.to:
                    one.close()
                    continue
                other = socket.create_connection(("127.0.0.1", self.to))
                self._open += [one, other]
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Zones:
    here: RunningZone
    there: RunningZone
    cable: Cable
    cars: dict[str, tuple[Vehicle, Vehicle]]
    """VIN → the car here, and there."""

    def relay(self) -> dict[str, Any]:
        """Return what the relay shows, or zeros while its process is away."""
        answer = self.here.client.get("/v1/relays")
        if answer.status_code == 503:
            return {"state": "away", "accepted": 0, "waiting": 0}
        (shown,) = answer.json()["relays"]
        return dict(shown)

    def both(self, vin: str) -> tuple[list[list[Any]], list[list[Any]]]:
        here, there = self.cars[vin]
        query = (
            "select signal, epoch_us(time), value, text from samples where vehicle = $v and time < now() "
            "and signal not in ('Vehicle.Powertrain.TractionBattery.CurrentVoltage') order by all"
        )
        return self.here.sql(query, v=here.id), self.there.sql(query, v=there.id)


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    folder = tmp_path_factory.mktemp("relay")
    with ExitStack() as stack:
        cable = Cable()
        stack.callback(cable.close)
        there = stack.enter_context(running_zone(folder / "there", "--free-ports", config="[gbt32960]\nport = 1\n"))
        records = there.records()
        password = add_platform(records, "here", "default", "machine")
        known = [add_terminal(records, vin, None, "default", "machine") for vin in VINS]
        records.close()
        cable.to = there.file.gbt32960
        (folder / "governance.yaml").write_text(GOVERNANCE)
        write_file(folder / "password", f"{password}\n".encode())
        (folder / "flows.yaml").write_text(FLOWS.format(port=cable.port, password=folder / "password"))
        here = stack.enter_context(running_zone(folder / "here", "--free-ports", config=ZONE.format(folder=folder)))
        records = here.records()
        mine = [add_terminal(records, vin, None, "default", "machine") for vin in (*VINS, STRANGER)]
        records.close()
        yield Zones(here, there, cable, dict(zip(VINS, zip(mine, known, strict=False), strict=True)))


def report(zone: RunningZone, vin: str, times: list[datetime], speed: float = 30.0, resent: bool = False) -> None:
    """Have a terminal of 2016 report to the zone here, one frame a time, each with another speed."""
    with Terminal(zone.file.gbt32960) as terminal:
        assert terminal.log_in(vin, times[0]) == OK
        for number, at in enumerate(times):
            units = (
                vehicle(Edition.E2016, speed=speed + number / 10),
                Unit("engine", {"state": 2, "speed": 0, "consumption": 0.0}),
            )
            assert terminal.report(vin, at, *units, resent=resent) == OK


def accepted(zones: Zones, number: int) -> dict[str, Any]:
    def all_in() -> dict[str, Any] | None:
        shown = zones.relay()
        return shown if shown["accepted"] >= number and not shown["waiting"] else None

    return until(all_in, "not all arrives")


def level(zones: Zones) -> None:
    for zone in (zones.here, zones.there):
        until(zone.lake_is_level, "a lake is behind")


def test_a_week_of_reports_arrives_once_when_the_link_is_mended(zones: Zones) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    until(lambda: zones.relay()["state"] == "up", f"no session: {zones.here.alarms()}")
    for vin in VINS:
        report(zones.here, vin, [now - timedelta(seconds=second) for second in (20, 10)])
    assert accepted(zones, 6)["accepted"] == 6

    zones.cable.cut()
    until(lambda: zones.relay()["state"] == "waiting", "the cut is not noticed")
    week = [now - timedelta(hours=hours) for hours in range(150, 0, -6)]
    for number, vin in enumerate(VINS):
        report(zones.here, vin, week, 40.0 + number, resent=True)
    shown = until(lambda: zones.relay() if zones.relay()["waiting"] == 75 else None, "what waits is not 75 reports")
    assert shown["next_try"] is not None
    assert shown["oldest_waiting"] is not None
    assert shown["last_error"]
    assert shown["accepted"] == 6

    zones.cable.mend()
    pid = zones.here.pid("relay")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # begins at once, with what it has on disk
    shown = accepted(zones, 81)
    assert (shown["accepted"], shown["refused"], shown["expired"]) == (81, 0, 0)
    level(zones)
    for vin in VINS:
        mine, theirs = zones.both(vin)
        assert len(mine) > 27 * 8
        assert theirs == mine
        assert len({json.dumps(row[:2]) for row in theirs}) == len(theirs), "something came twice"


def test_what_the_relay_does_is_said_and_names_no_vin(zones: Zones) -> None:
    listed = carcloud("relay", "list", "--data", str(zones.here.data))
    assert listed.returncode == 0, listed.stderr
    assert "city: to city-centre, edition 2016, up since" in listed.stdout
    assert "81 accepted" in listed.stdout
    begun = zones.here.get("/v1/audit", action="beginRelay", limit=100)["leaves"]
    assert {leaf["object"] for leaf in begun} == {"relay:city"}
    (leaves,) = zones.here.get("/v1/zone")["leaves"]
    assert (leaves["flow"], leaves["to"], leaves["pseudonym"]) == ("city", "city-centre", False)
    kept = [*(zones.here.data / "logs").glob("relay*"), *(zones.here.data / "relay").iterdir()]
    assert len(kept) >= 2
    content = b"".join(file.read_bytes() for file in kept)
    assert not any(vin.encode() in content for vin in (*VINS, STRANGER))


def test_car_that_the_authority_does_not_know_waits_and_goes_when_it_is_erased(zones: Zones) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    report(zones.here, STRANGER, [now])
    until(lambda: zones.relay().get("last_error"), "the refusal is not shown")
    assert zones.relay()["waiting"] == 1
    records = zones.here.records()
    stranger = records.vehicle_by_vin(STRANGER)
    records.close()
    assert stranger.id in zones.relay()["last_error"]
    report(zones.here, VINS[0], [now])
    until(lambda: zones.relay()["accepted"] == 82, "another car is held up")
    erased = carcloud("erase", stranger.id, "--yes", "--data", str(zones.here.data))
    assert erased.returncode == 0, erased.stderr
    shown = until(
        lambda: zones.relay() if not zones.relay()["waiting"] else None, "the erased car is still in the spool"
    )
    assert (shown["dropped"], shown["cars"]) == (1, 3)
