"""The mapping of TAD Sim's key figures."""

import json
from pathlib import Path

import pytest

from carcloud.research.metrics.kpi import tad_sim
from carcloud.research.runs.results import RESULTS

CATALOGUE = Path(__file__).resolve().parents[5] / "shared" / "data" / "scenarios" / "tadsim" / "all_grading_kpi.json"


def test_each_figure_that_is_answered_is_answered_by_a_result():
    found = tad_sim()
    assert set(found.answered.values()) <= set(RESULTS.names)
    assert not set(found.answered) & set(found.unanswered)


def test_every_figure_of_the_catalogue_is_in_the_mapping():
    if not CATALOGUE.exists():
        pytest.skip("TAD Sim's catalogue is not here")
    names = [one["name"] for one in json.loads(CATALOGUE.read_text())["kpi"]]
    found = tad_sim()
    assert len(names) == 235
    assert sorted(names) == sorted([*found.answered, *found.unanswered])
