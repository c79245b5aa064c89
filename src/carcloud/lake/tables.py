"""The tables a query can name, and their columns. Light: whoever asks needs no query engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from carcloud.lake.rows import SCHEMA

SIGNALS = pa.schema(
    [
        ("path", pa.string()),
        ("type", pa.string()),
        ("unit", pa.string()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("kind", pa.string()),
        ("description", pa.string()),
    ]
)
VEHICLES = pa.schema([("vehicle", pa.string()), ("state", pa.string()), ("enrolled_at", pa.timestamp("us", "UTC"))])
TABLES = {"samples": SCHEMA.remove(SCHEMA.get_field_index("tenant")), "signals": SIGNALS, "vehicles": VEHICLES}

Rows = Callable[[], Sequence[Mapping[str, Any]] | pa.Table]
TenantRows = Callable[[str], Sequence[Mapping[str, Any]]]


def table(name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    """Return rows as the table of this name; a table as it is."""
    if isinstance(rows, pa.Table):
        return rows
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[name])
