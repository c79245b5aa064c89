"""Clients that are none of ours reach twin and lake by the written wire: mosquitto_pub, curl's way, and the example."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.zone import RunningZone, running_zone, until

EXAMPLE = Path(__file__).parents[2] / "examples" / "wire_client.py"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone without other cars, so that its counters are ours."""
    with running_zone(tmp_path_factory.mktemp("others") / "data") as zone:
        yield zone


def _publish(zone: RunningZone, credentials: Path, topic_vehicle: str, body: dict[str, object]) -> None:
    if not shutil.which("mosquitto_pub"):
        pytest.skip("mosquitto_pub is not installed (package mosquitto-clients)")
    client = json.loads((credentials / "vehicle.json").read_text())["id"]
    topic = f"cc/1/default/{topic_vehicle}/up/batch"
    tls = [
        "--cafile",
        credentials / "ca.pem",
        "--cert",
        credentials / "vehicle.pem",
        "--key",
        credentials / "vehicle.key",
    ]
    command = ["mosquitto_pub", "-V", "mqttv311", "-h", "localhost", "-p", zone.file.mqtt, "-i", client, "-q", 1, *tls]
    words = [str(word) for word in [*command, "-t", topic, "-m", json.dumps(body)]]
    subprocess.run(words, check=True, timeout=20, capture_output=True)


def _speed(zone: RunningZone, vehicle: str) -> object:
    found = zone.get(f"/v1/vehicles/{vehicle}/signals", paths="Vehicle.Speed")["signals"]
    return found.get("Vehicle.Speed", {}).get("value")


def test_json_of_mosquitto_pub_shows_up_in_twin_and_lake(alone: RunningZone) -> None:
    enrolled, place = alone.enrol("mosquitto")
    _publish(
        alone, place, enrolled.vehicle.id, {"samples": [{"signal": "Vehicle.Speed", "value": 42.5, "unit": "km/h"}]}
    )
    until(lambda: _speed(alone, enrolled.vehicle.id) == 42.5, "the twin has no speed")
    rows = until(
        lambda: alone.sql("select value, provenance from samples where vehicle = $v", v=enrolled.vehicle.id), "no row"
    )
    assert rows == [[42.5, "measured"]]


def test_another_cars_topic_goes_nowhere_and_is_seen(alone: RunningZone) -> None:
    victim, _ = alone.enrol("victim")
    _, thief = alone.enrol("thief")
    _publish(alone, thief, victim.vehicle.id, {"samples": [{"signal": "Vehicle.Speed", "value": 66.6}]})
    until(lambda: alone.status()["stream"]["refused"].get("wrong_vehicle", 0) > 0, "the refusal is not counted")
    assert _speed(alone, victim.vehicle.id) is None
    assert alone.sql("select count(*) from samples where value = 66.6") == [[0]]


def test_the_example_client_is_acknowledged_and_stored(alone: RunningZone) -> None:
    enrolled, place = alone.enrol("example")
    done = subprocess.run([sys.executable, str(EXAMPLE), str(place)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows = until(
        lambda: alone.sql("select count(*) from samples where vehicle = $v", v=enrolled.vehicle.id) > [[0]], "no row"
    )
    assert rows
    assert _speed(alone, enrolled.vehicle.id) is not None


def test_json_posted_at_the_second_door_meets_the_same_guards(alone: RunningZone) -> None:
    enrolled, place = alone.enrol("https")
    context = ssl.create_default_context(cafile=str(place / "ca.pem"))
    context.load_cert_chain(place / "vehicle.pem", place / "vehicle.key")
    url = f"https://localhost:{alone.file.https}/v1/vehicles/{enrolled.vehicle.id}/batches"
    numbered = {"queue": f"{time.time_ns():016x}"[-16:], "number": 1}
    samples = [{"signal": "Vehicle.Speed", "value": 12.5}, {"signal": "Vehicle.Nowhere", "value": 1}]
    with httpx.Client(verify=context, trust_env=False, timeout=20) as car:
        answer = car.post(url, json={"samples": samples} | numbered)
        again = car.post(url, json={"samples": samples} | numbered)
    assert answer.status_code == 200, answer.text
    assert answer.json()["ack"]["number"] == 1
    assert answer.json()["ack"]["refused"] == {"unknown_signal": 1}
    assert again.json()["ack"]["number"] == 1
    rows = until(lambda: alone.sql("select value from samples where vehicle = $v", v=enrolled.vehicle.id), "no row")
    assert rows == [[12.5]]
