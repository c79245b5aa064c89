"""How many cars a second come in: TCP, TLS 1.3 with a certificate on both sides, MQTT CONNECT, and the zone's callout.

A connection counts when the zone has answered it with CONNACK 0; then it is closed, and the next car comes. Every car
has its own certificate, and TLS sessions are not resumed: it is what a fleet costs that comes back after an outage.

Run: python bench/connects.py [--cars 2000] [--processes 4] [--threads 8] [--runs 3] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import ssl
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from car import connect_packet
from zone import Enrolled, Zone

ACCEPTED = b"\x20\x02\x00\x00"
TIMEOUT_S = 30.0


def connect(port: int, context: ssl.SSLContext, vehicle: str) -> float:
    """Let one car come in and leave; return the seconds until the zone's answer."""
    began = time.perf_counter()
    raw = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    with raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as line:
        line.sendall(connect_packet(vehicle))
        answer = line.recv(4)
        took = time.perf_counter() - began
        line.sendall(b"\xe0\x00")
    if answer != ACCEPTED:
        raise RuntimeError(f"the zone did not let {vehicle} in: {answer.hex()}")
    return took


def drive(cars: list[dict[str, str]], ca: str, port: int, threads: int, ready: Any, go: Any, done: Any) -> None:
    """Be one client process: read the certificates, wait for the start, then come in with every car once."""
    contexts = {}
    for car in cars:
        contexts[car["id"]] = context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(car["cert"], car["key"])
    ready.release()
    go.wait()
    with ThreadPoolExecutor(threads) as crowd:
        done.put(list(crowd.map(lambda car: connect(port, contexts[car["id"]], car["id"]), cars)))


def run(enrolled: Enrolled, folder: Path, processes: int, threads: int) -> dict[str, float]:
    """Start a fresh zone, let every car come in once, and return what was measured."""
    enrolled.copy(folder)
    zone = Zone(folder)
    try:
        ready, go = multiprocessing.Semaphore(0), multiprocessing.Event()
        done: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
        clients = [
            multiprocessing.Process(
                target=drive,
                args=(enrolled.cars[at::processes], enrolled.ca, zone.ports["mqtt"], threads, ready, go, done),
            )
            for at in range(processes)
        ]
        for client in clients:
            client.start()
        for _ in clients:
            ready.acquire()
        began = time.perf_counter()
        go.set()
        took = sorted(each for _ in clients for each in done.get(timeout=600))
        elapsed_s = time.perf_counter() - began
        for client in clients:
            client.join()
    finally:
        zone.close()
    return {
        "connects_per_s": round(len(took) / elapsed_s, 1),
        "p50_s": round(took[len(took) // 2], 4),
        "p99_s": round(took[len(took) * 99 // 100], 4),
        "elapsed_s": round(elapsed_s, 2),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cars", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("bench/.connects"))
    given = parser.parse_args()
    enrolled = Enrolled(given.folder / "enrolled", given.cars)
    runs = []
    for at in range(given.runs):
        runs.append(run(enrolled, given.folder / f"run{at}", given.processes, given.threads))
        print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    median = {name: statistics.median(each[name] for each in runs) for name in runs[0]}
    print(json.dumps({"cars": given.cars, "processes": given.processes, "runs": runs, "median": median}, indent=1))


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
