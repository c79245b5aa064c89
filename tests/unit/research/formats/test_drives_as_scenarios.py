"""The drive of one car as a scenario."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from asammdf import MDF, Signal

from carcloud.errors import InputError, MissingError
from carcloud.research.adapters.drive import reader
from carcloud.research.adapters.drive.track import Fixes, smooth
from carcloud.research.adapters.mf4 import reader as mf4
from carcloud.research.places import to_degrees, to_local
from tests.recorded import DRIVES, MAPPINGS, read

BEGIN = 1_700_000_000
GNSS = """
  - file: gnss.csv
    source: table
    time: {column: t, unit: s}
    signals:
      Vehicle.CurrentLocation.Latitude: {column: la, unit: degrees}
      Vehicle.CurrentLocation.Longitude: {column: lo, unit: degrees}
"""
MAPPING = f"recording: drive\nvehicle: CAR\nsize: {{length: 4.2}}\nparts:{GNSS}"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A minute eastwards at 15 m/s, a fix a tenth of a second; for 5 s there are none, and one is 80 m off."""
    at = np.arange(600) * 0.1
    at = at[(at < 30) | (at > 35)]
    x = 15 * at
    x[100] += 80
    latitude, longitude = to_degrees(x, 0 * x, (48.0, 11.0))
    lines = [f"{BEGIN + t:.1f},{a:.9f},{b:.9f}" for t, a, b in zip(at, latitude, longitude, strict=True)]
    (tmp_path / "gnss.csv").write_text("\n".join(["t,la,lo", *lines]))
    (tmp_path / "car.yaml").write_text(MAPPING)
    (tmp_path / "can.log").write_text("(1700000000.000000) can0 260#00\n")
    return tmp_path


def test_gaps_and_outliers_are_flagged_and_the_rest_is_smooth(drive):
    (scenario,), refused = read(reader, drive, mapping=drive / "car.yaml")
    motion = scenario.motion
    assert not refused
    assert scenario.begin == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert scenario.origin == pytest.approx((48.0, 11.0))
    at = motion.time_us / 1e6
    assert not motion.present[0][(at > 30.1) & (at < 34.9)].any()
    shown = motion.present[0]
    assert motion.x[0][shown] == pytest.approx(15 * at[shown], abs=0.5)
    assert motion.speed[0][shown & (at > 2)] == pytest.approx(15.0, abs=0.3)
    assert motion.users[0].length == 4.2
    judged = next(one for one in scenario.series if one.name == "Recording.Position.Judgement")
    assert np.flatnonzero(judged.values).tolist() == [100]


def test_smoothing_begins_anew_where_the_car_really_is_elsewhere():
    at = np.arange(200) * 0.1
    x = np.where(at < 10, 10 * at, 10 * at + 900)
    nothing = np.full(200, np.nan)
    track = smooth(Fixes(at, x, 0 * x, nothing, nothing), at)
    assert track.x[-1] == pytest.approx(x[-1], abs=1)
    assert track.outliers.sum() == 9


def test_a_part_that_cannot_be_read_is_refused_alone(drive):
    extra = "  - {file: can.log, source: can, dbc: no.dbc, signals: {Vehicle.Speed: {column: A.B, unit: km/h}}}\n"
    (drive / "car.yaml").write_text(MAPPING + extra)
    (scenario,), (refused,) = read(reader, drive, mapping=drive / "car.yaml")
    assert scenario.motion.present.any()
    assert "no.dbc" in refused.error.message


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("recording: drive", "recording: table", InputError, "describes no drive"),
        ("file: gnss.csv", "file: ../../etc/passwd", MissingError, "not there"),
        ("Vehicle.CurrentLocation.Latitude", "Some.Latitude", InputError, "no position"),
        ("unit: degrees}\n      Vehicle", "unit: m}\n      Vehicle", InputError, "unit"),
        ("column: la", "column: t", InputError, "0 positions"),
        ("size: {length: 4.2}", "step_s: 0", InputError, "step_s"),
        ("size: {length: 4.2}", "surprise: 0", InputError, "surprise"),
    ],
)
def test_what_cannot_be_is_named(drive, old, new, error, words):
    (drive / "car.yaml").write_text(MAPPING.replace(old, new))
    with pytest.raises(error, match=words):
        read(reader, drive, mapping=drive / "car.yaml")


def test_signal_in_two_files_is_refused(drive):
    (drive / "car.yaml").write_text(MAPPING + GNSS.removeprefix("\n"))
    with pytest.raises(InputError, match="mapped in two files"):
        read(reader, drive, mapping=drive / "car.yaml")


def test_lone_mf4_is_a_scenario(tmp_path):
    at = np.arange(300) * 0.1
    latitude, longitude = to_degrees(0 * at, 12 * at, (51.0, 7.0))
    with MDF(version="4.10") as mdf:
        mdf.append([Signal(values, at, name=name) for name, values in (("Lat", latitude), ("Lon", longitude))])
        mdf.append([Signal(np.full(300, 43.2), at, name="v")])
        mdf.start_time = datetime(2024, 5, 1, 12, tzinfo=UTC)
        mdf.save(tmp_path / "drive.mf4")
    (tmp_path / "m.yaml").write_text(
        "recording: drive\nvehicle: CAR\nparts:\n  - source: mdf4\n    signals:\n"
        "      Vehicle.CurrentLocation.Latitude: {column: Lat, unit: degrees}\n"
        "      Vehicle.CurrentLocation.Longitude: {column: Lon, unit: degrees}\n"
        "      Vehicle.Speed: {column: v, unit: km/h}\n"
    )
    file = tmp_path / "drive.mf4"
    assert mf4.recognises(file)
    (scenario,), _ = read(mf4, file, mapping=tmp_path / "m.yaml")
    assert scenario.begin == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert scenario.motion.speed[0][20:] == pytest.approx(12.0, abs=0.1)
    assert scenario.motion.yaw[0][20:] == pytest.approx(np.pi / 2, abs=0.01)
    assert {one.name for one in scenario.series} >= {"Vehicle.Speed"}
    file.write_bytes(b"no measurement")
    with pytest.raises(InputError, match="cannot be read"):
        read(mf4, file, mapping=tmp_path / "m.yaml")


@pytest.mark.skipif(not DRIVES.is_dir(), reason="the recorded drives are not here (../shared/data/drives)")
def test_rav4_minute_is_a_recording_with_its_track():
    folder = DRIVES / "comma2k19"
    assert reader.recognises(folder)
    (scenario,), refused = read(reader, folder, mapping=MAPPINGS / "comma2k19_rav4_drive.yaml")
    assert not refused
    motion, by_name = scenario.motion, {one.name: one for one in scenario.series}
    assert motion.shape == (1, 598)
    assert motion.present.all()
    assert scenario.origin == pytest.approx((37.7209977, -122.4723053))
    latitude, longitude = (by_name[f"Vehicle.CurrentLocation.{name}"] for name in ("Latitude", "Longitude"))
    x, y = to_local(latitude.values, longitude.values, scenario.origin)
    at = motion.time_us / 1e6
    off = np.hypot(
        x - np.interp(latitude.time_us / 1e6, at, motion.x[0]), y - np.interp(latitude.time_us / 1e6, at, motion.y[0])
    )
    assert np.median(off) < 0.3
    assert off.max() < 1.5
    told = by_name["GNSS.Speed"]
    assert np.interp(at, told.time_us / 1e6, told.values) == pytest.approx(motion.speed[0], abs=0.5)
    turns, gyro = np.gradient(np.unwrap(motion.yaw[0]), at), by_name["Vehicle.AngularVelocity.Yaw"]
    assert (
        np.corrcoef(turns, np.interp(at, gyro.time_us / 1e6, gyro.values))[0, 1] > 0.2
    )  # a straight road: little turn
    assert len(by_name["Vehicle.Chassis.SteeringWheel.AngleFine"].values) == 4974
