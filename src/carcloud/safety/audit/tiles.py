"""The log as files that anyone can read and serve: hashes in tiles of 256, leaves in bundles of 256.

Rules:
* A file is flushed before the next stands on it, and never changes: what grows is written beside, under its new width.
* Writing the same leaves again at the same place gives the same files, so that a crash is mended by doing it again.
* A tile of fewer than 256 is kept until the full one stands and a checkpoint covers it.

Source: c2sp.org/tlog-tiles (paths, widths, bundles).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from carcloud.backends.files import write_all_flushed
from carcloud.errors import ConflictError
from carcloud.safety.audit.tree import HASH_BYTES, HashOf, leaf_hash, root_of

WIDTH = 256
LIMIT_ENTRY_BYTES = 65535
ENTRIES = "entries"
_LENGTH = struct.Struct(">H")


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return a tile's path below the log's folder; `level` is a number, or `entries` for a bundle of leaves."""
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03}")
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/{level}/{'/'.join(parts)}{partial}"


def width_of(level: int, index: int, size: int) -> int:
    """Return how many hashes a tile has in a tree of this size."""
    return max(0, min(WIDTH, (size >> 8 * level) - index * WIDTH))


def levels(size: int) -> range:
    """Return the levels of tiles that a tree of this size has."""
    return range((max(size.bit_length(), 1) + 7) // 8)


def bundled(entries: Sequence[bytes]) -> bytes:
    """Return a bundle: the leaves, each behind its length as u16, big endian."""
    return b"".join(part for entry in entries for part in (_LENGTH.pack(len(entry)), entry))


def unbundled(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each leaf of a bundle begins, and the leaf. Raise ValueError where the bytes end within one."""
    at = 0
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise ValueError(f"the bundle ends within a length, at byte {at}")
        (length,) = _LENGTH.unpack_from(data, at)
        entry = data[at + _LENGTH.size : at + _LENGTH.size + length]
        if len(entry) < length:
            raise ValueError(f"the bundle ends within a leaf, at byte {len(data)} of {at + _LENGTH.size + length}")
        yield at, entry
        at += _LENGTH.size + length


class Tiles:
    """A log's tiles below a folder: read by everyone, written by the log alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, level: int | str, index: int, width: int) -> bytes:
        """Return a tile's bytes; where it has become full since, of the full one. Raise ConflictError where it is gone.

        A full bundle may so be returned for one of fewer leaves: the caller takes the first of them.
        """
        for name in (tile_path(level, index, width), tile_path(level, index)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return (self.folder / name).read_bytes()
        name = tile_path(level, index, width)
        raise ConflictError(f"The audit log has lost {name}.", "Restore the audit folder from a backup.")

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """Return the first hashes of a tile, this many. Raise ConflictError where they are not there."""
        data = self.read(level, index, width)
        if len(data) < width * HASH_BYTES:
            name = tile_path(level, index, width)
            raise ConflictError(f"{name} of the audit log is cut short.", "Restore the audit folder from a backup.")
        return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]

    def entries(self, index: int, width: int) -> list[bytes]:
        """Return the first leaves of a bundle, this many. Raise ConflictError where they are not there."""
        try:
            found = [entry for _, entry in unbundled(self.read(ENTRIES, index, width))][:width]
        except ValueError:
            found = []
        if len(found) < width:
            name = tile_path(ENTRIES, index, width)
            raise ConflictError(f"{name} of the audit log is cut short.", "Restore the audit folder from a backup.")
        return found

    def entry(self, number: int, size: int) -> bytes:
        """Return one leaf of the log of this size."""
        index = number // WIDTH
        return self.entries(index, width_of(0, index, size))[number % WIDTH]

    def hash_of(self, size: int) -> HashOf:
        """Return what gives the hash of any complete subtree of the log of this size."""
        kept: dict[tuple[int, int], list[bytes]] = {}

        def found(level: int, index: int) -> bytes:
            tile, within = divmod(level, 8)
            first = index << within
            place = (tile, first // WIDTH)
            if place not in kept:
                kept[place] = self.hashes(*place, width_of(*place, size))
            at = first % WIDTH
            return root_of(kept[place][at : at + (1 << within)])

        return found

    def append(self, size: int, entries: Sequence[bytes]) -> None:
        """Write leaves behind the first `size`; doing it again changes nothing. Raise TryLaterError without room."""
        files: dict[str, bytes] = {}
        for index, mine in _grouped(size, entries):
            before = self.entries(index, size % WIDTH) if index == size // WIDTH and size % WIDTH else []
            files[tile_path(ENTRIES, index, len(before) + len(mine))] = bundled([*before, *mine])
        hashes, start, level = [leaf_hash(entry) for entry in entries], size, 0
        while hashes:
            above: list[bytes] = []
            for index, mine in _grouped(start, hashes):
                before = self.hashes(level, index, start % WIDTH) if index == start // WIDTH and start % WIDTH else []
                tile = [*before, *mine]
                files[tile_path(level, index, len(tile))] = b"".join(tile)
                if len(tile) == WIDTH:
                    above.append(root_of(tile))
            hashes, start, level = above, start // WIDTH, level + 1
        write_all_flushed({self.folder / name: data for name, data in files.items() if not self._has(name, data)})

    def tidy(self, old: int, new: int) -> None:
        """Remove the partial tiles that became full between these sizes, once a checkpoint covers the newer."""
        for level in levels(new):
            for index in range((old >> 8 * level) // WIDTH, (new >> 8 * level) // WIDTH):
                for kind in (level, ENTRIES) if level == 0 else (level,):
                    folder = (self.folder / tile_path(kind, index, 1)).parent
                    for file in folder.glob("*"):
                        file.unlink()
                    with contextlib.suppress(FileNotFoundError):
                        folder.rmdir()

    def _has(self, name: str, data: bytes) -> bool:
        path = self.folder / name
        return path.exists() and path.read_bytes() == data


def _grouped(start: int, items: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yield the items of each tile they fall into, which begin at position `start`."""
    at = 0
    while at < len(items):
        index, within = divmod(start + at, WIDTH)
        count = WIDTH - within
        yield index, items[at : at + count]
        at += count
