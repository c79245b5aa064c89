"""What was done to a log, and what both verifiers say: the zone's own, and the one that shares no code with it."""

import base64
import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.backends.records import Entry, Records
from carcloud.errors import ConflictError
from carcloud.safety.audit.leaf import statement_hash
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, Checkpoint, Key, Line, Note, cosignature, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import Tiles, bundled
from carcloud.safety.audit.tree import tree_root
from carcloud.safety.audit.verify import IndexCheck, lake_faults, verify_log
from carcloud.safety.audit.witness import Witness
from carcloud.safety.audit.witnesses import Witnesses
from tests.unit.safety.audit.test_log import KEY, SECRET, Place, acts, receipt
from tests.unit.safety.audit.test_witness import client

SCRIPT = Path(__file__).parents[4] / "examples/verify_audit.py"
FIRST, SECOND, SIZE = 300, 430, 600


@dataclass
class Made:
    """A log of 600 leaves, two checkpoints that were kept, another history of it, and the witness of the first."""

    place: Place
    other: Path
    kept: dict[int, Path]
    witness: Witness


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("made")
    witness = Witness(folder / "witness", [KEY], "test/witness")
    place, kept = Place(folder), dict[int, Path]()
    log = AuditLog(place.folder, place.records, SECRET.sign, KEY, Witnesses([client(witness)]))
    log.recover()
    place.records.audit.add(*acts(0, 290))
    place.write(log, chunks=range(1, 11))
    kept[FIRST] = folder / "kept-300"
    shutil.copy(place.folder / "checkpoint", kept[FIRST])
    shutil.copytree(place.folder, folder / "fork/audit")
    place.records.audit.add(*acts(290, 420))
    place.write(log)
    kept[SECOND] = folder / "kept-430"
    shutil.copy(place.folder / "checkpoint", kept[SECOND])
    place.records.audit.add(*acts(420, 589), Entry("person:a", "signIn", "person:a", details={"mail": "a@example.org"}))
    place.write(log)
    records = Records.open(f"sqlite:///{folder}/fork/records.db")
    forked = AuditLog(folder / "fork/audit", records, SECRET.sign, KEY, Witnesses([client(witness)]))
    forked.recover()
    records.audit.add(*acts(1000, 1300))
    forked.write(records.audit.pending(1000), [])
    records.close()
    yield Made(place, folder / "fork/audit", kept, witness)
    place.records.close()
    witness.close()


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.place.folder, tmp_path / "audit"))


def alone(made: Made, folder: Path, *kept: int, log: Key = KEY) -> tuple[int, str]:
    """Run the verifier that stands alone."""
    since = [f"--since={made.kept[size]}" for size in kept]
    command = [sys.executable, str(SCRIPT), str(folder), f"--log={log}", f"--witness={made.witness.key}", *since]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={}, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def ours(made: Made, folder: Path, *kept: int, log: Key = KEY) -> str:
    notes = {made.kept[size].name: made.kept[size].read_bytes() for size in kept}
    return "\n".join(verify_log(folder, log, [made.witness.key], notes).faults)


def both(made: Made, folder: Path, said: str, ours_said: str, *kept: int, log: Key = KEY) -> None:
    """Let both verifiers find it, and say which and where."""
    code, text = alone(made, folder, *kept, log=log)
    assert code == 1
    assert said in text
    assert ours_said in ours(made, folder, *kept, log=log)


def test_good_log_is_good(made: Made, copy: Path):
    code, text = alone(made, copy, FIRST, SECOND)
    assert code == 0, text
    assert "good: 600 leaves of carcloud/local" in text
    assert "cosigned by test/witness at 20" in text
    assert ours(made, copy, FIRST, SECOND) == ""


def test_edited_leaf_is_named_with_its_file_and_byte(made: Made, copy: Path):
    file = copy / "tile/entries/000"
    file.write_bytes(file.read_bytes().replace(b'"vehicle:250"', b'"vehicle:999"'))
    at = file.read_bytes().index(b'"vehicle:999"')
    code, text = alone(made, copy)
    assert code == 1
    (line,) = [line for line in text.splitlines() if line.startswith("leaf")]
    assert line.startswith("leaf 250 (tile/entries/000, byte ")
    assert line.endswith("is not what tile/0/000, byte 8000 says: the leaf was changed")
    assert int(line.split("byte ")[1].split(")")[0]) < at
    assert "leaf 250 (tile/entries/000, byte" in ours(made, copy)


def test_edited_tile_is_named(made: Made, copy: Path):
    tile = copy / "tile/0/000"
    data = bytearray(tile.read_bytes())
    data[32 * 7 + 3] ^= 1
    tile.write_bytes(data)
    both(made, copy, "is not what tile/0/000, byte 224 says: the tile was changed", "leaf 7 (tile/entries/000")
    assert "tile/1/000.p/2, byte 0: is not what tile/0/000 gives" in ours(made, copy)


def rewritten(made: Made, folder: Path, number: int, sign: Callable[[bytes], bytes] | None = None) -> None:
    """Change a leaf and all tiles with it, and sign the new root where one can."""
    entries = made.place.entries()
    entries[number] = entries[number].replace(b"vehicle:", b"vehicle:x")
    shutil.rmtree(folder / "tile")
    Tiles(folder).append(0, entries)
    if sign:
        found = Checkpoint(KEY.name, SIZE, tree_root(entries))
        note = Note(found.text(), (Line(KEY.name, KEY.id, sign(found.text().encode())),))
        (folder / "checkpoint").write_bytes(bytes(note))


def test_leaf_edited_with_all_its_tiles_contradicts_the_root_and_kept_checkpoints(made: Made, copy: Path):
    rewritten(made, copy, 350)
    both(made, copy, "checkpoint: the 600 leaves give the root", "do not give the root that is signed over 600 leaves")
    said = "the log is another history; what differs is among leaves 300 to 429"
    both(made, copy, said, said, FIRST, SECOND)


def test_leaf_edited_and_signed_again_with_the_real_key_contradicts_kept_checkpoint_and_witness(made: Made, copy: Path):
    rewritten(made, copy, 250, SECRET.sign)
    both(made, copy, "is not cosigned by the witness test/witness", "is not cosigned by the witness test/witness")
    said = "the log is another history; what differs is among leaves 0 to 299"
    both(made, copy, said, said, FIRST)


def test_dropped_tail_is_named(made: Made, copy: Path):
    (copy / "tile/entries/002.p/88").unlink()
    both(made, copy, "leaves 512 to 599: tile/entries/002.p/88 is gone", "leaves 512 to 599: are not in")


def test_dropped_tail_under_an_older_checkpoint_is_named_by_who_kept_a_newer(made: Made, copy: Path):
    shutil.copy(made.kept[FIRST], copy / "checkpoint")
    assert alone(made, copy, FIRST)[0] == 0
    said = "leaves 300 to 429 are gone"
    both(made, copy, said, said, FIRST, SECOND)


def test_fork_is_named_by_kept_checkpoint_and_missing_witness(made: Made):
    both(made, made.other, "is not cosigned by the witness", "is not cosigned by the witness")
    said = "the log is another history; what differs is among leaves 300 to 429"
    both(made, made.other, said, said, FIRST, SECOND)


def test_fork_is_not_cosigned(made: Made):
    note = parse_note((made.other / "checkpoint").read_bytes())
    with pytest.raises(ConflictError, match="another history"):
        client(made.witness).ask(note, parse_checkpoint(note.text), Tiles(made.other))


def test_swapped_key_is_refused(made: Made, copy: Path):
    thief = Ed25519PrivateKey.generate()
    swapped = Key(KEY.name, LOG, thief.public_key().public_bytes_raw())
    note = parse_note((copy / "checkpoint").read_bytes())
    line = Line(swapped.name, swapped.id, thief.sign(note.text.encode()))
    (copy / "checkpoint").write_bytes(bytes(Note(note.text, (line, *note.lines[1:]))))
    true, false = f"carcloud/local+{KEY.id.hex()}", f"carcloud/local+{swapped.id.hex()}"
    said = f"checkpoint: is not signed by the log {true}; signed by {false}"
    both(made, copy, said, f"is not signed by {true}, but by {false}")


def test_signature_of_another_under_the_known_id_is_false(made: Made, copy: Path):
    note = parse_note((copy / "checkpoint").read_bytes())
    line = Line(KEY.name, KEY.id, Ed25519PrivateKey.generate().sign(note.text.encode()))
    (copy / "checkpoint").write_bytes(bytes(Note(note.text, (line, *note.lines[1:]))))
    both(made, copy, "the signature of carcloud/local", "signature of carcloud/local under the checkpoint is false")


def test_forged_cosignature_is_named(made: Made, copy: Path):
    note, key = parse_note((copy / "checkpoint").read_bytes()), made.witness.key
    forged = cosignature(key, 1_790_000_000, Ed25519PrivateKey.generate().sign(b"x"))
    (copy / "checkpoint").write_bytes(bytes(note.with_lines([forged])))
    both(made, copy, f"the signature of test/witness+{key.id.hex()} is false", "signature of test/witness under")


@pytest.mark.parametrize(
    ("name", "keep", "said", "ours_said"),
    [
        ("tile/0/001", 100, "tile/0/001: is cut short: 100 bytes of 8192", "tile/0/001 of the audit log is cut short"),
        ("tile/1/000.p/2", 63, "tile/1/000.p/2: is cut short: 63 bytes", "tile/1/000.p/2 of the audit log is cut"),
        ("tile/entries/001", 999, "tile/entries/001 is cut short at byte 999", "to 511: are not in tile/entries/001"),
        ("checkpoint", 60, "checkpoint: cannot be read", "checkpoint: cannot be read"),
    ],
)  # fmt: skip
def test_cut_file_is_named(made: Made, copy: Path, name: str, keep: int, said: str, ours_said: str):
    (copy / name).write_bytes((copy / name).read_bytes()[:keep])
    both(made, copy, said, ours_said)


def test_repeated_and_skipped_receipts_are_named(tmp_path: Path, made: Made):
    place = Place(tmp_path)
    log = place.log()
    log.write([], [receipt(1), receipt(3), receipt(3)])
    code, text = alone(made, place.folder)
    assert code == 1
    assert "leaf 1: the receipt of chunk 3 follows that of chunk 1" in text
    assert "leaf 2: the receipt of chunk 3 follows that of chunk 3" in text
    assert "leaf 2: repeats the receipt of chunk 3 in leaf 1" in "\n".join(verify_log(place.folder, KEY).faults)
    place.records.close()


def test_receipts_said_to_be_missed_may_be_missing(tmp_path: Path, made: Made):
    place = Place(tmp_path)
    log = place.log()
    place.records.audit.skip(4, Entry("process:audit", "missChunks", "stream", "failed", facts={"first": 1, "last": 4}))
    place.write(log, chunks=[5])
    text = alone(made, place.folder)[1]
    assert "follows" not in text
    verdict = verify_log(place.folder, KEY)
    assert list(lake_faults({n: {"statement": {}} for n in (1, 2, 4)}, verdict)) == []
    place.records.close()


def test_a_restore_is_named_where_a_kept_checkpoint_is_of_leaves_that_are_gone(tmp_path: Path):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    place, older = Place(tmp_path / "new"), Place(tmp_path / "old")
    before, log = older.log(), place.log()
    older.write(before, chunks=[1, 2, 3])
    kept = (older.folder / "checkpoint").read_bytes()
    facts = {"backup": "2026-11-23T17-30-00Z", "leaves": 0}
    place.records.audit.add(Entry("machine", "restore", "zone", facts=facts))
    place.write(log)
    named = "the zone was restored: leaf 0 from backup 2026-11-23T17-30-00Z"
    (fault,) = verify_log(place.folder, KEY, kept={"kept": kept}).faults
    assert fault.startswith("kept: had 3 leaves, the log has 1: leaves 1 to 2 are gone")
    assert named in fault
    place.write(log, chunks=[4, 5])
    (fault,) = verify_log(place.folder, KEY, kept={"kept": kept}).faults
    assert "another history" in fault
    assert named in fault
    for each in (place, older):
        each.records.close()


def test_what_is_no_leaf_is_named(tmp_path: Path, made: Made):
    (tmp_path / "audit").mkdir()
    Tiles(tmp_path / "audit").append(0, [b"{}", b"\xff"])
    found = Checkpoint(KEY.name, 2, tree_root([b"{}", b"\xff"]))
    note = Note(found.text(), (Line(KEY.name, KEY.id, SECRET.sign(found.text().encode())),))
    (tmp_path / "audit/checkpoint").write_bytes(bytes(note))
    both(made, tmp_path / "audit", "leaf 1: is no leaf", "leaf 0: is no leaf")


def test_verifier_that_stands_alone_says_what_it_cannot_begin_with(made: Made, tmp_path: Path):
    for argument in (f"--log={made.witness.key}", "--log=nothing", f"--log={KEY}\0"[:-1] + "x"):
        command = [sys.executable, str(SCRIPT), str(made.place.folder), argument]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "is no key of a log" in done.stderr
    (tmp_path / "key").write_text(f"{KEY}\n")
    command = [sys.executable, str(SCRIPT), str(made.place.folder), f"--log={tmp_path / 'key'}"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    assert "import carcloud" not in SCRIPT.read_text()
    assert "from carcloud" not in SCRIPT.read_text()


# the records and the lake


def index_faults(made: Made, records: Records) -> list[str]:
    check = IndexCheck(records.audit)
    assert not verify_log(made.place.folder, KEY, seen=check.take).faults
    return check.faults(SIZE)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE audit_leaves SET actor = 'x' WHERE number = 250", "leaf 250: the records' index tells another actor"),
        ("DELETE FROM audit_leaves WHERE number = 40", "leaf 40: is not in the records' index"),
        ("UPDATE audit_leaves SET number = 295 WHERE number = 3", "leaf 295: the records' index has an act there"),
        ("UPDATE audit_details SET details = '{}'", "leaf 599: its details in the records are not"),
        ("UPDATE audit_chunks SET count = count - 1", "leaf 290: log and index do not tell of the same chunks"),
    ],
)  # fmt: skip
def test_row_that_was_changed_is_named_by_its_leaf(made: Made, tmp_path: Path, sql: str, said: str):
    assert index_faults(made, made.place.records) == []
    with contextlib.closing(sqlite3.connect(made.place.folder.parent / "records.db")) as db:
        db.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])
    records = Records.open(f"sqlite:///{tmp_path}/copy.db")
    with records.transaction(writing=True) as changing:
        changing.exec_driver_sql(sql)
    assert said in "\n".join(index_faults(made, records))
    records.close()


def test_lake_and_log_have_the_same_receipts(made: Made):
    verdict = verify_log(made.place.folder, KEY)
    said = {"partition": 0, "at_us": 1_790_000_000_000_000, "root": "aa", "content": "bb", "kept": 3}
    lake = {n: {"statement": said | {"chunk": n}} for n in range(1, 13)}
    assert verdict.chunks[4][2] == statement_hash(lake[4]["statement"])
    assert list(lake_faults(lake, verdict)) == []
    changed = {**lake, 4: {"statement": lake[4]["statement"] | {"root": "cc"}}}
    assert list(lake_faults(changed, verdict)) == ["chunk 4: its receipt has another root than leaf 293"]
    gone = {n: one for n, one in lake.items() if n != 7}
    assert list(lake_faults(gone, verdict)) == [
        "leaf 296: the receipt of chunk 7 is in the audit log and not in the lake"
    ]
    del verdict.chunks[5]
    assert list(lake_faults(lake, verdict)) == ["chunk 5: its receipt is in the lake and not in the audit log"]
    assert base64.b64encode(bundled([b"a"])) == b"AAFh"
