"""The API served for real on a free port, over honest in-memory ports, real records and a real lake."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import uvicorn

from carcloud.api.app import create_app
from carcloud.api.history import History
from carcloud.api.ports import Access, Change, Last, OrderDesk, Ports, Presence
from carcloud.assembly.shares import Shares
from carcloud.backends.http import PromptHttp
from carcloud.backends.objects_files import FileObjects
from carcloud.backends.records import Certificate, QuarantineEntry, Records, Vehicle, quarantine_id
from carcloud.errors import TryLaterError
from carcloud.lake.border import Border
from carcloud.lake.workers import LakeWorkers
from carcloud.research.forgetting import forget
from carcloud.research.recordings import Desk
from carcloud.safety.audit.note import Key
from carcloud.safety.audit.reader import LogReader
from carcloud.safety.flows.flow import parse as parse_flows
from carcloud.safety.governance.policy import parse
from carcloud.safety.identity import Trust
from carcloud.safety.people.accounts import first_person, make_link
from carcloud.safety.people.policy import Policies
from carcloud.safety.people.reception import Reception
from carcloud.safety.reports.facts import Facts
from carcloud.safety.reports.settings import ControllerSettings
from carcloud.safety.seal import Seal
from carcloud.stream import subjects
from carcloud.vehicle.catalogue import Catalogue, Signal

TOKEN = "a-token-of-the-zone"
CARS = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc")
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT_US = int(MOMENT.timestamp()) * 1_000_000
CATALOGUE = Catalogue(
    [
        Signal("Vehicle.Speed", "float", "km/h", description="Speed."),
        Signal("Vehicle.Cabin.Door.Count", "uint8"),
        Signal("Vehicle.Cabin.Name", "string"),
    ]
)


class Twin:
    """Keeps the newest values, and tells watchers of each change in order; an older value changes nothing."""

    def __init__(self) -> None:
        self.cars: dict[str, dict[str, Last]] = {}
        self.watchers: list[tuple[asyncio.Queue[Change | None], asyncio.AbstractEventLoop]] = []
        self.away = False

    def put(self, vehicle: str, path: str, last: Last) -> None:
        known = self.cars.setdefault(vehicle, {})
        if path in known and known[path].time_us >= last.time_us:
            return
        known[path] = last
        for queue, loop in self.watchers:
            loop.call_soon_threadsafe(queue.put_nowait, Change(vehicle, {path: last}))

    def end(self) -> None:
        for queue, loop in self.watchers:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    def _present(self) -> None:
        if self.away:
            raise TryLaterError("The twin is away.", "Ask again in a second.")

    async def get(self, vehicle: str, paths: Sequence[str] | None) -> Mapping[str, Last]:
        self._present()
        values = self.cars.get(vehicle, {})
        return values if paths is None else {path: values[path] for path in paths if path in values}

    async def fleet(self, tenant: str, paths: Sequence[str], limit: int) -> Mapping[str, Sequence[Last | None]]:
        self._present()
        rows = {car: [values.get(path) for path in paths] for car, values in self.cars.items()}
        return dict([(car, row) for car, row in rows.items() if any(row)][:limit])

    async def columns(self, tenant: str, paths: Sequence[str]) -> AsyncGenerator[pa.Table, None]:
        self._present()
        for car, known in self.cars.items():  # one car at once
            row: dict[str, Any] = {"vehicle": car}
            for at, last in enumerate(known.get(path) for path in paths):
                value = None if last is None else last.value
                text = isinstance(value, str)
                row[f"value_{at}"] = None if text or value is None else float(value)
                row |= {f"text_{at}": value if text else None, f"time_{at}": last and last.time_us}
            kinds = {"vehicle": pa.string()}
            for at in range(len(paths)):
                kinds |= {f"value_{at}": pa.float64(), f"text_{at}": pa.string(), f"time_{at}": pa.int64()}
            yield pa.Table.from_pylist([row], schema=pa.schema(kinds))

    async def presence(self, vehicles: Sequence[str]) -> Mapping[str, Presence]:
        self._present()
        return {
            car: Presence(max(last.time_us for last in self.cars[car].values()), len(self.cars[car]), "simulated", 0.25)
            for car in vehicles
            if car in self.cars
        }

    async def watch(
        self, tenant: str, vehicles: Collection[str] | None, paths: Collection[str] | None
    ) -> AsyncGenerator[Change, None]:
        entry = (asyncio.Queue[Change | None](), asyncio.get_running_loop())
        self.watchers.append(entry)
        try:
            while (change := await entry[0].get()) is not None:
                kept = {path: last for path, last in change.signals.items() if paths is None or path in paths}
                if kept and (vehicles is None or change.vehicle in vehicles):
                    yield Change(change.vehicle, kept)
        finally:
            self.watchers.remove(entry)


class Bus:
    """What the zone's processes told last."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.told: dict[str, dict[str, Any]] = {}

    def status(self) -> Mapping[str, Any] | None:
        return self.last

    def processes(self) -> Mapping[str, Mapping[str, Any]]:
        return self.told


POLICY = parse(
    """
name: tests
purposes:
  operation: {basis: contract, why: Running the service.}
  research: {basis: consent, why: Better driving functions.}
rules:
  - {paths: [Vehicle.Speed], class: personal, purposes: [operation, research], exactness: 5, why: How fast.}
  - {paths: [Vehicle.Cabin.Name], class: sensitive, keep: false}
""",
    "tests",
)


FLOWS = parse_flows(
    """
limits: {personal: 100}
flows:
  research-eu:
    to: eu
    purpose: research
    why: Driving functions are developed there.
    classes: [personal]
    signals: [{paths: [Vehicle.Speed], exactness: 10}]
    limits: {personal: 2}
    stop_at: 1
    time: 60
    until: 2030-12-31
  ended:
    {to: eu, purpose: operation, why: It was., classes: [personal], signals: [{paths: ["**"]}], limits: {personal: 2},
    until: 2020-12-31}
""",
    "tests",
)


class Zone:
    """A served API and the parts behind it."""

    def __init__(self, folder: Path, catalogue: Catalogue = CATALOGUE, orders: OrderDesk | None = None) -> None:
        self.token = TOKEN
        self.bus, self.twin, self.history = Bus(), Twin(), History()
        self.records = Records.open(f"sqlite:///{folder / 'records.db'}")
        self.seal = Seal(folder / "keys")
        self.reception = Reception(self.records, Policies.load(), folder / "keys")
        self.pages = folder / "pages"
        self.map_file = folder / "map.geojson"
        self.log_folder, self.log_keys = folder / "audit", list[Key]()
        self.policy, self.notices = POLICY, list[tuple[str, bytes]]()
        self.border = Border(self.records, FLOWS, POLICY, catalogue, folder / "keys", "default", "test")
        self.objects = FileObjects(folder / "objects")
        self.desk = Desk(self.records, self.objects, lambda: self.ports.ground, 50 << 20)
        self.lake = LakeWorkers(folder / "lake", lambda _: [], self._vehicles)
        ports = Ports(
            zone="test",
            status=self.bus,
            history=self.history,
            twin=self.twin,
            records=self.records,
            lake=self.lake,
            catalogue=lambda _=None: catalogue,
            orders=orders,
            governance=lambda: self.policy,
            notify=self._notify,
            open_payload=lambda entry: self.seal.open(entry.sealed or b"", entry.id),
            reception=self.reception,
            keys=folder / "keys",
            shares=Shares(self.records),
            trust=Trust(folder / "keys"),
            border=self.border,
            facts=self.facts,
            recordings=self.desk,
            lake_folder=folder / "lake",
            forget_recording=lambda one, actor: forget(
                self.records, self.objects, folder / "lake", folder / "scratch", one, actor, datetime.now(UTC)
            ),
            log=LogReader(self.log_folder, lambda: self.log_keys, "default"),
            map_file=self.map_file,
            pages=self.pages,
        )
        self.ports, self.ground = ports, ports.ground
        self.app = create_app(ports, Access(TOKEN))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(
            uvicorn.Config(
                self.app, http=PromptHttp, ws="websockets-sansio", log_level="warning", timeout_graceful_shutdown=1
            )
        )
        self.thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)

    async def _serve(self) -> None:
        await self.server.serve([self.socket])
        await self.lake.close()

    async def _notify(self, subject: str, data: bytes) -> None:
        self.notices.append((subject, data))
        if subject == subjects.GRANT:
            await self.ports.grants.heard(subject, data)

    def _vehicles(self, tenant: str) -> list[dict[str, Any]]:
        return [
            {"vehicle": car.id, "state": car.state, "enrolled_at": car.enrolled_at}
            for car in self.records.vehicles(tenant=tenant)
        ]

    def facts(self, tenant: str, year: int, now: datetime) -> Facts:
        """Return what reports are made from: what this zone has, and nothing measured."""
        return Facts(
            controller=ControllerSettings(name="Acme Motors"),
            zone="test",
            tenant=tenant,
            region="EU",
            today=now.date(),
            year=year,
            policy=self.policy,
            flows=list(FLOWS.flows.values()),
            signals={0: ["Vehicle.Speed"]},
            unnamed=1,
            vehicles=len(CARS),
            consents={},
            requests=self.records.requests.all(tenant),
            erased=0,
            left={},
            stopped=0,
            suspected=0,
            measures={},
        )

    def reword(self, old: str, new: str) -> None:
        """Have the governance say something else."""
        self.policy = parse(self.policy.text.replace(old, new), "tests")

    def link(self) -> str:
        """Return the secret of a link that signs the local administrator in."""
        now = datetime.now(UTC)
        return make_link(self.records, first_person(self.records, "default", now), "machine", now)

    def start(self) -> None:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.records.close()

    def quarantine(self, vehicle: str, cause: str, payload: bytes) -> str:
        id_ = quarantine_id(vehicle, cause, payload)
        entry = QuarantineEntry(id_, MOMENT, vehicle, cause, "why", len(payload), self.seal.seal(payload, id_))
        self.records.put_quarantine([entry])
        return id_


def status(second: int = 0, **parts: Any) -> dict[str, Any]:
    """Return a status as the zone's processes would give it."""
    return {
        "zone": "test",
        "at": MOMENT.replace(second=second).isoformat(),
        "stream": {"batches": 3, "samples_in": 100 * second, "samples_kept": 90 * second, "refused": {"flood": second}},
        "delay": {"twin_s": {"p50": 0.1, "p99": 0.2}, "lake_s": {"p50": 1.0, "p99": 2.0}},
        "lake": {"rows": 90 * second, "bytes": 1000, "files": 2, "version": 7},
        "vehicles": {"enrolled": 3, "connected": 2, "reporting": 1},
        "parts": {"governor": {"state": "up", "pid": 1, "since": MOMENT.isoformat(), "restarts": 0}},
        "alarms": [],
    } | parts


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    made = Zone(tmp_path)
    enrol(made)
    made.start()
    yield made
    made.stop()


def enrol(made: Zone) -> None:
    """Give a zone its cars."""
    for number, car in enumerate(CARS):
        label = f"car {number}" if number else None
        made.records.add_vehicle(
            Vehicle(car, "default", f"WBA0000000000000{number}", label, "active", MOMENT),
            Certificate(f"0{number}", car, MOMENT, MOMENT.replace(year=2027)),
        )
