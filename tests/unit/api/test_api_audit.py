"""The audit log over the API."""

import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from served import Zone

from carcloud.backends.records import Entry
from carcloud.safety.audit.leaf import chunk_leaf
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, WITNESS, Key, Line, cosignature, cosigned, parse_note
from carcloud.safety.audit.tiles import unbundled
from carcloud.safety.audit.tree import leaf_hash, verify_inclusion

SECRET = Ed25519PrivateKey.generate()
PUBLIC = SECRET.public_key().public_bytes_raw()
KEY, WITNESS_KEY, STRANGE = Key("carcloud/test", LOG, PUBLIC), Key("w", WITNESS, PUBLIC), Key("s", WITNESS, PUBLIC)
BEGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def witnessed(note, *_) -> list[Line]:
    return [
        cosignature(key, 1_790_000_000, SECRET.sign(cosigned(1_790_000_000, note.text)))
        for key in (WITNESS_KEY, STRANGE)
    ]


def receipt(number: int) -> bytes:
    at = (BEGIN + timedelta(seconds=number) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    said = {"chunk": number, "partition": 0, "at_us": at, "root": "aa", "content": "bb", "kept": 3}
    return chunk_leaf({"statement": said, "key": "k"}, "default")


@pytest.fixture
def log(zone: Zone) -> AuditLog:
    """A log with 4 acts, 20 receipts, an act with details and one of another tenant."""
    zone.log_folder.mkdir()
    zone.log_keys = [KEY, WITNESS_KEY]
    log = AuditLog(zone.log_folder, zone.records, SECRET.sign, KEY, witnessed)
    log.recover()
    acts = [Entry("machine", "revokeVehicle", f"vehicle:{n}", at=BEGIN + timedelta(minutes=n)) for n in range(4)]
    zone.records.audit.add(*acts)
    log.write(zone.records.audit.pending(100), [receipt(n) for n in range(1, 21)])
    zone.records.audit.add(
        Entry("person:a", "signIn", "person:a", "denied", {"n": 1}, {"mail": "eva@example.org"}),
        Entry("person:b", "signIn", "person:b", tenant="other"),
    )
    log.write(zone.records.audit.pending(100), [])
    return log


def numbers(api: httpx.Client, **query: object) -> list[int]:
    answer = api.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return [leaf["number"] for leaf in answer.json()["leaves"]]


def test_acts_are_listed_newest_first_in_pages_and_by_their_words(api: httpx.Client, log: AuditLog):
    assert numbers(api) == [24, 3, 2, 1, 0]
    first = api.get("/v1/audit", params={"limit": 2}).json()
    assert [leaf["number"] for leaf in first["leaves"]] == [24, 3]
    assert numbers(api, limit=2, after=first["next"]) == [2, 1]
    assert api.get("/v1/audit", params={"limit": 5}).json()["next"] is None
    assert numbers(api, action="signIn") == [24]
    assert numbers(api, actor="machine", object="vehicle:2") == [2]
    assert numbers(api, outcome="denied") == [24]
    assert numbers(api, since="2026-11-23T12:01:00Z", until="2026-11-23T12:03:00Z") == [2, 1]
    (leaf,) = api.get("/v1/audit", params={"object": "vehicle:1"}).json()["leaves"]
    assert leaf == {
        **{"number": 1, "at": "2026-11-23T12:01:00Z", "tenant": "default", "actor": "machine"},
        **{"action": "revokeVehicle", "object": "vehicle:1", "outcome": "done"},
    }


def test_receipts_of_chunks_are_listed_when_asked_for(api: httpx.Client, log: AuditLog):
    assert numbers(api, action="governChunk", limit=3) == [23, 22, 21]
    assert numbers(api, action="governChunk", after=6) == [5, 4]
    assert numbers(api, object="chunk:7") == [10]
    assert numbers(api, object="chunk:99") == []
    assert numbers(api, action="governChunk", since="2026-11-23T12:00:19Z") == [23, 22]
    assert numbers(api, action="governChunk", until="2026-11-23T12:00:03Z") == [5, 4]
    assert numbers(api, action="governChunk", actor="machine") == []
    assert api.get("/v1/audit", params={"object": "chunk:x"}).status_code == 400


def test_leaf_comes_with_the_proof_that_it_is_in_the_checkpoint(api: httpx.Client, log: AuditLog):
    head = api.get("/v1/audit/checkpoint").json()
    for number in (0, 4, 23, 24):
        leaf = api.get(f"/v1/audit/{number}").json()
        proof = [base64.b64decode(step) for step in leaf["proof"]]
        hashed = leaf_hash(base64.b64decode(leaf["entry_base64"]))
        assert leaf["checkpoint"] == {"size": head["size"], "root": head["root"]}
        assert verify_inclusion(number, head["size"], hashed, proof, base64.b64decode(head["root"]))
    assert api.get("/v1/audit/4").json()["facts"]["root"] == "aa"
    assert api.get("/v1/audit/26").status_code == 404
    assert api.get("/v1/audit/-1").status_code == 404
    assert api.get("/v1/audit/x").status_code == 400


def test_details_are_shown_while_they_are_kept_and_who_saw_them_is_noted(api: httpx.Client, zone: Zone, log: AuditLog):
    assert api.get("/v1/audit/0").json()["details_were"] == "none"
    leaf = api.get("/v1/audit/24").json()
    assert (leaf["details"], leaf["details_were"]) == ({"mail": "eva@example.org"}, "kept")
    (noted,) = zone.records.audit.pending(10)
    assert (noted.actor, noted.action, noted.object) == ("token:machine", "readAudit", "leaf:24")
    zone.records.audit.erase_details([24])
    leaf = api.get("/v1/audit/24").json()
    assert (leaf["details"], leaf["details_were"]) == (None, "erased")
    assert len(zone.records.audit.pending(10)) == 1


def test_another_tenants_acts_are_not_there(api: httpx.Client, log: AuditLog):
    assert 25 not in numbers(api)
    assert api.get("/v1/audit/25").status_code == 404


def test_checkpoint_is_shown_with_its_signers_and_as_the_note_itself(api: httpx.Client, log: AuditLog):
    shown = api.get("/v1/audit/checkpoint").json()
    assert (shown["origin"], shown["size"]) == ("carcloud/test", 26)
    assert [(one["name"], one["kind"], one["good"]) for one in shown["signatures"]] == [
        ("carcloud/test", "log", True),
        ("w", "witness", True),
        ("s", "unknown", None),
    ]
    assert shown["signatures"][1]["at"] == "2026-09-21T14:13:20Z"
    assert 0 <= shown["age_s"] < 600
    answer = api.get("/v1/audit/checkpoint", headers={"accept": "text/plain"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == shown["text"]
    assert parse_note(answer.content).of(KEY)


def test_tiles_are_files_for_whoever_follows_the_log(api: httpx.Client, log: AuditLog):
    answer = api.get("/v1/audit/tile/0/000.p/26")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    bundle = api.get("/v1/audit/tile/entries/000.p/26").content
    assert b"".join(leaf_hash(entry) for _, entry in unbundled(bundle)) == answer.content
    for path in ("0/001", "64/000", "0/000.p/0", "..%2fcheckpoint", "..%2f..%2frecords.db", "0//000"):
        assert api.get(f"/v1/audit/tile/{path}").status_code == 404


def test_before_the_log_begins_that_is_said(api: httpx.Client, stranger: httpx.Client):
    assert api.get("/v1/audit/checkpoint").status_code == 404
    assert api.get("/v1/audit/0").status_code == 404
    assert numbers(api) == []
    assert stranger.get("/v1/audit").status_code == 401
