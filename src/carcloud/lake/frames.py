"""What the API and a query process say to each other: frames of a JSON head and a body of bytes.

| from | head | body |
|---|---|---|
| process, once | `ready` | |
| API | `sql`, `parameters`, `limit`, `form` | |
| process | `wants`: a side table | |
| API | | the side table, an Arrow stream |
| process | `truncated`, `elapsed_s`, `last`: it ends now | the answer in its form |
| process | `code`, `message`, `do`, `last` | |
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

SIZES = struct.Struct("<IQ")
"""Bytes of the head, bytes of the body."""


def frame(head: Mapping[str, Any], body: bytes | memoryview = b"") -> tuple[bytes, bytes | memoryview]:
    """Return the two parts to write."""
    said = json.dumps(head).encode()
    return SIZES.pack(len(said), len(body)) + said, body
