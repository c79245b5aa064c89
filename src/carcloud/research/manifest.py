"""The manifest of a recording: what whoever sends it says of it before its first byte. Pure.

Rules:
* The names of its files lead nowhere but below the folder that they are laid into.
* Its files are sent as one stretch of bytes, one after another, in parts of `PART_BYTES`; the last may be shorter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from carcloud.backends.records.recordings import RecordedFile
from carcloud.errors import InputError

PART_BYTES = 8 << 20
LIMIT_FILES = 1_000
LIMIT_NAME = 200
LIMIT_FOLDERS = 8
LIMIT_PARAMETERS = 200
LIMIT_TEXT = 2_000

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """What is said of a recording. `sha256`: of its files one after another, in hexadecimal.

    Args:
        name: what people call it; else the name of its file.
        main: the file or folder to read, where there are several files; empty: the folder of them all.
        mapping, road: names among its files.
        parameters: values for what the recording declares.
        vehicle: the car of the zone that recorded it, or empty.
    """

    files: tuple[RecordedFile, ...]
    sha256: str
    name: str = ""
    format: str = ""
    main: str = ""
    mapping: str = ""
    road: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    purpose: str = ""
    vehicle: str = ""
    licence: str = ""
    place: str = ""
    software_version: str = ""

    @property
    def bytes(self) -> int:
        """Return how large it is."""
        return sum(file.bytes for file in self.files)

    @property
    def title(self) -> str:
        """Return what people call it."""
        return self.name or (self.main or self.files[0].name).rsplit("/", 1)[-1]

    def check(self, limit_bytes: int) -> None:
        """Raise InputError where it says what cannot be."""
        _check_files(self.files, limit_bytes)
        names = {file.name for file in self.files}
        folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
        if self.main and self.main not in names | folders:
            raise InputError(f"main names {self.main[:80]!r}, which is none of its files.", "Send that file as well.")
        for key, name in (("mapping", self.mapping), ("road", self.road)):
            if name and name not in names:
                raise InputError(f"{key} names {name[:80]!r}, which is none of its files.", "Send that file as well.")
        if not SHA256.fullmatch(self.sha256):
            raise InputError("sha256 is none.", "Give 64 hexadecimal digits, of all files one after another.")
        _check_texts(self)


def part_lengths(size: int) -> list[int]:
    """Return how long each part of so many bytes is, the first is number 1."""
    whole, rest = divmod(size, PART_BYTES)
    return [PART_BYTES] * whole + ([rest] if rest else [])


def _check_files(files: Sequence[RecordedFile], limit_bytes: int) -> None:
    if not 1 <= len(files) <= LIMIT_FILES:
        raise InputError(f"A recording has 1 to {LIMIT_FILES} files, not {len(files)}.", "Send it in several.")
    for file in files:
        if not fits(file.name):
            do = f"Name it from its folder on, in at most {LIMIT_NAME} printable characters, with / between folders."
            raise InputError(f"{file.name[:80]!r} is no name of a file.", do)
        if file.bytes < 1:
            raise InputError(f"{file.name} is empty.", "Leave it out.")
    names = [file.name for file in files]
    folders = {name[:at] for name in names for at, sign in enumerate(name) if sign == "/"}
    twice = len(set(names)) < len(names) or not folders.isdisjoint(names)
    if twice:
        raise InputError("Two of its files have one name.", "Rename one.")
    size = sum(file.bytes for file in files)
    if size > limit_bytes:
        do = "Send it in several, or have `research.recording_bytes` raised."
        raise InputError(f"It has {size} bytes; at most {limit_bytes} are taken.", do)


def fits(name: str) -> bool:
    """Tell whether a file's name leads nowhere but below its folder."""
    parts = name.split("/")
    odd = any(part in ("", ".", "..") or part != part.strip() for part in parts)
    return not odd and len(parts) <= LIMIT_FOLDERS and len(name) <= LIMIT_NAME and _plain(name) and "\\" not in name


def _check_texts(said: Manifest) -> None:
    texts = (said.name, said.format, said.purpose, said.vehicle, said.licence, said.place, said.software_version)
    if len(said.parameters) > LIMIT_PARAMETERS:
        raise InputError(f"It has more than {LIMIT_PARAMETERS} parameters.", "Leave some out.")
    for text in (*texts, *said.parameters, *said.parameters.values()):
        if len(text) > LIMIT_TEXT or not _plain(text):
            raise InputError(f"{text[:40]!r} is no plain text of at most {LIMIT_TEXT} characters.", "Shorten it.")
    if len(said.title) > LIMIT_NAME or len(said.format) > 64 or max(len(said.purpose), len(said.vehicle)) > 64:
        raise InputError("A name, format, purpose or vehicle is too long.", f"Use at most {LIMIT_NAME} characters.")


def _plain(text: str) -> bool:
    return text.isprintable()
