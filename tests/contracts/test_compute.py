"""What compute promises, on processes of this machine and on Ray."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carcloud.backends.compute import LOST, Compute, Processes
from carcloud.backends.compute_ray import Cluster
from carcloud.errors import InputError
from tests.contracts import pieces


@pytest.fixture(scope="module", params=["processes", "ray"])
def compute(request: pytest.FixtureRequest) -> Iterator[Compute]:
    found: Compute = Processes(2) if request.param == "processes" else Cluster(workers=2)
    yield found
    found.close()


def test_each_piece_is_answered_once_under_its_number(compute: Compute):
    assert dict(compute.each(pieces.square, range(20))) == {n: n * n for n in range(20)}
    assert dict(compute.each(pieces.square, [])) == {}


def test_process_that_dies_loses_its_piece_only(compute: Compute):
    found = dict(compute.each(pieces.square_unless_four, range(8)))
    assert found.pop(4) is LOST
    assert found == {n: n * n for n in range(8) if n != 4}


def test_error_of_ours_arrives_whole(compute: Compute):
    with pytest.raises(InputError, match="Not three") as caught:
        list(compute.each(pieces.refuse_three, range(8)))
    assert caught.value.do == "Give another."


def test_any_other_error_arrives_by_its_name(compute: Compute):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(compute.each(pieces.divide, [0]))


def test_whoever_stops_reading_stops_what_is_under_way(compute: Compute, tmp_path: Path):
    answers = compute.each(pieces.leave_mark, [(f"{tmp_path}/first", 0.0), (f"{tmp_path}/second", 30.0)])
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("kind", [Processes, Cluster])
def test_workers_are_bounded(kind: type[Processes] | type[Cluster]):
    with pytest.raises(InputError, match="out of range"):
        kind(workers=0)
