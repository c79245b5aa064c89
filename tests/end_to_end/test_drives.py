"""Real drives, sent by `carcloud drive` and read back from the lake: every sample, its time and its value."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from tests.zone import DRIVES, ROOT, RunningZone, carcloud, running_zone, until

EXAMPLES = ROOT / "examples"
RAV4 = DRIVES / "comma2k19" / "rav4_60s.candump.log.gz"
I3 = DRIVES / "bmw_i3" / "bmw_i3_10hz.parquet"
OPENACC = DRIVES / "openacc" / "openacc_gps_10hz.parquet"
TRIPS = ("TripA01", "TripA04", "TripB13")

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not DRIVES.exists(), reason="the recorded drives are not here (../shared/data/drives)"),
]
Series = tuple[list[int], list[float]]


@dataclass(frozen=True)
class Lake:
    """A zone with recordings to be driven into it."""

    zone: RunningZone

    def driven(self, source: Path, mapping: str) -> dict[str, dict[str, Series]]:
        """Drive a recording as fast as the zone takes it, and return what the lake has got of it.

        Car → signal → (times in µs, values), in the order of time.
        """
        before = self.zone.sql("select coalesce(max(chunk), 0) from samples")[0][0]
        options = ("--mapping", str(EXAMPLES / "mappings" / f"{mapping}.yaml"), "--data", str(self.zone.data))
        driven = carcloud("drive", str(source), *options, "--speed", "max", timeout_s=200)
        assert driven.returncode == 0, driven.stderr
        assert "refused" not in driven.stdout
        until(self.zone.lake_is_level, "the lake does not take the chunks that are there")
        return self._exported(f"chunk > {before}")

    def _exported(self, condition: str) -> dict[str, dict[str, Series]]:
        out, columns = self.zone.data / "exported.parquet", "vehicle, signal, epoch_us(time) as time_us, value"
        sql = f"select {columns}, provenance from samples where {condition} order by vehicle, signal, time"
        done = carcloud("export", "--sql", sql, "--out", str(out), "--data", str(self.zone.data))
        assert done.returncode == 0, done.stderr
        rows, labels = pq.read_table(out).to_pandas(), self._labels()
        assert set(rows.provenance) == {"replay"}
        found: dict[str, dict[str, Series]] = defaultdict(dict)
        groups: Any = rows.groupby(["vehicle", "signal"])
        for (vehicle, signal), mine in groups:
            found[labels[vehicle]][signal] = mine.time_us.tolist(), mine.value.tolist()
        return dict(found)

    def _labels(self) -> dict[str, str]:
        return {car["id"]: car["label"] for car in self.zone.get("/v1/vehicles", limit=100)["vehicles"]}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    overlay = str(EXAMPLES / "overlays" / "recordings.yaml")
    with running_zone(tmp_path_factory.mktemp("recordings") / "data", "--overlay", overlay) as zone:
        yield Lake(zone)


def test_rav4_steering_and_wheels_arrive_sample_for_sample(lake: Lake) -> None:
    found = lake.driven(RAV4, "comma2k19_rav4")["RAV4_SAN_FRANCISCO"]
    reference = np.loadtxt(RAV4.parent / "reference_steering.csv", delimiter=",", skiprows=1)
    times, angles = found["Vehicle.Chassis.SteeringWheel.AngleFine"]
    assert times == np.rint(reference[:, 0] * 1e6).astype(np.int64).tolist()
    assert angles == reference[:, 1].tolist()
    assert found == _decoded()


def _decoded() -> dict[str, Series]:
    """Decode the recording's frames by cantools alone."""
    messages = cantools.database.load_file(RAV4.parent / "toyota_part.dbc")
    wheel = "Vehicle.Chassis.Axle.Row{}.Wheel.{}.Speed"
    series: dict[str, Series] = defaultdict(lambda: ([], []))

    def note(path: str, time_us: int, value: float) -> None:
        series[path][0].append(time_us)
        series[path][1].append(value)

    with gzip.open(RAV4, "rt") as lines:
        for stamp, bus, frame in (line.split() for line in lines):
            seconds, _, micros = stamp.strip("()").partition(".")
            identity, _, data = frame.partition("#")
            number, time_us = int(identity, 16), int(seconds) * 1_000_000 + int(micros)
            if bus != "can0" or number not in (0x25, 0xAA, 0xB4):
                continue
            values: Any = messages.decode_message(number, bytes.fromhex(data))
            if number == 0x25:
                angle = round(values["STEER_ANGLE"] + values["STEER_FRACTION"], 1)
                note("Vehicle.Chassis.SteeringWheel.AngleFine", time_us, angle)
                note("Vehicle.Chassis.SteeringWheel.AngleRate", time_us, values["STEER_RATE"])
            elif number == 0xAA:
                for name, row, side in (("FL", 1, "Left"), ("FR", 1, "Right"), ("RL", 2, "Left"), ("RR", 2, "Right")):
                    note(wheel.format(row, side), time_us, round(values[f"WHEEL_SPEED_{name}"], 2))
            else:
                note("Vehicle.Speed", time_us, round(values["SPEED"], 2))
    return dict(series)


def test_each_car_of_the_openacc_fleet_has_its_track(lake: Lake) -> None:
    fleet = lake.driven(OPENACC, "openacc")
    rows: Any = pq.read_table(OPENACC).to_pandas().sort_values("date", kind="stable")
    assert set(fleet) == set(rows.car)
    for car, mine in rows.groupby("car"):
        found = fleet[car]
        placed = mine[mine.Lat.notna() & mine.Lon.notna()]
        times, latitudes = found["Vehicle.CurrentLocation.Latitude"]
        assert latitudes == placed.Lat.tolist()
        assert found["Vehicle.CurrentLocation.Longitude"] == (times, placed.Lon.tolist())
        _assert_same_pace(times, placed.t, placed.date + placed.run)
        assert np.array_equal(found["Vehicle.Speed"][1], mine.Speed.dropna().astype(np.float64) * 3.6)


def test_every_mapped_column_of_three_i3_trips_equals_the_source(lake: Lake, tmp_path: Path) -> None:
    table = pq.read_table(I3, filters=[("trip", "in", TRIPS)])
    pq.write_table(table, tmp_path / "three_trips.parquet")
    found, rows = lake.driven(tmp_path / "three_trips.parquet", "bmw_i3")["BMW_I3_MUNICH"], table.to_pandas()
    assert set(rows.trip) == set(TRIPS)
    mapping = yaml.safe_load((EXAMPLES / "mappings" / "bmw_i3.yaml").read_text("utf-8"))
    assert set(found) == set(mapping["signals"])
    for path, entry in mapping["signals"].items():
        column = rows[rows[entry["column"]].notna()]
        times, values = found[path]
        assert values == column[entry["column"]].astype(np.float64).tolist(), path
        _assert_same_pace(times, column["Time [s]"], column.trip)
    assert found["Vehicle.Speed"][0][0] == pd.Timestamp("2019-07-01T06:00:00Z").value // 1000


def _assert_same_pace(times_us: list[int], source_s: Any, drives: Any) -> None:
    """Hold the steps of time to the source's, in whole milliseconds, within each drive."""
    steps = np.diff(times_us)
    wanted = np.diff(np.rint(source_s.to_numpy(np.float64) * 1000).astype(np.int64)) * 1000
    within = drives.to_numpy()[1:] == drives.to_numpy()[:-1]
    assert np.array_equal(steps[within], wanted[within])
    assert (steps > 0).all()
