"""The driver models of UN R157: closed forms, and the grid against the simulation."""

import math

import numpy as np
import pytest

from carcloud.research.simulation.cut_ins import collisions, grid
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.made import CutIn, made
from carcloud.research.simulation.r157 import critical, fuzzy_brake, proactive, rss_unsafe
from carcloud.research.simulation.references import planner_of
from carcloud.research.simulation.settings import Settings

MODELS = ("r157-cc-human", "r157-reg157", "r157-rss", "r157-fsm")


def test_proactive_metric_is_linear_between_its_two_distances() -> None:
    # 20 m/s behind 10 m/s: safe = 15 + 400/8 - 100/14, unsafe = 15 + 400/12 - 100/14, both and 2 m more
    safe, unsafe = 17 + 50 - 100 / 14, 17 + 400 / 12 - 100 / 14
    assert proactive(20.0, 10.0, safe) == 0.0
    assert proactive(20.0, 10.0, unsafe) == 1.0
    assert proactive(20.0, 10.0, (safe + unsafe) / 2) == pytest.approx(0.5)


def test_critical_metric_counts_what_is_left_after_the_reaction() -> None:
    # at steady speeds: closed = 7.5 m, then 100 / 8 or 100 / 12 m
    assert critical(20.0, 0.0, 10.0, 20.0) == 0.0
    assert critical(20.0, 0.0, 10.0, 7.5 + 100 / 12) == 1.0
    assert critical(20.0, 0.0, 10.0, 7.5 + (100 / 8 + 100 / 12) / 2) == pytest.approx(0.5)
    # who brakes already is slower then, and never counted as braking harder than comfortably
    assert critical(12.0, -6.0, 10.0, 0.1) == 0.0
    assert fuzzy_brake(20.0, 0.0, 10.0, 1.0) == 6.0


def test_rss_needs_both_distances_to_be_short() -> None:
    least = 20 * 0.75 + 400 / 12 - 100 / 14
    assert rss_unsafe(20.0, 10.0, least - 0.1, 1.0, 0.0, 0.75)
    assert not rss_unsafe(20.0, 10.0, least + 0.1, 1.0, 0.0, 0.75)
    assert not rss_unsafe(20.0, 10.0, least - 0.1, 0.0, 3.0, 0.75)


def test_system_of_the_regulation_avoids_what_its_formula_says() -> None:
    # 5.2.5.2: TTC at the intrusion of 0.3 m > v_rel / (2 * 6 m/s^2) + 0.35 s
    ego, other, drift = 60 / 3.6, 30 / 3.6, 1.0
    limit_s = (ego - other) / 12 + 0.35
    half = (4.6 * math.sin(math.atan2(drift, other)) + 1.85 * math.cos(math.atan2(drift, other))) / 2
    intruded_s = (3.5 - (1.75 - 0.3 + half)) / drift
    for ttc, expected in ((limit_s - 0.05, True), (limit_s + 0.05, False)):
        gap = (ttc + intruded_s) * (ego - other)
        found = collisions("r157-reg157", *(np.array([one]) for one in (60.0, 30.0, gap, drift)), step_s=0.001)
        assert np.isfinite(found[0]) == expected


def test_human_driver_brakes_after_judging_and_reacting_and_not_sooner() -> None:
    [outcome] = simulate([CutIn(60, 30, 20, 1.0).scenario()], planner_of("r157-cc-human"), Settings())
    assert outcome.motion is not None
    speed = outcome.motion.vx[0]
    # 0.375 m at 1 m/s is passed in the step that ends at 0.4 s; 0.4 s to judge, 0.75 s to react
    began = np.flatnonzero(np.diff(speed) < 0)[0] * 0.1
    assert 0.4 + 0.4 + 0.75 - 1e-9 <= began <= 0.4 + 0.4 + 0.75 + 0.1
    braking = -np.diff(speed) / 0.1
    assert braking.max() <= 0.85 * 9.81 + 1e-6
    assert np.diff(braking)[braking[:-1] > 0][:3] == pytest.approx(np.full(3, 0.774 * 9.81 / 6), rel=0.2)


@pytest.mark.parametrize("model", [*MODELS, "constant-speed"])
def test_grid_agrees_with_the_simulation_of_the_same_cut_ins(model: str) -> None:
    columns = grid(
        np.array([30.0, 60.0, 100.0, 130.0]),
        np.array([10.0, 40.0, 80.0]),
        np.array([3.0, 8.0, 15.0, 30.0, 50.0]),
        np.array([0.3, 0.9, 1.7]),
    )
    scenarios = [CutIn(*(float(one) for one in row)).scenario() for row in zip(*columns, strict=True)]
    outcomes = simulate(scenarios, planner_of(model), Settings(keep=False))
    seen = [np.nan if one.collided_us is None else one.collided_us / 1e6 for one in outcomes]
    assert collisions(model, *columns) == pytest.approx(np.array(seen), nan_ok=True)


def test_anticipation_avoids_more_cut_ins_than_the_two_models_of_the_regulation() -> None:
    # the finding of Mattas et al. (2022): the fuzzy model leaves the fewest unpreventable, doing nothing the most
    columns = grid(np.arange(30.0, 131, 20), np.arange(10.0, 121, 20), np.arange(2.0, 60, 4), np.arange(0.3, 1.9, 0.3))
    share = {model: np.isfinite(collisions(model, *columns)).mean() for model in (*MODELS, "constant-speed")}
    assert share["r157-fsm"] < min(share["r157-cc-human"], share["r157-reg157"])
    assert max(share[model] for model in MODELS) < share["constant-speed"]


def test_every_driver_avoids_the_braking_lead_and_the_cut_out_that_leave_time() -> None:
    scenarios = [
        made("braking", {"ego_speed_kmh": 60, "lead_speed_kmh": 60, "gap_m": 40}),
        made("cut-out", {"ego_speed_kmh": 50, "lead_speed_kmh": 50, "gap_m": 30, "standing_gap_m": 60}),
    ]
    for model in MODELS:
        assert [one.collided_us for one in simulate(scenarios, planner_of(model))] == [None, None], model
    assert all(one.collided_us is not None for one in simulate(scenarios, planner_of("constant-speed")))
