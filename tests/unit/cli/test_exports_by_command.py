"""`carcloud research export` of a scenario that was imported from OpenSCENARIO, roads and all."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.errors import InputError, MissingError
from carcloud.settings import Folder, Settings
from tests.unit.research.openscenario import written as w


@pytest.fixture
def zone(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "data")
    folder.make()
    open_records(Settings(), folder).close()
    return folder


def run(zone: Folder, *arguments: object) -> str:
    said = CliRunner().invoke(app, ["research", *(str(one) for one in arguments), "--data", str(zone.path)])
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == 0, said.output
    return said.output


def test_a_scenario_goes_in_with_its_roads_and_comes_out_again(zone: Folder, tmp_path: Path) -> None:
    roads, file, out = tmp_path / "roads.xodr", tmp_path / "drive.xosc", tmp_path / "out"
    roads.write_text(w.ROADS)
    parameter = '<ParameterDeclaration name="speed" parameterType="double" value="10"/>'
    init = [w.placed("Ego", w.at(-1, 10), "$speed")]
    file.write_text(w.document([w.car("Ego")], init, stop=w.when(2), parameters=parameter))
    said = run(zone, "import", file, "--with", roads, "--licence", "CC0-1.0", "--parameter", "speed=20")
    assert "1 scenarios" in said
    id_ = run(zone, "scenarios").split()[0]
    for format_, names in (("openscenario", {f"{id_}.xodr", f"{id_}.xosc"}), ("osi_mcap", {f"{id_}.mcap"})):
        folder = out / format_
        assert f"{len(names)} files" in run(zone, "export", id_, "--format", format_, "--out", folder)
        assert {path.name for path in folder.iterdir()} == names
    assert "CC0-1.0" in (out / "openscenario" / f"{id_}.xosc").read_text()
    assert "1 known already" in run(zone, "import", out / "openscenario" / f"{id_}.xosc", "--with",
                                    out / "openscenario" / f"{id_}.xodr", "--licence", "CC0-1.0")  # fmt: skip


def test_which_scenarios_must_be_said(zone: Folder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Which scenarios"):
        run(zone, "export", "--out", tmp_path / "out")
    with pytest.raises(MissingError):
        run(zone, "export", "--all", "--out", tmp_path / "out")
