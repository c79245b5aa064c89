"""Planners of others: in processes of their own, without the future, and each failure that of its scenario alone."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.outcome import Outcome
from carcloud.research.simulation.references import planner_hash, planner_of
from carcloud.research.simulation.settings import Settings
from tests.unit.research.simulation.traffic import cars

FILE = '''
import gc, os, sys, time
import numpy as np
from carcloud.research.simulation.planner import Action


class Holds:
    """Keeps twice its speed as a gap: all scenarios at once."""

    def begin(self, scenarios, seed):
        self.count = scenarios

    def plan(self, seen):
        assert len(seen.x) == self.count
        print("planners may print")
        return Action(np.where(seen.gap < 2 * seen.speed, -4.0, 0.0))


def holds(seen):
    return -4.0 if seen.gap < 2 * seen.speed else 0.0


class Counts:
    """One instance a scenario: brakes from its tenth step on."""

    def __init__(self):
        self.steps = 0

    def __call__(self, seen):
        self.steps += 1
        return (-3.0 if self.steps > 10 else 0.0), 0.0


def fails(seen):
    """Does something else wrong for each place that it begins at."""
    if seen.time_s > 0.45:
        place = round(seen.y)
        if place == 10:
            raise ValueError("no idea")
        if place == 20:
            return float("nan")
        if place == 30:
            return "left"
        if place == 40:
            time.sleep(30)
        if place == 50:
            os._exit(3)
        if place == 60:
            sys.exit("enough")
        if place == 70:
            return 0.0, float("inf")
    return 0.0


class Nonsense:
    def plan(self, seen):
        if (np.round(seen.y) == 10).any():
            return Action(np.zeros(len(seen.x) + 1))
        if (np.round(seen.y) == 20).any():
            return "nothing"
        return Action(np.zeros(len(seen.x)))


class Cheats:
    """Looks for the future everywhere within its reach, and brakes where it finds any of it."""

    def __call__(self, seen):
        found = False
        told = {round(seen.x, 3), *np.round(seen.others_x, 3)}
        secret = 1234.5  # what the other car's x is later, and nowhere before
        for thing in gc.get_objects():
            if isinstance(thing, np.ndarray) and thing.dtype == float:
                found = found or bool(np.isclose(thing, secret, atol=1e-3).any())
        frame = sys._getframe()
        while frame is not None:
            for value in frame.f_locals.values():
                if isinstance(value, np.ndarray) and value.dtype == float:
                    found = found or bool(np.isclose(value, secret, atol=1e-3).any())
            frame = frame.f_back
        before = seen.others_x.copy()
        time.sleep(0.05)
        found = found or not np.array_equal(before, seen.others_x)
        found = found or any("Scenario" in type(thing).__name__ or "World" in type(thing).__name__
                             for thing in gc.get_objects())
        found = found or "carcloud.research.simulation.engine" in sys.modules
        return -9.0 if found else 0.0


def environment(seen):
    return -9.0 if "CARCLOUD_SECRET" in os.environ else 0.0
'''

PROGRAM = """
import json, sys, time
mode = sys.argv[1]
for line in sys.stdin:
    message = json.loads(line)
    if "begin" in message:
        print(json.dumps({"ready": True}), flush=True)
        continue
    seen = message["see"]
    if seen["ego"]["y"] > 5 and seen["time_s"] > 0.45:
        if mode == "garbage":
            print("} not json", flush=True)
            continue
        if mode == "late":
            time.sleep(30)
        if mode == "nan":
            print('{"acceleration": NaN}', flush=True)
            continue
        if mode == "list":
            print("[1]", flush=True)
            continue
        if mode == "dies":
            sys.exit(1)
        if mode == "long":
            print("1" * 100000, flush=True)
            continue
    lead = seen["lead"]
    brake = lead is not None and lead["gap"] < 2 * seen["ego"]["speed"]
    print(json.dumps({"acceleration": -4.0 if brake else 0.0}), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planners")
    (folder / "mine.py").write_text(FILE)
    (folder / "program.py").write_text(PROGRAM)
    return folder


def closing(count: int) -> list[Scenario]:
    return [cars([(0, 10.0 * at, 20), (50 + at, 10.0 * at, 12)], 60) for at in range(count)]


def driven(folder: Path, name: str, scenarios: list[Scenario], **told: float) -> list[Outcome]:
    return simulate(scenarios, planner_of(f"{folder}/mine.py:{name}"), Settings(**told))  # type: ignore[arg-type]


def test_class_function_and_program_of_the_same_mind_drive_the_same(folder: Path) -> None:
    scenarios = closing(3)
    whole = [one.digest for one in driven(folder, "Holds", scenarios)]
    single = [one.digest for one in driven(folder, "holds", scenarios)]
    program = planner_of(f"exec:{sys.executable} {folder}/program.py well")
    assert whole == single == [one.digest for one in simulate(scenarios, program)]
    assert all(one.fault == "" and one.collided_us is None for one in driven(folder, "Holds", scenarios))


def test_a_class_is_made_anew_for_each_scenario_and_may_steer(folder: Path) -> None:
    outcomes = driven(folder, "Counts", [cars([(0, 0, 20)], 30) for _ in range(3)])
    for one in outcomes:
        assert one.motion is not None
        assert one.motion.vx[0, 10] == pytest.approx(20.0)
        assert one.motion.vx[0, 20] == pytest.approx(17.0)


def test_each_failure_is_its_own_scenarios_and_the_others_go_on(folder: Path) -> None:
    outcomes = driven(folder, "fails", closing(9), limit_s=0.5)
    said = ("", "no idea", "no finite number", "ValueError", "longer than 0.5 s", "ended", "enough", "finite", "")
    for outcome, words in zip(outcomes, said, strict=True):
        assert words in outcome.fault
        assert bool(outcome.fault) == bool(words)
    sound = simulate(closing(9), planner_of("constant-speed"))
    assert outcomes[0].digest == sound[0].digest
    assert outcomes[8].digest == sound[8].digest


def test_nonsense_for_a_batch_is_narrowed_down_to_whose_it_is(folder: Path) -> None:
    outcomes = driven(folder, "Nonsense", closing(5))
    assert [bool(one.fault) for one in outcomes] == [False, True, True, False, False]
    assert "there are 1" in outcomes[1].fault
    assert "no Action" in outcomes[2].fault


@pytest.mark.parametrize("mode", ["garbage", "late", "nan", "list", "dies", "long"])
def test_program_that_misbehaves_spoils_one_scenario(folder: Path, mode: str) -> None:
    planner = planner_of(f"exec:{sys.executable} {folder}/program.py {mode}")
    outcomes = simulate(closing(2)[::-1], planner, Settings(limit_s=0.5))
    assert outcomes[0].fault
    assert outcomes[1].fault == ""
    assert outcomes[1].steps == 60


def test_planner_finds_no_future_in_what_it_sees_its_frames_or_its_memory(folder: Path) -> None:
    scenario = cars([(0, 0, 10), (1000, 0, 10)], 60)
    scenario.motion.x[1, -1] = 1234.5
    [outcome] = driven(folder, "Cheats", [scenario])
    assert outcome.fault == ""
    assert outcome.motion is not None
    assert (outcome.motion.vx[0] == 10.0).all(), "it braked: it found what it must not"
    assert outcome.motion.x[1, -1] == 1234.5


def test_planner_is_told_no_secret_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARCLOUD_SECRET", "key")
    [outcome] = driven(folder, "environment", [cars([(0, 0, 10)], 5)])
    assert outcome.motion is not None
    assert (outcome.motion.vx[0] == 10.0).all()


def test_file_that_cannot_be_loaded_is_the_callers_to_mend(folder: Path) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    for reference in (f"{folder}/broken.py:Name", f"{folder}/mine.py:Nobody"):
        with pytest.raises(InputError):
            simulate(closing(1), planner_of(reference))
    with pytest.raises(InputError):
        simulate(closing(1), planner_of("exec:/no/such/program"))


def test_no_process_is_left_behind(folder: Path) -> None:
    driven(folder, "holds", closing(1))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("this system does not list a process's children")
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]
    assert not any(b"simulation.child" in line for line in lines)


def test_hash_of_a_planner_changes_with_its_file(folder: Path) -> None:
    before = planner_hash(f"{folder}/mine.py:holds")
    (folder / "mine.py").write_text(FILE + "\n# changed\n")
    assert planner_hash(f"{folder}/mine.py:holds") != before
    assert planner_hash("idm") != planner_hash("r157-fsm")
    assert len(np.unique([planner_hash(one) for one in ("idm", "log", "exec:a b")])) == 3
