"""A restore drill: a zone is backed up in mid-stream, loses everything, and comes back from the backup and the ledger.

The cars' own queues are the truth: what they were told was stored before the backup must be there afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from carcloud.backends.records import Records
from carcloud.onboard.agent import Agent
from carcloud.onboard.queue import Place
from carcloud.research.store import Store
from carcloud.safety.backup.keeper import folders, know_folder
from carcloud.settings import Folder, Settings
from tests.end_to_end.cars import SAMPLES, TABLE, VALUES, JournalQueue, batch
from tests.straight_drives import drive
from tests.unpacked import holding, spellings
from tests.zone import RunningZone, carcloud, listening, until

BEGAN_US = 1_700_000_000_000_000
FAR = 100_000
"""From which number on the car that is erased counts its batches, so that its values are nobody else's."""

SECRETS = [word for number in (1, 17, 30) for word in spellings(float((FAR + number) * VALUES + 7))]


class DrivenCar:
    """A car with a real agent and queue, which makes batches when it is told to."""

    def __init__(self, credentials: Path, queues: Path, name: str, made: int = 0) -> None:
        self.id = json.loads((credentials / "vehicle.json").read_text())["id"]
        self._credentials, self._file, self.made = credentials, queues / f"{name}.queue", made
        self.queue = JournalQueue(self._file)
        self.agent = Agent(credentials, self.queue, TABLE)
        self.agent.start()

    def drive(self, batches: int) -> None:
        """Make so many batches more."""
        for _ in range(batches):
            self.made += 1
            self.queue.made(batch(self.made, BEGAN_US), Place("drill", self.made, BEGAN_US))

    def until_stored(self) -> int:
        """Wait until the zone has acknowledged all; return up to which number."""
        until(lambda: not self.queue.batches, f"{self.id} waits: {self.agent.trouble}")
        return self.queue.acked

    def stop(self) -> None:
        self.agent.stop()


def numbers(zone: RunningZone, car: DrivenCar) -> list[int]:
    """Return the batches of a car that are whole in the lake."""
    sql = f"""SELECT (value // {VALUES})::INT AS n FROM samples WHERE vehicle = $v
        GROUP BY n HAVING count(*) = {SAMPLES} AND count(DISTINCT value) = {SAMPLES} ORDER BY n"""
    return [row[0] for row in zone.sql(sql, v=car.id)]


def killed(zone: RunningZone) -> None:
    """End the whole zone as a power cut does."""
    everything = [psutil.Process(zone.process.pid), *psutil.Process(zone.process.pid).children(recursive=True)]
    for process in everything:
        with suppress(ProcessLookupError):  # children end with their parent
            os.kill(process.pid, signal.SIGKILL)
    zone.process.wait()
    psutil.wait_procs(everything, timeout=10)
    zone.stop()


def said(*arguments: object) -> str:
    done = carcloud(*map(str, arguments))
    assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
    return done.stdout


@contextmanager
def driving(zone: RunningZone, tmp_path: Path) -> Iterator[tuple[DrivenCar, DrivenCar]]:
    cars = []
    for name, made in (("staying", 0), ("erased", FAR)):
        place = tmp_path / name
        shutil.copytree(zone.enrol(name)[1], place)
        cars.append(DrivenCar(place, tmp_path, name, made))
    try:
        yield cars[0], cars[1]
    finally:
        for car in cars:
            car.stop()


def test_a_zone_comes_back_with_all_but_what_was_erased_and_its_cars_go_on(tmp_path: Path) -> None:
    data, new, kept, keys, other = (tmp_path / name for name in ("data", "new", "backups", "keys", "other"))
    other.mkdir()
    config = f"{listening()}\n[query]\ntime_s = 2.0\n"
    zone = RunningZone(data, config=config)
    with driving(zone, tmp_path) as (staying, erased):
        for car in (staying, erased):
            car.drive(30)
            car.until_stored()
        record(zone, tmp_path, staying, erased)
        before = staying.until_stored()
        staying.drive(20)  # still on its way
        let_know(zone.folder, other)
        said("backup", "--to", kept, "--keys", keys, "--data", data)
        first = staying.until_stored()
        (name,) = [path.name for path in kept.iterdir() if path.name.startswith("20") and "T" in path.name]
        staying.drive(25)
        erased.drive(5)
        told = staying.until_stored()
        assert told > first >= before
        erased.until_stored()
        assert holding(data, SECRETS)
        said("erase", erased.id, "--yes", "--data", data)
        until(lambda: erased.id in (kept / "erasures.jsonl").read_text(), "the ledger does not hear of the erasure")
        (tmp_path / "checkpoint").write_text(said("audit", "checkpoint", "--data", data))
        staying.drive(15)
        killed(zone)
        told = staying.queue.acked  # on a slow machine some of the last were stored before the end
        shutil.rmtree(data)
        staying.drive(10)

        checked = said("backup", "check", kept, "--keys", keys)
        assert f"{name}: " in checked
        assert "ledger of erasures: 1 cars, good" in checked
        (tmp_path / "zone.toml").write_text(config)
        copied = other / "erasures.jsonl"
        copied.unlink()
        (tmp_path / "copies").mkdir()
        copy = shutil.copy(kept / "erasures.jsonl", tmp_path / "copies")
        at = ("--keys", keys, "--data", new, "--config", tmp_path / "zone.toml", "--ledger", copy)
        said("restore", kept / name, *at)
        assert erased.id in copied.read_text()
        assert known_folders(new) == {kept, other}
        check_restored(new, erased)
        check_recordings(new)
        later = carcloud("verify", "audit", "--data", str(new), "--since", str(tmp_path / "checkpoint"))
        assert later.returncode == 1
        assert f"from backup {name}" in later.stdout + later.stderr

        again = RunningZone(new, config=config)
        try:
            staying.until_stored()
            until(again.lake_is_level, "the lake does not take what the car sends")
            found = numbers(again, staying)
            lost = set(range(1, staying.made + 1)) - set(found)
            assert lost
            assert min(lost) > before
            assert max(lost) <= told
            assert numbers(again, erased) == []
            check_said(again, staying, len(lost))
        except BaseException as error:
            error.add_note(again.last_words())
            raise
        finally:
            again.stop()
    for what in ("lake", "audit"):
        assert "good" in said("verify", what, "--data", new)


def record(zone: RunningZone, folder: Path, *cars: DrivenCar) -> None:
    """Have each car bring a recording: the first with two road users in it, the second with three."""
    for number, car in enumerate(cars, 2):
        file = folder / f"drive{number}.xml"
        file.write_bytes(drive(cars=number))
        said("research", "import", file, "--vehicle", car.id, "--data", zone.folder.path)


def check_recordings(new: Path) -> None:
    """See that what the erased car recorded is nowhere, and the other's recording is whole."""
    store = Store(Folder(new).lake)
    (kept,) = store.scenarios()
    assert kept.tracks == 2
    recording = kept.recording
    with store.session() as session:
        for table in ("tracks", "features", "lanes"):
            assert session.execute(f"SELECT DISTINCT recording FROM {table}").fetchall() == [(recording,)]
    left = [file for file in (*new.glob("objects/**/*"), *new.glob("lake/research/*/*/*/*")) if file.is_file()]
    assert len(left) == 5
    assert all(recording in str(file) for file in left)
    erasures = said("erasures", "--data", new)
    assert "done" in erasures
    assert "recordings: 1, which brought" in erasures


def let_know(zone: Folder, folder: Path) -> None:
    """Let the zone write its erasures into one more folder."""
    with closing(Records.open(zone.records(Settings()))) as records:
        know_folder(records, folder)


def known_folders(data: Path) -> set[Path]:
    """Return the folders of backups that a zone knows."""
    with closing(Records.open(Folder(data).records(Settings()))) as records:
        return set(folders(records))


def check_restored(new: Path, erased: DrivenCar) -> None:
    """See that the zone is whole before it was ever started, and has no row of the erased car."""
    for what in ("lake", "audit"):
        assert "good" in said("verify", what, "--data", new)
    assert "machine" in said("audit", "--data", new, "--action", "restore")
    assert holding(new, SECRETS) == []
    assert erased.id not in said("vehicles", "--data", new)


def check_said(zone: RunningZone, car: DrivenCar, lost: int) -> None:
    """See that the zone says what its cars lost, in an alarm and in the log."""
    until(lambda: "lost_after_restore" in {alarm["code"] for alarm in zone.alarms()}, "no alarm says what is lost")
    entries = until(lambda: zone.get("/v1/audit", action="loseBatches")["leaves"], "the log does not say what is lost")
    assert [entry["object"] for entry in entries] == [f"vehicle:{car.id}"]
    shown = zone.get(f"/v1/audit/{entries[0]['number']}")
    assert shown["facts"]["numbers"] == lost
