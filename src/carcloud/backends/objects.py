"""Objects: large things that are kept as they came, such as the files of a recording. A port with two backends: files
in the zone's own folder (`objects_files`), and S3 (`objects_s3`).

Rules:
* An object comes in parts, numbered from 1, in any order, each whole or not at all; `join` makes it of them.
* An object is read in pieces: nothing ever has the whole of it in memory.
* A key is words joined by `/`, never a path that leads elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from carcloud.errors import InputError

PIECE_BYTES = 1 << 20
LIMIT_PARTS = 100_000

_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}(/[A-Za-z0-9_-]{1,128}){0,7}")


@dataclass(frozen=True)
class ObjectSettings:
    """Where objects are kept. `url`: `s3://BUCKET` or `s3://BUCKET/PREFIX`; unset, the data folder.

    `endpoint`: of a store that speaks S3 and is not Amazon's, such as `https://s3.example.org`; `region`: as the store
    names it. Its key is read from the environment by the names that S3's own clients use, and from no file of ours.
    """

    url: str = ""
    endpoint: str = ""
    region: str = ""


class Objects(Protocol):
    """Where objects are kept. Every method may raise TryLaterError while the store is away or full."""

    def put_part(self, key: str, number: int, data: bytes) -> None:
        """Keep a part, durably; one of the same number is replaced."""

    def parts(self, key: str) -> dict[int, int]:
        """Return the parts that are there: number → bytes."""

    def join(self, key: str) -> str:
        """Make the object of its parts, one after another by number; return its SHA-256 in hexadecimal.

        The parts stay, so that an interrupted join is repeated.

        Raises:
            MissingError: there is no part.
        """

    def drop_parts(self, key: str) -> None:
        """Delete the parts; the object stays."""

    def size(self, key: str) -> int | None:
        """Return the object's bytes; None where there is none."""

    def read(self, key: str, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes from `begin` to before `end`, in pieces; raise MissingError where there is none."""

    def fetch(self, key: str, begin: int, end: int, path: Path) -> None:
        """Write the object's bytes from `begin` to before `end` to a new file; raise MissingError as `read`."""

    def delete(self, key: str) -> None:
        """Delete the object and its parts; where there are none nothing happens."""

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all objects below `prefix`, those with parts only among them, in order."""


def checked(key: str) -> str:
    """Return a key as it is; raise InputError where it is none."""
    if not _KEY.fullmatch(key):
        raise InputError(f"{key[:64]!r} is no key of an object.", "Join words of letters, digits, _ and - by /.")
    return key


def part_name(key: str, number: int) -> str:
    """Return the name under which a part lies; raise InputError where key or number is none."""
    if not 1 <= number <= LIMIT_PARTS:
        raise InputError(f"{number} is no number of a part.", f"Number them from 1 to {LIMIT_PARTS}.")
    return f"{parts_of(key)}{number:06}"


def parts_of(key: str) -> str:
    """Return what the names of an object's parts begin with."""
    return f"{checked(key)}.parts/"
