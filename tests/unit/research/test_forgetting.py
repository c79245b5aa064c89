"""What an erased car recorded leaves tables, runs, objects and records; what is kept no longer goes by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carcloud.backends.nats import Bus
from carcloud.backends.objects_files import FileObjects
from carcloud.backends.records import Certificate, Erasure, Vehicle
from carcloud.backends.records.recordings import RecordedFile, Recording
from carcloud.lake.settings import LakeSettings
from carcloud.lake.writer import LakeWriter
from carcloud.research.expiring import expired, strays
from carcloud.research.forgetting import forget, take_out
from carcloud.research.runs.results import table_of, write
from carcloud.research.store import Store
from carcloud.safety.governance.policy import Policy, parse
from tests.lake import Lake
from tests.research import platoon
from tests.stream import CAR, NOW_US, OTHER, POLICY

AT = datetime(2026, 2, 2, 12, tzinfo=UTC)
MINE, THEIRS, NOBODYS = "1" * 16, "2" * 16, "3" * 16


class Zone:
    """A lake with samples of two cars and three recordings, of which one car made the first."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(folder)
        self.records, self.folder, self.scratch = self.lake.records, self.lake.folder, folder / "scratch"
        self.objects, self.store = FileObjects(folder / "objects"), Store(self.lake.folder)
        for number, car in enumerate((CAR, OTHER)):
            self.records.add_vehicle(
                Vehicle(car, "default", f"WVWZZZ1JZXW00000{number}", None, "active", AT),
                Certificate(f"{number:x}1", car, AT, AT + timedelta(days=30)),
            )
        self.lake.fill([(car, "A.b", NOW_US, 1.0, 0) for car in (CAR, OTHER)])
        self.ids = [self.recorded(MINE, CAR, 2), self.recorded(THEIRS, OTHER, 3), self.recorded(NOBODYS, "", 4)]
        runs = self.folder / "runs/default/r1"
        runs.mkdir(parents=True)
        write(runs / "shard-00000-abc.parquet", table_of([{"scenario": one} for one in self.ids]))

    def recorded(self, id_: str, car: str, cars: int) -> str:
        """Have a recording, whole and imported; return its scenario."""
        (scenario,) = self.store.add(id_, [platoon(f"drive {id_}", cars=cars)]).ids
        file = RecordedFile(f"{id_}.mcap", 3)
        made = Recording(
            id_, "default", "a drive", 3, id_ * 4, (file,), "research", "consent", "lab", "person:a", AT, vehicle=car
        )
        made = self.records.recordings.begin(made)
        self.objects.put_part(made.key, 1, id_[:3].encode())
        self.objects.join(made.key)
        self.records.recordings.move(made, "imported", "process:research", AT, scenarios=1)
        return scenario

    def erase(self, car: str) -> Erasure:
        """Erase a car as the zone does: its records, then its share of the lake."""
        begun = self.records.erasures.begin(car, "person:dpo")
        self.records.erasures.set_fence(begun.id, 1)
        keys = self.lake.signed("receipt"), self.lake.sign, self.lake.signed("erasure")
        writer = LakeWriter(
            Bus(), self.records, self.folder, LakeSettings(), *keys, lambda: POLICY, 0.0, recordings=self.taken
        )
        (waiting,) = self.records.erasures.open("lake")
        self.records.erasures.finish(begun.id, "lake", writer._erase(waiting))
        return self.records.erasures.all()[0]

    def taken(self, erasure: Erasure) -> dict[str, object]:
        """Take out what an erased car recorded."""
        where = self.objects, self.folder, self.scratch, erasure.tenant
        return {"recordings": take_out(*where, erasure.recordings, 0.0)}


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path)


def test_an_erased_car_takes_its_recordings_along_and_no_others(zone: Zone) -> None:
    (zone.scratch / MINE).mkdir(parents=True)
    done = zone.erase(CAR)
    assert done.recordings == (MINE,)
    assert done.parts["lake"]["recordings"] == {"recordings": 1, "rows": 40 + 40 + 1 + 2, "results": 1}
    assert {row.recording for row in zone.store.scenarios()} == {THEIRS, NOBODYS}
    assert f"drive {MINE}" not in zone.lake.unpacked()
    assert zone.ids[0] not in zone.lake.unpacked()
    assert zone.objects.keys("default") == [f"default/recordings/{THEIRS}", f"default/recordings/{NOBODYS}"]
    assert list(zone.scratch.iterdir()) == []
    assert {one.id for one in zone.records.recordings.listed("default")} == {THEIRS, NOBODYS}
    assert zone.lake.verdict().faults == []


def test_an_erasure_that_was_cut_off_is_repeated_and_counts_the_same_rows(zone: Zone) -> None:
    first = zone.taken(Erasure("e", CAR, "default", AT, "person:dpo", 1, None, {}, recordings=(MINE,)))
    again = zone.erase(CAR).parts["lake"]["recordings"]
    assert first == {"recordings": {**again, "results": 1}}
    assert again["results"] == 0


def test_acts_on_an_erased_cars_recordings_keep_no_details(zone: Zone) -> None:
    zone.erase(CAR)
    with zone.records.transaction() as db:
        rows = db.exec_driver_sql("SELECT object, details FROM audit_pending WHERE object LIKE 'recording:%'").all()
    kept = {name.removeprefix("recording:") for name, details in rows if details is not None}
    assert MINE not in kept
    assert f"recording:{MINE}" in {name for name, _ in rows}


def governance(rule: str) -> Policy:
    return parse(
        "name: tests\npurposes: {research: {basis: consent, why: Better driving.}}\n"
        f"rules:\n  - {{paths: [Vehicle.Recording], class: personal, purposes: [research]{rule}}}\n",
        "tests",
    )


def test_recordings_expire_with_the_days_of_the_governance(zone: Zone) -> None:
    fresh = zone.records.recordings.get("default", THEIRS)
    late = AT + timedelta(days=31)
    kept = replace(fresh, id="4" * 16, sha256="4" * 64, made_at=late, name="new")
    zone.records.recordings.begin(replace(kept, state="uploading"))
    for rule, days in ((", days: 30", 30), ("", 5000)):
        assert expired(zone.records, governance(rule), AT + timedelta(days=days)) == []
    due = expired(zone.records, governance(", days: 30"), late)
    for one in due:
        forget(zone.records, zone.objects, zone.folder, zone.scratch, one, "process:research", late)
    assert [one.id for one in due] == [MINE, THEIRS, NOBODYS]
    assert expired(zone.records, governance(", days: 30"), late) == []
    assert zone.store.scenarios() == []
    assert zone.objects.keys("default") == []
    states = {one.id: one.state for one in zone.records.recordings.listed("default")}
    assert states == dict.fromkeys((MINE, THEIRS, NOBODYS), "erased") | {kept.id: "uploading"}


def test_rows_of_a_recording_that_nobody_knows_leave_the_tables(zone: Zone) -> None:
    zone.store.add("5" * 16, [platoon("of an import while a backup was taken", cars=6)])
    assert strays(zone.records, zone.folder) == {"default": {"5" * 16}}
    take_out(zone.objects, zone.folder, zone.scratch, "default", ["5" * 16], 0.0)
    assert strays(zone.records, zone.folder) == {}
    assert {row.recording for row in zone.store.scenarios()} == {MINE, THEIRS, NOBODYS}
