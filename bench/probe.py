"""Probe cars: how long a sample takes from publish to the twin, to the lake and to the durable acknowledgement.

A probe car publishes one sample a batch, stamped with the moment it is published. The twin is asked over HTTP every
20 ms until it shows that stamp; a lake row counts when its commit became visible; both on this machine's clock.
Run: python probe.py PLAN.json; it prints one JSON line of delays in seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import uvloop
from car import HELLO_PACKET, Car, Tally, publish_packet, text
from lake_log import LakeLog

from carcloud.vehicle.batch import Batch, IdTable, encode

PATH = "Vehicle.Speed"
TABLE = IdTable(((PATH, "km/h"),))
EVERY_S = 0.5
ASK_EVERY_S = 0.02
PATIENCE_S = 20.0
QUEUE = 0xBE7C


@dataclass(frozen=True)
class Plan:
    """What to probe: `cars` as for the generator, `seconds` long; `api`: the zone's address, `table`: its lake."""

    port: int
    ca: str
    cars: list[dict[str, str]]
    api: str
    token: str
    table: str
    seconds: float


class Probe:
    """One probe car and its delays."""

    def __init__(self, credentials: dict[str, str], plan: Plan, tally: Tally) -> None:
        prefix = f"cc/1/default/{credentials['id']}"
        rows = [list(pair) for pair in TABLE.signals]
        event = {"event": "hello", "queue": f"{QUEUE:016x}", "table": {"signals": rows}, "agent": "probe/1"}
        hello = publish_packet(text(f"{prefix}/up/event"), HELLO_PACKET, json.dumps(event).encode())
        identity = {"id": credentials["id"], "prefix": prefix, "durable": True, "hello": hello}
        self.car = Car(identity, tally, lambda: None)
        self.car.sent_at = []
        self.topic = text(f"{prefix}/up/batch")
        self.published: list[int] = []
        self.twin_delays: list[float] = []
        self._plan, self._credentials = plan, credentials

    async def connect(self) -> None:
        """Connect the car."""
        context = ssl.create_default_context(cafile=self._plan.ca)
        context.load_cert_chain(self._credentials["cert"], self._credentials["key"])
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.car, "127.0.0.1", self._plan.port, ssl=context)
        await asyncio.wait_for(self.car.settled.wait(), 30)

    async def run(self, http: httpx.AsyncClient) -> None:
        """Publish, wait for the twin, and again, until the time is over."""
        until = time.monotonic() + self._plan.seconds
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(0.2, 1.8) * EVERY_S)
            await self._publish_and_wait(http)

    async def _publish_and_wait(self, http: httpx.AsyncClient) -> None:
        number, now = len(self.published) + 1, time.time()
        at_us = int(now * 1e6)
        one = np.array([0], "i4")
        batch = Batch(TABLE.hash, QUEUE, number, at_us, one.astype("u2"), one.astype("u4") + 1, one, np.array([50.0]))
        self.car.packets.append(publish_packet(self.topic, number, encode(batch)))
        assert self.car.sent_at is not None
        self.car.sent_at.append(now)
        self.published.append(at_us)
        self.car.progress = now
        self.car.pump()
        while time.time() - now < PATIENCE_S:
            await asyncio.sleep(ASK_EVERY_S)
            if await self._seen(http) >= at_us:
                break
        self.twin_delays.append(time.time() - now)

    async def _seen(self, http: httpx.AsyncClient) -> int:
        answer = await http.get(f"/v1/vehicles/{self.car.id}/signals", params={"paths": PATH})
        last = answer.json().get("signals", {}).get(PATH) if answer.status_code == 200 else None
        return round(datetime.fromisoformat(last["time"]).timestamp() * 1e6) if last else 0


class LakeWatch:
    """When each probe's samples became visible in the lake."""

    def __init__(self, table: Path, vehicles: list[str]) -> None:
        self._log, self._vehicles, self._done = LakeLog(table), vehicles, 0
        self._log.read()
        self._done = len(self._log.commits)
        self.delays: list[float] = []

    async def run(self) -> None:
        """Look at every new commit until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            self._log.read()
            for commit in self._log.commits[self._done :]:
                for file in commit.files:
                    self._take(self._log.table / file, commit.at)
            self._done = len(self._log.commits)

    def _take(self, file: Path, at: float) -> None:
        rows = pq.read_table(file, columns=["time"], filters=[("vehicle", "in", self._vehicles)], partitioning=None)
        self.delays += [at - us / 1e6 for us in pc.cast(rows["time"], "int64").to_pylist()]


async def run(plan: Plan) -> None:
    """Probe, then wait a little for the lake, and print."""
    tally = Tally()
    probes = [Probe(car, plan, tally) for car in plan.cars]
    await asyncio.gather(*(probe.connect() for probe in probes))
    watch = LakeWatch(Path(plan.table), [probe.car.id for probe in probes])
    watching = asyncio.create_task(watch.run())
    headers = {"Authorization": f"Bearer {plan.token}"}
    async with httpx.AsyncClient(base_url=plan.api, headers=headers, timeout=30) as http:
        await asyncio.gather(*(probe.run(http) for probe in probes))
    await asyncio.sleep(6)
    watching.cancel()
    twin = [delay for probe in probes for delay in probe.twin_delays]
    sent = sum(len(probe.published) for probe in probes)
    print(json.dumps({"sent": sent, "twin": twin, "lake": watch.delays, "ack": tally.ack_delays}), flush=True)


def main() -> None:
    """Read the plan named on the command line and follow it."""
    uvloop.run(run(Plan(**json.loads(Path(sys.argv[1]).read_text()))))


if __name__ == "__main__":
    main()
