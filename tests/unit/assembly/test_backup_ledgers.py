"""Which erasures a restore applies, and which folders of backups the restored zone knows."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.assembly.backup import ledgers
from carcloud.backends.records import Records
from carcloud.errors import ConflictError
from carcloud.safety.backup.keeper import folders, know_folder
from carcloud.safety.backup.ledger import FILE, append
from carcloud.safety.backup.manifest import Manifest
from carcloud.safety.backup.periods import PUBLIC, Periods
from carcloud.safety.backup.store import Store
from carcloud.safety.signer import Kind, Signature, key_id, statement

SECRET = Ed25519PrivateKey.generate()
FIRST, SECOND = "2026-11-23T17-30-00Z", "2026-11-23T18-30-00Z"


def sign(kind: Kind, said: bytes) -> Signature:
    return Signature(key_id(SECRET.public_key()), SECRET.sign(statement(kind, said)))


class Kept:
    """A folder of backups with a ledger, and what was said of it."""

    def __init__(self, folder: Path, periods: Periods) -> None:
        self.store, self.said = Store(folder, periods), list[str]()
        folder.mkdir()

    def put(self, *erased: str, backup: str = "") -> None:
        lines: list[dict[str, object]] = [{"erasure": {"id": car, "vehicle": car}} for car in erased]
        lines += [{"backup": backup}] if backup else []
        signed = lambda said, signature: self.store.periods.signed("ledger", said, signature)  # noqa: E731
        append(self.store.ledger, lines, lambda said: sign("ledger", said), signed)
        if backup:
            known = self.store.lines()
            made = Manifest(
                backup, "local", "default", "now", "2026-11", "00", 1, {}, 1, 1, "00", "", len(known), known[-1].hash,
                [], [],
            )  # fmt: skip
            (self.store.folder / backup).mkdir()
            (self.store.folder / backup / "manifest.json").write_bytes(made.dump(lambda said: sign("backup", said)))

    @property
    def beside(self) -> list[Manifest]:
        return list(ledgers.manifests(self.store))

    def find(self, file: Path | None = None, *, accept: bool = False) -> tuple[set[str], Path | None]:
        """Return the cars that a restore would erase, and the ledger that is whole."""
        lines, whole = ledgers.find(self.store, self.beside, file, accept, self.said.append)
        return {line.said["erasure"]["id"] for line in lines if "erasure" in line.said}, whole


@pytest.fixture
def two(tmp_path: Path) -> tuple[Kept, Kept]:
    """Two folders that one zone wrote backups and erasures to."""
    public = SECRET.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "zone").mkdir()
    for kind in PUBLIC:
        (tmp_path / "zone" / f"{kind}.pub").write_bytes(public)
    periods = Periods(tmp_path / "keys")
    periods.made("2026-11")
    periods.know(tmp_path / "zone")
    one, other = Kept(tmp_path / "one", periods), Kept(tmp_path / "other", periods)
    one.put("car 1", backup=FIRST)
    other.put("car 1", backup=SECOND)
    for each in (one, other):
        each.put("car 2")
    return one, other


def test_the_ledger_of_another_folder_is_measured_by_its_own_backups_and_both_count(two: tuple[Kept, Kept]) -> None:
    one, other = two
    one.put("only here")
    assert one.find(other.store.ledger) == ({"car 1", "car 2", "only here"}, other.store.ledger)
    one.store.ledger.unlink()
    assert one.find(other.store.ledger) == ({"car 1", "car 2"}, other.store.ledger)


def test_a_ledger_of_another_folder_that_is_short_or_older_than_the_backup_is_not_enough(
    two: tuple[Kept, Kept], tmp_path: Path
) -> None:
    one, other = two
    one.store.ledger.unlink()
    whole = other.store.ledger.read_bytes().splitlines(keepends=True)
    other.store.ledger.write_bytes(whole[0])
    with pytest.raises(ConflictError, match="has not the"):
        one.find(other.store.ledger)
    other.store.ledger.write_bytes(b"".join(whole))
    (tmp_path / "alone").mkdir()
    alone = shutil.copy(other.store.ledger, tmp_path / "alone" / FILE)
    with pytest.raises(ConflictError, match="has not the"):
        one.find(Path(alone))
    assert one.find(Path(alone), accept=True) == ({"car 1", "car 2"}, None)
    (newer := dataclasses.replace(one.beside[0], name="2026-11-24T00-00-00Z"))
    with pytest.raises(ConflictError, match="has not the"):
        ledgers.find(one.store, [newer], other.store.ledger, False, one.said.append)


def test_a_restored_zone_knows_the_folders_it_knew_and_its_own_and_never_that_of_a_copy(
    two: tuple[Kept, Kept], tmp_path: Path
) -> None:
    one, other = two
    other.put("only there")
    records, said = Records.open(f"sqlite:///{tmp_path}/records.db"), list[str]()
    away = tmp_path / "away"
    for folder in (other.store.folder, away):
        know_folder(records, folder)
    lines = ledgers.settle_folders(one.store, records, said.append)
    assert folders(records) == [other.store.folder, away, one.store.folder]
    assert {line.said["erasure"]["id"] for line in lines if "erasure" in line.said} == {"car 1", "car 2", "only there"}
    assert f"carcloud backup forget {away}" in said[-1]
    assert len(said) == 2
    ledgers.settle_folders(one.store, records, said.append)
    assert len(folders(records)) == 3
    records.close()


def test_a_whole_copy_takes_the_place_of_a_harmed_ledger_and_nothing_else_does(
    two: tuple[Kept, Kept], tmp_path: Path
) -> None:
    one, other = two
    copy, good = tmp_path / "copy.jsonl", one.store.ledger.read_bytes()
    copy.write_bytes(good)
    one.store.ledger.write_bytes(b"harmed\n")
    ledgers.mend(one.store, one.beside, None, one.said.append)
    ledgers.mend(one.store, one.beside, other.store.ledger, one.said.append)
    assert one.store.ledger.read_bytes() == b"harmed\n"
    ledgers.mend(one.store, one.beside, copy, one.said.append)
    assert one.store.ledger.read_bytes() == good
    assert one.store.ledger.with_name(f"{FILE}.harmed").read_bytes() == b"harmed\n"
    one.put("car 3")
    ledgers.mend(one.store, one.beside, copy, one.said.append)
    assert "car 3" in one.find()[0]
