"""The gate, from a lake of scenarios to a signed candidate; a run that is killed; the same run on Ray."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest

from carcloud.backends.compute import Processes
from carcloud.backends.compute_ray import Cluster
from carcloud.backends.records import Records
from carcloud.research.gate.limits import limits_of
from carcloud.research.gate.page import page_of
from carcloud.research.runs import run as runs
from carcloud.research.runs.desk import Desk
from carcloud.research.runs.results import bytes_of, folder_of, results_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store
from carcloud.safety.signer import Signature, Signer, load_public_key, verify
from tests.braking import many, planners

LIMITS = replace(limits_of(), resamples=1000)
WAIT_S = 150
SETTINGS = Settings(limit_s=60.0)
"""A machine that is busy is no fault of a planner."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zone")
    Store(folder / "lake").add("drives", many())
    planners(folder)
    return folder / "lake"


@pytest.fixture(scope="module")
def ids(lake: Path) -> list[str]:
    return [row.id for row in Store(lake).scenarios()]


@pytest.fixture(scope="module")
def records(lake: Path) -> Iterator[Records]:
    records = Records.open(f"sqlite:///{lake.parent}/records.db")
    yield records
    records.close()


@pytest.fixture(scope="module")
def signer(lake: Path) -> Signer:
    return Signer(lake.parent / "keys", lake.parent / "run")


@pytest.fixture(scope="module")
def sign(signer: Signer) -> Callable[[bytes], Signature]:
    return partial(signer.sign, "candidate")


@pytest.fixture(scope="module")
def desk(records: Records, lake: Path) -> Desk:
    return Desk(records, lake, "default", "machine")


@pytest.fixture(scope="module")
def driven(desk: Desk, lake: Path, ids: list[str]) -> dict[str, str]:
    """The ids of the runs of three planners."""
    compute = Processes(2)
    return {
        name: desk.run(ids, f"{lake.parent}/planners.py:{name}", SETTINGS, compute, "braking").id
        for name in ("Careful", "Later", "Sooner")
    }


def test_planner_that_brakes_later_is_stopped(
    desk: Desk, driven: dict[str, str], records: Records, sign: Callable[[bytes], Signature]
):
    verdict, left = desk.judge(driven["Careful"], driven["Later"], LIMITS, "local", sign)
    assert (verdict.passed, left) == (False, None)
    failed = {check["name"] for check in verdict.said["checks"] if not check["passed"]}
    assert {"newly collided", "rate collided", "R157 competence"} <= failed
    assert verdict.said["newly"]["collided"]["count"] > 5
    assert verdict.said["rates"]["collided"]["p"] < 0.001
    assert "stopped" in page_of(verdict)
    assert not [one for one in records.runs.candidates("default") if one.verdict == verdict.digest]


def test_planner_that_is_better_passes_and_leaves_a_signed_candidate(
    desk: Desk, driven: dict[str, str], records: Records, sign: Callable[[bytes], Signature], lake: Path
):
    verdict, left = desk.judge(driven["Careful"], driven["Sooner"], LIMITS, "local", sign)
    assert verdict.passed, [check for check in verdict.said["checks"] if not check["passed"]]
    assert left is not None
    key = load_public_key(lake.parent / "keys" / "candidate.pub")
    assert verify(key, "candidate", left.statement, left.signature)
    assert not verify(key, "receipt", left.statement, left.signature)
    statement = orjson.loads(left.statement)
    assert (statement["verdict"], statement["planner_hash"]) == (verdict.digest, left.planner_hash)
    noted = {act.object for act in records.audit.pending(1000)}
    assert {f"verdict:{verdict.digest}", f"candidate:{left.digest}"} <= noted
    again, _ = desk.judge(driven["Careful"], driven["Sooner"], LIMITS, "local", sign)
    assert again.document == verdict.document
    assert len(records.runs.candidates("default")) == 1


def test_killed_run_goes_on_and_ends_as_if_nothing_had_been(lake: Path, ids: list[str], tmp_path: Path):
    planner = f"{lake.parent}/planners.py:Careful"
    command = [sys.executable, "-m", "tests.end_to_end.gated", str(lake), planner, "1"]
    asked = runs.wanted(Store(lake), "default", ids, planner, SETTINGS)
    folder = folder_of(lake, "default", asked.id)
    for path in folder.glob("*"):
        path.unlink()
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    until = time.monotonic() + WAIT_S
    while len(list(folder.glob("shard-*.parquet"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.parquet")}
    assert 2 <= len(done) < len(ids) / 4
    second = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT_S)
    assert {name: (folder / name).stat().st_mtime_ns for name in done} == done
    killed = bytes_of(results_of(folder))
    whole = runs.run(asked, lake, Processes(2))
    assert second.stdout.strip() == whole.digest
    assert bytes_of(results_of(folder)) == killed


def test_ray_and_this_machine_agree_to_the_last_bit(
    lake: Path, ids: list[str], driven: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    here = results_of(folder_of(lake, "default", driven["Sooner"]))
    for path in folder_of(lake, "default", driven["Sooner"]).glob("shard-*"):
        path.unlink()
    monkeypatch.setattr(runs, "SHARD", 30)
    asked = runs.wanted(Store(lake), "default", ids, f"{lake.parent}/planners.py:Sooner", SETTINGS)
    cluster = Cluster(workers=2)
    try:
        there = runs.run(asked, lake, cluster)
    finally:
        cluster.close()
    assert there.id == driven["Sooner"]
    assert bytes_of(results_of(there.folder)) == bytes_of(here)
