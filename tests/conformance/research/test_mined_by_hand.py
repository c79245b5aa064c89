"""The ten hits that docs/research.md tells of, against the numbers in the files: read here without anything of ours."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from carcloud.research.adapters.adapter import Options, reader_for
from carcloud.research.mining.mining import mine
from carcloud.research.scenario import Scenario
from carcloud.research.store import Store

FOLDER = Path(__file__).parents[4] / "shared/data/scenarios/commonroad"
PAGE = Path(__file__).parents[3] / "docs/research.md"
ROW = re.compile(r"^\| (USA_\S+) \| (\d+) \| (\S+) \| (\d+|–) \| ([\d.]+) s \| (.+) \|$", re.MULTILINE)
HITS = ROW.findall(PAGE.read_text())
State = tuple[float, float, float, float]
"""x, y, heading, speed."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/data/scenarios is not there")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("ngsim") / "lake")
    for number, file in enumerate(sorted(FOLDER.glob("*.xml"))):
        read = reader_for(file).read(file, Options(), lambda share: None)
        made.add(f"file-{number}", [one for one in read if isinstance(one, Scenario)])
    return made


@cache
def raw(name: str) -> ElementTree.Element:
    return ElementTree.parse(FOLDER / f"{name}.xml").getroot()


def number(element: ElementTree.Element, path: str) -> float:
    return float(element.findtext(path) or "nan")


@cache
def obstacle(name: str, who: str) -> tuple[float, dict[int, State]]:
    (found,) = [one for tag in ("obstacle", "dynamicObstacle") for one in raw(name).iter(tag) if one.get("id") == who]
    states = [found.find("initialState"), *found.iter("state")]
    at = {
        int(number(one, "time/exact")): (
            number(one, "position/point/x"),
            number(one, "position/point/y"),
            number(one, "orientation/exact"),
            number(one, "velocity/exact"),
        )
        for one in states
        if one is not None
    }
    return number(found, "shape/rectangle/length"), at


@cache
def lanelet(name: str, which: str) -> list[tuple[float, float]]:
    (found,) = [
        one for one in raw(name).iter("lanelet") if one.get("id") == which and one.find("leftBound") is not None
    ]
    left, right = (
        [(number(p, "x"), number(p, "y")) for p in found.findall(f"{side}Bound/point")] for side in ("left", "right")
    )
    return left + right[::-1]


def is_in(corners: list[tuple[float, float]], x: float, y: float) -> bool:
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def gap(name: str, who: str, other: str, step: int) -> float:
    (mine_m, mine_at), (other_m, other_at) = obstacle(name, who), obstacle(name, other)
    (x, y, *_), (x2, y2, *_) = mine_at[step], other_at[step]
    return math.hypot(x2 - x, y2 - y) - (mine_m + other_m) / 2


def test_ten_hits_are_told() -> None:
    assert len(HITS) == 10
    assert {name.split("-")[0] for name, *_ in HITS} == {"USA_US101", "USA_Lanker", "USA_Peach"}


@pytest.mark.parametrize(("name", "who", "query", "other", "begin", "said"), HITS)
def test_hit_is_mined(store: Store, name: str, who: str, query: str, other: str, begin: str, said: str) -> None:
    (row,) = [one for one in store.scenarios() if one.name == name]
    users = {user.track: user.name for user in store.load(row.id).motion.users}
    hits = {
        (users[hit.track], "–" if hit.other is None else users[hit.other], hit.begin_us)
        for hit in mine(store, query, scenarios=[row.id])
    }
    assert (who, other, round(float(begin) * 1e6)) in hits


@pytest.mark.parametrize(("name", "who", "query", "other", "begin", "said"), HITS)
def test_raw_numbers_say_so(name: str, who: str, query: str, other: str, begin: str, said: str) -> None:
    steps = [(float(value), round(float(at) * 10)) for value, at in re.findall(r"([\d.]+) m/s at ([\d.]+) s", said)]
    gaps = [(float(value), round(float(at) * 10)) for value, at in re.findall(r"gap ([\d.]+) m at ([\d.]+) s", said)]
    for value, step in steps:
        _, at = obstacle(name, who)
        first, last = max(step - 2, min(at)), min(step + 2, max(at))
        moved = math.hypot(at[last][0] - at[first][0], at[last][1] - at[first][1]) / ((last - first) / 10)
        assert at[step][3] == pytest.approx(value, abs=0.006)
        assert moved == pytest.approx(value, abs=0.5)
    for value, step in gaps:
        assert gap(name, who, other, step) == pytest.approx(value, abs=0.006)
    if query == "hard-brake":
        (before, begun), (after, ended) = steps
        assert (before - after) / ((ended - begun) / 10) > 3
    elif query == "closing-in":
        (before, begun), (after, ended) = gaps
        assert after / ((before - after) / ((ended - begun) / 10)) < 3
    else:
        assert gaps[0][0] < 40
        for one in said.split("; "):
            about = one.split(" ")[0]
            for which, at in re.findall(r"in lanelet (\d+) at ([\d.]+) s", one):
                x, y, *_ = obstacle(name, about)[1][round(float(at) * 10)]
                assert is_in(lanelet(name, which), x, y)


def beside(name: str, which: str) -> set[str]:
    """Return the lanelets beside one that are driven the same way, and those that lead on from them or to them."""
    by_name = {one.get("id"): one for one in raw(name).iter("lanelet") if one.find("leftBound") is not None}
    found: set[str] = set()
    for side in ("adjacentLeft", "adjacentRight"):
        there = by_name[which].find(side)
        if there is not None and there.get("drivingDir") == "same":
            one = by_name[there.get("ref")]
            found |= {str(one.get("id"))}
            found |= {str(end.get("ref")) for end in (*one.findall("successor"), *one.findall("predecessor"))}
    return found


def obstacles(name: str) -> list[str]:
    return [str(one.get("id")) for tag in ("obstacle", "dynamicObstacle") for one in raw(name).iter(tag)]


def crossings(name: str) -> set[tuple[str, int]]:
    """Return who crosses into a lanelet beside and is not back half a second later, and at which step."""
    names = [str(one.get("id")) for one in raw(name).iter("lanelet") if one.find("leftBound") is not None]
    found = set()
    for who in obstacles(name):
        _, at = obstacle(name, who)
        where = {step: {one for one in names if is_in(lanelet(name, one), *at[step][:2])} for step in sorted(at)}
        for step in sorted(at)[1:]:
            left = where.get(step - 1, set()) - where[step]
            crosses = any(beside(name, one) & where[step] for one in left)
            if crosses and step + 5 in where and not left & where[step + 5]:
                found.add((who, step))
    return found


@pytest.mark.parametrize("name", ["USA_US101-3_3_T-1", "USA_US101-4_1_T-1", "USA_US101-5_1_T-1"])
def test_no_lane_change_on_the_highway_is_missed_and_none_made_up(store: Store, name: str) -> None:
    (row,) = [one for one in store.scenarios() if one.name == name]
    users = {user.track: user.name for user in store.load(row.id).motion.users}
    hits = mine(store, 'Track.LaneChange != "none"', scenarios=[row.id])
    assert {(users[hit.track], hit.begin_us // 100_000) for hit in hits} == crossings(name)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.xml")), ids=lambda file: file.stem)
def test_no_clearly_hard_brake_is_missed(store: Store, file: Path) -> None:
    (row,) = [one for one in store.scenarios() if one.name == file.stem]
    users = {user.track: user.name for user in store.load(row.id).motion.users}
    hits = mine(store, "hard-brake", scenarios=[row.id])
    for who in obstacles(file.stem):
        _, at = obstacle(file.stem, who)
        for step in sorted(at):
            span = [at.get(one) for one in range(step - 2, step + 13)]
            states = [one for one in span if one is not None]
            if len(states) < len(span):
                continue
            moved = [math.hypot(b[0] - a[0], b[1] - a[1]) * 5 for a, b in zip(states, states[2:], strict=False)]
            honest = all(abs(v[3] - m) < 0.5 for v, m in zip(states[1:], moved, strict=False))
            if honest and states[2][3] - states[12][3] > 4:
                begin, end = step * 100_000, (step + 10) * 100_000
                mined = [hit for hit in hits if users[hit.track] == who and hit.begin_us < end + 300_000]
                assert any(hit.end_us > begin for hit in mined), (who, step)
