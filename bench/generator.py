"""The load generator: all cars in one process of its own, told what to do by a plan file.

Run: python generator.py PLAN.json. It reports one JSON line a step: {"event": "built"}; on the line "connect" (or
"storm", all cars at once) it connects; on "go" it sends; on anything else, or at the end of its input, it leaves.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvloop
from car import HELLO_PACKET, WINDOW, Car, Tally, publish_packet, text
from recordings import Load, read, recordings, stamp

from carcloud.vehicle.batch import decode

CONNECT_TRIES = 20


@dataclass(frozen=True)
class Plan:
    """What to do.

    `cars`: each {id, cert, key}. `codec`: columns or json. `rate`: samples a second, 0 = flat out.
    `durable`: wait for the zone's `dn/ack`; otherwise for PUBACK. `queue`: the cars' queue id.
    """

    host: str
    port: int
    ca: str
    cars: list[dict[str, str]]
    load: str | None
    codec: str = "columns"
    durable: bool = True
    tenant: str = "default"
    rate: float = 0.0
    queue: int = 1


class Fleet:
    """The cars of a plan, and what they send."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tally = Tally()
        self.load: Load | None = read(Path(plan.load)) if plan.load else None
        self.kinds, self.shares = self.load.share(len(plan.cars)) if self.load else ([0] * len(plan.cars), [])
        hellos = [self._hello(recording.table) for recording in recordings()]
        self.cars = [self._car(car, hellos[kind]) for car, kind in zip(plan.cars, self.kinds, strict=True)]
        self.contexts = [self._context(car) for car in plan.cars]
        self._changed = asyncio.Event()

    def _hello(self, table: Any) -> bytes:
        rows = [list(pair) for pair in table.signals]
        event = {"event": "hello", "queue": f"{self.plan.queue:016x}", "table": {"signals": rows}, "agent": "bench/1"}
        return json.dumps(event).encode()

    def _car(self, car: dict[str, str], hello: bytes) -> Car:
        prefix = f"cc/1/{self.plan.tenant}/{car['id']}"
        packet = publish_packet(text(f"{prefix}/up/event"), HELLO_PACKET, hello)
        identity = {"id": car["id"], "prefix": prefix, "durable": self.plan.durable, "hello": packet}
        return Car(identity, self.tally, lambda: self._changed.set())

    def _context(self, car: dict[str, str]) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.plan.ca)
        context.load_cert_chain(car["cert"], car["key"])
        return context

    def fill(self, end_us: int) -> None:
        """Build every packet, the last sample of each car a little before `end_us`."""
        load, jitter = self.load, random.Random(7)
        assert load is not None
        payloads, topics = load.payloads(), [text(f"{car.prefix}/up/batch") for car in self.cars]
        for car, topic, share, kind in zip(self.cars, topics, self.shares, self.kinds, strict=True):
            base = end_us - int(load.span_us[share.start : share.stop].sum()) - jitter.randrange(60_000) * 1000
            for number, i in enumerate(share, 1):
                body = payloads[load.start[i] : load.end[i]].tobytes()
                car.packets.append(publish_packet(topic, number, self._payload(car, kind, body, number, base)))
                base += int(load.span_us[i])

    def _payload(self, car: Car, kind: int, body: bytes, number: int, base_us: int) -> bytes:
        stamped = stamp(body, self.plan.queue, number, base_us)
        return stamped if self.plan.codec == "columns" else rows_json(car.id, recordings()[kind].table, stamped)

    async def connect(self, at_once: int = 1000) -> float:
        """Connect all cars, at most `at_once` handshakes at a time; return the seconds it took."""
        began, gate = time.perf_counter(), asyncio.Semaphore(at_once)
        await asyncio.gather(*(self._connect(*pair, gate) for pair in zip(self.cars, self.contexts, strict=True)))
        return time.perf_counter() - began

    async def _connect(self, car: Car, context: ssl.SSLContext, gate: asyncio.Semaphore) -> None:
        loop, plan = asyncio.get_running_loop(), self.plan
        for attempt in range(CONNECT_TRIES):
            async with gate:
                try:
                    car.settled.clear()
                    await loop.create_connection(lambda: car, plan.host, plan.port, ssl=context)
                    await asyncio.wait_for(car.settled.wait(), 30)
                    if car.is_ready:
                        return
                except (OSError, ssl.SSLError, TimeoutError):
                    pass
                car.close()
            self.tally.codes[-1] = self.tally.codes.get(-1, 0) + 1
            await asyncio.sleep(random.uniform(0.1, 0.3) * (attempt + 1))
        raise ConnectionError(f"car {car.id} could not connect in {CONNECT_TRIES} tries")

    async def flat_out(self) -> None:
        """Send everything as fast as it is acknowledged, cars in turn until each has filled its window."""
        for window in range(1, WINDOW + 1):
            for i, car in enumerate(self.cars):
                car.window = window
                if not car.sent:
                    car.progress = time.time()
                car.pump()
                if i % 50 == 49:
                    await asyncio.sleep(0)
        await self._until_done()

    async def _until_done(self) -> None:
        while any(car.done < len(car.packets) for car in self.cars):
            self._changed.clear()
            await self._changed.wait()

    async def remind(self) -> None:
        """Let every car look once a second whether it must send again."""
        while True:
            await asyncio.sleep(1)
            now = time.time()
            for car in self.cars:
                car.remind(now)

    async def paced(self) -> None:
        """Send `rate` samples a second, cars in turn, each batch's last sample taken at the moment it is sent."""
        load, payloads = self.load, self.load.payloads() if self.load else None
        assert load is not None
        assert payloads is not None
        topics = [text(f"{car.prefix}/up/batch") for car in self.cars]
        order = [(n, c) for n in range(max(map(len, self.shares))) for c in range(len(self.cars))]
        began, samples = time.perf_counter(), 0
        for n, c in order:
            if n >= len(self.shares[c]):
                continue
            i, car = self.shares[c][n], self.cars[c]
            wait = samples / self.plan.rate - (time.perf_counter() - began)
            await asyncio.sleep(wait if wait > 0.002 else 0)
            now = time.time()
            body = payloads[load.start[i] : load.end[i]].tobytes()
            base = int(now * 1e6) - int(load.span_us[i])
            payload = self._payload(car, self.kinds[c], body, n + 1, base)
            car.packets.append(publish_packet(topics[c], n + 1, payload))
            car.sent_at = car.sent_at if car.sent_at is not None else []
            car.sent_at.append(now)
            car.progress = max(car.progress, now if car.sent == car.done else car.progress)
            car.pump()
            samples += int(load.samples[i])
        await self._until_done()


def rows_json(vehicle: str, table: Any, payload: bytes) -> bytes:
    """Return a batch as most teams would send it: one JSON object a message, one row a sample."""
    from_columns = decode(payload)
    signals = np.repeat(from_columns.signals, from_columns.counts).tolist()
    times = (from_columns.base_us + from_columns.times.astype("i8")).tolist()
    rows = [
        {"signal": table.signals[s][0], "time": t, "value": v}
        for s, t, v in zip(signals, times, from_columns.values.tolist(), strict=True)
    ]
    return orjson.dumps({"vehicle": vehicle, "samples": rows})


def say(event: str, **fields: Any) -> None:
    """Tell the driver where we are."""
    print(json.dumps({"event": event, **fields}), flush=True)


async def run(plan: Plan) -> None:
    """Follow the driver's lines to the end."""
    fleet = Fleet(plan)
    if plan.load and not plan.rate:
        fleet.fill(int(time.time() * 1e6) - 2_000_000)
    total = fleet.load.total if fleet.load else 0
    say("built", samples=total, batches=sum(len(car.packets) for car in fleet.cars))
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        cpu, began = time.process_time(), time.time()
        if line == "connect":
            seconds = await fleet.connect()
            say("connected", seconds=seconds, cars=fleet.tally.ready, codes=fleet.tally.codes, cpu=_since(cpu))
        elif line == "storm":
            seconds = await fleet.connect(len(fleet.cars))
            say("connected", seconds=seconds, cars=fleet.tally.ready, codes=fleet.tally.codes, cpu=_since(cpu))
        elif line == "go":
            reminders = asyncio.create_task(fleet.remind())
            await (fleet.paced() if plan.rate else fleet.flat_out())
            reminders.cancel()
            say("done", began=began, cpu=_since(cpu), **_counts(fleet.tally))
        else:
            break
    for car in fleet.cars:
        car.close()


def _since(cpu: float) -> float:
    return time.process_time() - cpu


def _counts(tally: Tally) -> dict[str, Any]:
    delays = sorted(tally.ack_delays)
    quantiles = {f"ack_p{p}": delays[min(len(delays) * p // 100, len(delays) - 1)] for p in (50, 99)} if delays else {}
    names = ("pubacks", "acked", "resent", "hellos", "lost", "refused", "last_puback", "last_ack")
    return {name: getattr(tally, name) for name in names} | quantiles


def main() -> None:
    """Read the plan named on the command line and follow it."""
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(plan))


if __name__ == "__main__":
    main()
