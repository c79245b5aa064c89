"""Checking the whole log: signatures, tiles, leaves, kept checkpoints, and that records and lake tell the same.

Rules:
* Every leaf is hashed and compared with its tile, every tile with the one above, and all with the signed root: what was
  changed is named by leaf, file and byte.
* A log may be checked while it grows: what is newer than the checkpoint that was read first is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carcloud.backends.records.audit import Audit, Leaf, Run
from carcloud.errors import CarcloudError, ConflictError, InputError
from carcloud.safety.audit.leaf import bound, chunk_of, indexed, read_leaf, statement_hash
from carcloud.safety.audit.note import LOG, Checkpoint, Key, Note, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import ENTRIES, WIDTH, Tiles, levels, tile_path, unbundled, width_of
from carcloud.safety.audit.tree import HASH_BYTES, leaf_hash, root, root_of

SHOWN_FAULTS = 50


@dataclass
class Verdict:
    """What was found. `chunks`: of each chunk's receipt leaf, root and statement's hash; `missed`: said to be gone.

    `restores`: of each restore of the zone its leaf, and from which backup it came.
    """

    checkpoint: Checkpoint | None = None
    faults: list[str] = field(default_factory=list)
    chunks: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    missed: list[range] = field(default_factory=list)
    restores: list[tuple[int, str]] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note something wrong."""
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(text)


def verify_log(
    folder: Path,
    log: Key,
    witnesses: Sequence[Key] = (),
    kept: Mapping[str, bytes] | None = None,
    seen: Callable[[int, list[bytes]], None] = lambda *_: None,
) -> Verdict:
    """Check a log's folder against the keys of log and witnesses, and against kept checkpoints by their names.

    `seen(start, entries)` hears of every bundle of good leaves. Raise InputError where a kept checkpoint is none.
    """
    verdict = Verdict()
    try:
        note = parse_note((folder / "checkpoint").read_bytes())
        found = verdict.checkpoint = parse_checkpoint(note.text)
    except (OSError, InputError) as error:
        verdict.fault(f"checkpoint: cannot be read: {error}")
        return verdict
    _signed(note, found, "checkpoint", [log, *witnesses], verdict)
    tiles = Tiles(folder)
    for index in range(-(-found.size // WIDTH)):
        if entries := _bundle(tiles, index, found.size, verdict):
            seen(index * WIDTH, entries)
    for level in levels(found.size)[1:]:
        _level(tiles, level, found.size, verdict)
    given = _root(tiles, found.size, found.size)
    if given is None:
        verdict.fault("checkpoint: its root cannot be checked, since tiles are gone")
    elif given != found.root:
        verdict.fault(f"checkpoint: the tiles do not give the root that is signed over {found.size} leaves")
    _kept(tiles, found, log, kept or {}, verdict)
    return verdict


class IndexCheck:
    """Compares the records' index with the log, bundle by bundle: give `take` to `verify_log`, then ask `faults`."""

    def __init__(self, audit: Audit) -> None:
        self._audit, self._known = audit, audit.size()
        self._found: list[str] = []
        self._late: list[tuple[int, list[bytes]]] = []
        self._runs: list[Run] = []

    def take(self, start: int, entries: list[bytes]) -> None:
        """Compare one bundle; what was written a moment ago is compared in the end."""
        if start + len(entries) > self._known:
            self._late.append((start, entries))
        else:
            self._compare(start, entries)

    def faults(self, size: int) -> list[str]:
        """Return what is wrong with the index of a log of this size, once the log's process has settled."""
        for start, entries in self._late:
            self._compare(start, entries)
        mine = set(self._runs)
        theirs = {Run(run.number, run.chunk, min(run.count, size - run.number)) for run in self._audit.runs()}
        wrong = sorted((run.number, run.chunk) for run in mine ^ {run for run in theirs if run.count > 0})
        if wrong:
            self._found.append(f"leaf {wrong[0][0]}: log and index do not tell of the same chunks from there on")
        return self._found[:SHOWN_FAULTS]

    def _compare(self, start: int, entries: list[bytes]) -> None:
        acts, runs = indexed(start, entries)
        theirs = {leaf.number: leaf for leaf in self._audit.index(start, start + len(entries))}
        self._found += _act_faults({leaf.number: leaf for leaf in acts}, theirs)
        for one in self._audit.details_within(start, start + len(entries)):
            if read_leaf(entries[one.number - start]).get("details") != bound(one.salt, one.text):
                self._found.append(f"leaf {one.number}: its details in the records are not those it has the hash of")
        for run in runs:
            last = self._runs[-1] if self._runs else Run(0, 0, 0)
            if last.count and (last.number + last.count, last.chunk + last.count) == (run.number, run.chunk):
                self._runs[-1] = Run(last.number, last.chunk, last.count + run.count)
            else:
                self._runs.append(run)


def lake_faults(receipts: Mapping[int, Mapping[str, Any]], verdict: Verdict) -> Iterator[str]:
    """Yield each receipt of the lake that is not in the log as it is, and each of the log that is not in the lake."""
    newest = max(verdict.chunks, default=0)
    for chunk, receipt in sorted(receipts.items()):
        if chunk not in verdict.chunks:
            if chunk < newest and not any(chunk in missed for missed in verdict.missed):
                yield f"chunk {chunk}: its receipt is in the lake and not in the audit log"
            continue
        number, root_there, said = verdict.chunks[chunk]
        if said != statement_hash(receipt["statement"]):
            what = "root" if root_there != receipt["statement"].get("root") else "statement"
            yield f"chunk {chunk}: its receipt has another {what} than leaf {number}"
    last = max(receipts, default=0)
    for chunk, (number, _, _) in sorted(verdict.chunks.items()):
        if chunk < last and chunk not in receipts:
            yield f"leaf {number}: the receipt of chunk {chunk} is in the audit log and not in the lake"


def _bundle(tiles: Tiles, index: int, size: int, verdict: Verdict) -> list[bytes]:
    """Check one bundle; return its leaves, none where any is no good."""
    width, first = width_of(0, index, size), index * WIDTH
    name, good = tile_path(ENTRIES, index, width), True
    entries = list[tuple[int, bytes]]()
    try:
        for place in unbundled(tiles.read(ENTRIES, index, width)):
            entries.append(place)
    except (ConflictError, ValueError) as error:
        verdict.fault(f"{name}: {error}")
    if len(entries) < width:
        verdict.fault(f"leaves {first + len(entries)} to {first + width - 1}: are not in {name}")
        good = False
    try:
        hashes = tiles.hashes(0, index, width)
    except ConflictError as error:
        verdict.fault(error.message)
        return []
    for within, ((at, entry), told) in enumerate(zip(entries[:width], hashes, strict=False)):
        number = first + within
        if leaf_hash(entry) != told:
            other = f"{tile_path(0, index, width)}, byte {within * HASH_BYTES}"
            verdict.fault(f"leaf {number} ({name}, byte {at}) is not what {other} says")
        good = _leaf(number, entry, verdict) and good
    return [entry for _, entry in entries[:width]] if good else []


def _leaf(number: int, entry: bytes, verdict: Verdict) -> bool:
    try:
        leaf = read_leaf(entry)
    except ConflictError:
        verdict.fault(f"leaf {number}: is no leaf of an audit log")
        return False
    chunk, facts = chunk_of(leaf), leaf["facts"]
    if chunk is not None:
        if chunk in verdict.chunks:
            verdict.fault(f"leaf {number}: repeats the receipt of chunk {chunk} in leaf {verdict.chunks[chunk][0]}")
        verdict.chunks[chunk] = number, str(facts.get("root")), str(facts.get("receipt"))
    elif (leaf["action"], leaf["actor"]) == ("missChunks", "process:audit"):
        verdict.missed.append(range(facts["first"], facts["last"] + 1))
    elif leaf["action"] == "restore":
        verdict.restores.append((number, str(facts.get("backup"))))
    return True


def _level(tiles: Tiles, level: int, size: int, verdict: Verdict) -> None:
    for index in range(-(-(size >> 8 * level) // WIDTH)):
        width = width_of(level, index, size)
        try:
            for within, told in enumerate(tiles.hashes(level, index, width)):
                below = level - 1, index * WIDTH + within
                if root_of(tiles.hashes(*below, WIDTH)) != told:
                    name = tile_path(level, index, width)
                    verdict.fault(f"{name}, byte {within * HASH_BYTES}: is not what {tile_path(*below)} gives")
        except ConflictError as error:
            verdict.fault(error.message)


def _root(tiles: Tiles, part: int, size: int) -> bytes | None:
    try:
        return root(part, tiles.hash_of(size))
    except ConflictError:
        return None


def _signed(note: Note, found: Checkpoint, of: str, keys: Sequence[Key], verdict: Verdict) -> None:
    for key in keys:
        what = "signed by" if key.kind == LOG else "cosigned by the witness"
        try:
            if note.of(key) is None:
                others = ", ".join(f"{line.name}+{line.id.hex()}" for line in note.lines)
                verdict.fault(f"{of}: is not {what} {key.name}+{key.id.hex()}, but by {others}")
        except CarcloudError as error:
            verdict.fault(f"{of}: {error.message}")
        if key.kind == LOG and found.origin != key.name:
            verdict.fault(f"{of}: is of another log, {found.origin}")


def _kept(tiles: Tiles, found: Checkpoint, log: Key, kept: Mapping[str, bytes], verdict: Verdict) -> None:
    good, read = 0, list[tuple[int, str, Checkpoint]]()
    for name, data in kept.items():
        note = parse_note(data)
        one = parse_checkpoint(note.text)
        _signed(note, one, name, [log], verdict)
        read.append((one.size, name, one))
    for size, name, one in sorted(read, key=lambda item: item[:2]):
        if size > found.size:
            gone = f"leaves {found.size} to {size - 1} are gone"
            verdict.fault(f"{name}: had {size} leaves, the log has {found.size}: {gone}{_since(verdict, good)}")
        elif _root(tiles, size, found.size) != one.root:
            what = f"what differs is among leaves {good} to {size - 1}"
            verdict.fault(f"{name}: the log is another history; {what}{_since(verdict, good)}")
        else:
            good = size


def _since(verdict: Verdict, good: int) -> str:
    """Say which restore of the zone may be why, of those behind the last checkpoint that is good."""
    restores = [f"leaf {number} from backup {backup}" for number, backup in verdict.restores if number >= good]
    return f"; the zone was restored: {', '.join(restores)}" if restores else ""


def _act_faults(mine: Mapping[int, Leaf], theirs: Mapping[int, Leaf]) -> Iterator[str]:
    for number in sorted(mine.keys() | theirs.keys()):
        leaf, row = mine.get(number), theirs.get(number)
        if row is None:
            yield f"leaf {number}: is not in the records' index"
        elif leaf is None:
            yield f"leaf {number}: the records' index has an act there that the log has not"
        elif leaf != row:
            words = [name for name, value in vars(leaf).items() if getattr(row, name) != value]
            yield f"leaf {number}: the records' index tells another {', '.join(words)}"
