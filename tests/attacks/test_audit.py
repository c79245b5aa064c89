"""Attacks on what was written down: the audit log of a running zone, by someone with its folder, then with its key."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.assembly.log_keys import log_key, witness_keys
from carcloud.backends.records import Records
from carcloud.errors import ConflictError
from carcloud.safety.audit.note import LOG, Checkpoint, Key, Line, Note, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.audit.tree import tree_root
from carcloud.safety.audit.verify import IndexCheck, verify_log
from carcloud.safety.audit.witnesses import built_in
from carcloud.settings import Settings
from tests.attacks.conftest import enrolled
from tests.zone import ROOT, RunningZone, carcloud, until

SCRIPT = ROOT / "examples/verify_audit.py"


def size_of(folder: Path) -> int:
    return parse_checkpoint(parse_note((folder / "checkpoint").read_bytes()).text).size


def grown(zone: RunningZone) -> None:
    """Have a car enrolled, and wait until that is in the log."""
    before = size_of(zone.folder.audit)
    enrolled(zone)
    until(lambda: size_of(zone.folder.audit) > before, "the act did not come into the log")


def entries(folder: Path) -> list[bytes]:
    tiles, size = Tiles(folder), size_of(folder)
    return [tiles.entry(number, size) for number in range(size)]


def verified(zone: RunningZone, folder: Path, *kept: Path, key: Key | None = None) -> tuple[int, str]:
    """Run the verifier that shares no code with the zone."""
    witness = str(witness_keys(zone.folder, Settings())[0])
    command = [
        sys.executable,
        str(SCRIPT),
        str(folder),
        "--log",
        str(key or log_key(zone.folder)),
        "--witness",
        witness,
    ]
    for file in kept:
        command += ["--since", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={}, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def stolen(target: RunningZone, tmp_path: Path) -> Path:
    """Give a copy of the log's folder, good as it is, with something in it to be changed."""
    grown(target)
    folder = tmp_path / "audit"
    until(lambda: copied(target, folder), "no good copy of the log")
    return folder


def copied(zone: RunningZone, folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.copytree(zone.folder.audit, folder)
    except shutil.Error:  # a file went while it was copied
        return False
    return verified(zone, folder)[0] == 0


def rewritten(folder: Path, leaves: list[bytes], secret: Ed25519PrivateKey, key: Key) -> Checkpoint:
    """Write another history into the folder, and sign it."""
    shutil.rmtree(folder / "tile")
    Tiles(folder).append(0, leaves)
    found = Checkpoint(key.name, len(leaves), tree_root(leaves))
    note = Note(found.text(), (Line(key.name, key.id, secret.sign(found.text().encode())),))
    (folder / "checkpoint").write_bytes(bytes(note))
    return found


def zones_secret(zone: RunningZone) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes((zone.folder.keys / "checkpoint.key").read_bytes())


def test_a53_edited_leaf_is_found_and_named(target: RunningZone, stolen: Path) -> None:
    number = next(n for n, entry in enumerate(entries(stolen)) if b"enrolVehicle" in entry)
    (bundle,) = [file for file in (stolen / "tile/entries").rglob("*") if file.name == str(size_of(stolen))]
    bundle.write_bytes(bundle.read_bytes().replace(b"enrolVehicle", b"enrolVehiclE", 1))
    code, text = verified(target, stolen)
    assert code == 1
    assert f"leaf {number} (tile/entries/000.p/{size_of(stolen)}, byte " in text
    assert "the leaf was changed" in text


def test_a53_leaf_edited_with_every_tile_contradicts_the_signed_root(target: RunningZone, stolen: Path) -> None:
    leaves = entries(stolen)
    leaves[0] = leaves[0].replace(b'"done"', b'"DONE"')
    shutil.rmtree(stolen / "tile")
    Tiles(stolen).append(0, leaves)
    code, text = verified(target, stolen)
    assert code == 1
    assert f"checkpoint: the {len(leaves)} leaves give the root" in text


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE audit_leaves SET actor = 'person:x' WHERE number = ?", "the records' index tells another actor"),
        ("DELETE FROM audit_leaves WHERE number = ?", "is not in the records' index"),
    ],
)
def test_a53_row_edited_in_the_records_is_found(
    target: RunningZone, stolen: Path, tmp_path: Path, sql: str, said: str
) -> None:
    number = next(n for n, entry in enumerate(entries(stolen)) if b"enrolVehicle" in entry)
    original = sqlite3.connect(target.data / "records.sqlite")
    original.execute("VACUUM INTO ?", [str(tmp_path / "records.db")])
    original.close()
    with sqlite3.connect(tmp_path / "records.db") as db:
        db.execute(sql, [number])
    records = Records.open(f"sqlite:///{tmp_path}/records.db")
    check = IndexCheck(records.audit)
    assert not verify_log(stolen, log_key(target.folder), seen=check.take).faults
    assert f"leaf {number}: {said}" in "\n".join(check.faults(size_of(stolen)))
    records.close()


def test_a54_deleted_tail_contradicts_the_kept_checkpoint_and_the_witness(
    target: RunningZone, stolen: Path, tmp_path: Path
) -> None:
    grown(target)
    kept = tmp_path / "kept"
    kept.write_text(target.get("/v1/audit/checkpoint")["text"])
    code, text = verified(target, stolen)
    assert code == 0, text  # nothing in a shortened log alone tells
    code, text = verified(target, stolen, kept)
    assert code == 1
    assert f"leaves {size_of(stolen)} to " in text
    assert "are gone from the log" in text
    note = parse_note((stolen / "checkpoint").read_bytes())
    with pytest.raises(ConflictError, match=f"has seen .* leaves, where this log has {size_of(stolen)}"):
        built_in(target.folder.run, target.folder.witness).ask(note, parse_checkpoint(note.text), Tiles(stolen))


def test_a54_fork_signed_with_the_real_key_finds_no_witness_and_no_way_past_a_kept_checkpoint(
    target: RunningZone, stolen: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copy(stolen / "checkpoint", kept)
    leaves = [entry for entry in entries(stolen) if b"enrolVehicle" not in entry] * 10
    found = rewritten(stolen, leaves, zones_secret(target), log_key(target.folder))
    code, text = verified(target, stolen, kept)
    assert code == 1
    assert "is not cosigned by the witness" in text
    assert "the log is another history; what differs is among leaves 0 to" in text
    note = parse_note((stolen / "checkpoint").read_bytes())
    with pytest.raises(ConflictError, match=r"refuses, with status 422|has seen"):
        built_in(target.folder.run, target.folder.witness).ask(note, found, Tiles(stolen))


def test_a55_log_signed_with_another_key_is_refused(target: RunningZone, stolen: Path) -> None:
    thief, true = Ed25519PrivateKey.generate(), log_key(target.folder)
    false = Key(true.name, LOG, thief.public_key().public_bytes_raw())
    found = rewritten(stolen, entries(stolen), thief, false)
    code, text = verified(target, stolen)
    assert code == 1
    assert f"is not signed by the log {true.name}+{true.id.hex()}; signed by {false.name}+{false.id.hex()}" in text
    note = parse_note((stolen / "checkpoint").read_bytes())
    with pytest.raises(ConflictError, match="refuses, with status 403"):
        built_in(target.folder.run, target.folder.witness).ask(note, found, Tiles(stolen))


def test_witness_that_is_killed_comes_back_and_cosigns_what_it_missed(victim: RunningZone) -> None:
    known = witness_keys(victim.folder, Settings())[0]
    victim.kill("witness")
    grown(victim)
    size = size_of(victim.folder.audit)

    def cosigned() -> bool:
        shown = victim.get("/v1/audit/checkpoint")
        good = {one["name"] for one in shown["signatures"] if one["good"] and one["kind"] == "witness"}
        return bool(shown["size"] >= size and known.name in good)

    until(cosigned, "the witness did not cosign what it missed")
    assert witness_keys(victim.folder, Settings()) == [known]


def test_a55_signing_key_replaced_in_the_zone_stops_the_log_and_raises_an_alarm(victim: RunningZone) -> None:
    grown(victim)
    key = victim.folder.keys / "checkpoint.key"
    before = size_of(victim.folder.audit)
    replacement = key.with_name("replacement")
    descriptor = os.open(replacement, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, Ed25519PrivateKey.generate().private_bytes_raw())
    os.close(descriptor)
    replacement.replace(key)
    victim.kill("signer")
    until(lambda: victim.pid("signer"), "the signer does not come back")
    enrolled(victim)
    until(lambda: {alarm["code"] for alarm in victim.alarms()} & {"audit_conflict"}, "no alarm for the replaced key")
    assert size_of(victim.folder.audit) == before
    done = carcloud("verify", "audit", "--data", str(victim.data))
    assert done.returncode == 1
    assert "is not the key that the witness has known from the first" in done.stdout
