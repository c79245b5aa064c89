"""The audit log of a whole zone: killed at work, witnessed from elsewhere, checked by command."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from carcloud.safety.audit.leaf import read_leaf
from carcloud.safety.audit.note import LOG, Key, origin_of
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.signer import Signer, load_public_key
from carcloud.settings import Folder
from tests.zone import RunningZone, carcloud, listening, running_zone, simulated_fleet, until

KILLS, CARS = 6, 12
NAME = "elsewhere.example/witness"
OWN = {"carcloud/local", "carcloud/local/witness"}


@contextmanager
def witness(folder: Path, port: int) -> Iterator[str]:
    """Run a witness of its own, as somebody elsewhere would; give its address and key."""
    command = [sys.executable, "-m", "carcloud", "witness", "--state", str(folder / "elsewhere"), "--name", NAME]
    command += ["--log-key", str(folder / "log.pub"), "--listen", f"127.0.0.1:{port}"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    try:
        yield running.stdout.readline().strip()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def signers(zone: RunningZone) -> tuple[int, set[str]]:
    """Return the newest checkpoint's size, and who signed it."""
    shown: Any = zone.get("/v1/audit/checkpoint")
    return shown["size"], {one["name"] for one in shown["signatures"] if one["good"]}


def leaves(zone: RunningZone) -> list[dict[str, Any]]:
    size, _ = signers(zone)
    return [read_leaf(Tiles(zone.folder.audit).entry(number, size)) for number in range(size)]


def enrolled(zone: RunningZone) -> Counter[str]:
    return Counter(leaf["object"] for leaf in leaves(zone) if leaf["action"] == "enrolVehicle")


def test_killed_log_has_each_act_and_receipt_once_and_a_witness_elsewhere_may_come_and_go(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder, port = Folder(data), int(listening().split("api = ")[1].split("\n")[0])
    folder.make()
    Signer(folder.keys, folder.run)  # makes the keys, so that the witness knows the log from the first
    public = load_public_key(folder.keys / "checkpoint.pub").public_bytes_raw()
    (tmp_path / "log.pub").write_text(f"{Key(origin_of('local'), LOG, public)}\n")
    with ExitStack() as stack:
        running = stack.enter_context(ExitStack())
        told = running.enter_context(witness(tmp_path, port))
        config = f'[audit]\nwitnesses = ["{told}"]\n'
        zone = stack.enter_context(running_zone(data, config=config))
        until(lambda: signers(zone)[1] >= {NAME, *OWN}, "the log is not witnessed by both")
        check_kills(zone)
        running.close()
        zone.enrol("another")
        until(lambda: unwitnessed(zone), "no alarm while a witness is away")
        until(lambda: NAME not in signers(zone)[1], "the log does not go on without the witness")
        assert signers(zone)[1] == OWN
        stack.enter_context(witness(tmp_path, port))
        until(lambda: signers(zone)[1] >= {NAME, *OWN}, "what the witness missed is not cosigned")
        until(lambda: not unwitnessed(zone), "the alarm stays")
    done = carcloud("verify", "audit", "--data", str(data), "--config", str(data / "zone.toml"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    done = carcloud("verify", "lake", "--data", str(data))
    inside, _, every, *_ = done.stdout.split()
    assert (done.returncode, inside) == (0, every), done.stdout


def unwitnessed(zone: RunningZone) -> bool:
    return any(alarm["code"] == "audit_unwitnessed" and NAME in alarm["message"] for alarm in zone.alarms())


def check_kills(zone: RunningZone) -> None:
    random.seed(3)
    cars = []
    with simulated_fleet(zone, 3):
        before = enrolled(zone)
        for at in range(CARS):
            cars.append(f"vehicle:{zone.enrol(f'car-{at}')[0].vehicle.id}")
            if at < KILLS:
                until(lambda: "audit" in zone.children(), "the log's process does not come back")
                time.sleep(random.uniform(0.0, 0.6))
                zone.kill("audit")
        until(lambda: set(cars) <= enrolled(zone).keys(), "an act did not come into the log")
        assert enrolled(zone) - before == Counter(cars)
    chunks = [int(leaf["from"][6:]) for leaf in leaves(zone) if leaf["action"] == "governChunk"]
    assert chunks == list(range(1, len(chunks) + 1))
    done = carcloud("verify", "audit", "--data", str(zone.data), "--config", str(zone.data / "zone.toml"))
    assert done.returncode == 0, done.stdout
