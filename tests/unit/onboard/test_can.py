import gzip
import threading
from pathlib import Path

import can
import pytest

from carcloud.errors import InputError
from carcloud.onboard.sources.can import CanBus, CanLog
from carcloud.vehicle.batch import Provenance

DBC = """VERSION ""

BU_: X

BO_ 100 MOTION: 4 X
 SG_ SPEED : 0|16@1+ (0.01,0) [0|0] "km/h" X
 SG_ STATE : 16|8@1+ (1,0) [0|0] "" X
 SG_ PART : 24|8@1- (0.1,0) [0|0] "km/h" X
"""
MAPPING = """
source: can
vehicle: a
dbc: car.dbc
bus: can0
signals:
  Vehicle.Speed: {sum: [MOTION.SPEED, MOTION.PART], unit: km/h, decimals: 2}
  Vehicle.LowVoltageSystemState: {column: MOTION.STATE, values: {0: "OFF", 1: "ON"}}
"""
LINES = """(1533226488.230547) can0 064#10270002
(1533226488.230548) can1 064#FFFF0002
(1533226488.230549) can0 065#0000

(1533226488.999999) can0 064#000001FF
"""


@pytest.fixture
def mapping(mapped, tmp_path):
    (tmp_path / "car.dbc").write_text(DBC)
    return mapped(MAPPING)


def log(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "drive.log"
    file.write_text(text)
    return file


def test_candump_is_decoded_sample_for_sample_to_the_microsecond(mapping, collect, tmp_path) -> None:
    source = CanLog(log(tmp_path, LINES), mapping)
    assert source.provenance is Provenance.REPLAY
    assert collect(source)["a"] == {
        "Vehicle.Speed": [[1533226488230547, 1533226488999999], [100.2, -0.1]],
        "Vehicle.LowVoltageSystemState": [[1533226488230547, 1533226488999999], ["OFF", "ON"]],
    }
    assert not source.skipped


@pytest.mark.parametrize("suffix", [".blf", ".asc"])
def test_vector_logs_give_the_same_samples(mapping, collect, tmp_path, suffix) -> None:
    file = tmp_path / f"drive{suffix}"
    with can.Logger(file) as logger:
        for at, data in ((1533226488.25, "10270002"), (1533226488.5, "000001FF")):
            frame = can.Message(timestamp=at, arbitration_id=100, is_extended_id=False, data=bytes.fromhex(data))
            frame.channel = 0
            logger.on_message_received(frame)
    values = collect(CanLog(file, _without_bus(mapping)))["a"]["Vehicle.Speed"]
    assert values[1] == [100.2, -0.1]
    assert values[0][1] - values[0][0] == 250_000


def _without_bus(mapping):
    return type(mapping)(**{**mapping.__dict__, "bus": None})


def test_broken_lines_and_short_frames_are_counted(mapping, collect, tmp_path) -> None:
    bad = "(1533226489.1) can0 064#1\nnonsense\n(1533226489.2) can0 064#10\n(1533226489.3) can0 064#R4\n"
    source = CanLog(log(tmp_path, LINES + bad), mapping)
    assert len(collect(source)["a"]["Vehicle.Speed"][0]) == 2
    assert source.skipped == {"broken lines": 2, "MOTION: frames too short": 1}


def test_log_cut_in_the_middle_gives_what_is_there_and_says_so(mapping, collect, tmp_path) -> None:
    file = tmp_path / "drive.log.gz"
    whole = gzip.compress("".join(f"(1533226488.{n:06}) can0 064#10270002\n" for n in range(20_000)).encode())
    file.write_bytes(whole[: len(whole) // 2])
    source = CanLog(file, mapping)
    assert 1000 < len(collect(source)["a"]["Vehicle.Speed"][0]) < 20_000
    assert any("ends in the middle" in cause for cause in source.skipped)


def test_log_without_a_mapped_frame_is_refused(mapping, tmp_path) -> None:
    with pytest.raises(InputError, match=r"no frame of a mapped message on the bus can0.*Check that the DBC"):
        list(CanLog(log(tmp_path, "(1533226489.1) can1 064#10270002\n"), mapping).slices())


def test_signal_that_no_dbc_has_is_refused_with_the_nearest(mapped, tmp_path) -> None:
    (tmp_path / "car.dbc").write_text(DBC)
    with pytest.raises(InputError, match=r"'MOTION\.SPED', which no DBC has.*MOTION\.SPEED"):
        CanLog(log(tmp_path, LINES), mapped(MAPPING.replace("MOTION.SPEED", "MOTION.SPED")))


def test_file_that_is_no_dbc_is_refused(mapped, tmp_path) -> None:
    (tmp_path / "car.dbc").write_text("BO_ what is this")
    with pytest.raises(InputError, match=r"car\.dbc is no readable DBC"):
        CanLog(log(tmp_path, LINES), mapped(MAPPING))


@pytest.mark.parametrize(("name", "content"), [("drive.blf", b"LOGG????"), ("drive.blf", b""), ("drive.xyz", b"")])
def test_log_that_is_none_is_refused(mapping, tmp_path, name, content) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        list(CanLog(tmp_path / name, mapping).slices())


def test_live_bus_gives_its_frames_as_measured(mapped, collect, tmp_path) -> None:
    (tmp_path / "car.dbc").write_text(DBC)
    stop = threading.Event()
    source = CanBus("virtual", "onboard-test", mapped(MAPPING.replace("bus: can0\n", "")), stop)
    assert source.provenance is Provenance.MEASURED
    assert source.live
    with can.Bus(interface="virtual", channel="onboard-test") as other:
        for _ in range(50):
            other.send(can.Message(arbitration_id=100, is_extended_id=False, data=bytes.fromhex("10270002")))
    pieces = source.slices()
    blocks = next(pieces).blocks
    stop.set()
    rest = [block for piece in pieces for block in piece.blocks]
    speeds = [column for block in blocks + rest for column in block.columns if column.signal == 0]
    assert sum(len(column) for column in speeds) == 50
    assert all((column.values == 100.2).all() for column in speeds)
