"""The notebooks in `examples/` run from top to bottom against a zone with simulated cars."""

import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import carcloud

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
NEEDED = ("Vehicle.Speed", "Vehicle.TraveledDistance", "Vehicle.Powertrain.TractionBattery.CurrentPower")


def wait_for_samples(zone: Any) -> None:
    """Wait until the lake has what the notebooks look at."""
    deadline = time.monotonic() + 60
    sql = "SELECT signal, count(*) AS n FROM samples GROUP BY signal HAVING n >= 20"
    with carcloud.connect(zone.url, zone.token) as opened:
        while not set(NEEDED) <= set(opened.sql(sql)["signal"].to_pylist()):
            assert time.monotonic() < deadline, "the cars' samples did not reach the lake"
            time.sleep(1)


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_fleet.ipynb", "02_speed_and_energy.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, zone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_samples(zone)
    monkeypatch.setenv("CARCLOUD_URL", zone.url)
    monkeypatch.setenv("CARCLOUD_TOKEN", zone.token)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert printed
    assert not [output for output in printed if output.output_type == "error" or output.get("name") == "stderr"]
