"""The tables a query can name, and their columns. Light: whoever asks needs no query engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

TIMES = pa.schema(
    [
        ("vehicle", pa.string()),
        ("scope", pa.int32()),
        ("since", pa.timestamp("us", "UTC")),
        ("until", pa.timestamp("us", "UTC")),
    ]
)
SCOPES = pa.schema(
    [
        ("scope", pa.int32()),
        ("signal", pa.string()),
        ("step", pa.float64()),
        ("whole", pa.bool_()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)

Rows = Callable[[], Sequence[Mapping[str, Any]] | pa.Table]
TenantRows = Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Share:
    """What of the samples somebody reaches: when which car in which scope, and each scope's signals.

    Times of one car do not overlap, so a sample is in one of them or in none.
    """

    times: pa.Table
    scopes: pa.Table


def table(name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    """Return rows as the table of this name; a table as it is."""
    if isinstance(rows, pa.Table):
        return rows
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[name])
