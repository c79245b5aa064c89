"""A recording from its first byte to the lake: cut off on the way up, its import killed, the zone's process killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from carcloud.research.manifest import PART_BYTES
from carcloud.research.sending import gathered
from carcloud.safety.people.register import Register
from tests.straight_drives import drive
from tests.zone import RunningZone, running_zone, until

CARS, STEPS = 40, 200
CONFIG = "[research]\nimport_s = 120.0\n"


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    with running_zone(tmp_path_factory.mktemp("recordings") / "data", config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def engineer(zone: RunningZone) -> Iterator[httpx.Client]:
    records = zone.records()
    _, secret = Register(records).make_token(None, "drives", ["engineer"], 30, "default")
    records.close()
    (zone.data / "token").touch(0o600)
    (zone.data / "token").write_text(secret)
    headers = {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=zone.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def importer(zone: RunningZone) -> psutil.Process | None:
    """Return the process that imports, once it reads."""
    above = zone.children().get("research")
    found = psutil.Process(above).children() if above else []
    reads = any(one.is_dir() for one in zone.folder.scratch.glob("*")) if zone.folder.scratch.exists() else False
    return found[0] if found and reads else None


def sent(engineer: httpx.Client, file: Path, **said: Any) -> dict[str, Any]:
    """Send a recording of one part, and return it when its import is over."""
    source, manifest = gathered(file, [], None, None)
    begun = engineer.post("/v1/recordings", json=asdict(manifest) | {"licence": "CC0-1.0"} | said).json()
    part = source.part(1)
    headers = {"x-sha256": hashlib.sha256(part).hexdigest()}
    assert engineer.put(f"/v1/recordings/{begun['id']}/parts/1", content=part, headers=headers).status_code == 200
    assert engineer.post(f"/v1/recordings/{begun['id']}/done").status_code == 200
    return until(lambda: over(engineer, begun["id"]), "the import does not end")


def over(engineer: httpx.Client, id_: str) -> dict[str, Any] | None:
    found: dict[str, Any] = engineer.get(f"/v1/recordings/{id_}").json()
    return found if found["state"] in ("imported", "refused") else None


def test_a_recording_is_there_once_whatever_is_cut_off_or_killed(
    zone: RunningZone, engineer: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "long drive.xml"
    file.write_bytes(drive(CARS, STEPS) + b"<!--" + b"0" * PART_BYTES + b"-->")
    source, manifest = gathered(file, [], None, None)
    assert manifest.bytes > PART_BYTES
    begun = engineer.post("/v1/recordings", json=asdict(manifest) | {"licence": "CC0-1.0"}).json()
    part = source.part(2)
    headers = {"x-sha256": hashlib.sha256(part).hexdigest()}
    engineer.put(f"/v1/recordings/{begun['id']}/parts/2", content=part, headers=headers)
    zone.kill("api")
    until(lambda: zone.health() == "ok", "the API does not come back")
    until(lambda: zone.pid("research"), "the process does not run")
    missing = engineer.get(f"/v1/recordings/{begun['id']}").json()["missing"]
    assert 2 not in missing
    assert missing, "the rest is still to come"

    words = ("research", "import", str(file), "--licence", "CC0-1.0", "--url", zone.url)
    command = [sys.executable, "-m", "carcloud", *words, "--token-file", str(zone.data / "token")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sending:
        first = until(lambda: importer(zone), "nothing is imported")
        first.kill()
        first.wait(10)
        second = until(lambda: importer(zone), "the import is not begun again")
        os.kill(zone.children()["research"], signal.SIGKILL)
        second.wait(10)
        until(lambda: importer(zone), "the import is not begun again by a new process")
        said, wrong = sending.communicate(timeout=120)
    assert (sending.returncode, wrong) == (0, ""), said
    assert said == f"{begun['id']}  long drive.xml: 1 scenarios\n"
    whole = engineer.get(f"/v1/recordings/{begun['id']}").json()
    assert (whole["state"], whole["progress"], whole["scenarios"], whole["duplicates"]) == ("imported", 1, 1, 0)
    assert (whole["format"], whole["sha256"]) == ("commonroad", hashlib.sha256(file.read_bytes()).hexdigest())
    assert zone.sql("SELECT count(*), count(DISTINCT track) FROM tracks") == [[CARS * STEPS, CARS]]
    assert zone.sql("SELECT recording FROM scenarios") == [[begun["id"]]]
    again = engineer.post("/v1/recordings", json=asdict(manifest) | {"licence": "CC0-1.0"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    changes = until(lambda: changed(zone, begun["id"]), "the audit log does not tell of it")
    assert changes == ["imported", "importing", "waiting", "begun"]


def changed(zone: RunningZone, id_: str) -> list[str]:
    """Return what the audit log tells of a recording, the newest first, once it has all."""
    leaves = zone.get("/v1/audit", object=f"recording:{id_}", action="changeRecordings")["leaves"]
    return [zone.get(f"/v1/audit/{leaf['number']}")["facts"]["change"] for leaf in leaves] if len(leaves) > 3 else []


def test_what_cannot_be_imported_is_refused_by_name_and_the_zone_goes_on(
    zone: RunningZone, engineer: httpx.Client, tmp_path: Path
) -> None:
    broken, odd = (tmp_path / name for name in ("broken.xml", "odd.bin"))
    broken.write_bytes(drive()[:-60])
    odd.write_bytes(b"\x80\x04\x95 a pickle")
    found = [sent(engineer, file) for file in (broken, odd)]
    assert [one["state"] for one in found] == ["refused", "refused"]
    assert "of which format" in found[1]["error"]
    assert zone.health() == "ok"
