"""Retention: rows older than the governance's `days` leave the lake, and a tombstone stands for each of their cells.

Rules:
* What has expired is said by `safety.governance.days`: rows go by signal and UTC day.
* File by file: tombstones are signed first, then the file is replaced by one without the rows. What was removed is
  noted in `expired/pass.jsonl` before, so that a crash loses no count and no file that is still to be deleted.
* Then the tombstones are thinned: see thinning.py.
* Files that were replaced are deleted once no query can still be reading them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from carcloud.backends.delta import LiveFile, Table
from carcloud.backends.files import flush, make_folder
from carcloud.errors import ConflictError, TryLaterError
from carcloud.lake.expired import CHUNKS_A_FILE, Expired, Gone
from carcloud.lake.rows import joined, part_of_file
from carcloud.lake.thinning import Thinning
from carcloud.lake.tombstones import Sign, read
from carcloud.lake.windows import DICTIONARIES
from carcloud.safety.governance.days import DaysOf, day_number, expired
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import CELL, Car, Keys, opening, packed_cells

LIMIT_KNOWN_FILES = 100_000


@dataclass(frozen=True)
class Step:
    """One file out of which rows expired: its name, tenant and day, how many, and which files of tombstones say so."""

    file: str
    tenant: str
    day: str
    rows: int
    stones: list[int]


@dataclass(frozen=True)
class Pass:
    """What a pass removed, file by file."""

    steps: list[Step] = field(default_factory=list)

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return what the audit log says of it, by tenant."""
        found = {}
        for tenant in sorted({step.tenant for step in self.steps}):
            mine = [step for step in self.steps if step.tenant == tenant]
            days = sorted({step.day for step in mine})
            rows = sum(step.rows for step in mine)
            found[tenant] = {"rows": rows, "files": len(mine), "days": len(days), "until": days[-1]}
        return found


class Retention:
    """Lets rows expire out of one table; runs where the table is written, and never beside another who replaces files.

    Args:
        folder: the lake's.
        sign: signs tombstones. signed: tells whether the signer made a signature on tombstones.
        receipt_signed: the same of receipts.
        keys: returns those of the digests in receipts.
    """

    def __init__(
        self, folder: Path, sign: Sign, signed: Verify, receipt_signed: Verify, keys: Callable[[], Keys]
    ) -> None:
        self._folder, self._sign, self._signed, self._receipt_signed = folder, sign, signed, receipt_signed
        self._keys = keys
        self._journal = folder / "expired" / "pass.jsonl"
        self._signals: dict[str, frozenset[str]] = {}

    def expire(self, table: Table, days_of: DaysOf, today: int) -> Pass:
        """Remove what has expired on a day; return what was removed, also by a pass before that did not end.

        May be repeated after any failure. Call `finish` once the pass is noted, and the replaced files are deleted.

        Raises:
            TryLaterError: the signer is away, or the disk is full.
            ConflictError: a file or a tombstone is damaged, or the table moved meanwhile.
        """
        stones = Expired(self._folder / "expired", self._signed, _damaged)
        for file in table.live():
            day = day_number(file.partition[-1])
            if gone := expired(self._signals_of(table, file), day, days_of, today):
                self._leave(table, file, gone, stones)
        done = self._noted()
        if done.steps:
            numbers = sorted({number for step in done.steps for number in step.stones})
            erased = read(self._folder / "erased", self._signed, _damaged)
            Thinning(self._folder, erased, self._sign, self._receipt_signed, _damaged).thin(table, stones, numbers)
        return done

    def finish(self) -> None:
        """Begin the next pass anew."""
        self._journal.unlink(missing_ok=True)

    def _signals_of(self, table: Table, file: LiveFile) -> frozenset[str]:
        """Return the signals a file has rows of; a file never changes, so it is looked at once."""
        if file.name not in self._signals:
            if len(self._signals) >= LIMIT_KNOWN_FILES:
                self._signals.clear()
            try:
                self._signals[file.name] = frozenset(table.distinct(file, "signal"))
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _broken(f"{file.name}: {type(error).__name__}") from error
        return self._signals[file.name]

    # removing

    def _leave(self, table: Table, file: LiveFile, gone: frozenset[str], stones: Expired) -> None:
        try:
            rows = table.read(file, DICTIONARIES)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _broken(f"{file.name}: {type(error).__name__}") from error
        leaving = pc.is_in(rows["signal"].cast(pa.string()), pa.array(sorted(gone)))
        going, others = rows.filter(leaving), rows.filter(pc.invert(leaving))
        tenant, day = file.partition
        touched = self._entomb(cells_of(going, tenant, self._keys()), stones)
        self._note(Step(file.name, tenant, day, going.num_rows, touched))
        new = []
        if others.num_rows:
            kept = joined([part_of_file(_renamed(others))])
            new = [table.write(file.partition, kept, Path(file.name).name.rsplit("-", 1)[0])]
        table.replace([file], new)

    def _entomb(self, cells: Mapping[int, Mapping[Car, set[bytes]]], stones: Expired) -> list[int]:
        """Write tombstones of cells by chunk and car beside those that stand; return the files they are in."""
        by_file: dict[int, list[int]] = {}
        for chunk in sorted(cells):
            if not stones.whole(chunk):
                by_file.setdefault(chunk // CHUNKS_A_FILE, []).append(chunk)
        for number, chunks in by_file.items():
            gone = dict(stones.file(number))
            for chunk in chunks:
                before = gone.get(chunk) or Gone()
                both = {car: before.cells.get(car, set()) | new for car, new in cells[chunk].items()}
                gone[chunk] = Gone(before.cars, {**before.cells, **both})
            stones.keep(number, gone, self._sign)
        return sorted(by_file)

    def _note(self, step: Step) -> None:
        try:
            make_folder(self._journal.parent)
            fresh = not self._journal.exists()
            with self._journal.open("ab") as sink:
                sink.write(b"\n" + orjson.dumps(vars(step)))
                sink.flush()
                os.fsync(sink.fileno())
            if fresh:
                flush(self._journal.parent)
        except OSError as error:
            raise TryLaterError(f"The lake cannot write: {error.strerror}.", "Make room on its disk.") from error

    def _noted(self) -> Pass:
        """Return the steps of the pass, a repeated one once; a line that a crash cut short stands for nothing done."""
        steps: dict[str, Step] = {}
        if self._journal.exists():
            for line in filter(None, self._journal.read_bytes().splitlines()):
                try:
                    step = Step(**orjson.loads(line))
                except (orjson.JSONDecodeError, TypeError):
                    continue
                steps[step.file] = step
        return Pass(list(steps.values()))


def cells_of(rows: pa.Table, tenant: str, keys: Keys) -> dict[int, dict[Car, set[bytes]]]:
    """Return the cells of rows of one file: chunk → car → cells."""
    table = joined([part_of_file(rows)]).combine_chunks().to_batches()[0]
    chunk, cars = table["chunk"].to_numpy(), table["vehicle"].dictionary.to_pylist()
    order = np.argsort(chunk, kind="stable")
    place, text = pa.array(order), table["text"]
    owner = chunk[order] * len(cars) + table["vehicle"].indices.to_numpy()[order]
    paths = table["signal"].dictionary.to_pylist()
    of_cell, packed = packed_cells(
        owner,
        table["signal"].indices.to_numpy()[order],
        paths,
        table["time"].cast(pa.int64()).to_numpy()[order],
        table["value"].to_numpy(zero_copy_only=False)[order],
        table["provenance"].indices.to_numpy()[order].astype(np.uint8),
        None if text.null_count == len(text) else text.take(place),
        opening(keys, paths, lambda code: ((tenant, cars[code % len(cars)]), code // len(cars))),
    )
    found: dict[int, dict[Car, set[bytes]]] = {}
    for at, both in enumerate(of_cell.tolist()):
        number, car = divmod(both, len(cars))
        cell = bytes(packed[at * CELL.size : (at + 1) * CELL.size])
        found.setdefault(number, {}).setdefault((tenant, cars[car]), set()).add(cell)
    return found


def _renamed(rows: pa.Table) -> pa.Table:
    """Return rows that name no car and no signal of which they have none."""
    for name in ("vehicle", "signal"):
        again = rows[name].cast(pa.string()).dictionary_encode()
        rows = rows.set_column(rows.schema.names.index(name), name, again)
    return rows


def _damaged(fault: str) -> None:
    raise _broken(fault)


def _broken(reason: str) -> ConflictError:
    do = "Restore the file, then it goes on by itself."
    return ConflictError(f"Expired rows cannot leave the lake: {reason}.", do)
