"""Attacks on backups: by whoever holds the folder they lie in, and wants a zone restored from something else."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import pytest

from carcloud.assembly.backup import restoring
from carcloud.assembly.backup.drafts import alone, draft_of, leftovers
from carcloud.assembly.backup.restoring import Plan, plan, restore
from carcloud.errors import ConflictError, MissingError, NotAllowedError, TryLaterError
from carcloud.safety.backup.periods import Periods
from carcloud.safety.backup.store import Store
from tests.unpacked import holding
from tests.zone import RunningZone, carcloud, until


@dataclass
class Backups:
    """Two backups of one zone, to be harmed as one likes. What a restore said is in `said`."""

    folder: Path
    keys: Path
    said: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(self.folder, Periods(self.keys))

    @property
    def names(self) -> list[str]:
        return self.store.names()

    @property
    def ledger(self) -> Path:
        return self.folder / "erasures.jsonl"

    def plan(self, name: str, ledger: Path | None = None, *, insist: bool = False) -> Plan:
        """Check a backup as a restore does."""
        return plan(self.store, name, ledger, insist, self.said.append)


@pytest.fixture(scope="module")
def taken(target: RunningZone, tmp_path_factory: pytest.TempPathFactory) -> Backups:
    root = tmp_path_factory.mktemp("backups")
    made = Backups(root / "backups", root / "keys")
    target.enrol("backed up")
    for _ in range(2):
        before = len(made.names)
        done = carcloud("backup", "--to", str(made.folder), "--keys", str(made.keys), "--data", str(target.data))
        assert done.returncode == 0, done.stderr
        assert len(made.names) == before + 1
    return made


@pytest.fixture
def copy(taken: Backups, tmp_path: Path) -> Backups:
    """Copies of backups and keys."""
    shutil.copytree(taken.folder, tmp_path / "backups")
    shutil.copytree(taken.keys, tmp_path / "keys")
    return Backups(tmp_path / "backups", tmp_path / "keys")


def test_backups_are_good_as_long_as_nobody_harms_them(copy: Backups) -> None:
    for name in copy.names:
        assert copy.plan(name).ledger == copy.ledger
    assert any(f"newer backups, the last of them {copy.names[-1]}" in line for line in copy.said)


def test_no_byte_of_a_backup_lies_open(taken: Backups, target: RunningZone) -> None:
    secrets = [file.read_bytes() for file in target.folder.keys.rglob("*.key")]
    cars = [car["id"].encode() for car in target.get("/v1/vehicles")["vehicles"]]
    assert cars
    assert holding(taken.folder, [*secrets, *cars, b"Vehicle.Speed", b"PRIVATE KEY"]) == []
    assert not (taken.folder.stat().st_mode | (taken.keys / "x").parent.stat().st_mode) & 0o077


@pytest.mark.parametrize("piece", ["records", "audit", "lake", "state", "zone", "chunks"])
def test_piece_that_was_tampered_with_is_refused_before_anything_is_written(
    copy: Backups, piece: str, tmp_path: Path
) -> None:
    name, new = copy.names[-1], tmp_path / "new"
    file = copy.folder / name / f"{piece}.piece"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ConflictError, match=f"{piece}.piece .* is not the piece"):
        copy.plan(name)
    if piece == "records":
        done = carcloud("restore", str(copy.folder / name), "--keys", str(copy.keys), "--data", str(new))
        assert (done.returncode, new.exists(), (tmp_path / ".new.restoring").exists()) == (1, False, False)


def test_pieces_of_two_backups_that_changed_places_are_refused(copy: Backups) -> None:
    first, second = (copy.folder / name / "records.piece" for name in copy.names)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    for name in copy.names:
        with pytest.raises(ConflictError, match="is not the piece"):
            copy.plan(name)


def test_older_backup_under_a_newer_ones_name_is_refused(copy: Backups) -> None:
    older, newer = copy.names
    shutil.rmtree(copy.folder / newer)
    (copy.folder / older).rename(copy.folder / newer)
    with pytest.raises(ConflictError, match=f"is that of {older}"):
        copy.plan(newer)


def test_manifest_that_somebody_else_signed_is_refused(copy: Backups) -> None:
    file = copy.folder / copy.names[-1] / "manifest.json"
    said = orjson.loads(file.read_bytes())
    said["statement"]["erasures"] = 0
    file.write_bytes(orjson.dumps(said))
    with pytest.raises(ConflictError, match="not signed by its zone"):
        copy.plan(copy.names[-1])


HARMS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "cut short": lambda lines: lines[:-1],
    "emptied": lambda _: [],
    "first line taken out": lambda lines: lines[1:],
    "changed": lambda lines: [lines[0].replace(b'"number":1', b'"number":2'), *lines[1:]],
    "lines swapped": lambda lines: lines[::-1],
}


@pytest.mark.parametrize("harm", HARMS)
def test_ledger_that_was_harmed_is_refused_unless_one_insists(copy: Backups, harm: str, tmp_path: Path) -> None:
    good = tmp_path / "elsewhere.jsonl"
    shutil.copy(copy.ledger, good)
    copy.ledger.write_bytes(b"".join(line + b"\n" for line in HARMS[harm](good.read_bytes().splitlines())))
    for name in copy.names:
        with pytest.raises(ConflictError, match="--accept-short-ledger"):
            copy.plan(name)
    assert copy.plan(copy.names[0], good).ledger == good
    assert copy.plan(copy.names[0], insist=True).ledger is None
    assert any("cars erased since the backup may come back" in line for line in copy.said)


def test_ledger_that_is_gone_is_refused_unless_one_insists(copy: Backups) -> None:
    copy.ledger.unlink()
    with pytest.raises(ConflictError, match="There is no ledger"):
        copy.plan(copy.names[0])
    assert copy.plan(copy.names[0], insist=True).lines == []


def test_backup_opens_with_its_own_months_key_only(copy: Backups) -> None:
    (period,) = copy.store.periods.all()
    key = copy.keys / f"{period}.key"
    key.write_bytes(os.urandom(32))
    with pytest.raises(ConflictError, match="is not the one that"):
        copy.plan(copy.names[0])
    key.chmod(0o644)
    with pytest.raises(NotAllowedError):
        copy.plan(copy.names[0])
    key.unlink()
    with pytest.raises(MissingError, match="destroyed"):
        copy.plan(copy.names[0])


def test_backup_is_restored_into_no_folder_that_holds_something(
    copy: Backups, target: RunningZone, tmp_path: Path
) -> None:
    found, full = copy.plan(copy.names[0]), tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("x")
    with pytest.raises(ConflictError, match="not empty"):
        restore(found, None, full, copy.said.append)
    assert [path.name for path in full.iterdir()] == ["mine"]
    other, used = tmp_path / "other.toml", tmp_path / "used.toml"
    other.write_text('zone = "another"\n')
    used.write_text(f'records = "sqlite:///{target.folder.path.absolute()}/records.sqlite"\n')
    for config, says in ((other, "is of the zone local"), (used, "records are not empty")):
        with pytest.raises(ConflictError, match=says):
            restore(found, config, tmp_path / "new", copy.said.append)
    assert not (tmp_path / "new").exists()


def test_restore_that_fails_empties_the_database_again_and_the_next_one_finds_it_free(
    copy: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise TryLaterError("No broker.", "Wait.")

    before = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    config, found = tmp_path / "zone.toml", copy.plan(copy.names[0])
    config.write_text(f'records = "sqlite:///{tmp_path}/elsewhere.sqlite"\n')
    monkeypatch.setattr(restoring, "settle", fails)
    for _ in range(2):
        with pytest.raises(
            TryLaterError, match=r"No broker\. Wait\. The database of the records is as empty as before"
        ):
            restore(found, config, tmp_path / "new", copy.said.append)
    assert not [path for path in tmp_path.iterdir() if "new" in path.name]
    assert [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)] == before


def test_two_restores_to_one_folder_do_not_meet(copy: Backups, tmp_path: Path) -> None:
    draft, found = draft_of(tmp_path / "new"), copy.plan(copy.names[0])
    with alone(draft):
        draft.mkdir()
        with pytest.raises(ConflictError, match="Another restore"):
            restore(found, None, tmp_path / "new", copy.said.append)
        assert draft.exists()


def test_what_a_killed_restore_left_is_said_by_up_and_by_the_next_restore(copy: Backups, tmp_path: Path) -> None:
    left = draft_of(tmp_path / "other")
    left.mkdir()
    full = tmp_path / "full"
    (full / "mine").mkdir(parents=True)
    with pytest.raises(ConflictError, match="not empty"):
        restore(copy.plan(copy.names[0]), None, full, copy.said.append)
    assert f"rm -r {left}" in copy.said[-1]
    assert f"rm -r {left}" in carcloud("up", "--data", str(full)).stderr


def test_restore_that_is_killed_takes_its_broker_along_and_leaves_what_is_named(copy: Backups, tmp_path: Path) -> None:
    new, arguments = tmp_path / "new", ["restore", str(copy.folder / copy.names[0]), "--keys", str(copy.keys)]
    running = subprocess.Popen(
        [sys.executable, "-m", "carcloud", *arguments, "--data", str(new)], stderr=subprocess.DEVNULL
    )
    process = psutil.Process(running.pid)
    brokers = until(lambda: process.children(recursive=True) or running.poll() is not None, "no broker begins")
    running.kill()
    running.wait()
    assert isinstance(brokers, list)
    gone, alive = psutil.wait_procs(brokers, timeout=30)
    assert (len(gone), alive) == (len(brokers), [])
    assert leftovers(tmp_path) == [draft_of(new)]


def test_keys_beside_what_they_open_are_refused(target: RunningZone, tmp_path: Path) -> None:
    for to, keys in (
        (tmp_path / "b", tmp_path / "b/keys"),
        (target.data / "b", tmp_path),
        (tmp_path, target.data / "k"),
    ):
        done = carcloud("backup", "--to", str(to), "--keys", str(keys), "--data", str(target.data))
        assert done.returncode == 1
        assert "lies within" in done.stderr


def test_backup_that_was_killed_is_none_and_the_next_one_is(copy: Backups, target: RunningZone) -> None:
    arguments = ["backup", "--to", str(copy.folder), "--keys", str(copy.keys), "--data", str(target.data)]
    running = subprocess.Popen([sys.executable, "-m", "carcloud", *arguments], stderr=subprocess.DEVNULL)
    until(lambda: list(copy.folder.glob(".*.partial")) or running.poll() is not None, "no backup begins")
    before = copy.names
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    names = copy.names
    assert len(names) - len(before) in (0, 1)  # it may have been as good as done
    for name in names:
        copy.plan(name)
    done = carcloud(*arguments)
    assert done.returncode == 0, done.stderr
    copy.plan(copy.names[-1])
    assert not list(copy.folder.glob(".*.partial"))
