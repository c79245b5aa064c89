"""Round trip of signed orders in one zone: from a person's signature to the car's word that it is done.

    .venv/bin/python bench/orders.py [--orders 200] [--folder DIR]

One simulated car, driving and reporting as ever, is told to blink, to lock and to unlock, one order after the other.
Each is signed by a person's key, checked and queued flushed, signed by the order signer, carried out by the car between
two flushes of its journal, and recorded flushed. Stated limit: p99 at most 150 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from zone import Zone

from carcloud.assembly.orders import cloud_view, signer_client
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.gateway.enrolment import Endpoints, enrol, write_credentials
from carcloud.gateway.outbox import give
from carcloud.onboard.drive import drive
from carcloud.onboard.simulator import Simulator
from carcloud.safety.grants.reach import Reach
from carcloud.safety.identity import Authority
from carcloud.safety.orders.authorisation import draft, sign
from carcloud.safety.orders.people import People
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader

LIMIT_P99_MS = 150.0
WARM_UP = 5
ENDED = ("rejected", "done", "failed", "expired")
NAME = "sim-000"


async def rounds(folder: Folder, vehicle: str, key: ec.EllipticCurvePrivateKey, count: int) -> list[float]:
    """Give orders one after the other; return what each took, in milliseconds."""
    cloud = await Bus.connect(ZoneFile.read(folder).bus("cloud"), "bench")
    records, signer, look = (
        open_records(Settings(), folder),
        signer_client(Settings(), folder),
        cloud_view(TwinReader(cloud)),
    )
    ended: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def heard(_: str, data: bytes) -> None:
        told = orjson.loads(data)
        if told["state"] in ENDED:
            ended.put_nowait(told)

    await cloud.listen(subjects.ORDER_CHANGED, heard)
    took = []
    for number in range(count + WARM_UP):
        began, now = time.perf_counter(), int(time.time())
        command, parameters = (("lights", {"seconds": 1}), ("lock", {}), ("unlock", {}))[number % 3]
        text = draft("default", [vehicle], command, parameters, "fleet", now, now + 60)
        signature = sign(key, text)
        sent = [{"key": signature.key, "signature": base64.b64encode(signature.value).decode()}]
        await give(records, signer, look, text.decode(), sent, Reach("default"), "machine")
        await cloud.publish(subjects.ORDERED, vehicle.encode())
        told = await asyncio.wait_for(ended.get(), 70)
        if told["state"] != "done":
            raise RuntimeError(f"{command} ended as {told}")
        took.append((time.perf_counter() - began) * 1000)
    await cloud.close()
    records.close()
    return took[WARM_UP:]


def main() -> None:
    """Run a zone and a car, order it about, and print the figures as JSON."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--orders", type=int, default=200)
    asked.add_argument("--folder", type=Path, default=None)
    given = asked.parse_args()
    base = given.folder or Path(tempfile.mkdtemp(prefix="carcloud-bench-"))
    zone, stop, driving = Zone(base / "data"), threading.Event(), threading.Thread()
    try:
        folder, ports = Folder(base / "data"), zone.ports
        records = open_records(Settings(), folder)
        doors = Endpoints("localhost", ports["mqtt"], f"https://localhost:{ports['https']}")
        car = enrol(records, Authority(folder.keys), "X0000000000000001", doors, label=NAME)
        write_credentials(car, base / "car")
        records.close()
        simulator = Simulator(1, 4, time.time_ns() // 1000)
        simulator._cars[NAME].rest_s = 3600.0  # parked: interlocks let it be unlocked
        arguments: dict[str, Any] = {"stop": stop, "body": simulator.body}
        driving = threading.Thread(
            target=drive, args=(simulator, {NAME: base / "car"}, base / "queues"), kwargs=arguments
        )
        driving.start()
        key = ec.generate_private_key(ec.SECP256R1())
        People(folder.orders).add("bench", key.public_key(), ["fleet"], [], "development")
        time.sleep(5)
        took = np.array(asyncio.run(rounds(folder, car.vehicle.id, key, given.orders)))
        p50, p99 = (float(np.percentile(took, share)) for share in (50, 99))
        figures = {"orders": len(took), "p50_ms": p50, "p99_ms": p99, "max_ms": float(took.max())}
        print(json.dumps({name: round(value, 1) for name, value in figures.items()} | {"held": p99 <= LIMIT_P99_MS}))
    finally:
        stop.set()
        if driving.ident is not None:
            driving.join()
        zone.close()


if __name__ == "__main__":
    main()
