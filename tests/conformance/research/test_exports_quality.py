"""What we export passes ASAM's own checkers, with all their checks done; read again it is the same."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carcloud.research.adapters.openscenario.reader import instantiate
from carcloud.research.exports.about import About
from carcloud.research.exports.openscenario import write
from carcloud.research.motion import wrapped
from carcloud.research.roads import Lane, RoadMap

PROJECT = Path(__file__).parents[3]
SCENARIOS = PROJECT.parent / "shared/data/scenarios"
PYTHON = PROJECT / ".asamqc/bin/python"
CHECK = Path(__file__).parent / "asamqc/check.py"
XOSC_CHECKS, XODR_CHECKS = 17, 10
"""The checks that are done on a file of OpenSCENARIO 1.2, and of OpenDRIVE 1.5: fewer means skipped, not good. One of
the former looks for traffic lights on the roads, and is skipped where a scenario has none."""
ABOUT = About(recording="r1", vehicle="v7", licence="CC-BY-4.0", consent="g1", purpose="research", place="-- a -- b")

LINE = np.linspace((0.0, 0.0), (400.0, 0.0), 5)
DRAWN = RoadMap(
    (
        Lane("right", "driving", LINE - (0, 1), LINE - (0, 4.5), left="left", limit_mps=20.0),
        Lane("left", "driving", LINE - (0, -2.5), LINE - (0, 1), right="right", limit_mps=20.0),
    )
)
"""Roads that have no OpenDRIVE of their own."""

pytestmark = [
    pytest.mark.skipif(
        not SCENARIOS.is_dir(), reason="the scenarios of others are not here (../shared/data/scenarios)"
    ),
    pytest.mark.skipif(not PYTHON.exists(), reason="ASAM's checkers are not here: make .asamqc/installed"),
]


def checked(*files):
    told = subprocess.run([PYTHON, CHECK, *map(str, files)], capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in told.stdout.splitlines()]


def with_gaps(scenario):
    """Return a scenario whose second road user comes late, is away for a while, is there once, and leaves."""
    motion = scenario.motion
    present = motion.present.copy()
    for away in (slice(0, 20), slice(40, 50), slice(51, 55), slice(90, None)):
        present[1, away] = False
    names = ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay")
    columns = {name: np.where(present, getattr(motion, name), np.nan) for name in names}
    return replace(scenario, motion=replace(motion, present=present, **columns))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    cut_in = instantiate(SCENARIOS / "osc_alks/alks_scenario_4_4_1_cut_in_no_collision_template.xosc", {})
    walker = instantiate(SCENARIOS / "osc_alks/alks_scenario_4_2_3_crossing_pedestrian_template.xosc", {})
    bare = replace(instantiate(SCENARIOS / "esmini/alks_cut-out.xosc", {}), map=None)
    scenarios = [cut_in, with_gaps(cut_in), walker, replace(walker, map=DRAWN), with_gaps(bare)]
    folder = tmp_path_factory.mktemp("exported")
    return scenarios, write(scenarios, folder, {one.id: ABOUT for one in scenarios})


def test_no_issue_is_found_and_every_check_is_done(exported):
    _, files = exported
    assert [path.suffix for path in files] == [".xodr", ".xosc"] * 4 + [".xosc"]
    without_roads = files[-1]
    for path, told in zip(files, checked(*files), strict=True):
        assert told["issues"] == [], path
        assert told["failed"] == 0
        assert told["completed"] >= (XODR_CHECKS if path.suffix == ".xodr" else XOSC_CHECKS - (path == without_roads))


def test_what_is_broken_on_purpose_is_found(exported, tmp_path):
    """A checker that finds nothing in these would find nothing in ours: its silence would say nothing."""
    text = next(path for path in exported[1] if path.suffix == ".xosc").read_text()
    broken = {
        "nobody.xosc": text.replace('<Private entityRef="Ego"', '<Private entityRef="Nobody"'),
        "element.xosc": text.replace("<Entities>", "<Entities><Wrong/>"),
        "version.xosc": text.replace('revMinor="2"', 'revMinor="9"'),
    }
    for name, content in broken.items():
        assert content != text
        (tmp_path / name).write_text(content)
    nobody, element, version = checked(*(tmp_path / name for name in broken))
    assert nobody["issues"]
    assert element["issues"]
    assert version["issues"] == []
    assert version["completed"] < XOSC_CHECKS


def test_read_again_it_is_the_same(exported):
    scenarios, files = exported
    for scenario, path in zip(scenarios, [path for path in files if path.suffix == ".xosc"], strict=True):
        again = instantiate(path, {})
        ours, theirs = scenario.motion, again.motion
        assert (theirs.time_us == ours.time_us).all()
        assert (theirs.present == ours.present).all()
        there = ours.present
        for name in ("x", "y", "z"):
            assert np.abs(getattr(theirs, name) - getattr(ours, name))[there].max() <= 1e-3
        assert np.abs(wrapped(theirs.yaw - ours.yaw))[there].max() <= 1e-3
        assert [(u.name, u.kind, u.length, u.width, u.height) for u in theirs.users] == [
            (u.name, u.kind, u.length, u.width, u.height) for u in ours.users
        ]
        assert again.ego == scenario.ego
        if scenario.map is None:
            assert again.map is None
        else:
            assert again.map.by_name.keys() == scenario.map.by_name.keys()
            for name, lane in scenario.map.by_name.items():
                assert again.map.by_name[name].length == pytest.approx(lane.length, abs=1e-3)
            if scenario.map.format == "opendrive":
                assert again.id == scenario.id


def test_every_file_says_licence_and_consent(exported):
    for path in exported[1]:
        text = path.read_text()
        for said in (ABOUT.licence, ABOUT.consent, ABOUT.recording, ABOUT.vehicle):
            assert said in text, path
