"""Errands that want more than a planner of the zone: a file of somebody's, a program, another tenant's scenarios."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carcloud.assembly.errand import run
from carcloud.assembly.records import open_records
from carcloud.backends.records import Records
from carcloud.backends.records.errands import Errand
from carcloud.research.store import Store
from carcloud.settings import Folder, Settings
from tests.braking import braking

ALL = {"scenarios": [], "recordings": [], "query": "", "step_s": 0.1, "duration_s": None, "traffic": "log"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = Folder(tmp_path / "data")
    found.make()
    return found


@pytest.fixture
def records(folder: Folder) -> Iterator[Records]:
    with contextlib.closing(open_records(Settings(), folder)) as opened:
        yield opened


def became(records: Records, folder: Folder, tenant: str, name: str = "e1", **said: Any) -> Errand:
    told = ALL | {"react": False, "seed": 0, "planner": "idm"} | said
    asked = records.errands.ask(Errand(name, tenant, "run", told, "person:p", datetime.now(UTC)))
    assert run(Settings(), folder, tenant, asked.id) == 0
    return records.errands.get(tenant, asked.id)


@pytest.mark.parametrize("kind", ["{path}:Plan", "exec:touch {mark}"])
def test_planner_of_somebody_elses_is_not_begun(records: Records, folder: Folder, tmp_path: Path, kind: str):
    path, mark = tmp_path / "plan.py", tmp_path / "mark"
    path.write_text(f"open({str(mark)!r}, 'w')\ndef Plan(seen): return 0.0\n")
    Store(folder.lake).add("drives", [braking(10.0, 20.0, 6.0, length_s=1.0)])
    found = became(records, folder, "default", planner=kind.format(path=path, mark=mark))
    assert (found.state, mark.exists()) == ("failed", False)
    assert "its own planners only" in found.error
    assert records.runs.listed("default") == []


def test_scenarios_and_runs_of_another_tenant_are_not_there(records: Records, folder: Folder):
    ids = Store(folder.lake, "theirs").add("drives", [braking(10.0, 20.0, 6.0, length_s=1.0)]).ids
    for number, said in enumerate(({"scenarios": list(ids)}, {"recordings": ["drives"]}, {})):
        assert became(records, folder, "default", f"e{number}", **said).state == "failed"
    assert records.runs.listed("default") == []
    assert not (folder.lake / "runs").exists()
