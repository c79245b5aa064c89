"""The life of a zone: starting, stopping, dying, starting again, with another catalogue, and beside others."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from carcloud.onboard.agent import Agent
from carcloud.onboard.queue import Queue
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from tests.end_to_end.cars import TABLE
from tests.end_to_end.load import Load
from tests.zone import DRIVES, RunningZone, carcloud, listening, running_zone, until

VSS = DRIVES.parent / "vss" / "vss_release_6.0.json"
HEATER = "Vehicle.Acme.SeatHeater.Power"
HEATERS = IdTable(((HEATER, "W"),))

pytestmark = pytest.mark.timeout(600)


def test_second_zone_on_a_folder_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    with running_zone(tmp_path) as zone:
        second = carcloud("up", "--data", str(tmp_path), "--free-ports", timeout_s=30)
        assert second.returncode == 1
        assert f"A zone already runs on {tmp_path} (process {zone.process.pid})" in second.stderr
        assert "Traceback" not in second.stderr
        assert zone.health() == "ok"


@pytest.mark.parametrize("door", ["api", "mqtt", "https", "claims", "nats"])
def test_port_in_use_is_named_and_nothing_is_left_running(tmp_path: Path, door: str) -> None:
    config = tmp_path / "zone.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = [line for line in listening().splitlines() if not line.startswith(door)]
        config.write_text("\n".join([*lines, f"{door} = {port}"]))
        refused = carcloud("up", "--data", str(tmp_path / "data"), "--config", str(config), timeout_s=30)
    assert refused.returncode == 1
    assert f"Port {port} ({door}) on 127.0.0.1 is not free" in refused.stderr
    assert f"listen.{door}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_ctrl_c_under_load_stops_within_ten_seconds_and_the_restart_keeps_everything(tmp_path: Path) -> None:
    config = listening()
    with running_zone(tmp_path, config=config) as zone, Load(zone, 1, 2) as load:
        load.flow(20)
        until(lambda: zone.status()["lake"]["rows"], "nothing is in the lake")
        before, children = zone.status(), list(zone.children().values())
        assert zone.stop() < 10
        assert zone.process.returncode == 0
        assert not any(psutil.pid_exists(pid) for pid in children)
        with running_zone(tmp_path, config=config) as again:
            load.zone = again
            after = again.status()
            assert after["stream"]["samples_kept"] >= before["stream"]["samples_kept"]
            assert after["lake"]["rows"] >= before["lake"]["rows"]
            assert after["vehicles"]["enrolled"] == 2
            _assert_whole(load)


def test_kill_of_the_supervisor_leaves_no_orphan_and_the_next_start_works(tmp_path: Path) -> None:
    config = listening()
    with running_zone(tmp_path, config=config) as zone, Load(zone, 1, 2) as load:
        load.flow(20)
        children = [psutil.Process(pid) for pid in zone.children().values()]
        assert len(children) > 6
        zone.process.kill()
        zone.process.wait()
        psutil.wait_procs(children, timeout=5)
        assert [child for child in children if child.is_running()] == []
        with running_zone(tmp_path, config=config) as again:
            load.zone = again
            _assert_whole(load)


def _assert_whole(load: Load) -> None:
    load.finish()
    assert [account for account in load.accounts() if not account.whole] == []
    assert load.stale_twins() == []
    verdict = carcloud("verify", "lake", "--data", str(load.zone.data))
    assert verdict.returncode == 0, verdict.stdout


def test_signal_removed_between_restarts_is_retired_and_what_is_in_flight_still_arrives(tmp_path: Path) -> None:
    config, overlay = listening(), _overlay(tmp_path, "float")
    data = tmp_path / "data"
    slow = config + "[lake]\nrhythm_s = 600\n"  # what is governed stays in the stream over the restart
    with running_zone(data, "--overlay", overlay, config=slow) as zone:
        enrolled, place = zone.enrol("heated")
        queue = Queue(tmp_path / "heated.queue")
        agent = Agent(place, queue, HEATERS)
        queue.append([(_heat(1.0), 1)])
        agent.start()
        until(lambda: queue.acked == 1, "the first is not acknowledged")
    queue.append([(_heat(2.0), 1)])
    try:
        with running_zone(data, config=config) as zone:
            until(lambda: queue.acked == 2, "the second is not acknowledged")
            until(lambda: len(_heats(zone, enrolled.vehicle.id)) == 2, "the lake has not both")
            assert _heats(zone, enrolled.vehicle.id) == [1.0, 2.0]
            signals = {signal["path"]: signal for signal in zone.get("/v1/catalogue")["signals"]}
            assert signals[HEATER]["retired"]
            assert not signals["Vehicle.Speed"]["retired"]
            assert agent.refused == {}
    finally:
        agent.stop()


def test_renewed_car_comes_in_with_its_new_certificate(tmp_path: Path) -> None:
    with running_zone(tmp_path / "data", "--overlay", _overlay(tmp_path, "float")) as zone:
        enrolled, place = zone.enrol("renewed")
        old = (place / "vehicle.key").read_bytes()
        renewed = carcloud("renew", enrolled.vehicle.id, "--data", str(zone.data), "--out", str(place))
        assert renewed.returncode == 0, renewed.stderr
        assert (place / "vehicle.key").read_bytes() != old
        queue = Queue(tmp_path / "renewed.queue")
        agent = Agent(place, queue, HEATERS)
        queue.append([(_heat(1.0), 1)])
        agent.start()
        try:
            until(lambda: queue.acked == 1, "the renewed car is not acknowledged")
        finally:
            agent.stop()


def test_changed_type_of_a_known_signal_is_refused_at_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_zone(data, "--overlay", _overlay(tmp_path, "float")):
        pass
    refused = carcloud(
        "up", "--data", str(data), "--free-ports", "--overlay", _overlay(tmp_path, "uint8"), timeout_s=30
    )
    assert refused.returncode == 1
    assert HEATER in refused.stderr
    assert "float" in refused.stderr
    assert "uint8" in refused.stderr
    assert "Traceback" not in refused.stderr
    with running_zone(data) as zone:
        assert zone.health() == "ok"


@pytest.mark.skipif(not VSS.exists(), reason="the VSS 6.0 release is not here (../shared/data/vss)")
def test_whole_vss_serves_as_the_catalogue(tmp_path: Path) -> None:
    with running_zone(tmp_path / "data", "--catalog", str(VSS)) as zone, Load(zone, 1, 1) as load:
        known = {signal["path"]: signal for signal in zone.get("/v1/catalogue")["signals"]}
        assert len(known) > 1000
        assert {path: known[path]["unit"] for path, _ in TABLE.signals} == dict(TABLE.signals)
        load.flow(3)
        _assert_whole(load)


def _overlay(folder: Path, type_: str) -> str:
    path = folder / f"{type_}.yaml"
    path.write_text(f"signals:\n  {HEATER}: {{type: {type_}, unit: W, description: Power of the seat heater.}}\n")
    return str(path)


def _heat(power_w: float) -> bytes:
    columns: Any = [np.array([0], "u2"), np.array([1], "u4"), np.array([0], "i4"), np.array([power_w], "f8")]
    return encode(Batch(HEATERS.hash, 1, 1, time.time_ns() // 1000, *columns, Provenance.SIMULATED))


def _heats(zone: RunningZone, vehicle: str) -> list[float]:
    query = "select value from samples where vehicle = $vehicle and signal = $signal order by time"
    return [row[0] for row in zone.sql(query, vehicle=vehicle, signal=HEATER)]
