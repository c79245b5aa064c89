"""The forms of an answer: JSON, and an Arrow stream."""

import base64
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from carcloud.errors import InputError
from carcloud.lake.query import Answer


def as_arrow(answer: Answer) -> memoryview:
    """Return the answer as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.table.schema) as writer:
        writer.write_table(answer.table)
    return memoryview(sink.getvalue())


def as_json(answer: Answer) -> bytes:
    """Return the answer as JSON. Times are RFC 3339, bytes Base64, intervals seconds; NaN and infinity are null."""
    columns = [{"name": field.name, "type": str(field.type)} for field in answer.table.schema]
    values = [[_plain(value) for value in column.to_pylist()] for column in answer.table.columns]
    rows = list(zip(*values, strict=True))
    body = {"columns": columns, "rows": rows, "truncated": answer.truncated, "elapsed_s": round(answer.elapsed_s, 6)}
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise InputError("A value of this answer does not fit into JSON.", "Cast it, or ask for Arrow.") from error


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return str(value)
