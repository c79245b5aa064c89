from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from carcloud.onboard.mapping import DriveMapping, read_mapping

DRIVES = Path(__file__).parents[4] / "shared/data/drives"
EXAMPLES = Path(__file__).parents[3] / "examples"

CATALOGUE: dict[str, str | None] = {
    "Vehicle.Speed": "km/h",
    "Vehicle.TraveledDistance": "m",
    "Vehicle.IsMoving": None,
    "Vehicle.LowVoltageSystemState": None,
    "Vehicle.Exterior.AirTemperature": "Celsius",
}


@pytest.fixture
def drives() -> Path:
    if not DRIVES.is_dir():
        pytest.skip("shared/data/drives is not there")
    return DRIVES


@pytest.fixture
def catalogue() -> dict[str, str | None]:
    """The core profile with the recordings' overlay, as path → unit."""
    core = Path(__file__).parents[3] / "src/carcloud/vehicle/core.yaml"
    files = [core, EXAMPLES / "overlays/recordings.yaml"]
    rows = [yaml.safe_load(file.read_text("utf-8"))["signals"] for file in files]
    return {path: entry.get("unit") for signals in rows for path, entry in signals.items()}


@pytest.fixture
def mapped(tmp_path: Path):
    """Write a mapping and read it against a small catalogue."""

    def write(text: str) -> DriveMapping:
        file = tmp_path / "mapping.yaml"
        file.write_text(text, "utf-8")
        return read_mapping(file, CATALOGUE)

    return write


def collected(source) -> dict[str, dict[str, list]]:
    """Run a source to its end: vehicle → path → [times µs, values]."""
    found: dict[str, dict[str, list]] = {}
    for name, path, column in _columns(source):
        entry = found.setdefault(name, {}).setdefault(path, [[], []])
        entry[0] += column.times_us.tolist()
        entry[1] += column.texts if column.texts is not None else column.values.tolist()
    return found


def _columns(source) -> Iterator[tuple]:
    last = None
    for piece in source.slices():
        assert last is None or piece.until_us >= last
        last = piece.until_us
        for block in piece.blocks:
            for column in block.columns:
                yield block.vehicle, source.table.signals[column.signal][0], column


@pytest.fixture
def collect():
    return collected
