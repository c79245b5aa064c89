"""Sweeps: grids, hypercubes, and boundaries that closed forms know."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from carcloud.cli.menu import app
from carcloud.errors import InputError
from carcloud.research.simulation.made import made
from carcloud.research.simulation.references import planner_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.sweep import Range, boundary, combined, latin, maker, swept

XOSC = """<?xml version="1.0"?>
<OpenSCENARIO>
 <FileHeader revMajor="1" revMinor="1" date="2026-01-01T00:00:00" description="two cars" author="test"/>
 <ParameterDeclarations>
  <ParameterDeclaration name="Gap_m" parameterType="double" value="30"/>
 </ParameterDeclarations>
 <CatalogLocations/>
 <RoadNetwork/>
 <Entities>%s</Entities>
 <Storyboard><Init><Actions>%s</Actions></Init>
  <StopTrigger><ConditionGroup><Condition name="end" delay="0" conditionEdge="none"><ByValueCondition>
   <SimulationTimeCondition value="10" rule="greaterThan"/></ByValueCondition></Condition></ConditionGroup>
  </StopTrigger>
 </Storyboard>
</OpenSCENARIO>"""
CAR = """<ScenarioObject name="%s"><Vehicle name="car" vehicleCategory="car"><BoundingBox><Center x="0" y="0" z="0.7"/>
<Dimensions width="1.8" length="4.6" height="1.5"/></BoundingBox>
<Performance maxSpeed="60" maxAcceleration="5" maxDeceleration="9"/>
<Axles><FrontAxle maxSteering="0.5" wheelDiameter="0.6" trackWidth="1.6" positionX="2.7" positionZ="0.3"/>
<RearAxle maxSteering="0" wheelDiameter="0.6" trackWidth="1.6" positionX="0" positionZ="0.3"/></Axles>
<Properties/></Vehicle></ScenarioObject>"""
GO = """<Private entityRef="%s"><PrivateAction><TeleportAction><Position><WorldPosition x="%s" y="0" z="0" h="0"/>
</Position></TeleportAction></PrivateAction><PrivateAction><LongitudinalAction><SpeedAction>
<SpeedActionDynamics dynamicsShape="step" value="0" dynamicsDimension="time"/>
<SpeedActionTarget><AbsoluteTargetSpeed value="%s"/></SpeedActionTarget></SpeedAction></LongitudinalAction>
</PrivateAction></Private>"""


def test_a_grid_is_every_combination_and_a_hypercube_meets_every_part_once() -> None:
    ranges = [Range("gap_m", 10, 30, 3), Range("other_speed_kmh", 20, 40, 2)]
    assert len(combined(ranges)) == 6
    assert combined(ranges)[0] == {"gap_m": 10.0, "other_speed_kmh": 20.0}
    points = latin(ranges, 20, 1)
    assert latin(ranges, 20, 1) == points != latin(ranges, 20, 2)
    for name, low, high in (("gap_m", 10, 30), ("other_speed_kmh", 20, 40)):
        parts = sorted(int((point[name] - low) / (high - low) * 20) for point in points)
        assert parts == list(range(20))


def test_boundary_of_doing_nothing_is_the_gap_that_time_uses_up() -> None:
    # closing at 20 km/h for 15 s: collides below 83.33 m; and any cut-in is done by then
    found = boundary(
        maker("cut-in"),
        [Range("lateral_speed_mps", 1, 2, 2)],
        Range("gap_m", 50, 120),
        0.01,
        planner_of("constant-speed"),
        Settings(),
    )
    assert found["gap_m"].to_pylist() == pytest.approx([20 / 3.6 * 15] * 2, abs=0.02)
    assert found["below"].to_pylist() == [True, True]
    assert found["flips"].to_pylist() == [1, 1]


def test_where_nothing_changes_there_is_no_boundary() -> None:
    found = boundary(maker("cut-in"), [], Range("gap_m", 200, 300), 0.1, planner_of("idm"), Settings())
    assert found["gap_m"].to_pylist() == [None]
    assert found["flips"].to_pylist() == [0]


def test_swept_points_fare_as_their_scenarios_do_and_wrong_ones_have_a_fault() -> None:
    points = [{"gap_m": gap} for gap in (2.0, 20.0, -1.0)]
    table = swept(maker("cut-in"), points, planner_of("r157-cc-human"), Settings()).to_pylist()
    assert [row["collided"] for row in table] == [True, False, None]
    assert "gap_m" in table[2]["fault"]
    assert table[0]["scenario"] == made("cut-in", {"gap_m": 2.0}).id


def test_parameters_of_an_openscenario_file_are_swept(tmp_path: Path) -> None:
    file = tmp_path / "two.xosc"
    cars = CAR % "Ego" + CAR % "Other"
    file.write_text(XOSC % (cars, GO % ("Ego", "0", "20") + GO % ("Other", "$Gap_m", "10")))
    found = boundary(maker(str(file)), [], Range("Gap_m", 20, 200), 0.01, planner_of("constant-speed"), Settings())
    [row] = found.to_pylist()
    assert row["fault"] == ""
    assert row["Gap_m"] == pytest.approx(104.6, abs=1.2)  # 10 m/s for 10 s and a car's length, to a step


def test_ranges_that_are_none_are_refused() -> None:
    for wrong in ((3.0, 1.0, 2), (0.0, np.inf, 2), (0.0, 1.0, 0)):
        with pytest.raises(InputError):
            Range("gap_m", *wrong)
    with pytest.raises(InputError):
        combined([Range("a", 0, 1, 10_000), Range("b", 0, 1, 10_000)])
    with pytest.raises(InputError):
        made("cut-in", {"gap": 1.0})
    with pytest.raises(InputError):
        maker("no.xosc")


def test_commands_print_a_table_and_keep_it(tmp_path: Path) -> None:
    run = CliRunner()
    out = tmp_path / "outcomes.json"
    words = ["research", "simulate", "cut-in", "--planner", "constant-speed", "--out", str(out)]
    said = run.invoke(app, [*words, "--parameter", "gap_m=5"])
    assert said.exit_code == 0, said.output
    assert "collided_us" in said.output
    [row] = json.loads(out.read_text())
    assert row["collided_with"] == 1
    kept = tmp_path / "sweep.parquet"
    words = ["research", "sweep", "cut-in", "--planner", "r157-fsm", "--range", "gap_m=2:40:5", "--out", str(kept)]
    assert "5 points" in run.invoke(app, words).output
    assert pq.read_table(kept).num_rows == 5
    said = run.invoke(app, ["research", "sweep", "cut-in", "--range", "gap_m=1:60:2", "--boundary", "gap_m"])
    assert "below" in said.output
    assert run.invoke(app, ["research", "sweep", "cut-in", "--range", "gap_m"]).exit_code != 0
