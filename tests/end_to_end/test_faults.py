"""Whatever is killed and however often: nothing acknowledged is lost, nothing is stored twice."""

from pathlib import Path

import pytest

from tests.end_to_end.faults import run_faults

KILLS = 5


@pytest.mark.timeout(600)
def test_killing_every_part_five_times_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    report = run_faults(tmp_path / "zone", KILLS, seed=1)
    print(report.markdown())
    assert report.good, report.markdown()
