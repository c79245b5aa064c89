"""The gate's verdict on results that are written down here."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from carcloud.errors import ConflictError, InputError
from carcloud.research.gate.candidate import candidate_of
from carcloud.research.gate.limits import Limits, limits_of
from carcloud.research.gate.page import page_of
from carcloud.research.gate.statistics import difference, mcnemar_worse, ratio
from carcloud.research.gate.verdict import Side, Verdict, judged
from carcloud.research.runs.results import bytes_of, digest_of, table_of
from carcloud.safety.signer import Signature

FINE = {
    "ego": 0,
    "steps": 50,
    "fault": "",
    "collided": False,
    "at_fault": False,
    "off_road": False,
    "least_ttc_s": 4.0,
    "most_deceleration_mps2": 2.0,
    "most_jerk_mps3": 1.0,
    "comfortable_share": 0.9,
    "progress_m": 100.0,
}
LIMITS = replace(limits_of(), competence=False, resamples=500)


def rows(count: int = 40, **changed: dict[int, Any]) -> list[dict[str, Any]]:
    """Return rows that are fine, but for what is said of some of them: column={row: value}."""
    found = [{"scenario": f"{n:04}", **FINE} for n in range(count)]
    for column, values in changed.items():
        for n, value in values.items():
            found[n][column] = value
    return found


def side(found: list[dict[str, Any]], name: str = "idm") -> Side:
    table = table_of(found)
    return Side(name * 2, name, "1" * 64, "cut-in", "2" * 64, {"step_s": 0.1}, "1.0", digest_of(table), table)


def verdict(candidate: list[dict[str, Any]], limits: Limits = LIMITS, **more: Any) -> Verdict:
    return judged(side(rows()), side(candidate, "mine.py:Mine"), limits, **more)


def failed(found: Verdict) -> list[str]:
    return [check["name"] for check in found.said["checks"] if not check["passed"]]


def test_planner_like_the_baseline_passes():
    assert verdict(rows()).passed


def test_one_new_collision_stops_it_and_is_named():
    found = verdict(rows(collided={7: True}, at_fault={7: True}, collided_s={7: 1.5}))
    assert not found.passed
    assert failed(found) == ["newly collided", "rate collided"]
    assert found.said["newly"]["collided"]["first"][0]["scenario"] == "0007"


def test_collision_of_others_fault_counts_unless_the_limits_say_so():
    hit = rows(collided={7: True}, at_fault={7: False})
    lenient = replace(LIMITS, hard={"collided": "at_fault", "fault": True}, rates={})
    assert failed(verdict(hit)) == ["newly collided", "rate collided"]
    assert verdict(hit, lenient).passed


def test_what_collided_before_may_collide_again():
    before = side(rows(collided={3: True}, at_fault={3: True}))
    assert judged(before, before, LIMITS).passed


def test_fault_of_the_planner_stops_it():
    assert failed(verdict(rows(fault={0: "It answered NaN."}))) == ["newly faulty"]


def test_harder_braking_stops_it():
    found = verdict(rows(most_deceleration_mps2=dict.fromkeys(range(40), 2.6)))
    assert failed(found) == ["ratio most_deceleration_mps2"]
    assert found.said["ratios"]["most_deceleration_mps2"]["estimate"] == pytest.approx(1.3)


def test_crawling_stops_it():
    assert failed(verdict(rows(progress_m=dict.fromkeys(range(40), 80.0)))) == ["progress"]


def test_cut_in_that_a_human_avoids_stops_it():
    asked = replace(LIMITS, competence=True)
    assert failed(verdict(rows(), asked)) == ["R157 competence"]
    fine = {"scenarios": 9, "avoidable": 5, "missed": []}
    assert verdict(rows(), asked, competence=fine).passed
    missed = fine | {"missed": [{"ego_kmh": 60.0}]}
    assert failed(verdict(rows(), asked, competence=missed)) == ["R157 competence"]


def test_runs_of_different_scenarios_or_settings_are_not_compared():
    one = side(rows())
    with pytest.raises(ConflictError, match="scenarios"):
        judged(one, replace(one, scenarios_hash="3" * 64), LIMITS)
    with pytest.raises(ConflictError, match="settings"):
        judged(one, replace(one, settings={"step_s": 0.2}), LIMITS)
    with pytest.raises(ConflictError, match="different scenarios"):
        judged(one, side(rows(39)), LIMITS)


def test_few_scenarios_are_no_ground():
    few = side(rows(19))
    with pytest.raises(InputError, match="too few"):
        judged(few, few, LIMITS)


def test_same_results_give_the_same_document_in_any_order():
    found = rows(collided={7: True}, at_fault={7: True})
    mixed = random.Random(1).sample(found, len(found))
    assert verdict(found).digest == verdict(mixed).digest
    assert bytes_of(table_of(found)) == bytes_of(table_of(mixed))


def test_mcnemar_is_the_tail_of_a_fair_coin():
    assert mcnemar_worse(0, 5) == 1
    assert mcnemar_worse(5, 0) == pytest.approx(1 / 32)
    assert mcnemar_worse(3, 1) == pytest.approx(5 / 16)
    assert mcnemar_worse(500, 500) == pytest.approx(0.5126, abs=1e-4)


def test_bootstrap_bounds_hold_what_normal_theory_says():
    first = np.zeros(400)
    second = np.where(np.arange(400) % 10 == 0, 1.0, 0.0)
    found = difference(first, second, 0.95, 4000, 1)
    spread = 1.96 * math.sqrt(0.1 * 0.9 / 400)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.1 - spread, 0.1 + spread), abs=0.004)
    assert difference(first, second, 0.95, 4000, 1) == found


def test_ratio_of_nothing_to_nothing_is_one():
    zeros = np.zeros(30)
    assert ratio(zeros, zeros, 0.95, 200, 1).high == 1
    assert ratio(zeros, zeros + 1, 0.95, 200, 1).estimate == math.inf


def test_page_escapes_what_planners_are_called_and_runs_nothing():
    evil = replace(side(rows(fault={0: "<script>alert(1)</script>"})), planner="<img src=x onerror=alert(1)>.py:A")
    page = page_of(judged(side(rows()), evil, LIMITS))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "prefers-color-scheme" in page


def test_only_who_passed_becomes_a_candidate():
    with pytest.raises(ConflictError, match="did not pass"):
        candidate_of(verdict(rows(collided={7: True})), "default", "local", "machine", None, None)  # type: ignore[arg-type]


def test_candidate_names_planner_and_verdict_in_what_is_signed():
    found, signed = verdict(rows()), []

    def sign(payload: bytes) -> Signature:
        signed.append(payload)
        return Signature("5" * 16, b"6" * 64)

    made = candidate_of(found, "default", "local", "machine", None, sign)  # type: ignore[arg-type]
    assert signed == [made.statement]
    assert found.digest.encode() in made.statement
    assert b'"planner_hash":"1111' in made.statement


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("seed: 157", "seed: -1", "seed"),
        ("seed: 157", "sead: 157", "sead"),
        ("collided: all", "collided: some", "hard"),
        ("collided: 0.0", "collided: -1", "rates"),
        ("resamples: 10000", "resamples: 1e99", "resamples"),
        ("hard:", "hard: [", "YAML"),
    ],
)
def test_odd_limits_are_refused_by_name(tmp_path: Any, old: str, new: str, why: str):
    ours = limits_of().__class__
    text = (pytest.importorskip("importlib.resources").files("carcloud.research.gate") / "limits.yaml").read_text()
    file = tmp_path / "limits.yaml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=why):
        limits_of(file)
    file.write_text(text)
    assert isinstance(limits_of(file), ours)
    assert limits_of(file).hash == limits_of().hash


def test_results_are_empty_where_nothing_was_driven():
    assert isinstance(table_of([]), pa.Table)
