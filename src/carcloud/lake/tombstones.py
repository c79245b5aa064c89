"""Tombstones: what stands in the lake for rows that were erased, so that all others stay provable.

Rules:
* A tombstone names a tenant, a car, as its rows did, and a chunk, and keeps the leaf that the rows had in the chunk's
  Merkle tree. With it and the other cars' rows the root is the one the governor signed: nothing else can have changed.
* The signer signs them, some thousand at once; they are flushed before a row is deleted.

Source: RFC 6962, section 2.1 (tree hash).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from carcloud.backends.files import flush
from carcloud.errors import TryLaterError
from carcloud.safety.signer import Signature
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import Car

ENTRIES_A_STATEMENT = 4000
Sign = Callable[[bytes], Signature]


@dataclass(frozen=True)
class Tombstone:
    """One car's rows of one chunk: how many they were, and the hash of their leaf, 32 bytes."""

    chunk: int
    car: Car
    rows: int
    leaf: bytes


def written(folder: Path, erasure: str) -> bool:
    """Tell whether the tombstones of an erasure stand."""
    return _file(folder, erasure).exists()


def counted(folder: Path, erasure: str) -> tuple[int, int]:
    """Return how many chunks and rows an erasure's tombstones stand for."""
    lines = _file(folder, erasure).read_bytes().splitlines()
    entries = [entry for line in lines for entry in orjson.loads(line)["statement"]["chunks"]]
    return len({chunk for chunk, _, _ in entries}), sum(rows for _, rows, _ in entries)


def write(folder: Path, erasure: str, stones: Iterable[Tombstone], sign: Sign) -> None:
    """Write the tombstones of one erasure, of all names of its car, flushed.

    Raises:
        TryLaterError: the signer is away, or the disk is full; nothing counts as written.
    """
    file, lines = _file(folder, erasure), list[bytes]()
    by_car: dict[Car, list[Any]] = {}
    for stone in stones:
        by_car.setdefault(stone.car, []).append([stone.chunk, stone.rows, stone.leaf.hex()])
    for (tenant, name), every in sorted(by_car.items()):
        for entries in _groups(every, ENTRIES_A_STATEMENT):
            said = {"erasure": erasure, "tenant": tenant, "vehicle": name, "chunks": entries}
            signature = sign(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))
            lines.append(orjson.dumps({"statement": said, "signature": signature.value.hex(), "key": signature.key_id}))
    draft = file.with_suffix(".new")
    try:
        folder.mkdir(exist_ok=True)
        with draft.open("wb") as sink:
            sink.write(b"".join(line + b"\n" for line in lines))
            sink.flush()
            os.fsync(sink.fileno())
        draft.replace(file)
        flush(folder)
    except OSError as error:
        raise TryLaterError(f"The lake cannot write: {error.strerror}.", "Make room on its disk.") from error


def read(folder: Path, signed: Verify, fault: Callable[[str], None]) -> dict[int, dict[Car, Tombstone]]:
    """Return all tombstones: chunk → car → tombstone. What is none, or not signed, is told to `fault`."""
    found: dict[int, dict[Car, Tombstone]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                for stone in _stones(orjson.loads(line), signed):
                    found.setdefault(stone.chunk, {})[stone.car] = stone
            except (ValueError, KeyError, TypeError):
                fault(f"{file.name}: line {number} holds no tombstones the signer signed")
    return found


def _file(folder: Path, erasure: str) -> Path:
    return folder / f"{erasure}.jsonl"


def _stones(line: Any, signed: Verify) -> Iterator[Tombstone]:
    said = line["statement"]
    if not signed(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), bytes.fromhex(line["signature"])):
        raise ValueError("not signed")
    for chunk, rows, leaf in said["chunks"]:
        yield Tombstone(int(chunk), (str(said["tenant"]), str(said["vehicle"])), int(rows), bytes.fromhex(leaf))


def _groups(items: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
