"""Too much: one car that floods in every way we know, small messages that ask for much work, and a storm of cars.

What is promised: the flooding car is cut and refused for a while, the zone's processes stay as they are, their memory
stays bounded, and another car's values reach the twin within `BOUND_S`, also on a machine that is busy otherwise.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from carcloud.gateway.enrolment import Endpoints, enrol
from carcloud.safety.identity import Authority
from carcloud.vehicle.batch import Batch, IdTable, encode, renumber
from tests.attacks.attacker import HOST, Car, Storm, mqtt_connect, refused, sample, seen, tls
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, until

BOUND_S = 4.0
STORM = 300
TABLE = IdTable((("Vehicle.Speed", "km/h"),))


def bomb(table: bytes = TABLE.hash, samples: int = 340_000) -> bytes:
    """Return a batch of 200 bytes that unpacks to 4 MiB of valid samples."""
    runs, times, values = np.array([samples], "u4"), np.zeros(samples, "i4"), np.zeros(samples)
    return encode(Batch(table, 1, 1, time.time_ns() // 1000, np.array([0], "u2"), runs, times, values))


class Bystander:
    """Another car that drives on meanwhile, and how long its values take to the twin."""

    def __init__(self, zone: RunningZone) -> None:
        self._zone, self._car = zone, Car(zone, enrolled(zone))
        assert self._car.connect() == "Success"
        self.delays: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drive)
        self._thread.start()

    def _drive(self) -> None:
        speed = 0.0
        while not self._over.wait(0.2):
            speed += 0.5
            began = time.monotonic()
            self._car.say(sample(speed))
            while seen(self._zone, self._car.id).get("Vehicle.Speed") != speed and time.monotonic() - began < 30:
                time.sleep(0.02)
            self.delays.append(time.monotonic() - began)

    def stop(self) -> float:
        """Stop; return the longest delay in seconds."""
        self._over.set()
        self._thread.join()
        self._car.stop()
        return max(self.delays)


@contextmanager
def unharmed(zone: RunningZone) -> Iterator[None]:
    """Hold another car's delay and every process of the zone to what is promised."""
    processes, bystander = zone.children(), Bystander(zone)
    try:
        time.sleep(1)
        yield
        time.sleep(2)
    finally:
        longest = bystander.stop()
    assert longest < BOUND_S, f"another car waited {longest:.1f} s"
    assert not bystander._car.cut.is_set() or bystander._car.reason == "Success"
    assert zone.children() == processes


def refused_now(zone: RunningZone, place: Path) -> bool:
    storm = Storm(zone, place)
    storm.close()
    return not storm.welcome


def test_a18_ten_thousand_messages_a_second_from_one_car(victim: RunningZone) -> None:
    place = enrolled(victim)
    with unharmed(victim):
        storm = Storm(victim, place)
        storm.blow(json.dumps(sample(66)).encode(), 6, 10_000)
        assert storm.cut.wait(3), f"{storm.sent} messages, and still connected"
        assert refused_now(victim, place)
    until(lambda: refused(victim).get("flood"), "no flood was counted", 10)


@pytest.mark.parametrize("topic", ["cc/1/default/{own}/up/batch", "cc/1/default/aaaaaaaaaaaaaaaa/up/batch"])
def test_a18_flood_that_no_guard_ever_sees(victim: RunningZone, topic: str) -> None:
    """QoS 0 is not stored, and a foreign topic is dropped by the broker: the governor sees neither."""
    place = enrolled(victim)
    with unharmed(victim):
        storm = Storm(victim, place)
        storm.blow(b"x" * 100, 12, 5_000, topic.format(own=storm.id), qos=0)
        assert storm.cut.wait(3), f"{storm.sent} messages, and still connected"
        assert refused_now(victim, place)


def test_a18_few_small_batches_that_unpack_to_much(victim: RunningZone) -> None:
    place = enrolled(victim)
    with unharmed(victim):
        storm, queue, packed = Storm(victim, place), secrets.randbits(63) | 1, bomb()
        hello = {"event": "hello", "queue": f"{queue:016x}", "table": json.loads(TABLE.canonical())}
        storm.send(json.dumps(hello).encode(), "event")
        for number in range(1, 301):
            storm.send(renumber(packed, queue, number))
            time.sleep(0.005)
        assert storm.cut.wait(5)
        assert refused_now(victim, place)


def test_a18_large_json_from_one_car(victim: RunningZone) -> None:
    place = enrolled(victim)
    rows = {"samples": [{"signal": "Vehicle.Speed", "value": at % 200} for at in range(2900)]}
    with unharmed(victim):
        storm = Storm(victim, place)
        storm.blow(json.dumps(rows).encode(), 4, 100)
        assert storm.cut.wait(5)


def test_batches_that_wait_for_ever_do_not_fill_the_governors_memory(victim: RunningZone) -> None:
    place = enrolled(victim)
    governor = psutil.Process(victim.children()["governor"])
    before = governor.memory_info().rss
    with unharmed(victim):
        storm, packed = Storm(victim, place), bomb(table=b"unknown!", samples=80_000)
        for _ in range(300):
            storm.send(renumber(packed, secrets.randbits(63) | 1, 2))
            time.sleep(0.02)
    assert governor.memory_info().rss - before < 300 * 1024 * 1024


def test_a19_storm_of_new_cars_at_once(victim: RunningZone, tmp_path: Path) -> None:
    records, authority, cars = victim.records(), Authority(victim.folder.keys), {}
    endpoints = Endpoints("localhost", victim.file.mqtt, "https://localhost")
    for number in range(STORM):
        made = enrol(records, authority, f"X00STRM{number:010}", endpoints)
        cars[made.vehicle.id] = folder = tmp_path / made.vehicle.id
        folder.mkdir()
        (folder / "vehicle.pem").write_bytes(made.credentials.chain)
        (folder / "vehicle.key").write_bytes(made.credentials.key)
    records.close()
    processes = victim.children()
    began = time.monotonic()
    welcomed = asyncio.run(_all_at_once(victim, cars))
    assert welcomed == STORM
    assert time.monotonic() - began < 45
    assert victim.children() == processes
    until(lambda: victim.get("/healthz")["status"] == "ok", "the zone did not come to rest", 15)


async def _all_at_once(zone: RunningZone, cars: dict[str, Path]) -> int:
    trust = zone.folder.keys / "authority" / "server-trust.pem"

    async def one(car: str, place: Path) -> bool:
        context = tls(place, trust)
        reader, writer = await asyncio.open_connection(
            HOST, zone.file.mqtt, ssl=context, server_hostname="localhost", ssl_handshake_timeout=40
        )
        writer.write(mqtt_connect(car))
        answer = await asyncio.wait_for(reader.readexactly(4), 40)
        opened.append(writer)
        return answer[3:] == b"\0"

    opened: list[asyncio.StreamWriter] = []
    outcomes = await asyncio.gather(*(one(car, place) for car, place in cars.items()), return_exceptions=True)
    for writer in opened:
        writer.close()
    return sum(outcome is True for outcome in outcomes)
