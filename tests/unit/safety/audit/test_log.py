from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.backends.records import Entry, Records
from carcloud.backends.records.audit import FOLD, Wanted
from carcloud.errors import ConflictError, TryLaterError
from carcloud.safety.audit import log as room
from carcloud.safety.audit.leaf import bound, chunk_leaf, chunk_of, read_leaf
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, Key, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.audit.tree import tree_root

SECRET = Ed25519PrivateKey.generate()
KEY = Key("carcloud/local", LOG, SECRET.public_key().public_bytes_raw())


def no_witness(*_: object) -> list[object]:
    return []


class Place:
    """A log's folder and records, opened anew as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.records = folder / "audit", Records.open(f"sqlite:///{folder}/records.db")
        self.folder.mkdir()

    def log(self, sign=SECRET.sign, key: Key = KEY) -> AuditLog:
        opened = AuditLog(self.folder, self.records, sign, key, no_witness)
        opened.recover()
        return opened

    def write(self, log: AuditLog, chunks=()) -> None:
        log.write(self.records.audit.pending(1000), [receipt(number) for number in chunks])

    def entries(self) -> list[bytes]:
        size = parse_checkpoint(parse_note((self.folder / "checkpoint").read_bytes()).text).size
        tiles = Tiles(self.folder)
        return [tiles.entry(number, size) for number in range(size)]

    def said(self) -> list[str]:
        return [read_leaf(entry)["object"] for entry in self.entries()]


def receipt(number: int) -> bytes:
    said = {"chunk": number, "partition": 0, "at_us": 1_790_000_000_000_000, "root": "aa", "content": "bb", "kept": 3}
    return chunk_leaf({"statement": said, "key": "k", "signature": ""}, "default")


def acts(first: int, end: int) -> list[Entry]:
    return [Entry("machine", "revokeVehicle", f"vehicle:{n}", facts={"n": n}) for n in range(first, end)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.records.close()


def test_acts_and_receipts_become_leaves_in_order(place: Place):
    log = place.log()
    place.records.audit.add(*acts(0, 3))
    place.write(log, chunks=[1, 2])
    place.records.audit.add(*acts(3, 4))
    place.write(log)
    assert place.said() == ["vehicle:0", "vehicle:1", "vehicle:2", "chunk:1", "chunk:2", "vehicle:3"]
    assert log.checkpoint.root == tree_root(place.entries())
    assert parse_note((place.folder / "checkpoint").read_bytes()).of(KEY)
    assert place.records.audit.pending(10) == []
    assert place.records.positions()[FOLD, 0] == 2
    assert [leaf.number for leaf in place.records.audit.leaves(Wanted(), 10)] == [5, 2, 1, 0]


def test_leaf_is_canonical_and_holds_only_a_salted_hash_of_details(place: Place):
    log = place.log()
    place.records.audit.add(Entry("person:a", "signIn", "person:a", details={"mail": "eva@example.org"}))
    place.write(log)
    (entry,) = place.entries()
    leaf, kept = read_leaf(entry), place.records.audit.details(0)
    assert orjson.dumps(leaf, option=orjson.OPT_SORT_KEYS) == entry
    assert b"eva" not in entry
    assert kept is not None
    assert leaf["details"] == bound(kept.salt, kept.text)
    assert place.records.audit.erase_details([0]) == 1
    assert place.records.audit.details(0) is None
    assert not list(place.folder.glob("draft*"))


@pytest.mark.parametrize("step", ["append", "sign", "show", "tidy", "settle", "flush"])
def test_failure_at_any_step_loses_nothing_and_doubles_nothing(place: Place, monkeypatch, step: str):
    log = place.log()
    place.records.audit.add(*acts(0, 250))
    place.write(log, chunks=[1])
    place.records.audit.add(*acts(250, 270), Entry("machine", "erase", "person:x", details={"a": 1}))
    before = (place.folder / "checkpoint").read_bytes()

    def failing(*_: object, **__: object) -> None:
        raise TryLaterError("The disk is full.")

    with monkeypatch.context() as broken:
        if step in ("append", "tidy"):
            broken.setattr(Tiles, step, failing)
        elif step == "sign":
            log._sign = failing
        elif step == "show":
            broken.setattr(AuditLog, "_show", failing)
        elif step == "settle":
            broken.setattr(type(place.records.audit), "settle", failing)
        else:
            broken.setattr(room, "flush", failing)
        with pytest.raises(TryLaterError):
            place.write(log, chunks=[2, 3])
    if step in ("append", "sign", "show"):
        assert (place.folder / "checkpoint").read_bytes() == before
    again = place.log()
    place.write(again) if place.records.audit.pending(1) else None
    wanted = [*(f"vehicle:{n}" for n in range(250)), "chunk:1"]
    wanted += [*(f"vehicle:{n}" for n in range(250, 270)), "person:x", "chunk:2", "chunk:3"]
    assert place.said() == wanted
    assert place.records.audit.size() == len(wanted)
    assert place.records.audit.details(271) is not None
    assert place.records.positions()[FOLD, 0] == 3


def test_log_whose_records_are_older_is_indexed_again(place: Place, tmp_path: Path):
    log = place.log()
    place.records.audit.add(*acts(0, 300))
    place.write(log, chunks=range(1, 8))
    place.records.close()
    (tmp_path / "records.db").unlink()
    place.records = Records.open(f"sqlite:///{tmp_path}/records.db")
    place.log()
    assert place.records.audit.size() == 307
    assert len(place.records.audit.index(0, 307)) == 300
    assert place.records.positions()[FOLD, 0] == 7


def test_log_that_lost_its_end_does_not_go_on(place: Place):
    log = place.log()
    place.records.audit.add(*acts(0, 3))
    place.write(log)
    older = (place.folder / "checkpoint").read_bytes()
    place.records.audit.add(*acts(3, 5))
    place.write(log)
    (place.folder / "checkpoint").write_bytes(older)
    with pytest.raises(ConflictError, match="has 3 leaves, the records know of 5"):
        place.log()
    (place.folder / "checkpoint").unlink()
    with pytest.raises(ConflictError, match="lost its checkpoint"):
        place.log()


def test_changed_tile_foreign_key_and_foreign_origin_are_said(place: Place):
    log = place.log()
    place.records.audit.add(*acts(0, 3))
    place.write(log)
    other = Ed25519PrivateKey.generate()
    foreign = Key(KEY.name, LOG, other.public_key().public_bytes_raw())
    with pytest.raises(ConflictError, match="not signed by carcloud/local with this zone's key"):
        place.log(key=foreign)
    with pytest.raises(ConflictError, match="not signed by carcloud/renamed"):
        place.log(key=replace(KEY, name="carcloud/renamed"))
    tile = place.folder / "tile/0/000.p/3"
    tile.write_bytes(bytes(96))
    with pytest.raises(ConflictError, match="do not give its checkpoint's root"):
        place.log()


def test_signer_with_another_key_is_noticed_before_anything_is_shown(place: Place):
    log = place.log(sign=Ed25519PrivateKey.generate().sign)
    place.records.audit.add(*acts(0, 1))
    with pytest.raises(ConflictError, match="another key"):
        place.write(log)
    assert not (place.folder / "checkpoint").exists()
    place.log()
    assert place.said() == ["vehicle:0"]


def test_receipt_says_what_it_is_of():
    leaf = read_leaf(receipt(7))
    assert (chunk_of(leaf), leaf["actor"], leaf["action"]) == (7, "process:governor", "governChunk")
    assert leaf["facts"]["root"] == "aa"
    assert leaf["at"] == "2026-09-21T14:13:20.000000Z"
