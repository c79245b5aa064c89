"""Drives of cars with plans, through a real nats-server: the same at any speed, and across kills."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_zone import Governor, Zone

from carcloud.onboard.collector import FIRED, STATE
from carcloud.onboard.drive import MAX, drive
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.onboard.sources.table import Table
from carcloud.vehicle.batch import decode
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.order import canonical

MAPPING = """
source: table
vehicle: {column: car}
time: {column: t, unit: s}
signals: {Vehicle.Speed: {column: v, unit: km/h}}
"""
CATALOGUE = Catalogue([Signal("Vehicle.Speed", "float", "km/h")])
PLAN = {
    "plan": "fast",
    "version": 1,
    "signals": ["Vehicle.Speed"],
    "when": "rising (Vehicle.Speed > 95 km/h)",
    "before": "500 ms",
    "after": "1 s",
    "priority": 3,
    "purpose": "research",
    "basis": "consent",
    "budget": "1 MB",
    "until": "2099-01-01T00:00:00Z",
}
START_S = 1_600_000_000
DRIVER = """
import sys
from pathlib import Path
from test_drive_by_plans import CATALOGUE, MAPPING
from carcloud.onboard.drive import drive
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.sources.table import Table
mapping = read_mapping(Path(sys.argv[1]), {"Vehicle.Speed": "km/h"})
cars = {"a": Path(sys.argv[3])}
drive(Table(Path(sys.argv[2]), mapping), cars, Path(sys.argv[4]), speed=25, collect="plans", catalogue=CATALOGUE)
"""


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    folder = tmp_path_factory.mktemp("zone")
    one = Zone(folder)
    one.issue(folder, "gov")
    one.start()
    (folder / "mapping.yaml").write_text(MAPPING)
    rows = [f"{START_S + row / 10:.1f},a,{row % 97}" for row in range(1200)]
    (folder / "drive.csv").write_text("\n".join(["t,car,v", *rows]))
    yield one
    one.kill()


@pytest.fixture(scope="module")
def governor(zone: Zone) -> Iterator[Governor]:
    one = Governor(zone)
    yield one
    one.stop()


def car(zone: Zone, name: str, **also: object) -> tuple[Path, Path]:
    """Enrol a car that has the plan; return its credentials and the folder of its queue."""
    credentials, queues = zone.enrol(name), zone.folder / f"queues-{name}"
    queue = Queue(queues / f"{name}.queue")
    queue.keep_plan(KeptPlan("fast", canonical(PLAN | also), b"{}"))
    queue.close()
    return credentials, queues


def source(zone: Zone) -> Table:
    return Table(zone.folder / "drive.csv", read_mapping(zone.folder / "mapping.yaml", {"Vehicle.Speed": "km/h"}))


def expected() -> list[int]:
    fired = [row for row in range(1200) if row % 97 == 96]
    return sorted({at for row in fired for at in range(row - 5, row + 11) if at < 1200})


def collected(governor: Governor, vehicle: str) -> tuple[list[int], list[int], dict[str, list[int]]]:
    """Return the tenths of a second at which speed was collected and the plan fired, and how it stands."""
    names = ["Vehicle.Speed", FIRED, STATE]
    speeds, fired, state = [], [], {}
    for (name, _), payloads in governor.stored.items():
        for payload in payloads if name == vehicle else ():
            batch, row = decode(payload), 0
            for signal, count in zip(batch.signals.tolist(), batch.counts.tolist(), strict=True):
                for at in range(row, row + count):
                    tenth = (batch.base_us + int(batch.times[at])) // 100_000 - START_S * 10
                    if names[signal] == STATE:
                        state = json.loads(batch.texts[at])
                    else:
                        (speeds if names[signal] == "Vehicle.Speed" else fired).append(tenth)
                row += count
    return sorted(speeds), sorted(fired), state


FIRED_AT = [row for row in range(1200) if row % 97 == 96]


@pytest.mark.parametrize("speed", [MAX, 60.0])
def test_a_recording_gives_the_same_at_any_speed(zone, governor, speed) -> None:
    name = f"car{speed}".replace(".", "")
    credentials, queues = car(zone, name)
    summary = drive(source(zone), {"a": credentials}, queues, speed=speed, catalogue=CATALOGUE, collect="plans")
    speeds, fired, state = collected(governor, name)
    assert (speeds, fired) == (expected(), FIRED_AT)
    assert summary.complete
    assert state["fast"][:2] == [1, len(FIRED_AT)]
    assert summary.samples_acked < 250


def test_where_all_is_sent_plans_add_only_when_they_fired(zone, governor) -> None:
    credentials, queues = car(zone, "carall")
    summary = drive(source(zone), {"a": credentials}, queues, speed=MAX, catalogue=CATALOGUE)
    speeds, fired, state = collected(governor, "carall")
    assert (speeds, fired) == (list(range(1200)), FIRED_AT)
    assert summary.complete
    assert state["fast"] == [1, len(FIRED_AT), 0, 0, 0]


def test_what_is_held_back_does_not_keep_a_drive_from_ending(zone, governor) -> None:
    credentials, queues = car(zone, "carheld", upload="Vehicle.Speed > 900 km/h")
    summary = drive(source(zone), {"a": credentials}, queues, speed=MAX, catalogue=CATALOGUE, collect="plans")
    speeds, fired, _ = collected(governor, "carheld")
    assert (speeds, fired) == ([], FIRED_AT)
    assert summary.complete
    assert summary.batches_held == summary.batches_waiting > 0


def test_killed_drives_by_plans_go_on_where_they_were_lose_nothing_and_double_nothing(zone, governor) -> None:
    credentials, queues = car(zone, "carkilled")
    drive_csv, mapping = zone.folder / "drive.csv", zone.folder / "mapping.yaml"
    command = [sys.executable, "-c", DRIVER, mapping, drive_csv, credentials, queues]
    place = {"cwd": Path(__file__).parent}
    for _ in range(2):
        process = subprocess.Popen(command, **place)
        heard, until = len(governor.seen), time.monotonic() + 30
        while len(governor.seen) < heard + 3 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.wait()
    subprocess.run(command, check=True, timeout=90, **place)
    speeds, fired, state = collected(governor, "carkilled")
    assert (speeds, fired) == (expected(), FIRED_AT)
    assert state["fast"][:2] == [1, len(FIRED_AT)]
