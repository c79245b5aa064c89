"""The receipts that the lake keeps beside its rows."""

from __future__ import annotations

from bisect import bisect_left
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


class Receipts:
    """The receipts of some chunks, found in the files that may hold them, and read one by one. `folder`: the lake's."""

    def __init__(self, folder: Path, chunks: set[int]) -> None:
        self._places: dict[int, tuple[Path, int]] = {}
        known = ((_first(file), file) for file in (folder / "receipts").glob("*.jsonl"))
        firsts, wanted = sorted((first, file) for first, file in known if first is not None), sorted(chunks)
        for at, (first, file) in enumerate(firsts):
            after = firsts[at + 1][0] if at + 1 < len(firsts) else None
            low = bisect_left(wanted, first)
            if low < len(wanted) and (after is None or wanted[low] <= after):
                self._look(file, chunks)

    def get(self, chunk: int) -> dict[str, Any] | None:
        """Return a chunk's receipt, None where none was found."""
        if chunk not in self._places:
            return None
        file, place = self._places[chunk]
        with file.open("rb") as lines:
            lines.seek(place)
            receipt: dict[str, Any] = orjson.loads(lines.readline())
        return receipt

    def _look(self, file: Path, chunks: set[int]) -> None:
        place = 0
        with file.open("rb") as lines:
            for line in lines:
                if (number := _chunk(line)) is not None and number in chunks:
                    self._places[number] = file, place
                place += len(line)


def _first(file: Path) -> int | None:
    """Return the first chunk that a file has a receipt of."""
    with file.open("rb") as lines:
        return next((number for line in lines if (number := _chunk(line)) is not None), None)


def _chunk(line: bytes) -> int | None:
    """Return the chunk whose receipt a line is, None where it is none."""
    try:
        receipt = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return int(receipt["statement"]["chunk"]) if _is_receipt(receipt) else None


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
