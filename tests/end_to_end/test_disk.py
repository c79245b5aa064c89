"""A full disk: ingestion stops with an alarm, the cars keep their data, and all goes on when there is room again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.load import Load
from tests.zone import RunningZone, carcloud, listening, running_zone, until

MIB = 1 << 20
DISK_BYTES = 96 * MIB
GAP_BYTES = 72 * MIB

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a small disk of its own, where this user may mount one; else a folder of the machine's disk."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "carcloud-test", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield place
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_disk_below_the_reserve_stops_ingestion_with_an_alarm_and_goes_on_with_room(disk: Path) -> None:
    reserve_bytes = shutil.disk_usage(disk).free - GAP_BYTES
    config = listening() + f"[governor]\nreserve_bytes = {reserve_bytes}\n"
    with running_zone(disk / "data", config=config) as zone, Load(zone, 1, 3) as load:
        load.flow(30)
        filler = _fill(disk, leave=reserve_bytes - 8 * MIB)
        alarm = until(lambda: _alarm(zone, "disk_full"), "no alarm")
        assert "ingestion has stopped" in alarm["message"]
        assert "Make room" in alarm["do"]
        assert zone.health() == "degraded"
        assert [alarm["code"] for alarm in zone.status()["alarms"]] == ["disk_full"]
        until(lambda: load.waiting() > 30, "the cars do not keep what they have")
        held = load.acknowledged()
        until(lambda: load.waiting() > 60, "the cars do not keep what they have")
        assert load.acknowledged() == held
        filler.unlink()
        until(lambda: not zone.alarms(), "the alarm stays")
        _assert_whole(zone, load)


@pytest.mark.parametrize(("leave", "killed"), [(0, ()), (300_000, ("nats-server", "governor", "lake", "twin", "api"))])
def test_disk_that_is_really_full_loses_nothing_acknowledged_and_goes_on_with_room(
    disk: Path, leave: int, killed: tuple[str, ...]
) -> None:
    if not os.path.ismount(disk):
        pytest.skip("filling a whole disk needs one of its own, which only root can mount")
    config = listening() + "[governor]\nreserve_bytes = 0\n"
    with running_zone(disk / "data", config=config) as zone, Load(zone, 1, 3) as load:
        load.flow(30)
        filler = _fill(disk, leave)
        until(zone.alarms, "no alarm")
        for part in killed:
            zone.kill(part)
        until(lambda: _alarm(zone, "stream_stopped"), "the governor raises no alarm")
        until(lambda: load.waiting() > 100, "the cars do not keep what they have")
        filler.unlink()
        _assert_whole(zone, load)


def _fill(disk: Path, leave: int) -> Path:
    """Take what is free on the disk, but so many bytes; the zone goes on writing meanwhile."""
    filler = disk / "filler"
    with filler.open("wb") as sink:
        while (free := shutil.disk_usage(disk).free - leave) > 0:
            with contextlib.suppress(OSError):  # it was less by then
                os.posix_fallocate(sink.fileno(), os.fstat(sink.fileno()).st_size, free)
    return filler


def _alarm(zone: RunningZone, code: str) -> dict[str, str] | None:
    return next((alarm for alarm in zone.alarms() if alarm["code"] == code), None)


def _assert_whole(zone: RunningZone, load: Load) -> None:
    load.finish()
    assert [account for account in load.accounts() if not account.whole] == []
    until(lambda: zone.health() == "ok", "the zone is not well again")
    assert load.stale_twins() == []
    verdict = carcloud("verify", "lake", "--data", str(zone.data))
    assert verdict.returncode == 0, verdict.stdout
