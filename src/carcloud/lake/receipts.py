"""The receipts that the lake keeps beside its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson


def receipts_of(folder: Path, fault: Callable[[str], None]) -> dict[int, dict[str, Any]]:
    """Return the receipts by chunk; `fault` hears of each line that is none. `folder`: the lake's."""
    return {
        receipt["statement"]["chunk"]: receipt
        for file in sorted((folder / "receipts").glob("*.jsonl"))
        for receipt in _lines(file, fault)
    }


def _lines(file: Path, fault: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield a file's receipts; the line a crash cut short is passed over, since it was written again."""
    for line in file.read_bytes().splitlines():
        try:
            receipt = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if _is_receipt(receipt):
            yield receipt
        else:
            fault(f"{file.name}: holds a line that is no receipt")


def _is_receipt(value: object) -> bool:
    try:
        return isinstance(value["statement"]["chunk"], int) and len(bytes.fromhex(value["signature"])) > 0  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return False
