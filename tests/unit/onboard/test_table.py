import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.errors import InputError
from carcloud.onboard.sources.table import Table

FLEET = """
source: table
vehicle: {column: car}
time: {column: t, unit: s, resolution_us: 1000}
signals:
  Vehicle.Speed: {column: v, unit: m/s}
  Vehicle.LowVoltageSystemState: {column: state, values: {0: "OFF", 1: "ON"}}
"""


def csv(tmp_path: Path, text: str, name: str = "drive.csv") -> Path:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    return file


def test_fleet_written_car_by_car_comes_in_the_order_of_time(mapped, collect, tmp_path) -> None:
    file = csv(tmp_path, "t,car,v,state\n1.0,a,1,0\n3.0,a,2,1\n2.0,b,3,1\n4.0,b,4,0\n")
    source = Table(file, mapped(FLEET))
    assert source.vehicles() == ["a", "b"]
    found = collect(source)
    assert found["a"]["Vehicle.Speed"] == [[1_000_000, 3_000_000], [3.6, 7.2]]
    assert found["b"]["Vehicle.Speed"] == [[2_000_000, 4_000_000], [10.8, 14.4]]
    assert found["b"]["Vehicle.LowVoltageSystemState"][1] == ["ON", "OFF"]


def test_cells_and_rows_without_value_give_no_sample_and_are_counted(mapped, collect, tmp_path) -> None:
    file = csv(tmp_path, "t,car,v,state\n1.0,a,,0\n,a,2,0\n3.0,,3,0\n4.0,a,NaN,7\n5.0,a,inf,\n6.0,a,1,0,9,9\n")
    source = Table(file, mapped(FLEET))
    found = collect(source)
    assert "Vehicle.Speed" not in found["a"]
    assert found["a"]["Vehicle.LowVoltageSystemState"] == [[1_000_000], ["OFF"]]
    assert source.skipped == {
        "Vehicle.Speed: empty": 3,
        "rows without time": 1,
        "rows without vehicle": 1,
        "broken lines": 1,
        "Vehicle.LowVoltageSystemState: empty": 1,
        "Vehicle.LowVoltageSystemState: value '7' not in the mapping's values": 1,
    }


def test_drives_laid_one_after_another_never_overlap(mapped, collect, tmp_path) -> None:
    mapping = mapped(
        """
source: table
vehicle: a
time:
  column: t
  unit: s
  start: {column: day, values: {mon: 1970-01-01T00:00:00Z, tue: 1970-01-02T00:00:00Z}}
  one_after_another: {by: run, gap_s: 10}
signals: {Vehicle.Speed: {column: v, unit: km/h}}
"""
    )
    file = csv(tmp_path, "day,run,t,v\nmon,1,5,1\nmon,1,7,2\ntue,1,5,3\nmon,2,100,4\nmon,2,101,5\n")
    times, values = collect(Table(file, mapping))["a"]["Vehicle.Speed"]
    assert times == [0, 2_000_000, 12_000_000, 13_000_000, 86_400_000_000]
    assert values == [1, 2, 4, 5, 3]


def test_day_without_a_start_is_refused(mapped, tmp_path) -> None:
    mapping = mapped(FLEET.replace("resolution_us: 1000", "start: {column: car, values: {a: 1970-01-01T00:00:00Z}}"))
    with pytest.raises(InputError, match=r"nothing for 'b'"):
        Table(csv(tmp_path, "t,car,v,state\n1,a,1,0\n1,b,1,0\n"), mapping).vehicles()


@pytest.mark.parametrize(
    ("unit", "cells", "expected"),
    [
        ("rfc3339", ["2020-01-01T00:00:00.000001Z", "2020-01-01T01:00:00.5+01:00"], [1, 500_000]),
        ("us", ["1577836800000001", "1577836800500000"], [1, 500_000]),
        ("ns", ["1577836800000001999", "1577836800500000000"], [1, 500_000]),
        ("ms", ["1577836800000.001", "1577836800500"], [1, 500_000]),
        ("s", ["1577836800.000001", "1577836800.5"], [1, 500_000]),
    ],
)
def test_every_kind_of_time_is_read_to_the_microsecond(mapped, collect, tmp_path, unit, cells, expected) -> None:
    mapping = mapped(
        f"source: table\nvehicle: a\ntime: {{column: t, unit: {unit}}}\n"
        "signals: {Vehicle.Speed: {column: v, unit: km/h}}"
    )
    file = csv(tmp_path, "t,v\n" + "".join(f"{cell},1\n" for cell in cells))
    times = collect(Table(file, mapping))["a"]["Vehicle.Speed"][0]
    assert times == [1_577_836_800_000_000 + after for after in expected]


def test_float32_seconds_are_rounded_to_a_millisecond(mapped, collect, tmp_path) -> None:
    table = pa.table({"t": pa.array([12_643.1, 12_643.2], pa.float32()), "car": ["a", "a"], "v": [1.0, 2.0]})
    file = tmp_path / "drive.parquet"
    pq.write_table(table.append_column("state", pa.array([True, False])), file)
    assert collect(Table(file, mapped(FLEET)))["a"]["Vehicle.Speed"][0] == [12_643_100_000, 12_643_200_000]
    assert collect(Table(file, mapped(FLEET)))["a"]["Vehicle.LowVoltageSystemState"][1] == ["ON", "OFF"]


def test_gzipped_csv_is_read(mapped, collect, tmp_path) -> None:
    file = tmp_path / "drive.csv.gz"
    file.write_bytes(gzip.compress(b"t,car,v,state\n1.0,a,1,0\n"))
    assert collect(Table(file, mapped(FLEET)))["a"]["Vehicle.Speed"][1] == [3.6]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("drive.csv", b"t,car,state\n1,a,0\n", "names the column 'v'"),
        ("drive.csv", b"t,car,v,state\n1,a,fast,0\n", "cannot be read"),
        ("drive.csv", b"", "no readable table"),
        (
            "drive.csv.gz",
            gzip.compress(b"t,car,v,state\n1,a,1,0\n" * 99, mtime=0)[:-20],
            "no readable table|cannot be read",
        ),
        ("drive.parquet", b"PAR1 not really", "no readable table"),
        ("drive.csv", b"t,car,v,state\n", "has no rows"),
    ],
)
def test_file_that_does_not_fit_is_refused_by_name(mapped, tmp_path, name, content, says) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError, match=says):
        list(Table(file, mapped(FLEET)).slices())


def test_text_column_mapped_as_number_is_refused(mapped, tmp_path) -> None:
    file = tmp_path / "drive.parquet"
    pq.write_table(pa.table({"t": [1.0], "car": ["a"], "v": ["1"], "state": [0]}), file)
    with pytest.raises(InputError, match=r"column 'v' has string"):
        list(Table(file, mapped(FLEET)).slices())
