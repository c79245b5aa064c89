"""A folder of backups: whole ones only, signed, and each piece the one that was signed for."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import resource
import stat
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.safety.backup.frames import FrameReader, FrameWriter
from carcloud.safety.backup.manifest import FILE, Manifest
from carcloud.safety.backup.parcel import Packing, unpack
from carcloud.safety.backup.periods import PUBLIC, Periods, name_of
from carcloud.safety.backup.store import Store
from carcloud.safety.signer import Signature, key_id, statement

PERIOD, FIRST, SECOND = "2026-11", "2026-11-23T17-30-00Z", "2026-11-23T18-30-00Z"
SECRET = Ed25519PrivateKey.generate()


def sign(said: bytes) -> Signature:
    return Signature(key_id(SECRET.public_key()), SECRET.sign(statement("backup", said)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    keys, periods = tmp_path / "zone", Periods(tmp_path / "keys")
    keys.mkdir()
    pem = SECRET.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for kind in PUBLIC:
        (keys / f"{kind}.pub").write_bytes(pem)
    periods.made(PERIOD)
    periods.know(keys)
    return Store(tmp_path / "backups", periods)


def taken(
    store: Store, name: str = FIRST, said: bytes = b"records", lake: bytes = b"rows", period: str = PERIOD
) -> Manifest:
    source = store.folder.parent / "lake-file"
    source.write_bytes(lake)
    with store.taking(name, period) as draft:
        with draft.piece("records") as piece:
            piece.write(said)
        draft.share("tenant=a/day=b/0-1.parquet", source)
        made = Manifest(
            name, "local", "default", "now", period, name_of(draft.key), 1, {"lake": 1}, 1, 1, "00", "", 1, "",
            list(draft.pieces.values()), list(draft.files.values()),
        )  # fmt: skip
        draft.finish(made.dump(sign))
    return made


def content(store: Store, found: Manifest, piece: str = "records") -> bytes:
    with store.opened(found, found.piece(piece), store.periods.key(found.period)) as source:
        return source.read(1 << 20)


def test_what_was_put_in_comes_out_and_nothing_of_it_lies_open(store: Store) -> None:
    taken(store, said=b"a person's words", lake=b"and places")
    found = store.manifest(FIRST)
    store.check(found)
    assert content(store, found) == b"a person's words"
    files = [file for file in store.folder.rglob("*") if file.is_file()]
    assert not any(b"person" in file.read_bytes() or b"places" in file.read_bytes() for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in files if file.suffix == ".piece"} == {0}


def test_files_of_the_lake_are_written_once_a_period(store: Store) -> None:
    first, second = taken(store), taken(store, SECOND)
    assert first.files == second.files
    third = taken(store, "2026-12-01T00-00-00Z", period="2026-12")
    assert third.files != first.files


def test_a_shared_file_that_is_gone_is_written_again(store: Store) -> None:
    first = taken(store)
    (store.folder / first.files[0].file).unlink()
    taken(store, SECOND)
    store.check(store.manifest(SECOND))


def test_a_shared_file_that_was_harmed_is_written_anew_though_its_size_is_the_same(store: Store) -> None:
    file = store.folder / taken(store).files[0].file
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)
    second = taken(store, SECOND)
    store.check(store.manifest(SECOND))
    with store.opened(second, second.files[0], store.periods.key(PERIOD)) as source:
        assert source.read(100) == b"rows"
    third = taken(store, "2026-11-23T19-30-00Z")
    assert third.files == second.files
    store.check(third)


@pytest.mark.parametrize("what", ["pieces", "files"])
@pytest.mark.parametrize("harm", ["flip", "cut", "longer", "gone"])
def test_a_piece_that_was_harmed_is_found_and_named(store: Store, what: str, harm: str) -> None:
    piece = getattr(taken(store), what)[0]
    file = store.folder / piece.file
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    harmed = {"flip": bytes(data), "cut": bytes(data[:-1]), "longer": bytes(data) + b"x"}
    file.write_bytes(harmed[harm]) if harm in harmed else file.unlink()
    with pytest.raises(ConflictError, match=piece.file):
        store.check(store.manifest(FIRST))


def test_pieces_of_two_backups_do_not_change_places(store: Store) -> None:
    one, other = taken(store, said=b"one"), taken(store, SECOND, said=b"two")
    a, b = (store.folder / made.piece("records").file for made in (one, other))
    (kept := a.with_suffix(".kept")).write_bytes(a.read_bytes())
    a.write_bytes(b.read_bytes())
    b.write_bytes(kept.read_bytes())
    for name in (FIRST, SECOND):
        with pytest.raises(ConflictError, match="is not the piece"):
            store.check(store.manifest(name))
        with pytest.raises(ConflictError, match="does not open"):
            content(store, store.manifest(name))


def test_an_older_manifest_in_a_newer_ones_place_is_refused(store: Store) -> None:
    taken(store)
    taken(store, SECOND)
    (store.folder / SECOND / FILE).write_bytes((store.folder / FIRST / FILE).read_bytes())
    with pytest.raises(ConflictError, match=f"is that of {FIRST}"):
        store.manifest(SECOND)


def test_a_manifest_that_was_changed_or_is_signed_by_another_is_refused(store: Store) -> None:
    made, file = taken(store), store.folder / FIRST / FILE
    good = file.read_bytes()
    file.write_bytes(good.replace(b'"chunk":1', b'"chunk":2'))
    with pytest.raises(ConflictError, match="not signed by its zone"):
        store.manifest(FIRST)
    other = Ed25519PrivateKey.generate()
    file.write_bytes(dataclasses.replace(made, chunk=2).dump(lambda said: Signature("0" * 16, other.sign(said))))
    with pytest.raises(ConflictError, match="not signed by its zone"):
        store.manifest(FIRST)
    for broken in (b"", b"{}", good[:-9], b"[]", b'{"statement": 1, "signature": "00"}'):
        file.write_bytes(broken)
        with pytest.raises(ConflictError):
            store.manifest(FIRST)


def test_a_signed_manifest_reaches_no_file_outside(store: Store) -> None:
    made = taken(store)
    piece = dataclasses.replace(made.pieces[0], file="../zone/backup.pub")
    with pytest.raises(ConflictError, match="outside of the backups"):
        store.check(dataclasses.replace(made, pieces=[piece]))


def test_half_a_backup_is_never_taken_for_one_and_goes_with_the_next(store: Store) -> None:
    store.folder.mkdir()
    left = store.folder / f".{FIRST}.partial"
    left.mkdir()
    (left / "records.piece").write_bytes(b"half")
    assert store.names() == []
    with pytest.raises(MissingError):
        store.manifest(FIRST)
    with contextlib.suppress(RuntimeError), store.taking(FIRST, PERIOD):
        assert list(left.iterdir()) == []
        raise RuntimeError
    assert [path.name for path in store.folder.iterdir() if path.name != ".lock"] == []
    taken(store)
    assert store.names() == [FIRST]


def test_a_disk_that_takes_no_more_leaves_no_backup(store: Store) -> None:
    taken(store)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(TryLaterError, match="cannot be written"):
            taken(store, SECOND, said=bytes(3 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.names() == [FIRST]
    assert not list(store.folder.glob(".*.partial"))


def test_two_backups_are_not_written_at_once_and_a_name_is_used_once(store: Store) -> None:
    with store.taking(FIRST, PERIOD), pytest.raises(ConflictError, match="being written"), store.taking(SECOND, PERIOD):
        pass
    taken(store)
    with pytest.raises(ConflictError, match="already"):
        taken(store)


@pytest.mark.parametrize("name", ["../zone", "x", "2026-11-23", f"{FIRST}/..", ""])
def test_what_is_no_name_of_a_backup_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InputError):
        store.manifest(name)


# keys


def test_a_destroyed_key_takes_its_months_backups_along_and_no_others(store: Store) -> None:
    november, december = taken(store), taken(store, "2026-12-01T00-00-00Z", period="2026-12")
    file = store.periods.folder / f"{PERIOD}.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.periods.destroy(PERIOD)
    assert store.periods.all() == ["2026-12"]
    with pytest.raises(MissingError, match="destroyed"):
        content(store, november)
    assert content(store, december) == b"records"
    assert store.periods.made(PERIOD)
    with pytest.raises(ConflictError, match="another key"):
        content(store, november)


def test_a_key_of_another_month_opens_nothing(store: Store) -> None:
    found = taken(store)
    with (
        pytest.raises(ConflictError, match="another key"),
        store.opened(found, found.piece("records"), store.periods.made("2026-12")) as source,
    ):
        source.read(1)


def test_a_key_that_others_can_read_is_not_used(store: Store) -> None:
    (store.periods.folder / f"{PERIOD}.key").chmod(0o644)
    with pytest.raises(NotAllowedError):
        store.periods.key(PERIOD)


def test_the_folder_of_keys_is_one_zones(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for kind in PUBLIC:
        (other / f"{kind}.pub").write_bytes(b"another")
    with pytest.raises(ConflictError, match="another zone"):
        store.periods.know(other)


@pytest.mark.parametrize("period", ["2026-13", "26-11", "../x", ""])
def test_what_is_no_month_is_refused(store: Store, period: str) -> None:
    with pytest.raises(InputError):
        store.periods.key(period)


# parcels


def packed(*members: tarfile.TarInfo) -> io.BytesIO:
    sink = io.BytesIO()
    writer = FrameWriter(sink, bytes(32), "x")
    with tarfile.open(fileobj=writer, mode="w|") as tar:  # type: ignore[call-overload]
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    writer.close()
    return io.BytesIO(sink.getvalue())


def test_files_come_back_with_their_modes(tmp_path: Path) -> None:
    sink, source = io.BytesIO(), tmp_path / "source"
    source.write_bytes(b"key")
    source.chmod(0o600)
    writer = FrameWriter(sink, bytes(32), "x")
    with Packing(writer) as packing:
        packing.put_file("keys/a.key", source)
        packing.put("audit/tile/0/000.p/3", b"", 0o644)
    writer.close()
    unpack(FrameReader(io.BytesIO(sink.getvalue()), bytes(32), "x"), tmp_path / "to")
    assert (tmp_path / "to/keys/a.key").read_bytes() == b"key"
    assert stat.S_IMODE((tmp_path / "to/keys/a.key").stat().st_mode) == 0o600
    assert (tmp_path / "to/audit/tile/0/000.p/3").read_bytes() == b""


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x"])
def test_a_file_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConflictError, match="is no file of a zone"):
        unpack(FrameReader(packed(tarfile.TarInfo(name)), bytes(32), "x"), tmp_path / "to")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(ConflictError, match="is no file of a zone"):
        unpack(FrameReader(packed(member), bytes(32), "x"), tmp_path / "to")
