"""`carcloud plan` beside the zone: files checked with every problem, plans kept, shown and withdrawn."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.settings import Folder, Settings

TEXT = """
plan: fast
version: 1
signals: [Vehicle.Speed]
when: Vehicle.Speed > 80 km/h
after: 2 s
purpose: research
basis: legitimate-interest
budget: 1 MB
until: 2028-01-01T00:00:00Z
"""


@pytest.fixture
def at(tmp_path: Path) -> tuple[str, ...]:
    """Give the options of a zone's folder."""
    folder = Folder(tmp_path / "data")
    folder.make()
    open_records(Settings(), folder).close()
    return "--data", str(folder.path)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None:
        result.exception.add_note(result.stderr)
        raise result.exception
    return result.stdout


def test_plan_is_checked_kept_shown_and_withdrawn(at: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "fast.yaml"
    file.write_text(f"{TEXT}---\n{TEXT.replace('version: 1', 'version: 2')}")
    assert [line.split()[0] for line in run("plan", "check", file, *at).splitlines()] == ["fast/1", "fast/2"]
    run("plan", "add", file, *at)
    assert [line.split()[:3] for line in run("plan", "list", *at).splitlines()] == [
        ["fast", "2", "stands"],
        ["fast", "1", "stands"],
    ]
    assert json.loads(run("plan", "show", "fast", "--version", 1, *at))["after"] == "2 s"
    assert "withdrawn" in run("plan", "withdraw", "fast", *at)
    file.write_text(TEXT.replace("2 s", "3 s"))
    with pytest.raises(ConflictError, match="says something else"):
        run("plan", "add", file, *at)
    with pytest.raises(ConflictError, match="withdrawn"):
        run("plan", "deploy", "fast", "--key", file, "--vehicle", "a", *at)
    with pytest.raises(InputError, match="in one way"):
        run("plan", "deploy", "fast", "--version", 1, "--key", file, *at)
    with pytest.raises(MissingError):
        run("plan", "show", "slow", *at)


def test_every_problem_of_a_file_is_told_with_its_place(at: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(TEXT.replace("80 km/h", "80 degrees").replace("1 MB", "1 B"))
    with pytest.raises(InputError, match="2 problems") as refused:
        run("plan", "check", file, *at)
    (said,) = refused.value.__notes__
    assert "budget: " in said
    assert "when, character 17: " in said
    for wrong in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            run("plan", "check", wrong, *at)
