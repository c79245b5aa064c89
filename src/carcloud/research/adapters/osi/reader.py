"""Reads ASAM OSI trace files: messages of GroundTruth or SensorView, each behind its length in four bytes.

Rules:
* A file that ends in the middle of a message is read up to there, and the rest is refused by name.
* Roads: those of the option, else lanes of the trace, else a map in OpenDRIVE of the same name beside it.

Source: ASAM OSI 3.8.0, section "OSI trace file format" (single-channel binary, little-endian uint32 lengths).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.adapter import Options, Progress, Refused
from carcloud.research.adapters.osi.messages import GROUND_TRUTH, LIMIT_MESSAGE_BYTES, SENSOR_VIEW, decoded
from carcloud.research.adapters.osi.truth import Truths
from carcloud.research.adapters.roadside import road_beside
from carcloud.research.scenario import Scenario

FORMAT = "osi"
ABOUT = "ASAM OSI trace files (.osi) of GroundTruth or SensorView."

LIMIT_MESSAGES = 1_000_000


def recognises(path: Path) -> bool:
    """Tell by the name."""
    return path.suffix.lower() == ".osi" and path.is_file()


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the one scenario of a trace, and what of the file was refused."""
    truths, broken = Truths(), None
    with path.open("rb") as file:
        try:
            for message in _truths(file, path, progress):
                truths.take(message)
        except CarcloudError as error:
            if len(truths.told_us) < 2:
                raise
            broken = error
    road = road_beside(path, options, needed=truths.lanes is None)
    yield truths.scenario(path.stem, road, options.parameters.get("ego", ""))
    if broken is not None:
        at = (truths.told_us[-1] - truths.told_us[0]) / 1e6
        why = f"Read up to {at:.3f} s, in {len(truths.told_us)} messages; then: {broken.message}"
        yield Refused(f"{path.stem}: the rest", InputError(why, broken.do))


def _truths(file: BinaryIO, path: Path, progress: Progress) -> Iterator[Any]:
    size, of = max(1, path.stat().st_size), ""
    for number in range(LIMIT_MESSAGES + 1):
        at = file.tell()
        progress(at / size)
        head = file.read(4)
        if not head:
            if not number:
                raise InputError(f"{path.name} is empty.", "Give an OSI trace.")
            return
        length = struct.unpack("<I", head)[0] if len(head) == 4 else 0
        if length > LIMIT_MESSAGE_BYTES or (len(head) == 4 and length == 0):
            what = f"{path.name} says at byte {at} that a message of {length} bytes follows: that is no OSI trace."
            raise InputError(what, f"A message has 1 byte to {LIMIT_MESSAGE_BYTES >> 20} MiB.")
        data = file.read(length)
        if len(head) < 4 or len(data) < length:
            raise InputError(f"{path.name} ends in the middle of a message at byte {at}.", "Copy the whole file again.")
        of = of or _sort(data, path)
        message = decoded(of, data)
        yield message.global_ground_truth if of == SENSOR_VIEW else message
    raise InputError(f"{path.name} has more than {LIMIT_MESSAGES} messages.", "Cut it into shorter ones.")


def _sort(data: bytes, path: Path) -> str:
    """Tell GroundTruth from SensorView: by the name, as OSI has it, else by what the first message can be read as."""
    words = path.stem.lower().split("_")
    if "gt" in words or "sv" in words:
        return GROUND_TRUTH if "gt" in words else SENSOR_VIEW
    for of in (GROUND_TRUTH, SENSOR_VIEW):
        try:
            message = decoded(of, data)
        except InputError:
            continue
        truth = message.global_ground_truth if of == SENSOR_VIEW else message
        if truth.moving_object or truth.stationary_object or truth.lane:
            return of
    do = "Traces of GroundTruth and SensorView are read."
    raise InputError(f"The first message of {path.name} is neither, or tells of nobody.", do)
