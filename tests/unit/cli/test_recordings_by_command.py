"""`carcloud research import`, `recordings`, `scenarios` and `forget`, on a zone's folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.settings import Folder, Settings
from tests.straight_drives import drive


@pytest.fixture
def zone(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "data")
    folder.make()
    open_records(Settings(), folder).close()
    return folder


def run(zone: Folder, *arguments: object, code: int = 0) -> str:
    said = CliRunner().invoke(app, ["research", *(str(one) for one in arguments), "--data", str(zone.path)])
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == code, said.output
    return said.output


def test_a_recording_is_imported_listed_and_forgotten(zone: Folder, tmp_path: Path) -> None:
    file = tmp_path / "drive.xml"
    file.write_bytes(drive())
    assert "drive.xml: 1 scenarios" in run(zone, "import", file, "--licence", "CC0-1.0", "--place", "Bonn")
    id_, state, *_ = run(zone, "recordings").split()
    assert state == "imported"
    assert id_ in run(zone, "scenarios", "--recording", id_)
    assert run(zone, "scenarios", "--recording", "none") == ""
    with pytest.raises(ConflictError, match="already, which is imported"):
        run(zone, "import", file, "--licence", "CC0-1.0")
    objects = list(zone.objects.rglob("*.*")), [one for one in zone.objects.rglob("*") if one.is_file()]
    assert objects == ([], [zone.objects / f"default/recordings/{id_}"])
    assert not [one for one in zone.scratch.iterdir() if one.is_dir()]
    assert "is forgotten" in run(zone, "forget", id_, "--yes")
    assert run(zone, "scenarios") == ""
    assert "erased" in run(zone, "recordings")
    assert not [one for one in zone.objects.rglob("*") if one.is_file()]
    assert not [one for one in (zone.lake / "research").rglob("*.parquet") if "_delta_log" not in one.parts]
    assert "1 scenarios" in run(zone, "import", file, "--licence", "CC0-1.0"), "and may come again"


def test_one_happening_in_two_files_is_one_scenario(zone: Folder, tmp_path: Path) -> None:
    first, second = tmp_path / "first.xml", tmp_path / "second.xml"
    first.write_bytes(drive())
    second.write_bytes(drive() + b"\n")
    said = run(zone, "import", first, second, "--licence", "CC0-1.0").splitlines()
    assert [line.split(": ")[1] for line in said] == ["1 scenarios", "0 scenarios, 1 known already"]


def test_of_several_files_the_others_go_on(zone: Folder, tmp_path: Path) -> None:
    good, odd, broken = (tmp_path / name for name in ("good.xml", "odd.bin", "broken.xml"))
    good.write_bytes(drive())
    odd.write_bytes(b"\x80\x04\x95 a pickle")
    broken.write_bytes(drive()[:-50])
    said = run(zone, "import", odd, broken, tmp_path / "none", good, "--licence", "CC0-1.0", code=1)
    assert "odd.bin: refused. odd.bin is of which format?" in said
    assert "broken.xml: refused." in said
    assert "none: refused. There is no file" in said
    assert "good.xml: 1 scenarios" in said
    states = sorted(line.split()[1] for line in run(zone, "recordings").splitlines())
    assert states == ["imported", "refused", "refused"]
    assert len([one for one in zone.objects.rglob("*") if one.is_file()]) == 1, "refused bytes are gone"


def test_what_lies_beside_is_taken_along(zone: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "recorded"
    (folder / "maps").mkdir(parents=True)
    (folder / "drive.xml").write_bytes(drive())
    (folder / "maps" / "town.xodr").write_text("<OpenDRIVE/>")
    run(zone, "import", folder / "drive.xml", "--with", folder / "maps", "--licence", "CC0-1.0")
    with contextlib.closing(open_records(Settings(), zone)) as records:
        (found,) = records.recordings.listed("default")
    assert [file.name for file in found.files] == ["drive.xml", "maps/town.xodr"]
    assert (found.options["main"], found.name) == ("drive.xml", "drive.xml")


def test_what_is_asked_wrongly_is_said(zone: Folder, tmp_path: Path) -> None:
    file = tmp_path / "drive.xml"
    file.write_bytes(drive())
    with pytest.raises(InputError, match="may be used"):
        run(zone, "import", file)
    with pytest.raises(InputError, match="no parameter a value"):
        run(zone, "import", file, "--licence", "CC0-1.0", "--parameter", "speed")
    with pytest.raises(InputError, match="who you are"):
        run(zone, "import", file, "--licence", "CC0-1.0", "--url", "http://127.0.0.1:1")
    token = tmp_path / "token"
    token.write_text("cct_secret")
    token.chmod(0o600)
    with pytest.raises(InputError, match="in clear"):
        run(zone, "import", file, "--url", "http://zone.example", "--token-file", token)
    with pytest.raises(MissingError):
        run(zone, "forget", "none", "--yes")
