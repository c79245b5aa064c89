"""Orders on the wire: five messages between a car and its zone, and the metadata their signatures cover.

Rules:
* A message is deterministic: there is one way to write it, and anything else is refused.
* The decoder believes nothing: sizes are bounded, fields stand once, in the order of their tags, and none is left over.
* Metadata are never sent: each side writes them itself from what it knows, so that they cannot be exchanged.
* Orders and results are canonical JSON, so that the same content is the same bytes everywhere.

Source: docs/orders.md; RFC 8785 (canonical JSON). The scheme of metadata is the one Tesla publishes for its cars:
github.com/teslamotors/vehicle-command, pkg/protocol/protocol.md.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

MAGIC = b"CCO1"
LIMIT_MESSAGE_BYTES = 8 * 1024
LIMIT_BODY_BYTES = 1024
LIMIT_CERTIFICATE_BYTES = 2048
EPOCH_BYTES = CHALLENGE_BYTES = ORDER_BYTES = TAG_BYTES = 16
NONCE_BYTES = 12
POINT_BYTES = 65
SIGNATURE_BYTES = 64
HASH_BYTES = 17
U32_MAX = 2**32 - 1
_U32, _FIELD = struct.Struct(">I"), struct.Struct(">BH")


class Tag(IntEnum):
    """What a value of the metadata means."""

    SIGNATURE_TYPE = 0
    DOMAIN = 1
    PERSONALISATION = 2
    EPOCH = 3
    EXPIRES_AT = 4
    COUNTER = 5
    CHALLENGE = 6
    FLAGS = 7
    REQUEST_HASH = 8
    FAULT = 9
    ROLE = 16
    ORDER = 17


class SignatureType(IntEnum):
    """What a tag was made for; one made for one purpose is worthless for another."""

    AES_GCM = 5
    HMAC = 6
    AES_GCM_RESPONSE = 9


class Fault(IntEnum):
    """Why a car did not take a message. It is a hint without proof: nothing may rest on it but a new session."""

    NONE = 0
    SESSION = 1
    EPOCH = 2
    SEAL = 3
    COUNTER = 4
    ROLE = 5
    EXPIRED = 6
    DOCUMENT = 7


def u8(value: int) -> bytes:
    """Return one byte."""
    return bytes([value])


def u32(value: int) -> bytes:
    """Return four bytes, big endian."""
    return _U32.pack(value)


def metadata(items: Mapping[int, bytes]) -> bytes:
    """Return metadata in their one form: tag, length, value, in the order of the tags, and 0xFF at the end."""
    parts = [u8(tag) + u8(len(value)) + value for tag, value in sorted(items.items())]
    return b"".join(parts) + b"\xff"


def canonical(value: Any) -> bytes:
    """Return JSON in its one form: keys sorted, no blanks, numbers as JavaScript writes them. Raise ValueError."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def read_canonical(text: bytes, limit_bytes: int = LIMIT_BODY_BYTES) -> dict[str, Any]:
    """Read a JSON object written in its one form. Raise OrderError where it is none, or written otherwise."""
    try:
        value = json.loads(text) if len(text) <= limit_bytes else None
        if isinstance(value, dict) and canonical(value) == text:
            return value
    except (ValueError, RecursionError):
        pass
    raise OrderError("this is no canonical JSON object")


class OrderError(Exception):
    """Bytes that are no message of orders."""


def _bytes(tag: int, size: int, most: int = 0) -> Any:
    return dataclasses.field(metadata={"tag": tag, "sizes": range(size, (most or size) + 1), "kind": bytes})


def _number(tag: int, size: int) -> Any:
    return dataclasses.field(metadata={"tag": tag, "sizes": range(size, size + 1), "kind": int})


def _text(tag: int) -> Any:
    return dataclasses.field(metadata={"tag": tag, "sizes": range(1, 17), "kind": str})


@dataclass(frozen=True)
class Message:
    """A message: its fields stand in the class in the order of their tags."""

    KIND: ClassVar[int]

    def encode(self) -> bytes:
        """Return the message as bytes. Raise ValueError where a field is out of bounds."""
        parts = [MAGIC, u8(self.KIND)]
        for field in dataclasses.fields(self):
            value = _to_bytes(getattr(self, field.name), field.metadata["sizes"])
            parts.append(_FIELD.pack(field.metadata["tag"], len(value)) + value)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message of this kind. Raise OrderError where it is none."""
        if len(data) > LIMIT_MESSAGE_BYTES or data[:5] != MAGIC + u8(cls.KIND):
            raise OrderError("another kind of message, or none")
        values, at = {}, 5
        for field in dataclasses.fields(cls):
            if len(data) < at + _FIELD.size:
                raise OrderError("a field is missing")
            tag, size = _FIELD.unpack_from(data, at)
            at += _FIELD.size
            if tag != field.metadata["tag"] or size not in field.metadata["sizes"] or len(data) < at + size:
                raise OrderError(f"{field.name} is wrong")
            values[field.name] = _from_bytes(data[at : at + size], field.metadata["kind"], field.name)
            at += size
        if at != len(data):
            raise OrderError("there is something behind the message")
        return cls(**values)


def _to_bytes(value: object, sizes: range) -> bytes:
    if isinstance(value, int):
        data = value.to_bytes(sizes[0], "big") if 0 <= value < 256 ** sizes[0] else b""
    else:
        data = value.encode("ascii") if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
    if len(data) not in sizes:
        raise ValueError("a field of the message is out of bounds")
    return data


def _from_bytes(data: bytes, kind: type, name: str) -> object:
    if kind is int:
        return int.from_bytes(data, "big")
    if kind is str:
        if not (data.isascii() and data.decode("ascii").isalpha() and data.islower()):
            raise OrderError(f"{name} is no name")
        return data.decode("ascii")
    return data


@dataclass(frozen=True)
class SessionRequest(Message):
    """Zone to car: who wants to order, and a challenge. `certificate` and `authority` are DER."""

    KIND = 1
    domain: int = _number(1, 1)
    role: str = _text(2)
    challenge: bytes = _bytes(3, CHALLENGE_BYTES)
    certificate: bytes = _bytes(4, 64, LIMIT_CERTIFICATE_BYTES)
    authority: bytes = _bytes(5, 64, LIMIT_CERTIFICATE_BYTES)


@dataclass(frozen=True)
class SessionInfo(Message):
    """Car to zone: where the car's clock and counter stand, and its key, which its certificate's key has signed."""

    KIND = 2
    domain: int = _number(1, 1)
    role: str = _text(2)
    challenge: bytes = _bytes(3, CHALLENGE_BYTES)
    epoch: bytes = _bytes(4, EPOCH_BYTES)
    counter: int = _number(5, 4)
    clock: int = _number(6, 4)
    point: bytes = _bytes(7, POINT_BYTES)
    proof: bytes = _bytes(8, SIGNATURE_BYTES)
    certificate: bytes = _bytes(9, 64, LIMIT_CERTIFICATE_BYTES)
    authority: bytes = _bytes(10, 64, LIMIT_CERTIFICATE_BYTES)
    tag: bytes = _bytes(11, 32)

    @property
    def signed(self) -> bytes:
        """Return the bytes the tag covers, beside the metadata: the message without its tag."""
        return self.encode()[: -_FIELD.size - 32]


@dataclass(frozen=True)
class SignedOrder(Message):
    """Zone to car: an order, sealed under the session's key."""

    KIND = 3
    domain: int = _number(1, 1)
    role: str = _text(2)
    order: bytes = _bytes(3, ORDER_BYTES)
    epoch: bytes = _bytes(4, EPOCH_BYTES)
    counter: int = _number(5, 4)
    expires_at: int = _number(6, 4)
    flags: int = _number(7, 4)
    nonce: bytes = _bytes(8, NONCE_BYTES)
    sealed: bytes = _bytes(9, 2, LIMIT_BODY_BYTES)
    tag: bytes = _bytes(10, TAG_BYTES)

    @property
    def request_hash(self) -> bytes:
        """Return what binds a result to this very message."""
        return u8(SignatureType.AES_GCM) + self.tag

    def covered(self, vehicle: str) -> bytes:
        """Return the metadata that the seal covers."""
        items: dict[int, bytes] = {
            Tag.SIGNATURE_TYPE: u8(SignatureType.AES_GCM),
            Tag.DOMAIN: u8(self.domain),
            Tag.PERSONALISATION: vehicle.encode(),
            Tag.EPOCH: self.epoch,
            Tag.EXPIRES_AT: u32(self.expires_at),
            Tag.COUNTER: u32(self.counter),
            Tag.ROLE: self.role.encode(),
            Tag.ORDER: self.order,
        }
        return metadata(items | ({Tag.FLAGS: u32(self.flags)} if self.flags else {}))


@dataclass(frozen=True)
class Result(Message):
    """Car to zone: what became of an order, sealed and bound to the message that gave it.

    counter: 1, 2 … within the results of one message.
    """

    KIND = 4
    domain: int = _number(1, 1)
    role: str = _text(2)
    order: bytes = _bytes(3, ORDER_BYTES)
    counter: int = _number(4, 4)
    flags: int = _number(5, 4)
    fault: int = _number(6, 4)
    request_hash: bytes = _bytes(7, HASH_BYTES)
    nonce: bytes = _bytes(8, NONCE_BYTES)
    sealed: bytes = _bytes(9, 2, LIMIT_BODY_BYTES)
    tag: bytes = _bytes(10, TAG_BYTES)

    def covered(self, vehicle: str) -> bytes:
        """Return the metadata that the seal covers."""
        return metadata(
            {
                Tag.SIGNATURE_TYPE: u8(SignatureType.AES_GCM_RESPONSE),
                Tag.DOMAIN: u8(self.domain),
                Tag.PERSONALISATION: vehicle.encode(),
                Tag.COUNTER: u32(self.counter),
                Tag.FLAGS: u32(self.flags),
                Tag.REQUEST_HASH: self.request_hash,
                Tag.FAULT: u32(self.fault),
                Tag.ROLE: self.role.encode(),
                Tag.ORDER: self.order,
            }
        )


@dataclass(frozen=True)
class Refused(Message):
    """Car to zone, without proof: the car could not take a message; `challenge` is the request's, or the order's id."""

    KIND = 5
    domain: int = _number(1, 1)
    role: str = _text(2)
    challenge: bytes = _bytes(3, CHALLENGE_BYTES)
    fault: int = _number(4, 4)


KINDS: dict[int, type[Message]] = {
    kind.KIND: kind for kind in (SessionRequest, SessionInfo, SignedOrder, Result, Refused)
}


def read(data: bytes) -> Message:
    """Read a message of any kind. Raise OrderError where it is none."""
    kind = KINDS.get(data[4]) if len(data) > 4 else None
    if kind is None:
        raise OrderError("no message of orders")
    return kind.decode(data)
