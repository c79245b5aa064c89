"""One query process: `python -m carcloud.lake.worker PATH LIMITS TENANT RECORDED`. `LakeWorkers` starts it and says
what to ask.

- It knows the table's folder and nothing else of the zone: no records, no keys, no address.
- Its database is locked to one tenant's folder. When another tenant asks it is closed, and one for that tenant opened:
  nothing that one tenant's statement left in the engine is there for the next.
- The kernel bounds its memory (Linux): what is too much fails inside the query, however large a single value is.
- A process that has grown says so with its answer and ends: a fresh one is smaller than what an engine keeps.
- It ends when nobody can ask any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from carcloud.backends.delta import Reader
from carcloud.backends.imports import leave_out_pandas
from carcloud.errors import CarcloudError, InputError
from carcloud.lake.errors import too_large
from carcloud.lake.forms import as_arrow, as_json
from carcloud.lake.frames import SIZES, frame
from carcloud.lake.query import Answer, LakeQuery, folder_of
from carcloud.lake.recorded import Shown, unpacked
from carcloud.lake.settings import LIMIT_ANSWER_BYTES, QueryLimits
from carcloud.lake.tables import Share

if sys.platform == "linux":
    import resource

NICENESS = 5
"""Queries give way to what comes in."""

HEADROOM_BYTES = 512 << 20
"""Beside what the engine may use: for the answer, as a table and in its form."""

GROWN_BYTES = 256 << 20
FORMS: Mapping[str, Callable[[Answer], bytes | memoryview]] = {"arrow": as_arrow, "json": as_json}


def serve(path: Path, limits: QueryLimits, tenant: str, recorded: Mapping[str, pa.Schema]) -> None:
    """Answer until standard input ends, or the process has grown; the first question is likely this tenant's."""
    query = _opened(path, limits, tenant, recorded)
    with contextlib.suppress(CarcloudError):
        query.run("SELECT 1")  # the first question loads much: let no one wait for it
    idle_bytes = _data_bytes()
    _bound(idle_bytes + limits.memory_bytes + HEADROOM_BYTES)
    _say({"ready": True})
    grown = False
    while not grown and (question := _hear()):
        if question[0]["tenant"] != tenant:
            query.close()
            tenant = question[0]["tenant"]
            query = _opened(path, limits, tenant, recorded)
        head, body = _answered(query, limits, question[0])
        grown = _data_bytes() - idle_bytes > GROWN_BYTES
        _say(head | {"last": grown}, body)


def _opened(path: Path, limits: QueryLimits, tenant: str, recorded: Mapping[str, pa.Schema]) -> LakeQuery:
    files = Reader(path, ("tenant", tenant)).live
    wants = (lambda: _wanted("signals")), (lambda: _wanted("vehicles"))
    return LakeQuery(folder_of(path, tenant), files, *wants, limits, Shown(path.parent, tenant, recorded))


def _answered(
    query: LakeQuery, limits: QueryLimits, question: Mapping[str, Any]
) -> tuple[dict[str, Any], bytes | memoryview]:
    try:
        share = Share(_wanted("times"), _wanted("scopes")) if question["shared"] else None
        found = query.run(question["sql"], question["parameters"], question["limit"], share)
        body = FORMS[question["form"]](found)
        if len(body) > LIMIT_ANSWER_BYTES:
            raise InputError(
                f"The answer is larger than {LIMIT_ANSWER_BYTES >> 20} MiB.",
                "Ask for fewer rows or columns, or use carcloud export.",
            )
    except MemoryError:
        error: CarcloudError = too_large(limits)
    except CarcloudError as refused:
        error = refused
    else:
        return {"truncated": found.truncated, "elapsed_s": found.elapsed_s}, body
    return {"code": error.code, "message": error.message, "do": error.do}, b""


def _wanted(table: str) -> pa.Table:
    _say({"wants": table})
    heard = _hear()
    if heard is None:
        sys.exit()
    return pa.ipc.open_stream(heard[1]).read_all()


def _say(head: Mapping[str, Any], body: bytes | memoryview = b"") -> None:
    sys.stdout.buffer.writelines(frame(head, body))
    sys.stdout.buffer.flush()


def _hear() -> tuple[dict[str, Any], bytes] | None:
    sizes = sys.stdin.buffer.read(SIZES.size)
    if len(sizes) < SIZES.size:
        return None
    head, body = (sys.stdin.buffer.read(size) for size in SIZES.unpack(sizes))
    return json.loads(head), body


def _data_bytes() -> int:
    """Return how much writable memory this process has mapped; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _bound(data_bytes: int) -> None:
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


if __name__ == "__main__":
    leave_out_pandas()
    pa.set_memory_pool(pa.system_memory_pool())  # the other one maps a GiB at once
    os.nice(NICENESS)
    serve(Path(sys.argv[1]), QueryLimits(**json.loads(sys.argv[2])), sys.argv[3], unpacked(sys.argv[4]))
