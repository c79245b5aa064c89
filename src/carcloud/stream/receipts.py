"""Receipts: the governor's signed word for what a chunk contains, which anyone can check against the lake later.

Rules:
* A cell is the rows of one car, signal and UTC day of a chunk. It is 48 bytes: the first 8 of the SHA-256 of the
  signal's path, the day since 1970 (i32), how many rows (u32), all big endian, and the SHA-256 of the rows.
* The SHA-256 begins with three secrets or numbers, before the rows: the key of the signal's day, the key of the car's
  name, 16 bytes each, and the chunk's number (u64, big endian). Once one of the keys is deleted, nobody can find a
  cell's rows by trying.
* A row is 17 bytes: time (i64, µs), value (f64; NaN for a text), both little endian, and provenance. A cell's rows are
  sorted by time, those of one moment by value, text and provenance; behind them stand, where the cell has any, its
  texts as a JSON list, null for a number.
* A car's digest is the SHA-256 over its cells in the order of their bytes. So whole cells can leave, and while they
  are remembered the rest stays provable.
* A car's leaf is its tenant, a zero byte, the name its rows bear, a zero byte and its digest. So rows that are moved to
  another tenant are no longer those that were signed.
* The leaves of a chunk's cars, ordered by tenant and name, are those of a Merkle tree; its root stands in the receipt.
  So the lake needs to keep no digest, and one car's rows can leave while the others stay provable.

Source: RFC 6962, section 2.1 (tree hash).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carcloud.safety.audit.tree import leaf_hash, root_of

DAY_US = 86_400_000_000
CELL = struct.Struct(">8siI32s")
Car = tuple[str, str]
"""Tenant, and the name that the car's rows bear."""
_CELL = np.dtype([("name", "V8"), ("day", ">i4"), ("rows", ">u4"), ("digest", "V32")])
_BEGIN = np.dtype([("day", "V16"), ("car", "V16"), ("chunk", ">u8")])
_DAYS = 1 << 33
"""More than there are days in an i32."""
_ROW = np.dtype([("time", "<i8"), ("value", "<f8"), ("provenance", "u1")])


class Keys(Protocol):
    """What knows the secret keys of digests."""

    def car(self, name: str) -> bytes:
        """Return the key of a car's name."""

    def day(self, tenant: str, path: str, day: int) -> bytes:
        """Return the key of a signal's UTC day, of a tenant."""


Opening = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], list[bytes]]
"""Owner, signal and day of cells → what the hash of each begins with."""


def root(rows: pa.RecordBatch, tenants: Mapping[str, Iterable[str]], number: int, keys: Keys) -> bytes:
    """Return the Merkle root over the cars of rows sorted by (vehicle, signal, time), dictionaries in sorted order.

    Args:
        rows: a chunk's.
        tenants: tenant → the names its cars' rows bear; every car of the rows is in it.
        number: the chunk's.
        keys: of the digests.
    """
    tenant_of = {vehicle: tenant for tenant, vehicles in tenants.items() for vehicle in vehicles}
    digests = car_digests(rows, tenant_of, number, keys)
    return root_of([leaf(car, digests[car[1]]) for car in sorted((tenant_of[name], name) for name in digests)])


def leaf(car: Car, digest: bytes) -> bytes:
    """Return the hash of a car's leaf in the tree."""
    tenant, vehicle = car
    return leaf_hash(b"\x00".join((tenant.encode(), vehicle.encode(), digest)))


def car_digests(rows: pa.RecordBatch, tenant_of: Mapping[str, str], number: int, keys: Keys) -> dict[str, bytes]:
    """Return each vehicle's digest. `rows` as the chunk schema, sorted as a chunk is; `tenant_of`: whose a name is."""
    packed = _packed(rows, tenant_of, number, keys)
    return {vehicle: hashlib.sha256(cells).digest() for vehicle, cells in packed}


def car_cells(rows: pa.RecordBatch, tenant_of: Mapping[str, str], number: int, keys: Keys) -> dict[str, list[bytes]]:
    """Return each vehicle's cells. `rows` as the chunk schema, sorted as a chunk is; `tenant_of`: whose a name is."""
    size = CELL.size
    return {
        vehicle: [bytes(packed[at : at + size]) for at in range(0, len(packed), size)]
        for vehicle, packed in _packed(rows, tenant_of, number, keys)
    }


def opening(keys: Keys, paths: list[str], whose: Callable[[int], tuple[Car, int]]) -> Opening:
    """Return what says how the hashes of cells begin. `whose`: owner → the car, and the number of the chunk."""

    def begun(owner: NDArray[Any], signal: NDArray[Any], day: NDArray[Any]) -> list[bytes]:
        codes, of = np.unique(owner, return_inverse=True)
        cars = [whose(code) for code in codes.tolist()]
        tenants = {tenant: at for at, tenant in enumerate(sorted({tenant for (tenant, _), _ in cars}))}
        place = np.array([tenants[tenant] for (tenant, _), _ in cars], np.int64)[of] * len(paths) + signal
        days, day_of = np.unique(day.astype(np.int64) + place * _DAYS, return_inverse=True)
        found, named = np.empty(len(owner), _BEGIN), list(tenants)
        both = [(divmod(at + _DAYS // 2, _DAYS)) for at in days.tolist()]
        known = [keys.day(named[at // len(paths)], paths[at % len(paths)], rest - _DAYS // 2) for at, rest in both]
        found["day"] = np.frombuffer(b"".join(known), "V16")[day_of]
        found["car"] = np.frombuffer(b"".join([keys.car(name) for (_, name), _ in cars]), "V16")[of]
        found["chunk"] = np.array([number for _, number in cars], np.int64)[of]
        packed = found.tobytes()
        return [packed[at : at + _BEGIN.itemsize] for at in range(0, len(packed), _BEGIN.itemsize)]

    return begun


def digest_of(cells: Iterable[bytes]) -> bytes:
    """Return the digest of the car whose cells these are, in any order."""
    return hashlib.sha256(b"".join(sorted(cells))).digest()


def rows_of(cell: bytes) -> int:
    """Return how many rows a cell has."""
    return int(CELL.unpack(cell)[2])


def _packed(
    rows: pa.RecordBatch, tenant_of: Mapping[str, str], number: int, keys: Keys
) -> list[tuple[str, memoryview]]:
    """Return the cells of each vehicle, one behind the other in the order of their bytes."""
    if not rows.num_rows:
        return []
    vehicle, signal = rows["vehicle"], rows["signal"]
    names, paths = vehicle.dictionary.to_pylist(), signal.dictionary.to_pylist()
    owner, cells = packed_cells(
        vehicle.indices.to_numpy(),
        signal.indices.to_numpy(),
        paths,
        rows["time"].cast(pa.int64()).to_numpy(),
        rows["value"].to_numpy(zero_copy_only=False),
        rows["provenance"].to_numpy(),
        rows["text"] if rows["text"].null_count < rows.num_rows else None,
        opening(keys, paths, lambda code: ((tenant_of[names[code]], names[code]), number)),
    )
    first, size = starts(owner), CELL.size
    edges = [*(first * size).tolist(), len(cells)]
    return [(names[car], cells[edges[at] : edges[at + 1]]) for at, car in enumerate(owner[first].tolist())]


def packed_cells(
    owner: NDArray[Any],
    signal: NDArray[Any],
    paths: list[str],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    provenance: NDArray[np.uint8],
    text: pa.Array | None,
    begun: Opening,
) -> tuple[NDArray[Any], memoryview]:
    """Return the owner of each cell, and the cells one behind the other, sorted by owner and then by their bytes.

    Args:
        owner: (rows,) whose row it is: a car, or a car of a chunk. The rows are sorted by (owner, signal, time).
        signal: (rows,) positions in `paths`.
        paths: names of signals.
        time_us, value, provenance: (rows,).
        text: (rows,) where there is any.
        begun: says how the hash of a cell begins.
    """
    order = _order_of_ties(owner, signal, time_us, value, provenance, text)
    rows = np.empty(len(owner), _ROW)
    for name, column in (("time", time_us), ("value", value), ("provenance", provenance)):
        rows[name] = column if order is None else column[order]
    text = text if text is None or order is None else text.take(pa.array(order))
    first = _first_of_cells(owner, signal, time_us)
    names = [hashlib.sha256(path.encode()).digest()[:8] for path in paths]
    cells = np.empty(len(first), _CELL)
    cells["name"] = np.frombuffer(b"".join(names), "V8")[signal[first]]
    cells["day"], cells["rows"] = time_us[first] // DAY_US, np.diff(np.append(first, len(owner)))
    begin = begun(owner[first], signal[first], cells["day"])
    cells["digest"] = np.frombuffer(_hashes(rows, text, [*first.tolist(), len(owner)], begin), "V32")
    of_cell, key = owner[first], cells.view(np.dtype((np.void, CELL.size)))
    by_name = cells["name"].copy().view(">u8")
    sorted_ = np.lexsort((cells["day"].astype(np.int32).view(np.uint32), by_name, of_cell))
    return of_cell[sorted_], memoryview(key[sorted_].tobytes())


def _first_of_cells(owner: NDArray[Any], signal: NDArray[Any], time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first row of each cell."""
    if not len(owner) or time_us.min() // DAY_US == time_us.max() // DAY_US:
        return starts(owner, signal)
    return starts(owner, signal, time_us // DAY_US)


def _hashes(rows: NDArray[Any], text: pa.Array | None, edges: list[int], begin: list[bytes]) -> bytes:
    """Return the SHA-256 of each cell's beginning and rows, one behind the other."""
    said, size, sha256 = rows.view(np.uint8).data, _ROW.itemsize, hashlib.sha256
    if text is None:
        spans = zip(begin, pairwise(edges), strict=True)
        return b"".join([sha256(first + said[start * size : end * size]).digest() for first, (start, end) in spans])
    given = text.is_valid().to_numpy(zero_copy_only=False)
    before, texts = np.concatenate([[0], np.cumsum(given)]), text.drop_null().to_pylist()
    cells = zip(begin, pairwise(edges), pairwise(before[edges].tolist()), strict=True)
    found = []
    for first, (start, end), (from_, to) in cells:
        said_here = first + said[start * size : end * size]
        if from_ < to:
            whole = to - from_ == end - start
            said_here += orjson.dumps(texts[from_:to] if whole else text[start:end].to_pylist())
        found.append(sha256(said_here).digest())
    return b"".join(found)


def _order_of_ties(
    owner: NDArray[Any],
    signal: NDArray[Any],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    provenance: NDArray[np.uint8],
    text: pa.Array | None,
) -> NDArray[np.int64] | None:
    """Return an order in which rows of one owner, signal and moment are sorted, None where there are no two."""
    same = (time_us[1:] == time_us[:-1]) & (signal[1:] == signal[:-1]) & (owner[1:] == owner[:-1])
    if not same.any():
        return None
    edges = np.concatenate([[False], same, [False]])
    tied = np.flatnonzero(edges[1:] | edges[:-1])
    keys = [value.view("i8")[tied], np.cumsum(~edges[:-1])[tied]]  # the last is the first to sort by
    if text is not None:
        keys.insert(0, pc.rank(text, tiebreaker="dense").to_numpy()[tied])
    if (provenance[tied] != provenance[tied[0]]).any():
        keys.insert(0, provenance[tied])
    order = np.arange(len(owner))
    order[tied] = tied[np.lexsort(keys)]
    return order


def starts(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Return the rows at which any of the sorted key columns changes, the first row included."""
    if not len(keys[0]):
        return np.empty(0, np.int64)
    changed = np.zeros(len(keys[0]), bool)
    changed[0] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def statement(fields: dict[str, Any]) -> bytes:
    """Return the bytes that are signed: the receipt's fields as canonical JSON."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
