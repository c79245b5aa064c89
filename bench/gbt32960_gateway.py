"""Terminals of GB/T 32960 to the lake: frames a second through socket, guards and lake, and 2,000 connected at once.

Run: python bench/gbt32960_gateway.py [--terminals 2000] [--frames 200000] [--window 4] [--big]
A whole run prints its table; docs/benchmarks.md holds the last one that was measured alone on its machine.

The load generator is one process of its own: each terminal logs in, then keeps `window` reports unanswered. A report
counts when it is answered 01, so when it is governed and flushed; the wall time goes on until the lake has all rows.
Reports differ: each terminal has 16 of them, drawn at random, and each is sent under a second of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import uvloop
from zone import Zone

from carcloud.assembly.records import open_records
from carcloud.gateway.gbt32960.terminals import add_terminal
from carcloud.settings import Folder, Settings
from carcloud.vehicle.gbt32960.forms import Login, Report
from carcloud.vehicle.gbt32960.frames import Edition, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.mapping import samples
from carcloud.vehicle.gbt32960.messages import read
from carcloud.vehicle.gbt32960.times import write_time
from carcloud.vehicle.gbt32960.units import Unit
from carcloud.vehicle.gbt32960.writing import write

SHAPES = 16
ANSWER_BYTES = 31
HEADER_BYTES = 24
CELLS, PROBES = 180, 48
EDITION = Edition.E2025
PATIENCE_S = 60.0


def vin(number: int) -> str:
    """Return the VIN of a terminal."""
    return f"LBENCH000{number:08}"


def units(big: bool) -> tuple[Unit, ...]:
    """Return one report's units, values at random."""
    number = random.uniform
    found = [
        Unit(
            "vehicle",
            {
                **{"state": 1, "charge": 3, "mode": 1, "dcdc": 1, "gear": 14, "insulation": 5000},
                **{"speed": round(number(0, 120), 1), "odometer": round(number(0, 1e5), 1), "charge_level": 66},
                **{"voltage": round(number(330, 400), 1), "current": round(number(-100, 200), 1)},
            },
        ),
        Unit("motors", {"motors": (_motor(),)}),
        Unit("position", _position()),
        Unit("alarms", {"level": 0, "flags": 0, "battery": (), "motors": (), "engine": (), "other": (), "levels": ()}),
    ]
    if big:
        cells = tuple(round(number(3.6, 4.1), 3) for _ in range(CELLS))
        pack = {"pack": 1, "voltage": 380.0, "current": 10.0, "cells": cells}
        probes = tuple(random.randrange(20, 40) for _ in range(PROBES))
        found += [Unit("cells", {"packs": (pack,)}), Unit("temperatures", {"packs": ({"pack": 1, "probes": probes},)})]
    return tuple(found)


def _motor() -> dict[str, Any]:
    speed, torque = random.randrange(0, 9000), round(random.uniform(-100, 200), 1)
    return {"number": 1, "state": 1, "controller_temperature": 40, "speed": speed, "torque": torque, "temperature": 50}


def _position() -> dict[str, Any]:
    longitude, latitude = round(random.uniform(120, 122), 6), round(random.uniform(30, 32), 6)
    return {"flags": 0, "datum": 1, "longitude": longitude, "latitude": latitude}


class Terminal(asyncio.Protocol):
    """One terminal: logs in, then keeps a window of reports unanswered, until all of its own are answered."""

    def __init__(self, name: str, began: datetime, reports: int, window: int, big: bool) -> None:
        self._name, self._began, self._reports, self._window = name, began, reports, window
        self.shapes = [bytearray(encode(write(Report(name, began, units(big)), EDITION))) for _ in range(SHAPES)]
        self.sent = self.answered = self.refused = 0
        self.in_, self.done = asyncio.Event(), asyncio.Event()
        self._at: deque[float] = deque()
        self.delays: list[float] = []
        self._rest = b""

    def itself(self) -> Terminal:
        """Return it, as what makes a connection's protocol is asked for one."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self._transport: Any = transport
        transport.write(encode(write(Login(self._name, self._began, 1, "8" * 20), EDITION)))  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Send the first window."""
        self._send(min(self._window, self._reports))

    def _send(self, many: int) -> None:
        parts = []
        for _ in range(many):
            shape = self.shapes[self.sent % SHAPES]
            old, new = shape[HEADER_BYTES : HEADER_BYTES + 6], write_time(self._began + timedelta(seconds=self.sent))
            shape[HEADER_BYTES : HEADER_BYTES + 6] = new
            for was, now in zip(old, new, strict=True):
                shape[-1] ^= was ^ now
            parts.append(bytes(shape))
            self.sent += 1
        self._at.extend([time.perf_counter()] * many)
        self._transport.write(b"".join(parts))

    def data_received(self, data: bytes) -> None:
        """Count answers, and send on."""
        data = self._rest + data
        many, self._rest = len(data) // ANSWER_BYTES, data[len(data) // ANSWER_BYTES * ANSWER_BYTES :]
        if not self.in_.is_set():
            assert data[3] == 1, f"the login was answered {data[3]}"
            self.in_.set()
            return
        now = time.perf_counter()
        self.delays.extend(now - self._at.popleft() for _ in range(many))
        self.refused += sum(data[at * ANSWER_BYTES + 3] != 1 for at in range(many))
        self.answered += many
        if self.sent < self._reports:
            self._send(min(many, self._reports - self.sent))
        elif self.answered >= self._reports:
            self.done.set()


async def answered(all_: list[Terminal]) -> None:
    """Wait until all is answered; give up where nothing is any more: a terminal here sends nothing twice."""
    done, seen, since = asyncio.gather(*(one.done.wait() for one in all_)), -1, time.monotonic()
    while not done.done():
        await asyncio.wait({done}, timeout=1.0)
        now = sum(one.answered for one in all_)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > PATIENCE_S:
            raise RuntimeError(f"{now} of {sum(one.sent for one in all_)} reports are answered, and no more")


async def generate(asked: argparse.Namespace) -> dict[str, Any]:
    """Be all terminals; return what was seen."""
    loop, began = asyncio.get_running_loop(), datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
    each = asked.frames // asked.terminals
    all_ = [Terminal(vin(number), began, each, asked.window, asked.big) for number in range(asked.terminals)]
    at = time.perf_counter()
    for first in range(0, len(all_), 200):
        some = all_[first : first + 200]
        await asyncio.gather(*(loop.create_connection(one.itself, "127.0.0.1", asked.port) for one in some))
    await asyncio.gather(*(one.in_.wait() for one in all_))
    login_s = time.perf_counter() - at
    print(json.dumps({"login_s": login_s}), flush=True)
    sys.stdin.readline()
    at = time.perf_counter()
    for one in all_:
        one.begin()
    await answered(all_)
    wall_s = time.perf_counter() - at
    delays = sorted(delay for one in all_ for delay in one.delays)
    return {
        "wall_s": wall_s,
        "answered": sum(one.answered for one in all_),
        "refused": sum(one.refused for one in all_),
        "p50_s": delays[len(delays) // 2],
        "p99_s": delays[len(delays) * 99 // 100],
        "cpu_s": time.process_time(),
    }


@dataclass(frozen=True)
class Memory:
    """PSS of the door's process, in bytes."""

    empty: int
    connected: int
    peak: int


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run a zone under the load; return the figures."""
    config = folder / "zone.toml"
    config.write_text("[gbt32960]\nport = 1\nframes_per_s = 100000\n")
    zone = Zone(folder / "zone", config)
    try:
        records = open_records(Settings(), Folder(folder / "zone"))
        say(f"adding {asked.terminals} terminals")
        for number in range(asked.terminals):
            add_terminal(records, vin(number), None, "default", "machine")
        records.close()
        door = next(one for one in psutil.Process(zone.pid).children() if "gbt32960" in one.cmdline())
        empty = door.memory_full_info().pss
        options = ["--terminals", asked.terminals, "--frames", asked.frames, "--window", asked.window]
        options += ["--big"] if asked.big else []
        command = [sys.executable, __file__, "--port", zone.ports["gbt32960"], *options]
        generator = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert generator.stdout is not None
        assert generator.stdin is not None
        login: dict[str, Any] = json.loads(generator.stdout.readline())
        connected = door.memory_full_info().pss
        say(f"all logged in, {login['login_s']:.1f} s; they report")
        usage, began = zone.usage(), time.time()
        generator.stdin.write("go\n")
        generator.stdin.flush()
        told: dict[str, Any] = json.loads(generator.stdout.readline())
        answered_s = time.time() - began
        say(f"all answered, {answered_s:.1f} s; the lake follows")
        each = rows_a_frame(asked.big)
        wanted = told["answered"] * each
        lake_s = zone.wait_rows(wanted) - began
        cpu, peak = usage.stop(), usage.peak_bytes["gbt32960"]
        generator.wait()
        return (
            told
            | login
            | {
                "rows": wanted,
                "rows_a_frame": each,
                "answered_s": answered_s,
                "lake_s": lake_s,
                "memory": vars(Memory(empty, connected, peak)),
                "cpu": cpu,
            }
        )
    finally:
        zone.close()


def say(what: str) -> None:
    """Tell how far it is."""
    print(what, file=sys.stderr, flush=True)


def rows_a_frame(big: bool) -> int:
    """Return how many samples a report gives."""
    (frame,) = FrameReader().feed(encode(write(Report(vin(0), datetime.now(UTC), units(big)), EDITION)))
    assert isinstance(frame, Frame)
    report = read(frame)
    assert isinstance(report, Report)
    return len(samples(report, EDITION).rows)


def table(asked: argparse.Namespace, found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    memory, mib = found["memory"], 1 << 20
    rows = [
        ("terminals connected at once, all logged in", f"{asked.terminals:,} in {found['login_s']:.1f} s"),
        ("frames answered 01 / otherwise", f"{found['answered'] - found['refused']:,} / {found['refused']:,}"),
        ("frames/s to the last answer (governed, flushed)", f"**{found['answered'] / found['answered_s']:,.0f}**"),
        ("frames/s to the last row in the lake", f"**{found['answered'] / found['lake_s']:,.0f}**"),
        ("samples a frame", f"{found['rows_a_frame']}"),
        ("samples/s into the lake", f"{found['rows'] / found['lake_s']:,.0f}"),
        ("from report to answer, p50 / p99", f"{found['p50_s']:.2f} s / {found['p99_s']:.2f} s"),
        (
            "the door's memory: empty / all connected / peak, MiB (PSS)",
            " / ".join(f"{memory[name] / mib:,.0f}" for name in ("empty", "connected", "peak")),
        ),
        (
            "the door's memory a connection, KiB",
            f"{(memory['connected'] - memory['empty']) / asked.terminals / 1024:.1f}",
        ),
        ("load generator's CPU, s", f"{found['cpu_s']:.1f}"),
    ]
    lines = ["| figure | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    cpu = [f"| {name} | {seconds / found['answered'] * 1e6:.0f} |" for name, seconds in sorted(found["cpu"].items())]
    return "\n".join([*lines, "", "| process | CPU µs a frame |", "| --- | --- |", *cpu])


def main() -> None:
    """Measure, or be the terminals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terminals", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--window", type=int, default=4, help="reports a terminal leaves unanswered")
    parser.add_argument("--big", action="store_true", help=f"with {CELLS} cells and {PROBES} probes")
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.port:
        print(json.dumps(uvloop.run(generate(asked))), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="carcloud-gbt32960-") as folder:
        found = measure(asked, Path(folder))
    kind = f"{CELLS} cells and {PROBES} probes" if asked.big else "ordinary reports"
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {psutil.cpu_count()} cores, {platform.machine()}; {kind}, window {asked.window}"
    )
    print(table(asked, found))


if __name__ == "__main__":
    main()
