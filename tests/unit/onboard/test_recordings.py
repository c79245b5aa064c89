"""The mappings that ship in examples, held against the recordings they are for."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.sources.recording import open_recording

EXAMPLES = Path(__file__).parents[3] / "examples"


def opened(name, file, catalogue):
    return open_recording(file, read_mapping(EXAMPLES / f"mappings/{name}.yaml", catalogue))


def test_rav4_steering_equals_the_reference_on_every_sample(drives, catalogue, collect) -> None:
    source = opened("comma2k19_rav4", drives / "comma2k19/rav4_60s.candump.log.gz", catalogue)
    found = collect(source)["RAV4_SAN_FRANCISCO"]
    reference = np.loadtxt(drives / "comma2k19/reference_steering.csv", delimiter=",", skiprows=1)
    times, values = found["Vehicle.Chassis.SteeringWheel.AngleFine"]
    assert times == np.rint(reference[:, 0] * 1e6).astype(np.int64).tolist()
    assert values == reference[:, 1].tolist()
    wheels = [f"Vehicle.Chassis.Axle.Row{row}.Wheel.{side}.Speed" for row in (1, 2) for side in ("Left", "Right")]
    assert [len(found[wheel][0]) for wheel in wheels] == [4974] * 4
    assert len(found["Vehicle.Speed"][0]) == 2487
    assert not source.skipped


def test_openacc_gives_each_car_its_rows_and_no_position_where_there_is_none(drives, catalogue, collect) -> None:
    file = drives / "openacc/openacc_gps_10hz.parquet"
    source = opened("openacc", file, catalogue)
    found = collect(source)
    rows = pq.read_table(file).to_pandas()
    assert set(found) == set(rows.car)
    for car, mine in rows.groupby("car"):
        speed, east = found[car]["Vehicle.Speed"], found[car]["Vehicle.CurrentLocation.Longitude"]
        assert len(speed[0]) == mine.Speed.notna().sum()
        assert len(east[0]) == mine.Lon.notna().sum()
        assert (np.diff(speed[0]) > 0).all()
        by_day = mine.assign(day=mine.date.str.len()).sort_values("date", kind="stable")
        assert east[1] == by_day.Lon.dropna().tolist()
        assert np.array_equal(speed[1], by_day.Speed.dropna().astype(np.float64) * 3.6)


def test_i3_keeps_every_mapped_column_of_every_trip(drives, catalogue, collect) -> None:
    file = drives / "bmw_i3/bmw_i3_10hz.parquet"
    source = opened("bmw_i3", file, catalogue)
    found = collect(source)["BMW_I3_MUNICH"]
    rows = pq.read_table(file)
    unmapped = set(rows.column_names) - set(source.mapping.columns)
    assert unmapped == {"trip", "Time [s]"}
    for signal in source.mapping.signals:
        times, values = found[signal.path]
        expected = rows.column(signal.sources[0]).drop_null().to_numpy()
        assert np.array_equal(values, expected.astype(np.float64)), signal.path
        assert (np.diff(times) > 0).all()
    steps = np.diff(found["Vehicle.Speed"][0])
    assert (steps == 100_000).sum() > 0.999 * (len(steps) - 46)
