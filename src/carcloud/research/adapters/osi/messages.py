"""The messages of ASAM OSI, from their published descriptors.

Source: ASAM OSI 3.8.0, osi_groundtruth, osi_sensorview, osi_object, osi_lane, osi_mapasamopendrive; the descriptors are
those that the package betterosi brings.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from carcloud.errors import InputError

VERSION = (3, 8, 0)
GROUND_TRUTH, SENSOR_VIEW, MAP = "osi3.GroundTruth", "osi3.SensorView", "osi3.MapAsamOpenDrive"
LIMIT_MESSAGE_BYTES = 32 << 20
LIMIT_PARTS = 200_000
"""Fields on a message's first level. Ten thousand road users on long roads are far below."""


@cache
def descriptors() -> bytes:
    """Return the serialised FileDescriptorSet of all of OSI, without its comments."""
    package = find_spec("betterosi")
    assert package is not None
    assert package.submodule_search_locations
    version = ".".join(map(str, VERSION))
    file = Path(package.submodule_search_locations[0]) / f"generated/{version}/osi3_descriptor_set.pb"
    files = descriptor_pb2.FileDescriptorSet.FromString(file.read_bytes())
    for each in files.file:
        each.ClearField("source_code_info")
    return bytes(files.SerializeToString())


@cache
def _pool() -> Any:
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


@cache
def message_class(name: str) -> Any:
    """Return the class of a message, such as osi3.GroundTruth."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def enum_value(name: str, value: str) -> int:
    """Return the number of an enum's value, such as osi3.MovingObject.Type and TYPE_VEHICLE."""
    return int(_pool().FindEnumTypeByName(name).values_by_name[value].number)


def enum_name(name: str, value: int) -> str:
    """Return the word of an enum's value; of several, the first; empty for one that is not known."""
    found = _pool().FindEnumTypeByName(name).values_by_number.get(value)
    return str(found.name) if found is not None else ""


def decoded(name: str, data: bytes) -> Any:
    """Return a message from its bytes.

    Raises:
        InputError: they are not such a message, or one too large.
    """
    do = f"Give messages of {name.removeprefix('osi3.')}, as ASAM OSI 3 defines them."
    if len(data) > LIMIT_MESSAGE_BYTES or _parts(data) > LIMIT_PARTS:
        most = f"{LIMIT_MESSAGE_BYTES >> 20} MiB and {LIMIT_PARTS} parts"
        raise InputError(f"A message of {name} has more than {most}.", "Cut it into smaller ones.")
    message = message_class(name)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise InputError(f"{len(data)} bytes are no message of {name}.", do) from None
    return message


def _parts(data: bytes) -> int:
    """Count the fields of a message's first level, as far as they can be read; a short message may hold no flood."""
    if len(data) < 2 * LIMIT_PARTS:
        return 0
    at = count = 0
    while at < len(data) and count <= LIMIT_PARTS:
        key, at = _varint(data, at)
        length, at = _varint(data, at) if key & 7 in (0, 2) else (0, at)
        at += {0: 0, 1: 8, 2: length, 5: 4}.get(key & 7, len(data))
        count += 1
    return count


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            break
    return value, at
