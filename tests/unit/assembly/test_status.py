"""The zone's state: put together from what its processes tell, said only once all needed ones have spoken."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from carcloud.assembly import status as rooms
from carcloud.assembly.status import NEEDED, SILENT_AFTER_S, ZoneStatus
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records, Vehicle
from carcloud.settings import Settings
from carcloud.stream import subjects
from tests.stream import CAR, OTHER, running_broker

ALARM = {"code": "disk_full", "message": "No room.", "do": "Make room.", "since": "2026-03-01T12:00:00Z"}
PARTS = {"governor": {"state": "up", "pid": 7, "since": None, "restarts": 0}}
TOLD: dict[str, dict[str, Any]] = {
    "governor": {
        "stream": {"batches": 3, "samples_in": 9, "refused": {"flood": 2, "out_of_range": 4, "bad_body": 1}},
        "alarms": [],
    },
    "twin": {"twin": {"reporting": 2, "seen": 5}, "delay": {"p50": 0.1, "p99": 0.2}, "alarms": []},
    "lake": {"lake": {"rows": 6, "files": 1}, "delay": {"p50": 1.0, "p99": None}, "alarms": []},
    "gateway-1": {"vehicles": {"connected": 4}, "violations": 5},
    "gateway-2": {"vehicles": {"connected": 3}, "violations": 1},
}


class Zone:
    """A zone's state, told by hand as the bus would tell it."""

    def __init__(self, records: Records) -> None:
        self.records, self.status = records, ZoneStatus(Settings(zone="north", tenant="fleet"), records)

    def tell(self, process: str, ago_s: float = 0.0, **more: Any) -> None:
        body = TOLD.get(process, {}) | {"process": process, "at": time.time() - ago_s} | more
        asyncio.run(self.status._on_metrics("", orjson.dumps(body)))

    def tell_parts(self, parts: dict[str, Any]) -> None:
        asyncio.run(self.status._on_parts("", orjson.dumps(parts)))

    def tell_all(self) -> None:
        for process in TOLD:
            self.tell(process)
        self.tell_parts(PARTS)

    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in self.said()["alarms"]]

    def said(self) -> Any:
        found = self.status.status()
        assert found is not None
        return found


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    records = Records.open(f"sqlite:///{tmp_path / 'records.db'}")
    yield Zone(records)
    records.close()


def enrol(records: Records, vehicle: str) -> None:
    records.add_vehicle(Vehicle(vehicle, "fleet", f"VIN{vehicle[:14].upper()}", None, "active", datetime.now(UTC)))


@pytest.mark.parametrize("missing", [*NEEDED, "parts"])
def test_nothing_is_said_until_all_needed_have_spoken(zone, missing):
    for process in TOLD.keys() - {missing}:
        zone.tell(process)
    if missing != "parts":
        zone.tell_parts(PARTS)
    assert zone.status.status() is None
    zone.tell_all()
    assert zone.status.status() is not None


def test_a_zone_without_a_gateway_is_told_all_the_same(zone):
    for process in NEEDED:
        zone.tell(process)
    zone.tell_parts(PARTS)
    said = zone.said()
    assert said["vehicles"]["connected"] == 0
    assert said["stream"]["refused"] == {"flood": 2, "out_of_range": 4, "bad_body": 1}


def test_numbers_of_all_processes_are_put_together(zone):
    enrol(zone.records, CAR)
    zone.tell_all()
    said = zone.said()
    assert (said["zone"], said["tenant"], said["personal_data"]) == ("north", "fleet", False)
    assert said["vehicles"] == {"enrolled": 1, "connected": 7, "reporting": 2}
    assert said["stream"]["samples_in"] == 9
    assert said["stream"]["refused"] == {"flood": 2, "out_of_range": 4, "bad_body": 1, "wrong_vehicle": 6}
    assert said["stream"]["quarantined"] == 5  # a flood is only counted
    assert said["lake"] == {"rows": 6, "files": 1}
    assert said["delay"] == {"twin_s": {"p50": 0.1, "p99": 0.2}, "lake_s": {"p50": 1.0, "p99": None}}
    assert abs(datetime.fromisoformat(said["at"]).timestamp() - time.time()) < 60


def test_the_newest_word_of_a_process_counts_and_nothing_is_added_twice(zone):
    zone.tell_all()
    for _ in range(2):
        zone.tell("gateway-1", vehicles={"connected": 1}, violations=2)
        assert zone.said()["vehicles"]["connected"] == 4
        assert zone.said()["stream"]["refused"]["wrong_vehicle"] == 3


def test_a_part_that_restarts_and_comes_back_is_told(zone):
    zone.tell_all()
    assert zone.said()["parts"] == PARTS
    away = {"governor": {"state": "restarting", "pid": None, "since": None, "restarts": 1}}
    zone.tell_parts(away)
    assert zone.said()["parts"] == away
    zone.tell_parts(PARTS)
    assert zone.said()["parts"] == PARTS


def test_an_alarm_stands_until_its_process_tells_otherwise(zone):
    zone.tell_all()
    assert zone.alarms() == []
    zone.tell("governor", alarms=[ALARM])
    zone.tell("lake", alarms=[ALARM | {"code": "lake_stopped"}])
    assert zone.said()["alarms"][0] == ALARM
    assert sorted(zone.alarms()) == ["disk_full", "lake_stopped"]
    zone.tell("governor")
    assert zone.alarms() == ["lake_stopped"]
    zone.tell("lake")
    assert zone.alarms() == []


@pytest.mark.parametrize("process", NEEDED)
def test_a_needed_process_that_falls_silent_is_an_alarm_until_it_speaks_again(zone, process):
    zone.tell_all()
    zone.tell(process, ago_s=SILENT_AFTER_S - 1)
    assert zone.alarms() == []
    zone.tell(process, ago_s=SILENT_AFTER_S + 20)
    (alarm,) = zone.said()["alarms"]
    assert (alarm["code"], process in alarm["message"], "log" in alarm["do"]) == ("silent", True, True)
    silent_s = time.time() - datetime.fromisoformat(alarm["since"]).timestamp()
    assert SILENT_AFTER_S + 19 < silent_s < SILENT_AFTER_S + 60
    zone.tell(process)
    assert zone.alarms() == []


def test_a_silent_gateway_is_no_alarm_of_its_own(zone):
    zone.tell_all()
    zone.tell("gateway-1", ago_s=3600)
    assert zone.alarms() == []


def test_cars_are_counted_again_only_after_a_while(zone, monkeypatch):
    enrol(zone.records, CAR)
    zone.tell_all()
    assert zone.said()["vehicles"]["enrolled"] == 1
    enrol(zone.records, OTHER)
    assert zone.said()["vehicles"]["enrolled"] == 1
    monkeypatch.setattr(rooms, "COUNT_EVERY_S", 0.0)
    assert zone.said()["vehicles"]["enrolled"] == 2


def test_a_process_tells_its_numbers_flat_without_words_and_lists(zone):
    zone.tell("twin", alarms=[ALARM])
    assert zone.status.processes() == {
        "twin": {"twin_reporting": 2, "twin_seen": 5, "delay_p50": 0.1, "delay_p99": 0.2},
    }


def test_what_the_bus_says_is_heard(zone, tmp_path):
    async def run() -> None:
        bus = await Bus.connect(broker.url, "test")
        await zone.status.listen(bus)
        for process, body in TOLD.items():
            told = body | {"process": process, "at": time.time()}
            await bus.publish(f"{subjects.METRICS}.{process}", orjson.dumps(told))
        await bus.publish(subjects.PARTS, orjson.dumps(PARTS))
        async with asyncio.timeout(40):
            while zone.status.status() is None or len(zone.status.processes()) < len(TOLD):
                await asyncio.sleep(0.02)
        await bus.close()

    with running_broker(tmp_path) as broker:
        asyncio.run(run())
    assert zone.said()["vehicles"]["connected"] == 7
