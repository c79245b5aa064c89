"""Commands act for the tenant that their zone is run for, with and without its configuration."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.cli.options import zone_of
from carcloud.errors import ConflictError, InputError
from carcloud.settings import Folder, Settings, check_tenant

VIN = "1HGCM82633A004352"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give the folder of a zone that was started for a tenant of its own."""
    folder = Folder(tmp_path / "data")
    folder.make()
    folder.tenant.write_text("acme\n")
    return folder


def configured(place: Path, text: str) -> Path:
    file = place / "zone.toml"
    file.write_text(text)
    return file


def test_without_a_configuration_the_zone_s_own_tenant_holds(folder: Folder) -> None:
    settings, _ = zone_of(folder.path, None)
    assert settings == Settings(tenant="acme")
    result = CliRunner().invoke(app, ["enrol", "--vin", VIN, "--data", str(folder.path)])
    assert result.exception is None, result.output
    records = open_records(settings, folder)
    assert [car.tenant for car in records.vehicles(limit=2)] == ["acme"]
    records.close()


def test_a_configuration_for_another_tenant_is_refused(folder: Folder, tmp_path: Path) -> None:
    assert zone_of(folder.path, configured(tmp_path, 'tenant = "acme"'))[0].tenant == "acme"
    for text in ('tenant = "other"', 'zone = "z"'):
        file = configured(tmp_path, text)
        with pytest.raises(ConflictError, match="is run for the tenant acme"):
            zone_of(folder.path, file)
        for command in ("vehicles", "up"):
            found = CliRunner().invoke(app, [command, "--data", str(folder.path), "--config", str(file)])
            assert isinstance(found.exception, ConflictError), found.output


def test_a_zone_that_never_started_has_no_tenant_yet(folder: Folder) -> None:
    folder.tenant.unlink()
    check_tenant(Settings(tenant="any"), folder)
    assert zone_of(folder.path, None)[0].tenant == "default"


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff"])
def test_a_damaged_word_is_said(folder: Folder, content: bytes) -> None:
    folder.tenant.write_bytes(content)
    with pytest.raises(InputError, match="names no tenant"):
        zone_of(folder.path, None)
