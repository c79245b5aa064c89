"""The audit log: what was done, by whom, with proofs, and the log's own files for whoever watches it from outside."""

import base64
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time, from_us, now
from carcloud.backends.records import Entry
from carcloud.backends.records.audit import Leaf as Indexed
from carcloud.backends.records.audit import Wanted
from carcloud.errors import MissingError
from carcloud.safety.audit.leaf import GOVERN_CHUNK, GOVERNOR, read_leaf
from carcloud.safety.audit.note import WITNESS, cosigned_at
from carcloud.safety.audit.reader import ENTRIES, chunk_leaves, parsed_chunk

LIMIT_PAGE = 1000
LIMIT_NUMBER = 2**63 - 1
NOTE_TYPE = "text/plain; charset=utf-8"
FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}


class Leaf(BaseModel):
    """One act: `number` is its place in the log."""

    number: int
    at: Time
    tenant: str
    actor: str = Field(description="person:ID, token:ID, vehicle:ID, process:NAME, or machine")
    action: str
    object: str
    outcome: str = Field(description="allowed, denied, done or failed")


class LeafPage(BaseModel):
    """Acts, the newest first; ask again with `after=next` until `next` is null."""

    leaves: list[Leaf]
    next: int | None


class Head(BaseModel):
    """What a checkpoint says of the log: how many leaves, and their root in base64."""

    size: int
    root: str


class LeafDetail(Leaf):
    """An act with all that the log and the records hold of it, and the proof that it is in the checkpoint."""

    facts: dict[str, Any]
    details: dict[str, Any] | None = Field(description="What only a salted hash of is in the log; null: none is kept")
    details_were: Literal["none", "kept", "erased"]
    entry_base64: str = Field(description="The leaf's bytes, as hashed")
    proof: list[str] = Field(description="Hashes in base64, from the leaf up, as RFC 6962 has them")
    checkpoint: Head


class Signature(BaseModel):
    """Who signed a checkpoint; `good` is null where the key is not known. `at`: when a witness did."""

    name: str
    key: str = Field(description="The key's id, 8 hexadecimal digits")
    kind: Literal["log", "witness", "unknown"]
    good: bool | None
    at: Time | None


class Checkpoint(Head):
    """The newest checkpoint. `text` is the signed note itself: keep it elsewhere."""

    origin: str
    at: Time
    age_s: float
    signatures: list[Signature]
    text: str


routes = APIRouter(tags=["audit"], responses=RESPONSES)
Reader = Annotated[Caller, Depends(allowed("readAudit"))]


@routes.get("/v1/audit")
def leaves(
    ports: Wired,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=LIMIT_PAGE)] = 100,
    after: Annotated[
        int | None, Query(ge=0, le=LIMIT_NUMBER, description="Only leaves before this one: `next` of the last page")
    ] = None,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,  # noqa: A002
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> LeafPage:
    """List acts, the newest first. Receipts of chunks are listed for `action=governChunk` or `object=chunk:NUMBER`."""
    wanted = Wanted(caller.tenant, actor, action, object, outcome, _aware(since), _aware(until))
    if action == GOVERN_CHUNK or (object or "").startswith("chunk:"):
        found = list(islice(_receipts(ports, wanted, after), limit + 1))
    else:
        found = ports.records.audit.leaves(wanted, limit + 1, after)
    page = found[:limit]
    more = len(found) > limit
    return LeafPage(leaves=[Leaf(**vars(leaf)) for leaf in page], next=page[-1].number if more else None)


@routes.get("/v1/audit/checkpoint", responses={200: {"content": {"text/plain": {}}}}, response_model=Checkpoint)
def checkpoint(ports: Wired, request: Request, _: Reader) -> Response | Checkpoint:
    """Show the newest checkpoint and who signed it; to `Accept: text/plain`, return the signed note alone."""
    shown = ports.log.newest()
    text = bytes(shown.note).decode()
    if request.headers.get("accept", "").startswith("text/plain"):
        return Response(text, media_type=NOTE_TYPE)
    known = {(key.name, key.id): key for key in ports.log.signers()}
    signatures = []
    for line in shown.note.lines:
        key = known.get((line.name, line.id))
        witness = key is not None and key.kind == WITNESS
        signatures.append(
            Signature(
                name=line.name,
                key=line.id.hex(),
                kind="unknown" if key is None else "witness" if witness else "log",
                good=None if key is None else shown.good(key),
                at=from_us(cosigned_at(line.signature) * 1_000_000) if witness else None,
            )
        )
    return Checkpoint(
        origin=shown.checkpoint.origin,
        size=shown.checkpoint.size,
        root=_text(shown.checkpoint.root),
        at=shown.at,
        age_s=max(0.0, (now() - shown.at).total_seconds()),
        signatures=signatures,
        text=text,
    )


@routes.get(
    "/v1/audit/tile/{path:path}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def tile(ports: Wired, caller: Reader, path: str) -> Response:
    """Return a file of the log as c2sp.org/tlog-tiles names it; leaves of all only to the tenant that runs the zone."""
    if path.startswith(ENTRIES) and caller.tenant != ports.log.tenant:
        raise MissingError("The audit log has no such tile for this tenant.", "Ask for leaves one by one.")
    return Response(ports.log.tile(path), media_type="application/octet-stream", headers=FOR_EVER)


@routes.get("/v1/audit/{number}")
def leaf(ports: Wired, caller: Reader, number: int) -> LeafDetail:
    """Show one act with its proof; who saw its details is noted in the log."""
    proven = ports.log.leaf(number)
    said = read_leaf(proven.entry)
    if said["tenant"] != caller.tenant:
        raise MissingError(f"The audit log has no leaf {number} for this tenant.", "List those there are.")
    kept = ports.records.audit.details(number)
    if kept is not None:
        ports.records.audit.add(Entry(caller.id, "readAudit", f"leaf:{number}", tenant=caller.tenant))
    words = {name: said[name] for name in Leaf.model_fields if name != "number"}
    return LeafDetail(
        number=number,
        **words,
        facts=said["facts"],
        details=None if kept is None else orjson.loads(kept.text),
        details_were="none" if "details" not in said else "erased" if kept is None else "kept",
        entry_base64=_text(proven.entry),
        proof=[_text(step) for step in proven.proof],
        checkpoint=Head(size=proven.checkpoint.size, root=_text(proven.checkpoint.root)),
    )


def _receipts(ports: Ports, wanted: Wanted, after: int | None) -> Iterable[Indexed]:
    """Yield the leaves of receipts, as acts; those are the zone's own, and each by the governor."""
    chunk = parsed_chunk(wanted.object) if wanted.object else None
    others = wanted.actor not in (None, GOVERNOR) or wanted.outcome not in (None, "done")
    if others or wanted.action not in (None, GOVERN_CHUNK) or wanted.tenant != ports.log.tenant:
        return
    at = partial(_at, ports)
    for number in chunk_leaves(ports.records.audit.runs(), after, chunk, wanted.until, at):
        said = read_leaf(ports.log.entries([number])[0])
        if wanted.since is not None and at(number) < wanted.since:
            return  # all further ones are older
        words = {name: said[name] for name in ("tenant", "actor", "action", "object", "outcome")}
        yield Indexed(number=number, at=at(number), **words)


def _at(ports: Ports, number: int) -> datetime:
    return datetime.fromisoformat(read_leaf(ports.log.entries([number])[0])["at"])


def _aware(at: datetime | None) -> datetime | None:
    return at if at is None or at.tzinfo else at.replace(tzinfo=now().tzinfo)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
