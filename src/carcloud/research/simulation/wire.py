"""What passes between a simulation and a planner in a process of its own: numbers, and nothing that could run.

Rules:
* A message is 8 bytes, little-endian: the lengths of a JSON header and of what follows it, 4 bytes each. The header
  names the arrays that follow, with their types and shapes, and holds all else.
* Whoever reads bounds what it reads, and takes arrays of three types only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = ("<f8", "|i1", "|b1")
LIMIT_HEADER_BYTES = 4 << 20
LIMIT_BODY_BYTES = 256 << 20


class WireError(Exception):
    """What came is no message."""


def packed(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a message."""
    parts = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    told = {name: [array.dtype.str, list(array.shape)] for name, array in parts.items()}
    header = json.dumps({"facts": facts, "arrays": told}).encode()
    body = b"".join(array.tobytes() for array in parts.values())
    return struct.pack("<II", len(header), len(body)) + header + body


def unpacked(read: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the facts and arrays of the next message; `read` returns exactly as many bytes as it is asked for.

    Raises:
        WireError: it is no message.
    """
    heading, size = struct.unpack("<II", read(8))
    if heading > LIMIT_HEADER_BYTES or size > LIMIT_BODY_BYTES:
        raise WireError("a message is too long")
    try:
        header = json.loads(read(heading))
        told, facts = dict(header["arrays"]), dict(header["facts"])
        body, at, arrays = read(size), 0, {}
        for name, (kind, shape) in told.items():
            if kind not in TYPES:
                raise WireError(f"an array is of type {kind!r}")
            count = int(np.prod([int(n) for n in shape], dtype=np.int64)) if all(int(n) >= 0 for n in shape) else -1
            arrays[str(name)] = np.frombuffer(body, kind, count, at).reshape(shape).copy()
            at += arrays[str(name)].nbytes
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError("a message is broken") from error
    return facts, arrays
