"""What a leaf of the log says: one act, or one chunk's receipt, as canonical JSON. Pure.

Rules:
* Keys are sorted, nothing is between them: the same act is the same bytes.
* No personal datum is in a leaf, nor a hash of one without salt. Details are bound by SHA-256(salt, details).
* `from` says what became the leaf: `act:ID` of what waited in the records, or `chunk:NUMBER` of the governed stream.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from carcloud.backends.records.audit import Leaf, Pending, Run
from carcloud.errors import ConflictError

SALT_BYTES = 32
GOVERN_CHUNK = "governChunk"
GOVERNOR = "process:governor"
_COPIED = ("root", "content", "catalogue", "policy", "governance", "batches", "in", "kept", "transformed")
_TEXTS = ("at", "tenant", "actor", "action", "object", "outcome", "from")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def act_leaf(act: Pending, salt: bytes) -> bytes:
    """Return the leaf of an act; its details, where it has any, are bound with the salt."""
    said: dict[str, Any] = {name: getattr(act, name) for name in ("tenant", "actor", "action", "object", "outcome")}
    said |= {"at": rfc3339(act.at), "facts": orjson.loads(act.facts), "from": f"act:{act.id}"}
    if act.details is not None:
        said["details"] = bound(salt, act.details)
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def chunk_leaf(receipt: Mapping[str, Any], tenant: str) -> bytes:
    """Return the leaf of a chunk's receipt: the hash of its statement, and of that what one may look for."""
    said = receipt["statement"]
    facts = {name: said[name] for name in _COPIED if name in said}
    facts |= {"receipt": statement_hash(said), "key": receipt["key"], "partition": said["partition"]}
    number = said["chunk"]
    leaf = {
        "at": rfc3339(_EPOCH + timedelta(microseconds=said.get("at_us", 0))),
        "tenant": tenant,
        "actor": GOVERNOR,
        "action": GOVERN_CHUNK,
        "object": f"chunk:{number}",
        "outcome": "done",
        "facts": facts,
        "from": f"chunk:{number}",
    }
    return orjson.dumps(leaf, option=orjson.OPT_SORT_KEYS)


def statement_hash(statement: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a receipt's signature is over, in hexadecimal."""
    return hashlib.sha256(orjson.dumps(statement, option=orjson.OPT_SORT_KEYS)).hexdigest()


def bound(salt: bytes, details: str) -> str:
    """Return what a leaf says of an act's details."""
    return base64.b64encode(hashlib.sha256(salt + details.encode()).digest()).decode()


def rfc3339(at: datetime) -> str:
    """Write a moment, to the microsecond, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_leaf(entry: bytes) -> dict[str, Any]:
    """Read a leaf; raise ConflictError where it is none of ours."""
    try:
        said = orjson.loads(entry)
        if not all(isinstance(said[name], str) for name in _TEXTS) or not isinstance(said["facts"], dict):
            raise TypeError
        datetime.fromisoformat(said["at"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ConflictError("A leaf of the audit log is none.", "Restore the audit folder from a backup.") from None
    leaf: dict[str, Any] = said
    return leaf


def chunk_of(leaf: Mapping[str, Any]) -> int | None:
    """Return the number of the chunk whose receipt a leaf is; None where it is an act's."""
    kind, _, number = leaf["from"].partition(":")
    return int(number) if kind == "chunk" and number.isdecimal() else None


def indexed(start: int, entries: Sequence[bytes]) -> tuple[list[Leaf], list[Run]]:
    """Return how leaves from `start` on are indexed: acts one by one, receipts of chunks as runs."""
    acts: list[Leaf] = []
    numbered: list[tuple[int, int]] = []
    for number, entry in enumerate(entries, start):
        leaf = read_leaf(entry)
        chunk = chunk_of(leaf)
        if chunk is None:
            words = {name: leaf[name] for name in ("tenant", "actor", "action", "object", "outcome")}
            acts.append(Leaf(number=number, at=datetime.fromisoformat(leaf["at"]), **words))
        else:
            numbered.append((number, chunk))
    return acts, list(_runs(numbered))


def _runs(numbered: Iterable[tuple[int, int]]) -> Iterable[Run]:
    run: Run | None = None
    for number, chunk in numbered:
        if run and (number, chunk) == (run.number + run.count, run.chunk + run.count):
            run = Run(run.number, run.chunk, run.count + 1)
        else:
            if run:
                yield run
            run = Run(number, chunk, 1)
    if run:
        yield run
