"""The load: real recordings cut into batches, each batch's content different from every other's.

Rules:
* Every numeric column that has a VSS path is used, values as the car gave them (float32 widened, m/s turned into km/h).
* Time stamps are the recording's, rounded to 1 ms, moved to now; the clock of each car is its own.
* A batch is a stretch of one drive, cut where it holds about `size` samples. When the recordings are used up, the next
  pass cuts at other places, so that no two batches are equal; the readings repeat, and the report says how often.
* Each reading of both recordings is used equally often: that fixes the mix of cars.
"""

from __future__ import annotations

import functools
import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carcloud.vehicle.batch import HEADER, Batch, IdTable, Provenance, encode

DRIVES = Path(__file__).resolve().parents[2] / "shared" / "data" / "drives"
GAP_US = 10_000_000
TICK_US = 100_000
GOLDEN = 0.618033988749895

_BATTERY = "Vehicle.Powertrain.TractionBattery"
I3 = {
    "Velocity [km/h]": ("Vehicle.Speed", "km/h"),
    "Elevation [m]": ("Vehicle.CurrentLocation.Altitude", "m"),
    "Throttle [%]": ("Vehicle.Chassis.Accelerator.PedalPositionFine", "percent"),
    "Motor Torque [Nm]": ("Vehicle.Powertrain.ElectricMotor.TorqueFine", "Nm"),
    "Longitudinal Acceleration [m/s^2]": ("Vehicle.Acceleration.Longitudinal", "m/s^2"),
    "Battery Voltage [V]": (f"{_BATTERY}.CurrentVoltage", "V"),
    "Battery Current [A]": (f"{_BATTERY}.CurrentCurrent", "A"),
    "Battery Temperature [°C]": (f"{_BATTERY}.Temperature.Average", "Celsius"),
    "max. Battery Temperature [°C]": (f"{_BATTERY}.Temperature.Max", "Celsius"),
    "SoC [%]": (f"{_BATTERY}.StateOfCharge.Current", "percent"),
    "displayed SoC [%]": (f"{_BATTERY}.StateOfCharge.Displayed", "percent"),
    "AirCon Power [kW]": ("Vehicle.Cabin.HVAC.Power", "kW"),
    "Ambient Temperature [°C]": ("Vehicle.Exterior.AirTemperature", "Celsius"),
    "Cabin Temperature Sensor [°C]": ("Vehicle.Cabin.HVAC.AmbientAirTemperature", "Celsius"),
}
OPENACC = {
    "Speed": ("Vehicle.Speed", "km/h"),
    "Lon": ("Vehicle.CurrentLocation.Longitude", "degrees"),
    "Lat": ("Vehicle.CurrentLocation.Latitude", "degrees"),
    "Alt": ("Vehicle.CurrentLocation.Altitude", "m"),
}


@dataclass(frozen=True)
class Recording:
    """One source file: `times` (rows,) int64 µs of its own clock, `values` (columns, rows) float64, NaN = none.

    `drives` are the row ranges in which time rises without a gap above 10 s.
    """

    name: str
    table: IdTable
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    drives: tuple[tuple[int, int], ...]

    @property
    def readings(self) -> int:
        """Return how many values the recording holds."""
        return int(np.isfinite(self.values).sum())


@functools.cache
def recordings() -> tuple[Recording, Recording]:
    """Read the two recordings; raise FileNotFoundError where the data folder is absent."""
    i3 = pq.read_table(DRIVES / "bmw_i3" / "bmw_i3_10hz.parquet")
    acc = pq.read_table(DRIVES / "openacc" / "openacc_gps_10hz.parquet")
    return (
        _recording("i3", i3, I3, ["trip"], "Time [s]", {}),
        _recording("openacc", acc, OPENACC, ["run", "date", "car"], "t", {"Speed": 3.6}),
    )


def _recording(
    name: str,
    table: pa.Table,
    columns: Mapping[str, tuple[str, str | None]],
    keys: list[str],
    time: str,
    factors: dict[str, float],
) -> Recording:
    times = np.rint(table[time].to_numpy().astype("f8") * 1000).astype("i8") * 1000
    values = np.stack([table[c].to_numpy().astype("f8") * factors.get(c, 1.0) for c in columns])
    steps = np.diff(times)
    edges = (steps <= 0) | (steps > GAP_US)
    for key in keys:
        code = table[key].combine_chunks().dictionary_encode().indices.to_numpy()
        edges |= code[1:] != code[:-1]
    cuts = [0, *(np.flatnonzero(edges) + 1).tolist(), len(times)]
    drives = tuple(pair for pair in itertools.pairwise(cuts) if pair[1] - pair[0] > 1)
    return Recording(name, IdTable(tuple(columns.values())), times, values, drives)


def stretches(recording: Recording, size: int) -> Iterator[tuple[int, int]]:
    """Yield row ranges of about `size` samples for ever, every pass over the recording cut at other places."""
    present = np.isfinite(recording.values).sum(axis=0)
    turn = 0
    while True:
        phase = int(size * ((turn * GOLDEN) % 1.0))
        for low, high in recording.drives:
            total = np.cumsum(present[low:high])
            rows = low + np.unique(np.searchsorted(total, np.arange(phase, int(total[-1]) + 1, size)))
            yield from itertools.pairwise(rows.tolist())
        turn += 1


def cut(recording: Recording, low: int, high: int) -> Batch:
    """Return the batch of rows low to high; its base time is 0, to be set when it is stamped."""
    block = recording.values[:, low:high]
    times = (recording.times[low:high] - recording.times[low]).astype("i4")
    present = np.isfinite(block)
    if present.all():
        signals, counts = np.arange(len(block), dtype="u2"), np.full(len(block), high - low, "u4")
        columns = np.tile(times, len(block)), block.ravel()
    else:
        counts = present.sum(axis=1).astype("u4")
        signals = np.flatnonzero(counts).astype("u2")
        counts = counts[signals]
        columns = np.broadcast_to(times, block.shape)[present], block[present]
    return Batch(recording.table.hash, 1, 1, 0, signals, counts, *columns, Provenance.REPLAY)


def stamp(payload: bytes | memoryview, queue: int, number: int, base_us: int) -> bytes:
    """Return the payload as this car's batch: another queue, number and base time, its body untouched."""
    head = list(HEADER.unpack_from(payload))
    head[5:8] = queue, number, base_us
    packed = HEADER.pack(*head[:-1], 0)[:-4]
    return b"".join((packed, struct.pack("<I", google_crc32c.value(packed)), payload[HEADER.size :]))


@dataclass(frozen=True)
class Load:
    """Encoded batches in a file, with where each lies; each car takes consecutive ones of its kind.

    `kind`: which recording (0 i3, 1 openacc); `samples`, `span_us`, `start`, `end`: (batches,) int64.
    """

    folder: Path
    size: int
    kind: NDArray[np.int64]
    samples: NDArray[np.int64]
    span_us: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def total(self) -> int:
        """Return the number of samples of all batches."""
        return int(self.samples.sum())

    @property
    def wire_bytes(self) -> int:
        """Return the payload bytes of all batches."""
        return int((self.end - self.start).sum())

    def payloads(self) -> NDArray[np.uint8]:
        """Return all payloads one after the other, mapped from the file."""
        return np.memmap(self.folder / "payloads.bin", np.uint8, "r")

    def share(self, cars: int) -> tuple[list[int], list[range]]:
        """Return each car's kind and batches: equal numbers, kinds in proportion and spread evenly over the cars."""
        counts = np.bincount(self.kind, minlength=2)
        first = round(cars * counts[0] / counts.sum())
        ranges = _split(0, int(counts[0]), first), _split(int(counts[0]), len(self), cars - first)
        kinds = [0 if (car + 1) * first // cars > car * first // cars else 1 for car in range(cars)]
        rest = [iter(part) for part in ranges]
        return kinds, [next(rest[kind]) for kind in kinds]


def _split(low: int, high: int, parts: int) -> list[range]:
    edges = np.linspace(low, high, parts + 1).astype(int).tolist()
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def mix() -> float:
    """Return the share of samples that come from the i3."""
    i3, acc = (recording.readings for recording in recordings())
    return i3 / (i3 + acc)


def build(folder: Path, size: int, samples: int) -> Load:
    """Encode about `samples` samples into batches of about `size`, or read them from `folder` where it holds them."""
    key = {"size": size, "samples": samples, "tables": [recording.table.hash.hex() for recording in recordings()]}
    if (folder / "key.json").exists() and json.loads((folder / "key.json").read_text()) == key:
        return read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows, offset, share = [], 0, mix()
    with (folder / "payloads.bin").open("wb") as out:
        for kind, (recording, part) in enumerate(zip(recordings(), (share, 1 - share), strict=True)):
            left = samples * part
            for low, high in stretches(recording, size):
                batch = cut(recording, low, high)
                payload = encode(batch)
                out.write(payload)
                span = int(recording.times[high - 1] - recording.times[low]) + TICK_US
                rows.append((kind, len(batch), span, offset, offset + len(payload)))
                offset += len(payload)
                left -= len(batch)
                if left <= 0:
                    break
    np.save(folder / "index.npy", np.array(rows, "i8").T)
    (folder / "key.json").write_text(json.dumps(key))
    return read(folder)


def read(folder: Path) -> Load:
    """Open a load that `build` has written."""
    index = np.load(folder / "index.npy")
    return Load(folder, json.loads((folder / "key.json").read_text())["size"], *index)
