"""Tables of tracks, by a mapping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.table import reader
from carcloud.research.adapters.table.mapping import read_mapping
from tests.recorded import DRIVES, MAPPINGS, read

MAPPING = """
recording: table
track: id
time: {column: t, unit: ms}
position:
  x: {column: px, unit: cm}
  y: {column: py, unit: cm}
  point: rear
angle: {column: course, unit: degrees, zero: y, turns: right}
speed: {column: v, unit: km/h}
size: {length: 4}
kind: {column: sort, values: {1: car, 2: truck}}
ego: {column: own, is: true}
"""


def rows(count: int = 30) -> pa.Table:
    """Two road users heading east: at 10 m/s a car, at 20 m/s a truck."""
    t = np.tile(np.arange(count) * 100, 2)
    first = np.arange(2 * count) < count
    return pa.table(
        {
            "id": np.where(first, "one", "two"),
            "t": t,
            "px": t * np.where(first, 1.0, 2.0),
            "py": np.where(first, 0.0, 400.0),
            "course": np.full(2 * count, 90.0),
            "v": np.where(first, 36.0, 72.0),
            "sort": np.where(first, 1, 2),
            "own": first,
        }
    )


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.yaml"
    file.write_text(MAPPING)
    return file


def parquet(folder: Path, table: pa.Table) -> Path:
    pa.parquet.write_table(table, folder / "tracks.parquet")
    return folder / "tracks.parquet"


def changed(name: str, at: int, value: object) -> pa.Table:
    table = rows()
    cells = table[name].to_pylist()
    cells[at] = value
    return table.set_column(table.schema.get_field_index(name), name, pa.array(cells))


def test_units_angles_and_the_rear_become_metres_radians_and_the_middle(tmp_path, mapping):
    (scenario,), refused = read(reader, parquet(tmp_path, rows()), mapping=mapping)
    motion = scenario.motion
    assert not refused
    assert [(user.name, user.kind, user.length) for user in motion.users] == [
        ("one", "car", 4.0),
        ("two", "truck", 4.0),
    ]
    assert motion.yaw == pytest.approx(np.zeros((2, 30)), abs=1e-12)
    assert motion.x[:, 0] == pytest.approx([2.0, 2.0])
    assert motion.vx[:, 0] == pytest.approx([10.0, 20.0])
    assert motion.y[:, 0] == pytest.approx([0.0, 4.0])
    assert scenario.ego == 0


def test_csv_feather_and_parquet_say_the_same(tmp_path, mapping):
    table = rows()
    pa.csv.write_csv(table, tmp_path / "tracks.csv")
    pa.feather.write_feather(table, tmp_path / "tracks.feather")
    files = [parquet(tmp_path, table), tmp_path / "tracks.csv", tmp_path / "tracks.feather"]
    assert all(reader.recognises(file) for file in files)
    assert len({read(reader, file, mapping=mapping)[0][0].id for file in files}) == 1


def test_a_scenario_of_its_own_is_refused_alone(tmp_path, mapping):
    mapping.write_text(MAPPING + "scenario: run\n")
    good, bad = rows(), changed("t", 5, 0)
    table = pa.concat_tables(
        [one.append_column("run", pa.array([name] * 60)) for one, name in ((bad, "x"), (good, "y"))]
    )
    (scenario,), (refused,) = read(reader, parquet(tmp_path, table), mapping=mapping)
    assert (scenario.name, refused.name) == ("tracks:y", "tracks:x")
    assert "goes back from 0.400 s to 0.000 s" in refused.error.message


@pytest.mark.parametrize(
    ("name", "at", "value", "words"),
    [
        ("t", 3, 200, "at two places"),
        ("t", 3, None, "no time"),
        ("id", 3, None, "have no 'id'"),
        ("px", 10, 1e7, "jumps"),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path, mapping, name, at, value, words):
    scenarios, (refused,) = read(reader, parquet(tmp_path, changed(name, at, value)), mapping=mapping)
    assert not scenarios
    assert words in refused.error.message
    assert refused.error.do


def test_gap_in_a_track_is_a_gap(tmp_path, mapping):
    (scenario,), _ = read(reader, parquet(tmp_path, changed("px", 10, float("nan"))), mapping=mapping)
    assert np.flatnonzero(~scenario.motion.present[0]).tolist() == [10]


def test_wrong_unit_of_speed_is_found_by_the_positions(tmp_path, mapping):
    mapping.write_text(MAPPING.replace("unit: km/h", "unit: m/s"))
    _, (refused,) = read(reader, parquet(tmp_path, rows()), mapping=mapping)
    assert "3.6 times as fast" in refused.error.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("unit: cm", "unit: kg", "unit is wrong"),
        ("kind: {column: sort, values: {1: car, 2: truck}}", "kind: unicorn", "unicorn"),
        ("point: rear", "point: roof", "roof"),
        ("track: id", "track: nobody", "nobody"),
        ("turns: right", "turns: around", "no known convention"),
        ("recording: table", "recording: drive", "no table of tracks"),
        ("size: {length: 4}", "size: {length: 4}\nsurprise: 1", "surprise"),
        ("y: {column: py, unit: cm}", "latitude: {column: py, unit: degrees}", "not told"),
        ("unit: ms", "unit: step", "how many seconds"),
    ],
)
def test_mapping_that_cannot_be_names_the_key(tmp_path, mapping, old, new, words):
    mapping.write_text(MAPPING.replace(old, new))
    with pytest.raises(InputError, match=words) as caught:
        read(reader, parquet(tmp_path, rows()), mapping=mapping)
    assert caught.value.do or words in caught.value.message


def test_broken_tables_are_named(tmp_path, mapping):
    file = parquet(tmp_path, rows())
    whole = file.read_bytes()
    for name, data in (
        ("cut.parquet", whole[:-200]),
        ("no.feather", b"ARROW1" * 20),
        ("odd.csv", b"id,t\n\xff\xfe,1\n"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            read(reader, tmp_path / name, mapping=mapping)
    with pytest.raises(InputError, match="needs a mapping"):
        read(reader, file)


def test_latitude_and_longitude_become_metres_with_an_origin(tmp_path):
    table = pa.table({"id": ["a"] * 20, "t": np.arange(20) * 0.1, "la": 48 + np.arange(20) * 1e-5, "lo": [11.0] * 20})
    (tmp_path / "m.yaml").write_text(
        "recording: table\ntrack: id\ntime: {column: t}\nposition:\n  latitude: {column: la, unit: degrees}\n"
        "  longitude: {column: lo, unit: degrees}\n"
    )
    (scenario,), _ = read(reader, parquet(tmp_path, table), mapping=tmp_path / "m.yaml")
    assert scenario.origin == (48.0, 11.0)
    assert scenario.motion.speed[0] == pytest.approx(np.full(20, 11.12), rel=0.01)


def argoverse(folder: Path) -> Path:
    steps = 110
    at = np.tile(np.arange(steps), 2)
    track = np.repeat(["AV", "133771"], steps)
    speed = np.repeat([8.0, 1.0], steps)
    table = pa.table(
        {
            "observed": at < 50,
            "track_id": track,
            "object_type": np.repeat(["vehicle", "pedestrian"], steps),
            "object_category": np.full(2 * steps, 2),
            "timestep": at,
            "position_x": at * 0.1 * speed + 1500,
            "position_y": np.full(2 * steps, -320.0),
            "heading": np.zeros(2 * steps),
            "velocity_x": speed,
            "velocity_y": np.zeros(2 * steps),
            "scenario_id": ["0a1e6f0a"] * 2 * steps,
            "focal_track_id": ["133771"] * 2 * steps,
            "city": ["austin"] * 2 * steps,
        }
    )
    pa.feather.write_feather(table, folder / "scenario_0a1e6f0a.feather")
    return folder / "scenario_0a1e6f0a.feather"


def test_argoverse_2_is_read_by_its_ready_mapping(tmp_path):
    (scenario,), refused = read(reader, argoverse(tmp_path), mapping=MAPPINGS / "argoverse2_tracks.yaml")
    assert not refused
    assert scenario.motion.shape == (2, 110)
    assert scenario.motion.users[scenario.ego].name == "AV"
    assert [user.kind for user in scenario.motion.users] == ["car", "pedestrian"]


@pytest.mark.skipif(not DRIVES.is_dir(), reason="the recorded drives are not here (../shared/data/drives)")
def test_openacc_is_38_platoons_of_twelve_cars():
    file = DRIVES / "openacc/openacc_gps_10hz.parquet"
    scenarios, refused = read(reader, file, mapping=MAPPINGS / "openacc_tracks.yaml")
    assert len(scenarios) == 38
    assert len({user.name for scenario in scenarios for user in scenario.motion.users}) == 12
    assert {scenario.motion.step_s for scenario in scenarios} == {0.1}
    assert all("has no position at all" in one.error.message for one in refused)
    share = sum(one.motion.present.sum() for one in scenarios) / 763_123
    assert 0.85 < share < 0.87  # 14 % of the rows have no position


def test_mapping_on_the_page_is_read(tmp_path):
    page = (MAPPINGS.parents[1] / "docs/research.md").read_text("utf-8")
    text = page.split("### Tables")[1].split("```yaml")[1].split("```")[0]
    (tmp_path / "m.yaml").write_text(text, "utf-8")
    mapping = read_mapping(tmp_path / "m.yaml")
    assert mapping.scenario == ("run",)
    assert mapping.kind.values == {"1": "car", "2": "truck"}
    assert mapping.numbers["y"].factor == -1
