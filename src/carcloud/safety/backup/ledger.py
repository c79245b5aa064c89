"""The ledger of erasures that lies beside the backups: what a restored zone must erase before it opens.

Rules:
* A line is signed by the zone's signer and names the hash of the line before: none can be changed, added, taken out or
  moved. That lines are missing at the end is told by what a backup's manifest says, and by the line each backup adds.
* Who is named is named by random ids, which join to nobody once the car is erased.
* A line that a crash cut short was never answered for; it is written again.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from carcloud.backends.files import flush
from carcloud.errors import ConflictError, MissingError, TryLaterError
from carcloud.safety.signer import Signature

FILE = "erasures.jsonl"
NOTHING = ""
"""The hash before the first line."""

DO_COPY = "Name another copy of the ledger with --ledger; each folder of backups that the zone knows has one."
Signed = Callable[[bytes, bytes], bool]


@dataclass(frozen=True)
class Line:
    """One line: what it says, as `{"erasure": …}` or `{"backup": …}`, and its hash."""

    number: int
    hash: str
    said: dict[str, Any]


def read(file: Path, signed: Signed) -> list[Line]:
    """Return all lines of a ledger.

    Raises:
        MissingError: there is none. ConflictError: a line was changed, taken out or is not the zone's.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise MissingError(f"There is no ledger of erasures {file}.", DO_COPY) from None
    return _lines(data, file, signed)


def append(file: Path, sayings: Sequence[dict[str, Any]], sign: Callable[[bytes], Signature], signed: Signed) -> None:
    """Add lines, flushed; an erasure that is in the ledger already is not added again.

    Raises:
        ConflictError: the ledger was changed. TryLaterError: it cannot be written, or the signer is away.
    """
    try:
        with file.open("a+b") as sink:
            fcntl.flock(sink, fcntl.LOCK_EX)
            sink.seek(0)
            data = sink.read()
            lines = _lines(data, file, signed)
            sink.truncate(data.rfind(b"\n") + 1)
            known = {line.said["erasure"]["id"] for line in lines if "erasure" in line.said}
            fresh = [said for said in sayings if said.get("erasure", {}).get("id") not in known]
            sink.write(_written(lines[-1] if lines else None, fresh, sign))
            sink.flush()
            os.fsync(sink.fileno())
        flush(file.parent)
    except OSError as error:
        do = "See that the folder of backups is there and has room."
        raise TryLaterError(f"The ledger {file} cannot be written: {error.strerror}.", do) from None


def _written(last: Line | None, sayings: Sequence[dict[str, Any]], sign: Callable[[bytes], Signature]) -> bytes:
    number, head = (last.number, last.hash) if last else (0, NOTHING)
    written = list[bytes]()
    for said in sayings:
        number += 1
        statement = {"number": number, "previous": head, "said": said}
        signature = sign(_canonical(statement))
        line = {"statement": statement, "signature": signature.value.hex(), "key": signature.key_id}
        written.append(orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n")
        head = _hash(written[-1].rstrip(b"\n"))
    return b"".join(written)


def _lines(data: bytes, file: Path, signed: Signed) -> list[Line]:
    found, head = list[Line](), NOTHING
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            read_ = orjson.loads(line)
            statement = read_["statement"]
            good = signed(_canonical(statement), bytes.fromhex(read_["signature"]))
            following = (statement["number"], statement["previous"]) == (number, head)
            said = dict(statement["said"])
        except (ValueError, KeyError, TypeError):
            good, following, said = False, False, {}
        if not good or not following:
            what = "does not follow the line before" if good else "is not one that the zone signed"
            raise ConflictError(f"{file}: line {number} {what}.", DO_COPY)
        head = _hash(line)
        found.append(Line(number, head, said))
    return found


def _canonical(statement: dict[str, Any]) -> bytes:
    return orjson.dumps(statement, option=orjson.OPT_SORT_KEYS)


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
