"""The ledger of erasures: what was written stays, and whatever was done to it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.backends.records import Records, Vehicle
from carcloud.errors import ConflictError, MissingError, TryLaterError
from carcloud.safety.backup.keeper import LedgerKeeper, erasure_of, folders, know_folder, sayings, waiting
from carcloud.safety.backup.ledger import FILE, Line, append, read
from carcloud.safety.seal import NameVault
from carcloud.safety.signer import Signature, key_id, verify
from carcloud.safety.signer import statement as kinded

SECRET = Ed25519PrivateKey.generate()
AT = datetime(2026, 11, 23, 17, 30, tzinfo=UTC)


def sign(said: bytes) -> Signature:
    return Signature(key_id(SECRET.public_key()), SECRET.sign(kinded("ledger", said)))


def signed(said: bytes, signature: bytes) -> bool:
    return verify(SECRET.public_key(), "ledger", said, signature)


def erasure(number: int) -> dict[str, object]:
    return {"erasure": {"id": f"e{number}", "vehicle": f"car{number}"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    append(path, [erasure(1), erasure(2)], sign, signed)
    append(path, [{"backup": "2026"}, erasure(3)], sign, signed)
    return path


def found(file: Path) -> list[Line]:
    return read(file, signed)


def test_lines_come_back_in_their_order_and_an_erasure_is_written_once(file: Path) -> None:
    append(file, [erasure(2), erasure(4)], sign, signed)
    assert [line.number for line in found(file)] == [1, 2, 3, 4, 5]
    assert [line.said for line in found(file)] == [erasure(1), erasure(2), {"backup": "2026"}, erasure(3), erasure(4)]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda lines: [lines[0].replace(b"car1", b"car9"), *lines[1:]], "line 1 is not one that the zone signed"),
        (lambda lines: lines[1:], "line 1 does not follow"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 does not follow"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 does not follow"),
        (lambda lines: [*lines, lines[3]], "line 5 does not follow"),
        (lambda lines: [lines[0], b"{}", *lines[1:]], "line 2 is not one"),
        (lambda lines: [b"\xff", *lines], "line 1 is not one"),
    ],
    ids=["changed", "first taken out", "taken out", "moved", "repeated", "put in", "no line"],
)
def test_what_was_done_to_a_line_shows(file: Path, harm: object, says: str) -> None:
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"".join(line + b"\n" for line in harm(lines)))  # type: ignore[operator]
    with pytest.raises(ConflictError, match=says):
        found(file)
    with pytest.raises(ConflictError, match=says):
        append(file, [erasure(5)], sign, signed)


def test_a_line_that_a_crash_cut_short_is_written_again(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])
    assert len(found(file)) == 3
    append(file, [erasure(3)], sign, signed)
    assert found(file)[-1].said == erasure(3)
    assert len(found(file)) == 4


def test_no_ledger_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        found(tmp_path / FILE)


def test_a_folder_that_is_away_is_said(tmp_path: Path) -> None:
    with pytest.raises(TryLaterError, match="cannot be written"):
        append(tmp_path / "away" / FILE, [erasure(1)], sign, signed)


def test_an_erasure_waits_until_every_ledger_has_it_and_its_names_come_back(tmp_path: Path) -> None:
    vault = NameVault(tmp_path / "keys")
    records = Records.open(f"sqlite:///{tmp_path}/records.db", vault)
    records.add_vehicle(Vehicle("car", "default", "WVWZZZ1JZXW000001", None, "active", AT))
    (name,) = records.pseudonyms.of({"car": "default"}, "2026-11").values()
    keeper = LedgerKeeper(records, vault, sign, signed)
    here, away = tmp_path / "here", tmp_path / "away"
    here.mkdir()
    know_folder(records, away)
    know_folder(records, here)
    know_folder(records, here)
    assert folders(records) == [away, here]
    assert waiting(records, signed) == 0
    began = records.erasures.begin("car", "person:dpo")
    assert waiting(records, signed) == 1
    with pytest.raises(TryLaterError):
        keeper.write()
    assert [one.id for one in records.erasures.lacking("ledger")] == [began.id]
    assert len(found(here / FILE)) == 1  # the one that is there does not wait for the other
    assert waiting(records, signed) == 0
    away.mkdir()
    assert waiting(records, signed) == 1
    (away / FILE).write_bytes(b"harmed\n")
    assert waiting(records, signed) == 0
    (away / FILE).unlink()
    keeper.write()
    assert waiting(records, signed) == 0
    assert records.erasures.lacking("ledger") == []
    for folder in (here, away):
        (line,) = found(folder / FILE)
        assert name.encode() not in (folder / FILE).read_bytes()
        told = erasure_of(line.said, vault)
        assert (told.id, told.vehicle, told.at, told.names) == (began.id, "car", began.at, (name,))
        assert sayings([told], vault) == [line.said]
    (here / FILE).unlink()
    records.add_vehicle(Vehicle("later", "default", "WVWZZZ1JZXW000002", None, "active", AT))
    records.erasures.begin("later", "person:dpo")
    keeper.write()
    assert [len(found(folder / FILE)) for folder in (here, away)] == [2, 2]  # one begun anew has all there were
    records.close()
