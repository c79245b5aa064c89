"""The commands of the audit log without a running zone."""

from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.backends.records import Entry
from carcloud.cli import app
from carcloud.errors import CarcloudError, InputError, MissingError
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, Key, parse_key, parse_note
from carcloud.safety.audit.witness import Witness
from carcloud.safety.audit.witnesses import Witnesses
from carcloud.safety.signer import Signer, load_public_key
from carcloud.settings import Folder, Settings
from tests.unit.safety.audit.test_witness import client

HIDDEN = "bel\x07l"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def said(kind: type[CarcloudError], *arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, kind), (result.output, result.exception)
    assert result.exception.do
    return str(result.exception)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give a zone's folder with a log of three acts, cosigned by the zone's own witness."""
    folder = Folder(tmp_path / "data")
    folder.make()
    signer = Signer(folder.keys, folder.run)
    key = Key("carcloud/local", LOG, load_public_key(folder.keys / "checkpoint.pub").public_bytes_raw())
    witness = Witness(folder.witness, [key], "carcloud/local/witness")
    (folder.witness / "log.pub").write_text(f"{key}\n")
    with closing(open_records(Settings(), folder)) as records:
        request = bytes([10]) + b"checkpoint"
        log = AuditLog(
            folder.audit, records, lambda text: signer.answer(request + text)[17:], key, Witnesses([client(witness)])
        )
        log.recover()
        for actor, action in (("machine", "enrolVehicle"), ("person:a", "revokeVehicle"), (HIDDEN, "revokeVehicle")):
            records.audit.add(Entry(actor, action, "vehicle:x"))
        log.write(records.audit.pending(10), [])
    witness.close()
    return folder.path


def test_acts_are_listed_newest_first_and_chosen_and_move_no_terminal(data: Path):
    lines = run("audit", "--data", data).output.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1", "0"]
    assert "bel\\x07l  revokeVehicle  vehicle:x  done" in lines[0]
    assert len(run("audit", "--data", data, "--action", "revokeVehicle", "--limit", 1).output.splitlines()) == 1
    assert "person:a" in run("audit", "--data", data, "--actor", "person:a", "--object", "vehicle:x").output
    assert run("audit", "--data", data, "--since", "2100-01-01T00:00:00Z").output == ""
    said(InputError, "audit", "--data", data, "--since", "yesterday")


def test_checkpoint_and_keys_are_printed_to_be_kept(data: Path):
    keys = [parse_key(line) for line in run("audit", "keys", "--data", data).output.splitlines()]
    note = parse_note(run("audit", "checkpoint", "--data", data).stdout_bytes)
    assert [key.name for key in keys] == ["carcloud/local", "carcloud/local/witness"]
    assert all(note.of(key) for key in keys)


def test_log_is_verified_against_a_kept_checkpoint(data: Path, tmp_path: Path):
    kept = tmp_path / "kept"
    kept.write_bytes(run("audit", "checkpoint", "--data", data).stdout_bytes)
    result = run("verify", "audit", "--data", data, "--since", kept)
    assert (result.exit_code, result.output) == (0, "3 leaves, 0 receipts of chunks: good\n")
    bundle = data / "audit/tile/entries/000.p/3"
    bundle.write_bytes(bundle.read_bytes().replace(b"person:a", b"person:b"))
    result = run("verify", "audit", "--data", data)
    assert result.exit_code == 1
    assert "leaf 1 (tile/entries/000.p/3, byte " in result.output
    assert "leaf 1: the records' index tells another actor" in result.output
    said(InputError, "verify", "audit", "--data", data, "--since", tmp_path / "none")
    said(InputError, "verify", "audit", "--data", data, "--since", data / "keys/checkpoint.pub")


def test_where_no_log_is_that_is_said(data: Path, tmp_path: Path):
    (data / "audit/checkpoint").unlink()
    for command in (("audit", "checkpoint"), ("audit", "keys"), ("verify", "audit")):
        assert "There is no audit log" in said(MissingError, *command, "--data", data)
    assert "There is no zone" in said(MissingError, "audit", "--data", tmp_path)


def test_witness_says_what_it_cannot_begin_with(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("no key\n")
    state = ("--state", tmp_path / "w")
    assert "is no key" in said(InputError, "witness", *state, "--log-key", key)
    assert "is no address" in said(InputError, "witness", *state, "--log-key", key, "--listen", "8425")
    assert "cannot be read" in said(InputError, "witness", *state, "--log-key", tmp_path / "none")
