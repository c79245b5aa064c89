"""Runs one peer: broker, sink and (where it has one) database on one side, the load generator on the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pki
from driver import Generator
from generator import Plan
from recordings import Load
from usage import Usage

from peers.broker import Broker
from peers.environment import PYTHON
from peers.postgres_server import PostgreSql

BENCH = Path(__file__).resolve().parents[1]


class Sink:
    """A peer's sink as a child process."""

    def __init__(self, name: str, config: dict[str, Any], folder: Path, python: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.json"
        file.write_text(json.dumps(config))
        paths = os.pathsep.join((str(BENCH), str(BENCH.parent / "src")))
        self._child = subprocess.Popen(
            [python, "-m", f"peers.{name}", file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self.pid = self._child.pid

    def answer(self) -> dict[str, Any]:
        """Wait for its next report."""
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the sink ended with {self._child.wait()}; its message is above")
        report: dict[str, Any] = json.loads(line)
        return report

    def ask(self) -> dict[str, Any]:
        """Let it measure its store."""
        assert self._child.stdin
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """End it."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()


def measure(name: str, load: Load, cars: int, folder: Path, **options: Any) -> dict[str, Any]:
    """Return wall and CPU figures, size and query times of one peer over one load."""
    shutil.rmtree(folder, ignore_errors=True)
    credentials = pki.make(folder / "keys", [f"vehicle{n:09d}" for n in range(cars)])
    config = {"samples": load.total, "size": load.size, "folder": str(folder / "store"), **options}
    with ExitStack() as stack:
        broker = stack.enter_context(closing(Broker(folder / "keys")))
        watched = [broker.pid]
        if name in ("ordinary", "postgres"):
            database = stack.enter_context(closing(PostgreSql(folder / "pg")))
            watched.append(database.pid)
            config["uri"] = database.uri
        python = PYTHON if name == "clickhouse" else Path(sys.executable)
        sink = stack.enter_context(closing(Sink(name, config | {"port": broker.plain}, folder, python)))
        codec = "json" if name == "ordinary" else "columns"
        ca = str(folder / "keys" / "ca.pem")
        plan = Plan("127.0.0.1", broker.tls, ca, credentials, str(load.folder), codec, durable=False)
        generator = stack.enter_context(closing(Generator(plan, folder)))
        sink.answer()
        connected = generator.step("connect")
        return {"peer": name, "connect_s": connected["seconds"], **_run(load, sink, generator, [*watched, sink.pid])}


def _run(load: Load, sink: Sink, generator: Generator, watched: list[int]) -> dict[str, Any]:
    usage = Usage(watched)
    generator.tell("go")
    stored = sink.answer()
    cpu = usage.stop()
    sent = generator.answer()
    return {
        "samples": load.total,
        "wall_s": stored["at"] - sent["began"],
        "cpu_s": cpu,
        "peak_bytes": usage.peak_total_bytes,
        "generator_cpu_s": sent["cpu"],
        **sink.ask(),
    }
