"""Checks a zone's audit log, with the standard library and `cryptography` only: nothing of carcloud is imported.

    python verify_audit.py AUDIT_FOLDER --log KEY [--witness KEY]... [--since CHECKPOINT]...

AUDIT_FOLDER is a copy of `DATA/audit`, or that folder itself while the zone runs. KEY is `NAME+ID+KEY` as
`carcloud audit keys` prints it, or a file with that line. CHECKPOINT is a file you kept from
`carcloud audit checkpoint`; give all you have. Get keys and kept checkpoints from elsewhere than the log, else they
prove nothing.

It checks that the checkpoint is signed by the log and cosigned by each witness given; that every leaf is what the
tiles say, every tile what those below it say, and all together the checkpoint's root; that the log continues each
kept checkpoint; that leaves are well-formed, and receipts of chunks follow one another. What is wrong is said, one
line each, with the leaf, file and byte. Exit code: 0 good, 1 something is wrong, 2 the check could not begin.

Sources: RFC 6962 (hashes), c2sp.org/tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH, HASH_BYTES, SHOWN = 256, 32, 50
LOG, WITNESS = 1, 4
WORDS = {"at", "tenant", "actor", "action", "object", "outcome", "facts", "from"}

Roots = dict[int, tuple[bytes, bytes]]


class CannotError(Exception):
    """The check cannot begin."""


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of parts put together."""
    return hashlib.sha256(b"".join(parts)).digest()


# keys and signed notes


@dataclass(frozen=True)
class Key:
    """A public key with its name; `kind` is LOG or WITNESS."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Return the id under which it signs."""
        return sha256(self.name.encode(), b"\n", bytes([self.kind]), self.public)[:4]

    def signed(self, text: str, signature: bytes) -> bool:
        """Say whether this key signed the text."""
        said = text.encode()
        if self.kind == WITNESS:
            said, signature = f"cosignature/v1\ntime {stamp(signature)}\n{text}".encode(), signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, said)
        except InvalidSignature:
            return False
        return True


def stamp(signature: bytes) -> int:
    """Return when a witness signed, in seconds since 1970."""
    return int.from_bytes(signature[:8], "big")


def read_key(given: str, kind: int) -> Key:
    """Read `NAME+ID+KEY`, or a file with such a line."""
    text = given
    if Path(given).is_file():
        text = Path(given).read_text("utf-8").strip()
    try:
        name, number, encoded = text.split("+", 2)
        data = base64.b64decode(encoded, validate=True)
        key = Key(name, data[0], data[1:])
        if len(data) != 33 or key.kind != kind or key.id.hex() != number:
            raise ValueError
    except (ValueError, IndexError):
        what = "log" if kind == LOG else "witness"
        raise CannotError(f"{given!r} is no key of a {what}, and no file with one.") from None
    return key


@dataclass(frozen=True)
class Checkpoint:
    """What a signed checkpoint says, and its signatures: (name, id) → signature."""

    text: str
    origin: str
    size: int
    root: bytes
    signatures: dict[tuple[str, bytes], bytes]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's file; raise ValueError where it is none."""
    text, blank, below = path.read_text("utf-8").rpartition("\n\n")
    text += "\n"
    origin, size, root, *_ = [*text.split("\n"), "", ""]
    if not blank or not origin or not re.fullmatch("0|[1-9][0-9]*", size) or len(base64.b64decode(root)) != HASH_BYTES:
        raise ValueError("it is no checkpoint")
    signatures = {}
    for line in below.splitlines():
        match = re.fullmatch("\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)", line)
        if not match:
            raise ValueError(f"{line[:40]!r} is no signature")
        data = base64.b64decode(match[2], validate=True)
        signatures[match[1], data[:4]] = data[4:]
    return Checkpoint(text, origin, int(size), base64.b64decode(root), signatures)


# the tree


class Frontier:
    """The complete subtrees of a tree that grows, as (level, hash), the largest first."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Add the hash of one leaf."""
        level = 0
        while self._parts and self._parts[-1][0] == level:
            leaf = sha256(b"\x01", self._parts.pop()[1], leaf)
            level += 1
        self._parts.append((level, leaf))

    def root(self) -> bytes:
        """Return the root of all that was added."""
        if not self._parts:
            return sha256()
        root = self._parts[-1][1]
        for _, part in self._parts[-2::-1]:
            root = sha256(b"\x01", part, root)
        return root


def tile_name(level: int | str, index: int, width: int) -> str:
    """Return a tile's path."""
    digits = f"{index % 1000:03}"
    while index := index // 1000:
        digits = f"x{index % 1000:03}/{digits}"
    return f"tile/{level}/{digits}" + (f".p/{width}" if width < WIDTH else "")


@dataclass
class Check:
    """One check of a log's folder, and what it has found wrong."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    by_entries: Frontier = field(default_factory=Frontier)
    by_tiles: Frontier = field(default_factory=Frontier)
    complete: bool = True
    differing: list[tuple[int, str]] = field(default_factory=list)
    last_chunk: int | None = None
    missed: tuple[int, int] | None = None

    def fault(self, text: str) -> None:
        """Note something wrong."""
        self.faults.append(text)

    def file(self, level: int | str, index: int, width: int) -> tuple[str, bytes | None]:
        """Return the name and bytes of a tile, or of the full one that has taken its place."""
        for name in (tile_name(level, index, width), tile_name(level, index, WIDTH)):
            path = self.folder / name
            if path.is_file():
                return name, path.read_bytes()
        return tile_name(level, index, width), None

    def entries(self, index: int, width: int) -> list[tuple[int, bytes] | None]:
        """Return a bundle's leaves with the bytes they begin at; None for each that is not there."""
        name, data = self.file("entries", index, width)
        first = index * WIDTH
        if data is None:
            self.fault(f"leaves {first} to {first + width - 1}: {name} is gone")
            return [None] * width
        found: list[tuple[int, bytes] | None] = []
        at = 0
        while at < len(data) and len(found) < width:
            length = int.from_bytes(data[at : at + 2], "big")
            entry = data[at + 2 : at + 2 + length]
            if len(entry) < length or at + 2 > len(data):
                break
            found.append((at, entry))
            at += 2 + length
        if len(found) < width:
            cut = f"{name} is cut short at byte {len(data)}, or wrong from byte {at} on"
            self.fault(f"leaves {first + len(found)} to {first + width - 1}: {cut}")
        elif at < len(data) and name == tile_name("entries", index, width):
            self.fault(f"{name}: has {len(data) - at} bytes behind its last leaf, from byte {at} on")
        return found + [None] * (width - len(found))

    def hashes(self, level: int, index: int, width: int) -> list[bytes | None]:
        """Return a tile's hashes; None for each that is not there."""
        name, data = self.file(level, index, width)
        if data is None or len(data) < width * HASH_BYTES:
            said = "is gone" if data is None else f"is cut short: {len(data)} bytes of {width * HASH_BYTES}"
            self.fault(f"{name}: {said}")
        data = data or b""
        if len(data) > width * HASH_BYTES and name == tile_name(level, index, width):
            self.fault(f"{name}: has bytes behind its last hash, from byte {width * HASH_BYTES} on")
        parts = [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
        return [part if len(part) == HASH_BYTES else None for part in parts]

    def leaves(self, size: int, kept: list[Checkpoint]) -> Roots:
        """Read every leaf and tile; return the roots by leaves and by tiles at each kept checkpoint's size."""
        wanted = {checkpoint.size for checkpoint in kept}
        roots = {0: (sha256(), sha256())}
        uppers: list[bytes] = []
        for index in range(-(-size // WIDTH)):
            width = min(WIDTH, size - index * WIDTH)
            entries, hashes = self.entries(index, width), self.hashes(0, index, width)
            for within, (entry, told) in enumerate(zip(entries, hashes, strict=True)):
                number = index * WIDTH + within
                mine = sha256(b"\x00", entry[1]) if entry else None
                if entry:
                    self.leaf(number, entry[1])
                if mine and told and mine != told:
                    place = f"{tile_name('entries', index, width)}, byte {entry[0] if entry else 0}"
                    other = f"{tile_name(0, index, width)}, byte {within * HASH_BYTES}"
                    self.differing.append((number, f"leaf {number} ({place}) is not what {other} says"))
                if not (mine or told):
                    self.complete = False
                    return roots
                self.by_entries.add(mine or told or b"")
                self.by_tiles.add(told or mine or b"")
                if number + 1 in wanted:
                    roots[number + 1] = self.by_entries.root(), self.by_tiles.root()
            if width == WIDTH:
                part = Frontier()
                for entry, told in zip(entries, hashes, strict=True):
                    part.add(told or sha256(b"\x00", entry[1] if entry else b""))
                uppers.append(part.root())
        self.upper_tiles(uppers)
        return roots

    def upper_tiles(self, hashes: list[bytes]) -> None:
        """Compare the tiles above with what the full ones below give."""
        level = 1
        while hashes:
            above = []
            for index in range(-(-len(hashes) // WIDTH)):
                mine = hashes[index * WIDTH : (index + 1) * WIDTH]
                for within, (one, told) in enumerate(zip(mine, self.hashes(level, index, len(mine)), strict=True)):
                    if told and told != one:
                        name = tile_name(level, index, len(mine))
                        below = tile_name(level - 1, index * WIDTH + within, WIDTH)
                        self.fault(f"{name}, byte {within * HASH_BYTES}: is not what {below} gives")
                if len(mine) == WIDTH:
                    part = Frontier()
                    for one in mine:
                        part.add(one)
                    above.append(part.root())
            hashes, level = above, level + 1

    def leaf(self, number: int, entry: bytes) -> None:
        """Check that a leaf is well-formed, and that receipts of chunks follow one another."""
        try:
            said = json.loads(entry)
            if set(said) - {"details"} != WORDS or not isinstance(said["facts"], dict):
                raise ValueError
        except (ValueError, TypeError):
            self.fault(f"leaf {number}: is no leaf of an audit log")
            return
        if said["action"] == "missChunks" and said["actor"] == "process:audit":
            self.missed = said["facts"]["first"], said["facts"]["last"]
        if not said["from"].startswith("chunk:"):
            return
        chunk, last = int(said["from"][6:]), self.last_chunk
        said_missing = self.missed is not None and self.missed == ((last or 0) + 1, chunk - 1)
        if chunk != (last or 0) + 1 and not said_missing:
            self.fault(f"leaf {number}: the receipt of chunk {chunk} follows that of chunk {last}")
        self.last_chunk = chunk


def check_signatures(check: Check, found: Checkpoint, log: Key, witnesses: list[Key], of: str) -> None:
    """Note which signatures under a checkpoint are missing or false."""
    for key in (log, *witnesses):
        signature = found.signatures.get((key.name, key.id))
        what = "signed by the log" if key.kind == LOG else "cosigned by the witness"
        if signature is None:
            others = ", ".join(f"{name}+{id_.hex()}" for name, id_ in found.signatures) or "nobody"
            check.fault(f"{of}: is not {what} {key.name}+{key.id.hex()}; signed by {others}")
        elif not key.signed(found.text, signature):
            check.fault(f"{of}: the signature of {key.name}+{key.id.hex()} is false")
    if found.origin != log.name:
        check.fault(f"{of}: is of another log, {found.origin}")


def check_kept(
    check: Check, found: Checkpoint, kept: dict[str, Checkpoint], roots: dict[int, tuple[bytes, bytes]]
) -> None:
    """Note which kept checkpoints the log does not continue."""
    good = 0
    for name, one in sorted(kept.items(), key=lambda item: item[1].size):
        if one.size > found.size:
            check.fault(f"{name}: had {one.size} leaves; leaves {found.size} to {one.size - 1} are gone from the log")
        elif one.size == found.size and one.root != found.root:
            check.fault(f"checkpoint: another history than {name}, with as many leaves: from leaf {good} on or later")
        elif one.size not in roots:
            check.fault(f"{name}: cannot be compared, since leaves before it are gone")
        elif one.root not in roots[one.size]:
            check.fault(f"{name}: the log is another history; what differs is among leaves {good} to {one.size - 1}")
        else:
            good = one.size


def verify(
    folder: Path, log: Key, witnesses: list[Key], kept: dict[str, Checkpoint]
) -> tuple[Check, Checkpoint | None]:
    """Check a whole log."""
    check = Check(folder)
    try:
        found = read_checkpoint(folder / "checkpoint")
    except (OSError, ValueError) as error:
        check.fault(f"checkpoint: cannot be read, {error}")
        return check, None
    check_signatures(check, found, log, witnesses, "checkpoint")
    for name, one in kept.items():
        check_signatures(check, one, log, [], name)
    roots = check.leaves(found.size, list(kept.values()))
    by_entries, by_tiles = check.by_entries.root() == found.root, check.by_tiles.root() == found.root
    for _, text in check.differing:
        verdict = "the leaf was changed" if by_tiles else "the tile was changed" if by_entries else "one was changed"
        check.fault(f"{text}: {verdict}")
    if not check.complete:
        check.fault("checkpoint: its root cannot be checked, since leaves and their hashes are gone")
    elif not (by_entries or by_tiles):
        root = base64.b64encode(check.by_entries.root()).decode()
        check.fault(f"checkpoint: the {found.size} leaves give the root {root}, not the one that is signed")
    check_kept(check, found, kept, roots)
    return check, found


def main() -> int:
    """Read the command line, check, and say what was found."""
    parser = argparse.ArgumentParser(description="Check the audit log of a carcloud zone.")
    parser.add_argument("folder", type=Path, help="the log's folder")
    parser.add_argument("--log", required=True, help="the log's key, NAME+ID+KEY, or a file with it")
    parser.add_argument("--witness", action="append", default=[], help="a witness's key; may be given again")
    parser.add_argument("--since", action="append", default=[], help="a checkpoint you kept; may be given again")
    given = parser.parse_args()
    try:
        log, witnesses = read_key(given.log, LOG), [read_key(text, WITNESS) for text in given.witness]
        kept = {}
        for name in given.since:
            try:
                kept[name] = read_checkpoint(Path(name))
            except (OSError, ValueError) as error:
                raise CannotError(f"{name} is no checkpoint: {error}.") from None
    except CannotError as error:
        print(error, file=sys.stderr)
        return 2
    check, found = verify(given.folder, log, witnesses, kept)
    for text in check.faults[:SHOWN]:
        print(text)
    if len(check.faults) > SHOWN:
        print(f"and {len(check.faults) - SHOWN} more")
    if check.faults or found is None:
        print(f"NOT GOOD: {len(check.faults)} faults")
        return 1
    print(f"good: {found.size} leaves of {found.origin}, root {base64.b64encode(found.root).decode()}")
    for key in witnesses:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp(found.signatures[key.name, key.id])))
        print(f"cosigned by {key.name} at {at}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
