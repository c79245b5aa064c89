"""The zone under test: `carcloud up` as a child process, cars enrolled in its records, questions over its HTTP API."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
from lake_log import LakeLog
from usage import Usage, part

from carcloud.assembly.records import open_records
from carcloud.backends.records import Records
from carcloud.gateway.enrolment import Endpoints, enrol
from carcloud.safety.identity import Authority
from carcloud.settings import Folder, Settings

START_S = 60
STOP_S = 30
COMPACTED_QUIET_S = 20


class Zone:
    """A running zone on its own data folder."""

    def __init__(self, data: Path, config: Path | None = None) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self._log = (data.parent / f"{data.name}.log").open("w")
        program = Path(sys.executable).parent / "carcloud"
        options: list[str | Path] = ["--data", data, "--free-ports"]
        options += ["--config", config] if config else []
        self._child = subprocess.Popen([program, "up", *options], stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self.ports = self._started()
        except BaseException:
            self.close()
            raise
        base, token = f"http://127.0.0.1:{self.ports['api']}", self.ports["token"]
        self._http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=300)
        self._wait_healthy()
        self.lake = LakeLog(data / "lake" / "samples")

    def _started(self) -> dict[str, Any]:
        file, until = self.data / "run" / "zone.json", time.monotonic() + START_S
        while time.monotonic() < until:
            if file.exists():
                ports: dict[str, Any] = json.loads(file.read_text())
                return ports
            if self._child.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the zone did not start; read {self._log.name}")

    def _wait_healthy(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                if self._http.get("/healthz").json()["status"] == "ok":
                    return
            except (httpx.TransportError, KeyError, json.JSONDecodeError):
                pass
            time.sleep(0.2)
        raise RuntimeError(f"the zone is not healthy; read {self._log.name}")

    @property
    def pid(self) -> int:
        """Return the first process, above all parts."""
        return self._child.pid

    def usage(self) -> Usage:
        """Return a watch over the whole zone, each part under its own name."""
        parts = self._http.get("/healthz").json()["parts"]
        names = {int(state["pid"]): name for name, state in parts.items() if state.get("pid")}
        names[self.pid] = "supervisor"

        def name(process: psutil.Process) -> str:
            return names.get(process.pid) or part(process)

        return Usage([self.pid], name)

    def status(self) -> dict[str, Any]:
        """Return `/v1/status`."""
        answer = self._http.get("/v1/status")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """Return what a query answers, as an analyst gets it: Arrow over HTTP."""
        body = {"sql": text, "parameters": parameters, "limit": 1_000_000}
        headers = {"Accept": "application/vnd.apache.arrow.stream"}
        answer = self._http.post("/v1/lake/sql", json=body, headers=headers)
        answer.raise_for_status()
        return pa.ipc.open_stream(answer.content).read_all()

    def wait_rows(self, rows: int, patience_s: float = 120) -> float:
        """Wait until the lake holds this many rows; return when the last was committed. Give up without progress."""
        seen, until = -1, time.monotonic() + patience_s
        while (now := self.lake.read()) < rows:
            if now != seen:
                seen, until = now, time.monotonic() + patience_s
            if time.monotonic() > until:
                raise RuntimeError(f"the lake stays at {now} of {rows} rows; read {self._log.name}")
            time.sleep(0.1)
        if now > rows:
            raise RuntimeError(f"the lake holds {now} rows, but only {rows} were sent")
        return self.lake.commits[-1].at

    def wait_compacted(self, patience_s: float = 600) -> bool:
        """Wait until the zone has compacted its lake after the last write and is done; tell whether it did."""
        before, until = self.lake.rewrites, time.monotonic() + patience_s
        seen, quiet_since = before, time.monotonic()
        while time.monotonic() < until and (seen == before or time.monotonic() - quiet_since < COMPACTED_QUIET_S):
            time.sleep(1)
            self.lake.read()
            if self.lake.rewrites > seen:
                seen, quiet_since = self.lake.rewrites, time.monotonic()
        return seen > before

    def close(self) -> None:
        """Stop it as Ctrl-C would."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._log.close()


class Enrolled:
    """A data folder of a zone that has only enrolled its cars: every run starts on a copy of it.

    `cars`: their credentials; `ca`: the file of authorities they trust.
    """

    def __init__(self, folder: Path, cars: int) -> None:
        self.folder = folder
        records = open_records(Settings(), Folder(self._made()))
        authority = Authority(folder / "zone" / "keys")
        nowhere = Endpoints("127.0.0.1", 0, "https://127.0.0.1")
        self.cars = [self._enrol(records, authority, nowhere, n) for n in range(cars)]
        self.ca = str(authority.server_trust)
        records.close()

    def _made(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "zone").mkdir(parents=True)
        return self.folder / "zone"

    def _enrol(self, records: Records, authority: Authority, doors: Endpoints, n: int) -> dict[str, str]:
        enrolment = enrol(records, authority, f"WCC0BENCH{n:08d}", doors)
        name = enrolment.vehicle.id
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(enrolment.credentials.chain)
        key.write_bytes(enrolment.credentials.key)
        return {"id": name, "cert": str(cert), "key": str(key)}

    def copy(self, to: Path) -> None:
        """Lay a fresh data folder with these cars at `to`."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder / "zone", to)
