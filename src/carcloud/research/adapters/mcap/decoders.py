"""Decoders: bytes of a message to something with named parts, by what its channel says it is.

Rules:
* Nothing of a file is run: definitions are read as data. JSON, protobuf by the descriptors in the file, and ROS 2 CDR
  by message definitions; the messages of OSI by the published descriptors.
* A definition by which a short message could stand for any number of empty parts is refused.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from mcap.exceptions import McapError
from mcap.records import Schema
from mcap_ros2._vendor.rosidl_adapter.parser import InvalidSpecification, InvalidValue
from mcap_ros2.decoder import DecoderFactory

from carcloud.errors import InputError
from carcloud.research.adapters.mcap.container import Channel
from carcloud.research.adapters.osi.messages import LIMIT_MESSAGE_BYTES, decoded

LIMIT_DEFINITION_BYTES = 4 << 20
LIMIT_FILES = 1000
_EMPTY_ARRAY = re.compile(rb"\[\s*0+\s*\]")
OSI = "osi3."

Decoder = Callable[[bytes], Any]
_WRONG = (
    McapError,
    InvalidSpecification,
    InvalidValue,
    DecodeError,
    struct.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    MemoryError,
)


def decoder_for(channel: Channel) -> Decoder | None:
    """Return what decodes a channel's messages; None where nothing here does.

    Raises:
        InputError: its definition cannot be read.
    """
    if len(channel.definition) > LIMIT_DEFINITION_BYTES:
        raise InputError(
            f"The definition of {channel.topic!r} is too large.", f"At most {LIMIT_DEFINITION_BYTES} bytes."
        )
    try:
        found = _decoder(channel)
    except _WRONG as error:
        what = f"The definition of {channel.topic!r} ({channel.schema}) cannot be read: {_reason(error)}."
        raise InputError(what, "Record it again with its message definitions.") from None
    return None if found is None else _guarded(found, channel)


def _decoder(channel: Channel) -> Decoder | None:
    if channel.encoding == "json":
        return orjson.loads
    if channel.encoding == "protobuf":
        return (lambda data: decoded(channel.schema, data)) if channel.schema.startswith(OSI) else _protobuf(channel)
    if channel.encoding == "cdr" and channel.schema_encoding == "ros2msg":
        if _EMPTY_ARRAY.search(channel.definition):
            raise ValueError("it has an array of no elements")
        schema = Schema(id=1, name=channel.schema, encoding=channel.schema_encoding, data=channel.definition)
        return DecoderFactory().decoder_for(channel.encoding, schema)
    return None


def _protobuf(channel: Channel) -> Decoder:
    files = descriptor_pb2.FileDescriptorSet.FromString(channel.definition)
    if len(files.file) > LIMIT_FILES:
        raise ValueError(f"it has more than {LIMIT_FILES} files")
    pool = descriptor_pool.DescriptorPool()
    for file in _in_order(list(files.file)):
        pool.Add(file)
    class_ = message_factory.GetMessageClass(pool.FindMessageTypeByName(channel.schema))
    return class_.FromString


def _in_order(files: list[Any]) -> list[Any]:
    """Return files so that what each needs comes before it."""
    left, done, order = {file.name: file for file in files}, set[str](), list[Any]()
    while left:
        ready = [file for file in left.values() if all(one in done or one not in left for one in file.dependency)]
        if not ready:
            raise ValueError("its files need one another in a circle")
        for file in ready:
            done.add(file.name)
            order.append(left.pop(file.name))
    return order


def _guarded(decode: Decoder, channel: Channel) -> Decoder:
    def guarded(data: bytes) -> Any:
        if len(data) > LIMIT_MESSAGE_BYTES:
            what = f"A message of {channel.topic!r} has {len(data)} bytes."
            raise InputError(what, f"At most {LIMIT_MESSAGE_BYTES >> 20} MiB may be.")
        try:
            return decode(data)
        except _WRONG as error:
            what = f"A message of {channel.topic!r} is no {channel.schema or channel.encoding}: {_reason(error)}."
            raise InputError(what, "Check that the file is whole, and what recorded it.") from None

    return guarded


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
