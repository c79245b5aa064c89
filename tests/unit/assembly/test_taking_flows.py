"""A flows file comes into force as an act, whole or not at all; and what the command line says of flows."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from carcloud.assembly.flows import take_flows
from carcloud.backends.records import Records
from carcloud.cli.flows import app
from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError
from carcloud.safety.keys import write_file
from carcloud.settings import Folder, Settings, catalogue_in_force, flows_in_force, load_governance

FLOWS = """
flows:
  out: {to: eu, purpose: operation, why: So it is., classes: [operational], signals: [{paths: [Vehicle.Speed]}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flows.yaml"
    path.write_text(FLOWS)
    return path


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["flow", *words])
    if isinstance(result.exception, CarcloudError):
        raise result.exception
    assert result.exception is None, result.output
    return result.output


def test_flows_come_into_force_noted_and_stay_until_others_do(tmp_path: Path, file: Path) -> None:
    folder, records = Folder(tmp_path / "data"), Records.open(f"sqlite:///{tmp_path}/records.db")
    folder.make()

    def take(wanted: str) -> str:
        settings = replace(Settings(), flows=wanted)
        return take_flows(settings, folder, records, catalogue_in_force(settings, folder))

    assert take("") == ""
    assert flows_in_force(folder).flows == {}
    purpose = next(iter(load_governance(Settings()).purposes))
    file.write_text(FLOWS.replace("purpose: operation", f"purpose: {purpose}"))
    assert "out" in take(str(file))
    assert take(str(file)) == ""
    broken = tmp_path / "broken.yaml"
    broken.write_text(FLOWS.replace("purpose: operation", "purpose: nothing-known"))
    with pytest.raises(InputError, match="unknown purpose"):
        take(str(broken))
    with pytest.raises(MissingError):
        take(str(tmp_path / "none.yaml"))
    assert list(flows_in_force(folder).flows) == ["out"]
    assert "Nothing leaves" in take("")
    assert flows_in_force(folder).flows == {}
    with records.transaction() as db:
        noted = db.execute(text("SELECT action, object FROM audit_pending")).all()
    assert [tuple(row) for row in noted] == [("changeFlows", "zone")] * 2
    records.close()


def test_a_token_travels_in_clear_to_loopback_only(tmp_path: Path) -> None:
    token = tmp_path / "token"
    write_file(token, b"cct_secret")
    with pytest.raises(InputError, match="in clear"):
        said("read", "out", "--from", "http://zone.example", "--token-file", str(token), "--out", str(tmp_path / "o"))
    token.chmod(0o644)
    with pytest.raises(NotAllowedError, match="Others can read"):
        said("read", "out", "--from", "https://zone.example", "--token-file", str(token), "--out", str(tmp_path / "o"))
    with pytest.raises(InputError, match="cannot be read"):
        said("read", "out", "--from", "https://zone.example", "--token-file", "/none", "--out", str(tmp_path / "o"))


def test_a_file_is_checked_before_it_is_used(tmp_path: Path, file: Path) -> None:
    file.write_text("flows: {out: {}}")
    with pytest.raises(InputError, match="to which zone"):
        said("check", str(file), "--data", str(tmp_path))
