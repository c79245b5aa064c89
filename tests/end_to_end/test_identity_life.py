"""The life of a car's identity, with a real agent: joined, renewed by itself, held back, released, rekeyed, retired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from carcloud.backends.records import Certificate
from carcloud.gateway.enrolment import Endpoints, Enrolment, write_credentials
from carcloud.onboard.agent import Agent
from carcloud.onboard.certificate import join
from carcloud.onboard.queue import Queue
from carcloud.safety.identity import Authority
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from tests.zone import RunningZone, carcloud, running_zone, until

TABLE = IdTable((("Vehicle.Speed", "km/h"),))
VIN = "WBA00000000000001"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    with running_zone(tmp_path_factory.mktemp("identity") / "data") as zone:
        yield zone


@contextmanager
def driven(place: Path, queue: Queue) -> Iterator[Agent]:
    """Let an agent send what is in a queue; the queue is closed with it."""
    agent = Agent(place, queue, TABLE)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def speed(value: float) -> tuple[bytes, int]:
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    columns = np.zeros(1, np.uint16), np.ones(1, np.uint32), np.zeros(1, np.int32), np.array([value])
    return encode(Batch(TABLE.hash, 1, 1, now_us, *columns, Provenance.SIMULATED)), 1


def speeds(zone: RunningZone, vehicle: str) -> list[float]:
    rows = zone.sql("SELECT value FROM samples WHERE vehicle = $vehicle ORDER BY value", vehicle=vehicle)
    return [row[0] for row in rows]


def told(zone: RunningZone, *words: str) -> list[str]:
    done = carcloud(*words, "--data", str(zone.data))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def joined(zone: RunningZone, token: str, into: Path) -> Path:
    trust = zone.folder.keys / "authority" / "server-trust.pem"
    join(token, f"https://localhost:{zone.file.claims}", trust, into)
    return into


def test_car_joins_speaks_is_held_back_released_rekeyed_and_retired_and_loses_no_sample(
    zone: RunningZone, tmp_path: Path
) -> None:
    (_, token) = told(zone, "claim", "--vin", VIN, "--label", "mine")
    place = joined(zone, token, tmp_path / "car")
    vehicle, file = token.partition(".")[0], tmp_path / "car.queue"

    queue = Queue(file)
    with driven(place, queue):
        queue.append([speed(1.0)])
        until(lambda: queue.acked == 1, "the first is not acknowledged")

        told(zone, "vehicle", "quarantine", vehicle)
        until(lambda: _state(zone, vehicle) == "quarantined", "it is not quarantined")
        queue.append([speed(2.0), speed(3.0)])
        until(lambda: queue.batches == 2, "what it says while quarantined is not kept")
    queue = Queue(file)
    with driven(place, queue) as agent:  # it comes in, is told, and waits
        until(lambda: agent.refused["not_enrolled"] > 0, "the car is not told")
        assert agent.connected
        assert queue.batches == 2
        assert speeds(zone, vehicle) in ([], [1.0])

        told(zone, "vehicle", "release", vehicle)
        until(lambda: not queue.batches, "what it kept does not arrive after its release")
        until(lambda: speeds(zone, vehicle) == [1.0, 2.0, 3.0], "the lake has not all three, each once")

        (_, again) = told(zone, "vehicle", "rekey", vehicle)
        queue.append([speed(4.0)])
        until(lambda: agent.trouble is not None and not agent.connected, "the old certificate still comes in")
    queue = Queue(file)
    with driven(joined(zone, again, place), queue):
        until(lambda: not queue.batches, "what it kept does not arrive after it joined anew")
        until(lambda: speeds(zone, vehicle) == [1.0, 2.0, 3.0, 4.0], "the lake has not all four, each once")
        told(zone, "vehicle", "retire", vehicle)
        until(lambda: not zone.status()["vehicles"]["connected"], "a retired car stays connected")
    found = zone.get(f"/v1/vehicles/{vehicle}/identity")
    assert (found["state"], len(found["certificates"])) == ("retired", 2)
    assert {each["standing"] for each in found["certificates"]} == {"revoked"}


def test_agent_renews_its_certificate_by_itself_and_goes_on_with_the_new_one(zone: RunningZone, tmp_path: Path) -> None:
    enrolment, place = zone.enrol("renews itself")
    past = Authority(zone.folder.keys, lambda: datetime.now(UTC) - timedelta(days=26))
    old = past.issue_vehicle(enrolment.vehicle.id, "default")
    records = zone.records()
    records.add_certificate(Certificate(old.serial, enrolment.vehicle.id, old.issued_at, old.not_after))
    records.close()
    endpoints = Endpoints("localhost", zone.file.mqtt, f"https://localhost:{zone.file.https}")
    write_credentials(Enrolment(enrolment.vehicle, old, endpoints, past.server_trust.read_bytes()), place)

    queue = Queue(tmp_path / "renews.queue")
    with driven(place, queue) as agent:
        queue.append([speed(1.0)])
        until(lambda: agent.renewal.renewals == 1, f"it does not renew: {agent.renewal.trouble}")
        until(lambda: agent.connections >= 2 and agent.connected, "it does not come back with the new one")
        queue.append([speed(2.0)])
        until(lambda: queue.acked == 2, "the second is not acknowledged")
        assert agent.renewal.renewals == 1
    assert (place / "vehicle.key").read_bytes() != old.key
    newest = zone.get(f"/v1/vehicles/{enrolment.vehicle.id}/identity")["certificates"][0]
    assert newest["standing"] == "holds"
    assert newest["not_after"] > (datetime.now(UTC) + timedelta(days=29)).isoformat()
    assert not zone.get("/v1/identity")["clones"]


def _state(zone: RunningZone, vehicle: str) -> str:
    return str(zone.get(f"/v1/vehicles/{vehicle}")["state"])
