"""What stands in the lake for rows that expired, so that all others stay provable.

Rules:
* As long as a car has other rows in a chunk, each of its cells that expired is kept: 48 bytes. Once none is left only
  the leaf is kept that the car had in the chunk's tree; once no car has any, only that the chunk is gone.
* 256 chunks in a row share a file, `NUMBER.zst`; chunks of which all is gone stand as runs in `whole.zst`. A file is a
  line of JSON, which names what the file is and the SHA-256 of the rest, and the signer's signature on it; behind it
  stands JSON, packed by zstd.
* They are signed and flushed before a row is deleted.

Source: RFC 8032 (Ed25519); RFC 8878 (zstd).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import zstandard

from carcloud.backends.files import make_folder, write_flushed
from carcloud.lake.tombstones import Sign
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import CELL, Car

CHUNKS_A_FILE = 256
WHOLE = "whole"
OPEN_FILES = 4
LIMIT_UNPACKED_BYTES = 1 << 30


@dataclass
class Gone:
    """What expired of a chunk. `cars`: car → (rows, leaf) where all of it is gone; `cells`: car → its cells."""

    cars: dict[Car, tuple[int, bytes]] = field(default_factory=dict)
    cells: dict[Car, set[bytes]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cars or self.cells)


class Expired:
    """The tombstones of expired rows in one folder.

    Args:
        folder: where they lie; it may be missing.
        signed: tells whether the signer made a signature on tombstones.
        fault: is told of a file that is none, or not signed; it counts as empty then.
    """

    def __init__(self, folder: Path, signed: Verify, fault: Callable[[str], None]) -> None:
        self._folder, self._signed, self._fault = folder, signed, fault
        self._open: dict[int, dict[int, Gone]] = {}
        self._runs: list[tuple[int, int]] | None = None

    def whole(self, chunk: int) -> bool:
        """Tell whether nothing of a chunk is left."""
        at = bisect_right(self.runs(), (chunk, 1 << 62))
        return at > 0 and chunk <= self.runs()[at - 1][1]

    def runs(self) -> list[tuple[int, int]]:
        """Return the chunks of which nothing is left, as (first, last) of chunks in a row, in their order."""
        if self._runs is None:
            said = self._read(WHOLE)
            self._runs = [(int(first), int(last)) for first, last in said or []]
        return self._runs

    def of(self, chunk: int) -> Gone:
        """Return what expired of a chunk that is not whole."""
        return self.file(chunk // CHUNKS_A_FILE).get(chunk) or Gone()

    def file(self, number: int) -> dict[int, Gone]:
        """Return what expired of the chunks that share a file."""
        if number not in self._open:
            while len(self._open) >= OPEN_FILES:
                del self._open[next(iter(self._open))]
            said = self._read(f"{number:012}")
            self._open[number] = {int(chunk): _gone(about) for chunk, about in (said or {}).items()}
        return self._open[number]

    # writing

    def keep(self, number: int, gone: dict[int, Gone], sign: Sign) -> None:
        """Write what expired of the chunks that share a file, flushed; of nothing there is no file.

        Raises:
            TryLaterError: the signer is away, or the disk is full; what stood before stands.
        """
        self._open[number] = gone = {chunk: about for chunk, about in sorted(gone.items()) if about}
        if gone:
            self._write(f"{number:012}", {str(chunk): _said(about) for chunk, about in gone.items()}, sign)
        else:
            self._path(f"{number:012}").unlink(missing_ok=True)

    def keep_whole(self, runs: list[tuple[int, int]], sign: Sign) -> None:
        """Write of which chunks nothing is left, flushed. Raises as `keep`."""
        self._write(WHOLE, runs, sign)
        self._runs = runs

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.zst"

    def _write(self, name: str, said: Any, sign: Sign) -> None:
        body = zstandard.ZstdCompressor(level=6).compress(orjson.dumps(said))
        statement = {"expired": name, "sha256": hashlib.sha256(body).hexdigest()}
        signature = sign(_bytes(statement))
        head = {"statement": statement, "signature": signature.value.hex(), "key": signature.key_id}
        make_folder(self._folder)
        write_flushed(self._path(name), orjson.dumps(head) + b"\n" + body)

    def _read(self, name: str) -> Any:
        path = self._path(name)
        try:
            line, _, body = path.read_bytes().partition(b"\n")
            head = orjson.loads(line)
            statement = head["statement"]
            sound = self._signed(_bytes(statement), bytes.fromhex(head["signature"]))
            if not sound or statement != {"expired": name, "sha256": hashlib.sha256(body).hexdigest()}:
                raise ValueError("not signed")
            return orjson.loads(zstandard.ZstdDecompressor().decompress(body, max_output_size=LIMIT_UNPACKED_BYTES))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, zstandard.ZstdError):
            self._fault(f"{path.name}: holds no tombstones of expired rows that the signer signed")
            return None


def joined_runs(runs: Iterable[tuple[int, int]], empty: Callable[[int], bool]) -> list[tuple[int, int]]:
    """Join runs that touch, or between which only empty chunks lie. `empty`: whether a chunk never had a row."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if found and all(empty(chunk) for chunk in range(found[-1][1] + 1, first)):
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _gone(said: dict[str, Any]) -> Gone:
    cars = {car: (int(rows), bytes.fromhex(leaf)) for car, (rows, leaf) in _by_car(said.get("cars", {}))}
    return Gone(cars, {car: set(_cells(bytes.fromhex(cells))) for car, cells in _by_car(said.get("cells", {}))})


def _said(gone: Gone) -> dict[str, Any]:
    cars = _by_tenant({car: [rows, leaf.hex()] for car, (rows, leaf) in gone.cars.items()})
    cells = _by_tenant({car: b"".join(sorted(found)).hex() for car, found in gone.cells.items()})
    return {name: said for name, said in (("cars", cars), ("cells", cells)) if said}


def _by_tenant(said: Mapping[Car, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (tenant, vehicle), about in said.items():
        found.setdefault(tenant, {})[vehicle] = about
    return found


def _by_car(said: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Car, Any]]:
    return (((tenant, vehicle), about) for tenant, cars in said.items() for vehicle, about in cars.items())


def _cells(packed: bytes) -> Iterator[bytes]:
    if len(packed) % CELL.size:
        raise ValueError("cells of another size")
    return (packed[at : at + CELL.size] for at in range(0, len(packed), CELL.size))


def _bytes(statement: dict[str, str]) -> bytes:
    return orjson.dumps(statement, option=orjson.OPT_SORT_KEYS)
