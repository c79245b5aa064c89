"""Drives through a real nats-server with mutual TLS, and what must survive: cuts, kills, full queues, early stops."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_zone import Governor, Zone

from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.onboard.agent import backoff_s
from carcloud.onboard.drive import MAX, drive
from carcloud.onboard.link import Ack
from carcloud.onboard.queue import Queue
from carcloud.onboard.source import Block, Slice
from carcloud.onboard.sources.table import Table
from carcloud.vehicle.batch import IdTable, Provenance, decode
from carcloud.vehicle.batching import Column

MAPPING = """
source: table
vehicle: {column: car}
time: {column: t, unit: s}
signals: {Vehicle.Speed: {column: v, unit: km/h}}
"""


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    one = Zone(tmp_path)
    one.issue(tmp_path, "gov")
    one.start()
    yield one
    one.kill()


@pytest.fixture
def governor(zone: Zone) -> Iterator[Governor]:
    one = Governor(zone)
    yield one
    one.stop()


def recording(tmp_path: Path, rows: int, cars=("a", "b")) -> Path:
    file = tmp_path / "drive.csv"
    lines = [f"{1.6e9 + row / 10:.1f},{car},{row % 97}" for row in range(rows) for car in cars]
    file.write_text("\n".join(["t,car,v", *lines]))
    return file


def values(governor: Governor, vehicle: str) -> list[float]:
    kept = [payload for (car, _), payloads in governor.stored.items() if car == vehicle for payload in payloads]
    return [value for payload in kept for value in decode(payload).values.tolist()]


def assert_no_number_reused(governor: Governor) -> None:
    assert all(len(payloads) == 1 for payloads in governor.seen.values())


def test_fleet_s_recording_arrives_whole_and_in_order(zone, governor, mapped, tmp_path) -> None:
    source = Table(recording(tmp_path, 3000), mapped(MAPPING))
    cars = {name: zone.enrol(f"car{name}") for name in "ab"}
    summary = drive(source, cars, tmp_path / "queues", speed=MAX)
    assert summary.complete
    assert (summary.samples_read, summary.samples_acked, summary.batches_waiting) == (6000, 6000, 0)
    for name in "ab":
        assert values(governor, f"car{name}") == [float(row % 97) for row in range(3000)]
    assert {hello["table"]["signals"][0][0] for hello in governor.hellos} == {"Vehicle.Speed"}
    batch = decode(governor.stored[next(iter(governor.stored))][0])
    assert batch.provenance is Provenance.REPLAY


def test_speed_paces_by_the_source_s_time_and_now_shifts_it(zone, governor, mapped, tmp_path) -> None:
    source = Table(recording(tmp_path, 101, cars=("a",)), mapped(MAPPING))
    begun, before = time.monotonic(), time.time()
    summary = drive(source, {"a": zone.enrol("cara")}, tmp_path / "queues", speed=5, now=True)
    assert 2.0 <= time.monotonic() - begun < 9.0
    assert summary.complete
    first = decode(next(iter(governor.stored.values()))[0])
    assert before - 1 <= first.base_us / 1e6 <= before + 2


def test_night_between_two_runs_is_not_waited_for(zone, governor, mapped, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("carcloud.onboard.drive.LONGEST_SILENCE_S", 0.5)
    file, night_s = recording(tmp_path, 10, cars=("a",)), 43_200
    file.write_text(f"{file.read_text()}\n{1.6e9 + night_s},a,50\n")
    begun = time.monotonic()
    summary = drive(Table(file, mapped(MAPPING)), {"a": zone.enrol("cara")}, tmp_path / "queues", speed=20)
    assert time.monotonic() - begun < 20
    assert (summary.complete, summary.samples_acked) == (True, 11)
    last = decode(list(governor.stored.values())[-1][-1])
    assert last.base_us == int((1.6e9 + night_s) * 1e6)


def test_what_a_stopped_drive_leaves_goes_with_the_next(zone, governor, mapped, tmp_path) -> None:
    cars = {"a": zone.enrol("cara")}
    zone.kill()
    source = Table(recording(tmp_path, 5000, cars=("a",)), mapped(MAPPING))
    summary = drive(source, cars, tmp_path / "queues", speed=MAX, patience_s=0.3)
    assert not summary.complete
    assert summary.samples_waiting == 5000
    assert "No connection" in summary.troubles["a"]
    zone.start()
    source = Table(recording(tmp_path, 10, cars=("a",)), mapped(MAPPING))
    summary = drive(source, cars, tmp_path / "queues", speed=MAX, patience_s=40)
    assert (summary.complete, summary.samples_acked) == (True, 5010)
    assert len(values(governor, "cara")) == 5010


def test_stopped_drive_goes_on_where_it_was_with_the_same_shift_of_time(zone, governor, mapped, tmp_path) -> None:
    cars = {name: zone.enrol(f"car{name}") for name in "ab"}
    file, stop = recording(tmp_path, 200), threading.Event()
    threading.Timer(1.5, stop.set).start()
    arguments = {"speed": 5.0, "now": True}
    first = drive(Table(file, mapped(MAPPING)), cars, tmp_path / "queues", stop=stop, **arguments)
    second = drive(Table(file, mapped(MAPPING)), cars, tmp_path / "queues", **arguments)
    assert 0 < first.samples_read < 400
    assert first.samples_read + second.samples_read == 400
    assert second.batches_before > 0
    for payloads in governor.stored.values():
        times = np.concatenate(
            [decode(payload).times.astype(np.int64) + decode(payload).base_us for payload in payloads]
        )
        assert (np.diff(times) == 100_000).all()
        assert len(times) == 200
    third = drive(Table(file, mapped(MAPPING)), cars, tmp_path / "queues", speed=MAX)
    assert third.samples_read == 400


def test_killed_servers_cost_nothing(zone, governor, mapped, tmp_path) -> None:
    source = Table(recording(tmp_path, 400, cars=("a",)), mapped(MAPPING))
    done: list = []
    arguments = {"speed": 4.0, "patience_s": 60.0}
    thread = threading.Thread(
        target=lambda: done.append(drive(source, {"a": cars}, tmp_path / "queues", **arguments)), daemon=True
    )
    cars = zone.enrol("cara")
    thread.start()
    for _ in range(3):
        time.sleep(1.5)
        zone.kill()
        time.sleep(0.3)
        zone.start()
    thread.join(120)
    assert done[0].complete
    assert values(governor, "cara") == [float(row % 97) for row in range(400)]
    assert_no_number_reused(governor)


DRIVER = """
import sys
from pathlib import Path
from carcloud.onboard.drive import drive
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.sources.table import Table
mapping = read_mapping(Path(sys.argv[1]), {"Vehicle.Speed": "km/h"})
drive(Table(Path(sys.argv[2]), mapping), {"a": Path(sys.argv[3])}, Path(sys.argv[4]), speed=5)
"""


def test_killed_agents_go_on_where_they_were_lose_nothing_and_double_nothing(zone, governor, mapped, tmp_path) -> None:
    mapped(MAPPING)
    file, queues = recording(tmp_path, 400, cars=("a",)), tmp_path / "queues"
    car = zone.enrol("cara")
    command = [sys.executable, "-c", DRIVER, tmp_path / "mapping.yaml", file, car, queues]
    for _ in range(5):
        process = subprocess.Popen(command)
        heard = len(governor.seen)
        until = time.monotonic() + 30
        while len(governor.seen) < heard + 2 and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.wait()
    heard = values(governor, "cara")
    assert heard == [float(row % 97) for row in range(len(heard))]
    assert_no_number_reused(governor)
    assert len(governor.stored) == 1
    subprocess.run(command, check=True, timeout=90)
    assert values(governor, "cara") == [float(row % 97) for row in range(400)]


class Live:
    """A live source that says one value after another, faster than anyone takes them."""

    live = True
    recording = None
    table = IdTable((("Vehicle.Speed", "km/h"),))
    provenance = Provenance.MEASURED

    def __init__(self, stop: threading.Event) -> None:
        self.skipped: Counter[str] = Counter()
        self.stop = stop

    def vehicles(self) -> list[str]:
        return ["a"]

    def slices(self) -> Iterator[Slice]:
        for second in range(400):
            times = np.array([second * 2_000_000], np.int64)
            yield Slice([Block("a", [Column(0, times, np.array([float(second)]))])], int(times[0]) + 2_000_000)
        self.stop.set()


def test_full_queue_costs_a_live_source_its_oldest_and_says_how_many(zone, tmp_path) -> None:
    car = zone.enrol("cara")
    zone.kill()
    stop = threading.Event()
    summary = drive(Live(stop), {"a": car}, tmp_path / "queues", stop=stop, limit_bytes=5_000)
    assert summary.samples_dropped + summary.samples_waiting == 400
    assert 0 < summary.samples_waiting < 80
    assert not summary.complete
    zone.start()


def test_full_queue_holds_a_recording_back(zone, governor, mapped, tmp_path) -> None:
    source = Table(recording(tmp_path, 30_000, cars=("a",)), mapped(MAPPING))
    summary = drive(source, {"a": zone.enrol("cara")}, tmp_path / "queues", speed=MAX, limit_bytes=3_000)
    assert (summary.complete, summary.samples_acked, summary.samples_dropped) == (True, 30_000, 0)


def test_zone_that_forgot_everything_gets_what_is_left_under_a_new_queue(zone, governor, mapped, tmp_path) -> None:
    cars = {"a": zone.enrol("cara")}
    drive(Table(recording(tmp_path, 100, cars=("a",)), mapped(MAPPING)), cars, tmp_path / "queues", speed=MAX)
    governor.stored.clear()
    summary = drive(
        Table(recording(tmp_path, 50, cars=("a",)), mapped(MAPPING)),
        cars,
        tmp_path / "queues",
        speed=MAX,
        patience_s=60,
    )
    assert summary.complete
    assert values(governor, "cara") == [float(row % 97) for row in range(50)]


def test_car_of_another_authority_is_not_let_in(zone, mapped, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Zone(tmp_path / "other").enrol("cara")
    for name in ("vehicle.json", "ca.pem"):
        (stranger / name).write_bytes((zone.enrol(f"x{name[:2]}") / name).read_bytes())
    source = Table(recording(tmp_path, 10, cars=("a",)), mapped(MAPPING))
    summary = drive(source, {"a": stranger}, tmp_path / "queues", speed=MAX, patience_s=1.5)
    assert (summary.samples_acked, summary.samples_waiting) == (0, 10)
    assert summary.troubles["a"]


def test_second_drive_on_the_same_queue_is_refused(zone, mapped, tmp_path) -> None:
    queue = Queue(tmp_path / "queues/cara.queue")
    source = Table(recording(tmp_path, 10, cars=("a",)), mapped(MAPPING))
    with pytest.raises(ConflictError, match="cannot be taken"):
        drive(source, {"a": zone.enrol("cara")}, tmp_path / "queues")
    queue.close()


def test_vehicle_without_credentials_is_named(mapped, tmp_path) -> None:
    source = Table(recording(tmp_path, 10), mapped(MAPPING))
    with pytest.raises(InputError, match="no credentials for a, b"):
        drive(source, {}, tmp_path / "queues")
    with pytest.raises(MissingError, match=r"no vehicle\.json"):
        drive(source, {"a": tmp_path, "b": tmp_path}, tmp_path / "queues")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b'{"queue":"x"}', b'{"number":-1}', b'{"refused":{"a":"b"}}'])
def test_acknowledgement_that_is_none_is_ignored(payload: bytes) -> None:
    assert Ack.parse(payload) is None


def test_acknowledgement_carries_number_wanted_table_and_refusals() -> None:
    ack = Ack.parse(b'{"queue":"00000000000000ff","number":7,"want":"aabb","refused":{"out_of_range":3}}')
    assert ack == Ack(255, 7, "aabb", {"out_of_range": 3})


def test_back_off_grows_to_a_minute_with_full_jitter_and_begins_at_once() -> None:
    assert backoff_s(0, 1.0) == 0.2
    assert [backoff_s(n, 1.0) for n in (1, 2, 3, 6, 7, 50)] == [1, 2, 4, 32, 60, 60]
    assert backoff_s(50, 0.0) == 0
