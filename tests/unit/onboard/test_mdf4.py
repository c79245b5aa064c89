import numpy as np
import pytest
from asammdf import MDF, Signal

from carcloud.errors import InputError
from carcloud.onboard.sources.mdf4 import Mdf4

MAPPING = """
source: mdf4
vehicle: a
signals:
  Vehicle.Speed: {column: v, unit: m/s}
  Vehicle.Exterior.AirTemperature: {column: outside, unit: K}
  Vehicle.LowVoltageSystemState: {column: state, values: {0: "OFF", 1: "ON"}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "drive.mf4"
    with MDF(version="4.10") as mdf:
        fast, slow = np.arange(0, 30, 0.01), np.arange(0, 30, 1.0)
        mdf.append([Signal(samples=fast * 2, timestamps=fast, name="v", unit="m/s")])
        mdf.append([Signal(samples=np.full(len(slow), 293.15), timestamps=slow, name="outside")])
        mdf.append([Signal(samples=(slow % 2).astype(np.uint8), timestamps=slow, name="state")])
        mdf.save(path, overwrite=True)
    return path


def test_every_channel_keeps_its_own_times_and_all_samples(mapped, collect, file) -> None:
    found = collect(Mdf4(file, mapped(MAPPING)))["a"]
    with MDF(file) as mdf:
        start_us = round(mdf.start_time.timestamp() * 1e6)
    assert found["Vehicle.Speed"][0] == [start_us + n * 10_000 for n in range(3000)]
    assert np.allclose(found["Vehicle.Speed"][1], np.arange(0, 30, 0.01) * 7.2)
    assert np.allclose(found["Vehicle.Exterior.AirTemperature"][1], 20.0)
    assert found["Vehicle.LowVoltageSystemState"][1] == ["OFF", "ON"] * 15


def test_channel_that_is_not_there_is_refused_with_those_that_are(mapped, file) -> None:
    with pytest.raises(InputError, match=r"names the channel 'w'.*outside"):
        list(Mdf4(file, mapped(MAPPING.replace("column: v", "column: w"))).slices())


def test_file_that_is_no_mdf_is_refused(mapped, tmp_path) -> None:
    (tmp_path / "drive.mf4").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"drive\.mf4 cannot be read"):
        list(Mdf4(tmp_path / "drive.mf4", mapped(MAPPING)).slices())
