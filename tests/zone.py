"""A real zone for tests: `carcloud up` in a child process, on a folder and ports of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from carcloud.assembly.links import console_link
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import PORTS, ZoneFile
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.gateway.enrolment import Endpoints, Enrolment, enrol, write_credentials
from carcloud.gateway.garage import stand_in_vin
from carcloud.safety.identity import Authority
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects
from carcloud.stream.chunk import record_of

DRIVES = Path(__file__).parents[2] / "shared" / "data" / "drives"
ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0


class RunningZone:
    """One zone, running. `url` and `token` are its API's."""

    def __init__(self, data: Path, *options: str, config: str = "") -> None:
        self.data, self.folder = data, Folder(data)
        self.folder.make()
        command = [sys.executable, "-m", "carcloud", "up", "--data", str(data), *options]
        if "[listen]" not in config:
            command.append("--free-ports")
        if config:
            (data / "zone.toml").write_text(config, "utf-8")
            command += ["--config", str(data / "zone.toml")]
        self._output = (data / "up.out").open("ab")
        self.process = subprocess.Popen(command, stdout=self._output, stderr=self._output)
        try:
            until(self._ready, f"the zone is not up: {data / 'up.out'}")
        except BaseException:
            self.stop()
            raise
        self.file = ZoneFile.read(self.folder)
        self.url, self.token = self.file.url, self.file.token
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=20, trust_env=False
        )

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the zone ended: {(self.data / 'up.out').read_text()}")
        if not self.folder.zone_file.exists():
            return False
        try:
            zone = ZoneFile.read(self.folder)
            return bool(httpx.get(f"{zone.url}/healthz", trust_env=False).json()["status"] == "ok")
        except (httpx.HTTPError, ValueError):
            return False

    def get(self, path: str, **query: Any) -> Any:
        """Ask the API, expecting 200."""
        answer = self.client.get(path, params=query or None)  # empty ones would take the path's own away
        assert answer.status_code == 200, answer.text
        return answer.json()

    def health(self) -> str:
        """Return the zone's own word on its health, nothing while the API is away."""
        try:
            return str(self.client.get("/healthz").json()["status"])
        except (httpx.HTTPError, ValueError):
            return ""

    def alarms(self) -> list[dict[str, str]]:
        """Return the alarms that stand, none while the API is away."""
        try:
            found: list[dict[str, str]] = self.client.get("/v1/status").json()["alarms"]
        except (httpx.HTTPError, ValueError, KeyError):
            return []
        return found

    def status(self) -> Any:
        """Return GET /v1/status."""
        return self.get("/v1/status")

    def sql(self, text: str, **parameters: Any) -> list[list[Any]]:
        """Ask the lake by the API; return the rows."""
        answer = self.client.post("/v1/lake/sql", json={"sql": text, "parameters": parameters, "limit": 100_000})
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows

    def records(self) -> Records:
        """Open the zone's records."""
        return open_records(Settings(), self.folder)

    def link(self, login: str = "") -> str:
        """Return an address that signs in once, as the person of this login or the local administrator."""
        return console_link(Settings(), self.folder, self.file, login)

    def enrol(self, name: str, tenant: str = "default") -> tuple[Enrolment, Path]:
        """Enrol a tenant's car; return it and its folder of credentials."""
        records = self.records()
        try:
            endpoints = Endpoints("localhost", self.file.mqtt, f"https://localhost:{self.file.https}")
            authority, vin = Authority(self.folder.keys), stand_in_vin(name)
            enrolled = enrol(records, authority, vin, endpoints, label=name, tenant=tenant)
        finally:
            records.close()
        place = self.data / "credentials" / name
        write_credentials(enrolled, place)
        return enrolled, place

    def lake_is_level(self) -> bool:
        """Tell whether the lake has taken every chunk of the governed stream, asked of broker and records."""
        records = self.records()
        try:
            taken = records.positions().get(("lake", 0), 0)
        finally:
            records.close()
        return taken == asyncio.run(_newest_chunk(self.file.bus("cloud")))

    def pid(self, part: str) -> int | None:
        """Return the process id of a part, None while it restarts."""
        state = self.status()["parts"][part]
        return state["pid"] if state["state"] == "up" else None

    def children(self) -> dict[str, int]:
        """Return the zone's processes by name, asked of the system, not of the zone."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just ended
                words = child.cmdline()
                if words[:1]:
                    part = words[3] if words[1:3] == ["-m", "carcloud.assembly"] else Path(words[0]).name
                    found[part] = child.pid
        return found

    def kill(self, part: str) -> None:
        """End a part with SIGKILL, as soon as it runs."""
        os.kill(until(lambda: self.children().get(part), f"{part} does not run"), signal.SIGKILL)

    def last_words(self) -> str:
        """Return the standing alarms and the end of every log: what one asks first when a test has failed."""
        ends = {file.name: file.read_text(errors="replace").splitlines()[-12:] for file in self.folder.logs.glob("*")}
        said = [f"{name}: {line[:500]}" for name, lines in sorted(ends.items()) for line in lines]
        return "\n".join([f"alarms: {self.alarms()}", *said])

    def stop(self) -> float:
        """Stop the zone as Ctrl-C does; return the seconds it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._output.close()
        return time.monotonic() - began


def told(zone: RunningZone, subject: str, data: bytes) -> None:
    """Tell the zone's processes, by subject."""
    asyncio.run(_told(zone.file.bus("cloud"), subject, data))


async def _told(bus: str, subject: str, data: bytes) -> None:
    cloud = await Bus.connect(bus, "test")
    await cloud.publish(subject, data)
    await cloud.flush()
    await cloud.close()


async def _newest_chunk(bus: str) -> int:
    cloud = await Bus.connect(bus, "test")
    last = await cloud.last(subjects.GOVERNED, subjects.governed(0))
    await cloud.close()
    return record_of(last.data).number if last else 0


def listening() -> str:
    """Return a configuration of ports that a zone keeps over restarts: free now, and given to nobody by the system."""
    chosen: list[int] = []
    while len(chosen) < len(PORTS):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            chosen.append(port)
    return "[listen]\n" + "".join(f"{name} = {port}\n" for name, port in zip(PORTS, chosen, strict=True))


def until(question: Callable[[], Any], failure: str, patience_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true, and return it; fail after a while."""
    deadline = time.monotonic() + patience_s
    while not (answer := question()):
        assert time.monotonic() < deadline, failure
        time.sleep(0.1)
    return answer


@contextmanager
def running_zone(data: Path, *options: str, config: str = "") -> Iterator[RunningZone]:
    """Run a zone for a while."""
    zone = RunningZone(data, *options, config=config)
    try:
        yield zone
    except BaseException as error:
        error.add_note(zone.last_words())
        raise
    finally:
        zone.stop()


def carcloud(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line."""
    command = [sys.executable, "-m", "carcloud", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


@contextmanager
def simulated_fleet(zone: RunningZone, cars: int) -> Iterator[None]:
    """Let simulated cars drive, and wait until the lake has something of them."""
    command = [sys.executable, "-m", "carcloud", "simulate", "--cars", str(cars), "--data", str(zone.data)]
    with (zone.data / "fleet.out").open("ab") as output:
        fleet = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: zone.status()["lake"]["rows"] > 100, "no rows of the simulated fleet in the lake")
        yield
    finally:
        fleet.send_signal(signal.SIGINT)
        try:
            fleet.wait(15)
        except subprocess.TimeoutExpired:
            fleet.kill()
            fleet.wait()
