"""Every OpenSCENARIO file that is here is played, or refused for a reason that is written down here."""

from pathlib import Path

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import Options, Refused, reader_for
from carcloud.research.adapters.openscenario.reader import instantiate, read, recognises

SCENARIOS = Path(__file__).parents[4] / "shared/data/scenarios"
ALKS = SCENARIOS / "osc_alks"

pytestmark = pytest.mark.skipif(
    not ALKS.is_dir(), reason="the scenarios of others are not here (../shared/data/scenarios)"
)

PLAYED = {
    # file: who takes part, seconds
    "osc_alks/alks_scenario_4_1_1_free_driving_template": (["Ego"], 300.0),
    "osc_alks/alks_scenario_4_1_2_swerving_lead_vehicle_template": (["Ego", "LeadVehicle"], 50.0),
    "osc_alks/alks_scenario_4_1_3_side_vehicle_template": (["Ego", "SideVehicle"], 300.0),
    "osc_alks/alks_scenario_4_2_1_fully_blocking_target_template": (["Ego", "TargetBlocking"], 40.0),
    "osc_alks/alks_scenario_4_2_2_partially_blocking_target_template": (["Ego", "TargetBlocking"], 40.0),
    "osc_alks/alks_scenario_4_2_3_crossing_pedestrian_template": (["Ego", "TargetBlocking"], 40.0),
    "osc_alks/alks_scenario_4_2_4_multiple_blocking_targets_template": (
        ["Ego", "TargetBlocking", "TargetBlocking2"],
        40.0,
    ),
    "osc_alks/alks_scenario_4_3_1_follow_lead_vehicle_comfortable_template": (["Ego", "LeadVehicle"], 55.0),
    "osc_alks/alks_scenario_4_3_2_follow_lead_vehicle_emergency_brake_template": (["Ego", "LeadVehicle"], 21.7),
    "osc_alks/alks_scenario_4_4_1_cut_in_no_collision_template": (["Ego", "CutInVehicle"], 21.9),
    "osc_alks/alks_scenario_4_4_2_cut_in_unavoidable_collision_template": (["Ego", "CutInVehicle"], 21.0),
    "osc_alks/alks_scenario_4_5_1_cut_out_fully_blocking_template": (["Ego", "TargetBlocking", "LeadVehicle"], 40.0),
    "osc_alks/alks_scenario_4_5_2_cut_out_multiple_blocking_targets_template": (
        ["Ego", "TargetBlocking", "TargetBlocking2", "LeadVehicle"],
        40.0,
    ),
    "osc_alks/alks_scenario_4_6_1_forward_detection_range_template": (["Ego", "TargetBlocking"], 40.0),
    "osc_alks/alks_scenario_4_6_2_lateral_detection_range_template": (["Ego", "SideVehicle"], 40.0),
    "esmini/alks_cut-in": (["Ego", "TargetCutIn"], 10.1),
    "esmini/alks_cut-out": (["Ego", "TargetCutOut", "Box"], 10.1),
    "esmini/alks_decelerate": (["Ego", "TargetDecelerate"], 10.1),
    "esmini/alks_pedestrian": (["Ego", "Pedestrian"], 10.1),
    "esmini/alks_r157_cut_in_quick_brake": (["Ego", "Target"], 4.8),
}
REFUSED = {
    "esmini/alks-test": "curve_r100.xodr",
    "tadsim/Sim_Accident_01_1": "sim_map_downtown_001.xodr",
    "tadsim/Sim_Accident_05_1": "sim_map_downtown_001.xodr",
    "tadsim/Sim_Accident_10_1": "sim_map_downtown_001.xodr",
    "tadsim/Sim_Accident_20_1": "sim_map_downtown_001.xodr",
}
"""Refused since the road file that they name did not come with them."""


def test_the_table_has_every_file():
    here = {str(path.relative_to(SCENARIOS).with_suffix("")) for path in SCENARIOS.glob("*/*.xosc")}
    assert here == set(PLAYED) | set(REFUSED)


@pytest.mark.parametrize("name", PLAYED)
def test_it_is_played(name):
    names, seconds = PLAYED[name]
    scenario = instantiate(SCENARIOS / f"{name}.xosc", {})
    motion = scenario.motion
    assert [user.name for user in motion.users] == names
    assert motion.time_us[-1] / 1e6 == pytest.approx(seconds, abs=0.15)
    assert scenario.ego == 0
    assert scenario.map is not None
    assert motion.present.all()
    assert np.abs(motion.speed[0]).max() < 40
    # Positions and speeds are of one mind: nobody jumps.
    assert np.hypot(np.diff(motion.x), np.diff(motion.y)).max() <= 40 * 0.1 + 1e-6
    assert "controller not run: Ego keeps its speed and lane" in scenario.tags
    assumed = [tag for tag in scenario.tags if tag.startswith("size assumed")]
    assert bool(assumed) == name.startswith("esmini")


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_for_its_reason(name):
    with pytest.raises(InputError) as refused:
        instantiate(SCENARIOS / f"{name}.xosc", {})
    assert REFUSED[name] in refused.value.message
    assert "--road" in refused.value.do


def test_a_folder_is_read_whole_and_what_is_refused_stops_no_other():
    assert recognises(SCENARIOS / "esmini")
    found = list(read(SCENARIOS / "esmini", Options(), lambda share: None))
    assert [one.name for one in found if isinstance(one, Refused)] == ["alks-test"]
    assert len(found) == 6
    assert reader_for(SCENARIOS / "esmini/alks_cut-in.xosc").FORMAT == "openscenario"


def test_the_cut_in_template_does_what_it_says():
    """By its own comments: the cut-in begins after 10 s less the boxes' share, at 30 m, and ends at 2 m/s across."""
    scenario = instantiate(ALKS / "alks_scenario_4_4_1_cut_in_no_collision_template.xosc", {})
    motion = scenario.motion
    gap = motion.x[1] - motion.x[0] - 5.0
    across = np.abs(motion.y[1] - motion.y[0])
    begins = int(np.flatnonzero(across < across[0] - 0.01)[0])
    assert gap[begins - 1] == pytest.approx(30, abs=0.8)
    assert begins / 10 == pytest.approx((85.5556 - 5 - 30) / 5.5556, abs=0.3)
    assert across[-1] == pytest.approx(0, abs=1e-6)
    assert np.abs(np.diff(motion.y[1])).max() * 10 == pytest.approx(2.0, abs=0.2)
    assert scenario.parameters["Ego_InitSpeed_Ve0_kph"] == 60


def test_a_template_is_instantiated_with_other_values_and_within_its_bounds():
    path = ALKS / "alks_scenario_4_4_1_cut_in_no_collision_template.xosc"
    near = instantiate(path, {"CutInVehicle_HeadwayDistanceTrigger_dx0_m": "15", "CutInVehicle_Model": "truck"})
    assert near.motion.users[1].kind == "truck"
    assert near.parameters["CutInVehicle_HeadwayDistanceTrigger_dx0_m"] == 15
    assert near.id != instantiate(path, {}).id
    assert (
        near.id
        == instantiate(path, {"CutInVehicle_HeadwayDistanceTrigger_dx0_m": "15", "CutInVehicle_Model": "truck"}).id
    )
    with pytest.raises(InputError, match="bounds"):
        instantiate(path, {"Ego_InitSpeed_Ve0_kph": "61"})


CARS = """<OpenSCENARIO><Catalog name="VehicleCatalog">{}</Catalog></OpenSCENARIO>"""
CAR = """<Vehicle name="{}" vehicleCategory="car"><BoundingBox><Center x="1.4" y="0" z="0.75"/>
<Dimensions width="2" length="5.04" height="1.5"/></BoundingBox></Vehicle>"""


def test_the_car_that_cuts_in_drives_as_in_esmini(tmp_path):
    """Esmini's own recording of this scenario, within a step of its 33 ms; the ego until its controller brakes."""
    recorded = SCENARIOS / "omega_prime/alks_cut-in.osi"
    theirs = next(reader_for(recorded).read(recorded, Options(), lambda share: None)).motion
    for name in ("alks_cut-in.xosc", "straight_500m.xodr"):
        (tmp_path / name).write_bytes((SCENARIOS / "esmini" / name).read_bytes())
    (tmp_path / "cars.xosc").write_text(CARS.format(CAR.format("car_white") + CAR.format("car_red")))
    scenario = instantiate(tmp_path / "alks_cut-in.xosc", {})
    assert not any(tag.startswith("size assumed") for tag in scenario.tags)
    ours = scenario.motion
    for row, until_s in ((0, 4.0), (1, 10.0)):
        seen = theirs.time_us / 1e6 <= until_s
        for name, apart in (("x", 0.15), ("y", 0.06), ("yaw", 0.006)):
            drawn = np.interp(theirs.time_us[seen], ours.time_us, getattr(ours, name)[row])
            assert np.abs(drawn - getattr(theirs, name)[row][seen]).max() <= apart, (row, name)
