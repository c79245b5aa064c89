"""What recordings brought, in a backup: all of a recording or nothing, whatever comes meanwhile."""

from __future__ import annotations

import io
from pathlib import Path

from carcloud.assembly.backup.recorded import BELOW, fixed, objects, shared
from carcloud.backends.objects_files import FileObjects
from carcloud.research.store import Store
from carcloud.safety.backup.parcel import Packing, unpack
from carcloud.settings import Folder
from tests.research import platoon, same


def copied(folder: Folder, into: Path) -> None:
    """Copy the tables as a backup does, with a recording more that comes before the files are read."""
    packed = io.BytesIO()
    with Packing(packed) as packing:
        names = fixed(folder, packing)
    Store(folder.lake).add("late", [platoon("late", cars=7)])
    packed.seek(0)
    unpack(packed, into)
    for name in names:
        assert name.startswith(BELOW)
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_bytes((folder.path / name).read_bytes())


def test_tables_are_fixed_together_and_open_from_the_copy(tmp_path: Path) -> None:
    folder, into = Folder(tmp_path / "data"), tmp_path / "copy"
    scenario = platoon("early")
    Store(folder.lake).add("early", [scenario])
    copied(folder, into)
    store = Store(Folder(into).lake)
    assert [row.recording for row in store.scenarios()] == ["early"]
    assert same(store.load(scenario.id), scenario)
    store.add("late", [platoon("late", cars=7)])
    assert store.drop(["early"]) > 0


def test_a_zone_without_recordings_has_nothing_to_take_and_gets_no_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with Packing(io.BytesIO()) as packing:
        assert fixed(folder, packing) == []
    assert shared(folder) == []
    assert list(tmp_path.iterdir()) == []


def test_whole_objects_are_taken_and_parts_of_unfinished_ones_are_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    kept = FileObjects(folder.objects)
    for key in ("default/recordings/whole", "default/recordings/unfinished"):
        kept.put_part(key, 1, b"bytes")
    kept.join("default/recordings/whole")
    assert objects(folder) == ["objects/default/recordings/whole"]
