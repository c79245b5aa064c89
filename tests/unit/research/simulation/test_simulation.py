"""What simulated scenarios come to, in closed forms where there are some."""

import math

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.motion import Motion
from carcloud.research.roads import Lane, RoadMap
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.made import made, straight_road
from carcloud.research.simulation.planner import Action, Observation
from carcloud.research.simulation.references import planner_of
from carcloud.research.simulation.settings import Settings
from tests.unit.research.simulation.traffic import cars, crowd

PLANNERS = ("idm", "log", "constant-speed", "r157-cc-human", "r157-reg157", "r157-rss", "r157-fsm")


class Steers:
    """Holds a speed at one angle of its front wheels."""

    name, at_once = "steers", 100

    def __init__(self, steer: float) -> None:
        self._steer = steer
        self.seen: list[Observation] = []

    def begin(self, scenarios: int, settings: Settings) -> None:
        self.seen = []

    def plan(self, seen: Observation) -> Action:
        self.seen.append(seen)
        return Action(np.zeros(len(seen.x)), np.full(len(seen.x), self._steer))

    def end(self) -> None:
        pass


def test_replayed_motion_is_the_recorded_one_bit_by_bit() -> None:
    scenario = crowd(9, 1)
    [outcome] = simulate([scenario], planner_of("log"))
    assert outcome.motion is not None
    for name in ("time_us", "x", "y", "yaw", "vx", "vy", "ax", "ay", "present"):
        assert np.array_equal(getattr(outcome.motion, name), getattr(scenario.motion, name)[..., : outcome.steps])
    assert outcome.motion.users is scenario.motion.users


def test_constant_speed_hits_the_slower_lead_when_the_gap_is_used_up() -> None:
    [outcome] = simulate([cars([(0, 0, 20), (24.6, 0, 10)], 60)], planner_of("constant-speed"))
    # 20 m between bumpers, closing at 10 m/s: at 2 s they meet, and from the next step on they overlap
    assert (outcome.collided_us, outcome.collided_with) == (2_100_000, 1)
    assert outcome.impact_mps == pytest.approx(10.0)
    assert outcome.steps == 22
    assert outcome.motion is not None
    assert outcome.motion.shape == (2, 22)


def test_idm_ends_at_its_equilibrium_gap_behind_a_steady_lead() -> None:
    settings = Settings(duration_s=300)
    scenario = cars([(0, 0, 30), (60, 0, 20)], 3001)
    [outcome] = simulate([scenario], planner_of("idm"), settings)
    assert outcome.motion is not None
    gap = outcome.motion.x[1, -1] - outcome.motion.x[0, -1] - 4.6
    # at the lead's speed v: gap = (s0 + v T) / sqrt(1 - (v / v0)^4)
    assert gap == pytest.approx((2.0 + 20 * 1.5) / math.sqrt(1 - (20 / 30) ** 4), rel=1e-3)
    assert outcome.collided_us is None


def test_idm_on_a_free_road_reaches_the_speed_it_wishes() -> None:
    scenario = cars([(0, 0, 10)], 301)
    motion = scenario.motion
    faster = Motion(
        *(
            *(getattr(motion, name) for name in ("users", "time_us", "x", "y", "z", "yaw")),
            np.where(np.arange(301) == 1, 20.0, motion.vx),
            motion.vy,
            motion.ax,
            motion.ay,
            motion.present,
        )
    )
    [outcome] = simulate([Scenario("free", faster, 0)], planner_of("idm"))
    assert outcome.motion is not None
    assert outcome.motion.vx[0, -1] == pytest.approx(20.0, rel=0.01)
    assert (np.diff(outcome.motion.vx[0]) >= 0).all()


def test_a_bicycle_drives_the_circle_of_its_steering() -> None:
    steer = 0.1
    [outcome] = simulate([cars([(0, 0, 10)], 101)], Steers(steer))
    assert outcome.motion is not None
    slip = math.atan(math.tan(steer) / 2)
    radius = 0.6 * 4.6 / 2 / math.sin(slip)
    centre = -radius * math.sin(slip), radius * math.cos(slip)
    far = np.hypot(outcome.motion.x[0] - centre[0], outcome.motion.y[0] - centre[1])
    assert far == pytest.approx(np.full(101, radius), abs=1e-9)
    turned = math.remainder(10 * 10.0 / radius, 2 * math.pi)
    assert outcome.motion.yaw[0, -1] == pytest.approx(turned, abs=1e-9)


def test_who_steers_off_the_lanes_is_off_road_from_then_on() -> None:
    [outcome] = simulate([cars([(0, 0, 10)], 80, straight_road())], Steers(0.05))
    assert outcome.motion is not None
    assert outcome.off_road_us is not None
    first = outcome.off_road_us // 100_000
    assert outcome.motion.y[0, first] > 5.25 >= outcome.motion.y[0, first - 1]
    assert simulate([cars([(0, 0, 10)], 80, straight_road())], planner_of("idm"))[0].off_road_us is None


def test_boxes_that_pass_each_other_side_by_side_do_not_touch() -> None:
    beside = simulate([cars([(0, 0, 20), (20, 1.86, 10)])], planner_of("constant-speed"))[0]
    touching = simulate([cars([(0, 0, 20), (20, 1.84, 10)])], planner_of("constant-speed"))[0]
    assert beside.collided_us is None
    assert touching.collided_with == 1


def test_recorded_cars_run_into_a_stopping_ego_unless_they_react() -> None:
    class Stops(Steers):
        def plan(self, seen: Observation) -> Action:
            return Action(np.full(len(seen.x), -5.0))

    scenario = cars([(0, 0, 15), (-35, 0, 15)], 100)
    blind = simulate([scenario], Stops(0), Settings(react=False))[0]
    aware = simulate([scenario], Stops(0), Settings(react=True))[0]
    assert blind.collided_with == 1
    assert aware.collided_us is None
    undisturbed = simulate([scenario], planner_of("log"), Settings(react=True))[0]
    assert undisturbed.motion is not None
    assert np.array_equal(undisturbed.motion.x, scenario.motion.x)


def test_a_car_behind_a_slow_one_changes_lanes_and_passes() -> None:
    scenario = cars([(-100, -3.5, 5), (0, 0, 28), (60, 0, 12)], 2, straight_road())
    [outcome] = simulate([scenario], planner_of("constant-speed"), Settings(duration_s=25, traffic="idm"))
    motion = outcome.motion
    assert motion is not None
    assert abs(motion.y[1, -1]) == pytest.approx(3.5, abs=0.01)
    assert motion.x[1, -1] > motion.x[2, -1]
    assert outcome.crashes == 0
    assert np.abs(np.diff(motion.y[1])).max() < 0.3


def test_a_dense_crowd_that_changes_lanes_does_not_crash() -> None:
    outcomes = simulate(
        [crowd(40, seed) for seed in range(10)], planner_of("idm"), Settings(duration_s=60, traffic="idm")
    )
    moved = [np.abs(one.motion.y[:, -1] - one.motion.y[:, 0]).max() for one in outcomes if one.motion is not None]
    assert max(moved) > 3.0
    assert sum(one.crashes for one in outcomes) == 0
    assert all(one.collided_us is None for one in outcomes)


def test_traffic_follows_a_bend_into_the_lane_after_it() -> None:
    angle = np.linspace(-np.pi / 2, 0, 40)
    bend = [np.column_stack([r * np.cos(angle), 50 + r * np.sin(angle)]) for r in (48.25, 51.75)]
    straight = [np.column_stack([[x, x], [50.0, 150.0]]) for x in (48.25, 51.75)]
    before = [np.column_stack([[-100.0, 0.0], [y, y]]) for y in (1.75, -1.75)]
    roads = RoadMap(
        (
            Lane("in", "driving", *before, after=("bend",)),
            Lane("bend", "driving", *bend, before=("in",), after=("out",)),
            Lane("out", "driving", *straight, before=("bend",)),
        )
    )
    scenario = cars([(-90, 0, 8), (-60, 0, 10), (-75, 0, 10)], 2, roads)
    [outcome] = simulate([scenario], planner_of("constant-speed"), Settings(duration_s=20, traffic="idm"))
    motion = outcome.motion
    assert motion is not None
    gone = np.flatnonzero(~motion.present[1])
    last = (gone[0] if len(gone) else outcome.steps) - 1
    assert motion.yaw[1, last] == pytest.approx(np.pi / 2, abs=0.02)
    radius = np.hypot(motion.x[1], motion.y[1] - 50)
    on_bend = (motion.x[1] > 1) & (motion.y[1] < 49)
    assert radius[on_bend] == pytest.approx(np.full(on_bend.sum(), 50.0), abs=0.1)
    assert outcome.crashes == 0


def test_outcomes_are_the_same_alone_in_company_and_on_two_threads() -> None:
    scenarios = [crowd(5 + 3 * (seed % 4), seed) for seed in range(8)]
    scenarios += [made("cut-in", {"gap_m": gap}) for gap in (5.0, 15.0)]
    for traffic in ("log", "idm", "constant"):
        for planner in PLANNERS:
            settings = Settings(traffic=traffic, react=True, duration_s=10)
            alone = [simulate([one], planner_of(planner), settings)[0].digest for one in scenarios]
            company = [one.digest for one in simulate(scenarios, planner_of(planner), settings)]
            threads = Settings(traffic=traffic, react=True, duration_s=10, threads=2)
            shared = [one.digest for one in simulate(scenarios[::-1], planner_of(planner), threads)][::-1]
            assert alone == company == shared


def test_a_finer_step_replays_what_lies_between_recorded_ones() -> None:
    [outcome] = simulate([cars([(0, 0, 20), (100, 0, 10)], 11)], planner_of("log"), Settings(step_s=0.05))
    assert outcome.motion is not None
    assert outcome.steps == 21
    assert outcome.motion.x[0] == pytest.approx(np.arange(21) * 1.0)


def test_a_scenario_without_ego_is_simulated_and_says_so() -> None:
    [outcome] = simulate([cars([(0, 0, 20), (50, 0, 10)], ego=None)], planner_of("idm"))
    assert outcome.ego == -1
    assert outcome.steps == 50


def test_wrong_settings_and_planners_are_refused() -> None:
    for wrong in ({"traffic": "none"}, {"step_s": 0.0}, {"duration_s": -1.0}, {"threads": 0}, {"seed": -1}):
        with pytest.raises(InputError):
            Settings(**wrong)  # type: ignore[arg-type]
    for reference in ("nobody", "missing.py:Name", "file.py", "exec:"):
        with pytest.raises(InputError):
            planner_of(reference)
