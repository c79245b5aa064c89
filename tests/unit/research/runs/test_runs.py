"""Runs over a store: shared out, cut off, gone on with, forgotten."""

from pathlib import Path

import pytest

from carcloud.backends.compute import LOST, Processes
from carcloud.errors import InputError, MissingError
from carcloud.research.runs import run as runs
from carcloud.research.runs.results import bytes_of, forget, results_of
from carcloud.research.runs.run import DIED, Wanted, run, wanted
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store
from tests.braking import braking, planners


class Here:
    """Compute in this very process; what it is told to lose is lost."""

    def __init__(self, *lost: str) -> None:
        self.lost, self.done = lost, 0

    def each(self, work, pieces):  # type: ignore[no-untyped-def]
        for at, piece in enumerate(pieces):
            self.done += 1
            yield at, LOST if set(piece.ids) & set(self.lost) else work(piece)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SHARD", 3)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("lake")
    Store(lake).add("drives", [braking(gap, 20.0, 6.5) for gap in range(6, 20, 2)])
    return lake


def asked(lake: Path, planner: str, ids: list[str] | None = None) -> Wanted:
    store = Store(lake)
    return wanted(store, "default", ids or [row.id for row in store.scenarios()], planner, Settings())


def test_shards_and_their_order_change_nothing(lake: Path, monkeypatch: pytest.MonkeyPatch):
    found = run(asked(lake, "idm"), lake, Here())
    table = results_of(found.folder)
    for path in found.folder.glob("shard-*"):
        path.unlink()
    monkeypatch.setattr(runs, "SHARD", 2)
    again = run(asked(lake, "idm"), lake, Processes(2))
    assert again.digest == found.digest
    assert bytes_of(results_of(again.folder)) == bytes_of(table)
    assert found.totals["scenarios"] == 7


def test_run_that_was_cut_off_does_only_what_is_missing(lake: Path):
    first = Here()
    found = run(asked(lake, "log"), lake, first)
    gone = sorted(found.folder.glob("shard-*"))[1]
    gone.unlink()
    (found.folder / ".shard-00001-x.parquet.99.part").write_bytes(b"half")
    again = Here()
    assert run(asked(lake, "log"), lake, again).digest == found.digest
    assert (first.done, again.done) == (3, 1)


def test_scenario_named_twice_is_driven_once_and_said(lake: Path):
    ids = [row.id for row in Store(lake).scenarios()]
    found = run(asked(lake, "constant-speed", [ids[0], ids[1], ids[0]]), lake, Here())
    assert (found.totals["scenarios"], found.totals["repeated"]) == (2, 1)


def test_fault_is_that_scenarios_alone(lake: Path, tmp_path: Path):
    found = run(asked(lake, f"{planners(tmp_path)}:crashes_near"), lake, Here())
    rows = results_of(found.folder).to_pylist()
    assert sum("too near" in row["fault"] for row in rows) == found.totals["faults"] == 3
    assert all(row["collided"] is not None for row in rows if not row["fault"])


def test_nan_is_a_fault_by_name(lake: Path, tmp_path: Path):
    found = run(asked(lake, f"{planners(tmp_path)}:answers_nothing"), lake, Here())
    assert found.totals["faults"] == 7


def test_who_ends_the_process_is_found_one_by_one(lake: Path):
    ids = sorted(row.id for row in Store(lake).scenarios())
    found = run(asked(lake, "r157-rss"), lake, Here(ids[4]))
    assert {row["scenario"] for row in results_of(found.folder).to_pylist() if row["fault"] == DIED} == {ids[4]}
    assert found.totals["scenarios"] == 7


def test_another_file_of_the_same_name_is_another_run(lake: Path, tmp_path: Path):
    path = planners(tmp_path)
    first = asked(lake, f"{path}:Careful").id
    Path(path).write_text(Path(path).read_text() + "\n# changed\n")
    assert asked(lake, f"{path}:Careful").id != first


def test_forgotten_scenarios_leave_all_runs_of_their_tenant(lake: Path):
    found = run(asked(lake, "r157-fsm"), lake, Here())
    ids = [row["scenario"] for row in results_of(found.folder).to_pylist()]
    assert forget(lake, "other", ids[:2]) == 0
    assert forget(lake, "default", ids[:2]) >= 2
    assert forget(lake, "default", ids[:2]) == 0
    assert [row["scenario"] for row in results_of(found.folder).to_pylist()] == ids[2:]
    left = b"".join(path.read_bytes() for path in found.folder.glob("*"))
    assert not any(one.encode() in left for one in ids[:2])


def test_nothing_and_unknown_scenarios_are_refused(lake: Path):
    with pytest.raises(MissingError):
        asked(lake, "idm", ["0" * 20])
    with pytest.raises(InputError, match="out of range"):
        wanted(Store(lake), "default", [], "idm", Settings())
    with pytest.raises(InputError, match="no planner"):
        asked(lake, "nobody")
