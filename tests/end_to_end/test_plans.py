"""A plan on a real drive: tried over the lake, delivered to a car that drives the same again, which does just that."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.zone import DRIVES, ROOT, RunningZone, carcloud, running_zone, until

EXAMPLES = ROOT / "examples"
RAV4 = DRIVES / "comma2k19" / "rav4_60s.candump.log.gz"
PLAN = EXAMPLES / "plans" / "steering.yaml"
MAPPING = str(EXAMPLES / "mappings" / "comma2k19_rav4.yaml")

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not RAV4.exists(), reason="the recorded drives are not here (../shared/data/drives)"),
]


def run(*arguments: str) -> str:
    done = carcloud(*arguments, timeout_s=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plan_that_was_tried_on_a_real_drive_does_the_same_in_the_car(tmp_path: Path) -> None:
    overlay = str(EXAMPLES / "overlays" / "recordings.yaml")
    with running_zone(tmp_path / "data", "--overlay", overlay) as zone:
        at = ("--data", str(zone.data))
        run("drive", str(RAV4), "--mapping", MAPPING, "--speed", "max", *at)
        until(zone.lake_is_level, "the lake does not take the chunks that are there")
        plan = PLAN.read_text()
        faster = plan.replace("> 20 degrees/s", "> 90 degrees/s").replace("plan: steering", "plan: faster")
        (tmp_path / "both.yaml").write_text(f"{plan}---\n{faster}")
        tried, never = json.loads(run("plan", "try", str(tmp_path / "both.yaml"), "--json", *at))["plans"]
        assert tried["firings"] >= 3
        assert tried["unknown"] == []
        assert (never["plan"], never["firings"], never["days"]) == ("faster", 0, []), "nothing there is so fast"

        key = str(tmp_path / "ann.key")
        run("operator", "add", "ann", "--role", "fleet", "--out", key, *at)
        assert "steering/1" in run("plan", "check", str(PLAN), *at)
        run("plan", "add", str(PLAN), *at)
        car, credentials = zone.enrol("second")
        run("plan", "deploy", "steering", "--key", key, "--vehicle", car.vehicle.id, *at)
        drives = ("--mapping", MAPPING, "--credentials", str(credentials), "--collect", "plans", *at)
        _take_plan(zone, car.vehicle.id, tmp_path, drives)
        run("drive", str(RAV4), *drives, "--queue", str(tmp_path / "queue"), "--speed", "max")
        until(zone.lake_is_level, "the lake does not take the chunks that are there")

        said = until(lambda: _standing(zone, car.vehicle.id, tried["firings"]), "the car does not tell of its plan")
        fired = zone.sql(
            "SELECT time FROM samples WHERE vehicle = $car AND signal = 'Vehicle.Collection.Fired' ORDER BY time",
            car=car.vehicle.id,
        )
        assert [row[0] for row in fired] == [one["time"] for one in tried["moments"]]
        estimate = sum(day["bytes"] for day in tried["days"])
        assert said["bytes_today"] == pytest.approx(estimate, rel=0.1)
        assert (said["cut"], said["state"]) == (0, "active")
        kept = "vehicle = $car AND NOT starts_with(signal, 'Vehicle.Collection.')"
        samples = zone.sql(f"SELECT count(*) FROM samples WHERE {kept}", car=car.vehicle.id)[0][0]
        assert samples == sum(day["samples"] for day in tried["days"])


def _take_plan(zone: RunningZone, vehicle: str, tmp_path: Path, drives: tuple[str, ...]) -> None:
    """Let the car stand still at the very beginning of its drive, until it has taken its plan."""
    beginning = tmp_path / "beginning" / "rav4.candump.log.gz"
    beginning.parent.mkdir()
    shutil.copy(RAV4.parent / "toyota_part.dbc", beginning.parent)
    with gzip.open(RAV4, "rt") as whole, gzip.open(beginning, "wt") as some:
        some.writelines(line for line, _ in zip(whole, range(2000), strict=False))
    options = ("--queue", str(tmp_path / "queue"), "--speed", "0.01")
    command = [sys.executable, "-m", "carcloud", "drive", str(beginning), *drives, *options]
    with (tmp_path / "standing.out").open("wb") as output:
        standing = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: _state(zone, vehicle) == "active", "the car does not take its plan")
    finally:
        standing.send_signal(signal.SIGINT)
        standing.wait(60)


def _plans(zone: RunningZone, vehicle: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = zone.get(f"/v1/vehicles/{vehicle}/plans")["plans"]
    return found


def _state(zone: RunningZone, vehicle: str) -> str:
    return next((str(one["state"]) for one in _plans(zone, vehicle)), "")


def _standing(zone: RunningZone, vehicle: str, fired: int) -> dict[str, Any] | None:
    """Return what is shown of the car's plan, once the car has told of all its firings."""
    return next((one for one in _plans(zone, vehicle) if one["fired"] == fired), None)
