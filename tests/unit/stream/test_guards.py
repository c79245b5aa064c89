"""Each guard alone: what it refuses, up to its very limits."""

from dataclasses import replace

import numpy as np
import pytest

from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.stream.guards import BATCH_CAUSES, CAUSES, GUARDS, QUARANTINED, ROW_CAUSES, UNPAIRED, Rows, judge
from tests.stream import CATALOGUE, DAY_US, NOW_US, TERMS

LIMITS = TERMS.limits
INDEX = CATALOGUE.index


def rows_of(path: str | int, *values: float | str, times=None, provenance: int = 0) -> Rows:
    signal = path if isinstance(path, int) else INDEX[path]
    return Rows(
        run_batch=np.zeros(1, np.int32),
        run_signal=np.array([signal], np.int32),
        run_count=np.array([len(values)]),
        time_us=np.array(times or [NOW_US] * len(values), np.int64),
        value=np.array([np.nan if isinstance(value, str) else value for value in values]),
        batch_received_us=np.array([NOW_US]),
        batch_provenance=np.array([provenance], np.uint8),
        batch_purposes=np.zeros(1, np.uint64),
        texts={at: value for at, value in enumerate(values) if isinstance(value, str)},
    )


def verdict(path: str | int, *values: float | str, times=None, provenance: int = 0) -> list[str]:
    """Return the cause of each row's refusal, "" where it is kept."""
    found = []
    for at, value in enumerate(values):
        one = rows_of(path, value, times=None if times is None else [times[at]], provenance=provenance)
        kept, refused = judge(one, TERMS)
        assert bool(kept[0]) is not bool(refused)
        found.append(next(iter(refused), ""))
    together, counts = judge(rows_of(path, *values, times=times, provenance=provenance), TERMS)
    assert together.tolist() == [not cause for cause in found]
    assert {cause: int(count[0]) for cause, count in counts.items()} == {
        cause: found.count(cause) for cause in found if cause
    }
    return found


def test_a_limit_itself_is_accepted():
    assert verdict("Vehicle.Speed", 0.0, 250.0, -0.0) == ["", "", ""]


def test_a_value_just_beyond_a_limit_is_refused():
    low, high = np.nextafter(0, -1), np.nextafter(250, 251)
    assert verdict("Vehicle.Speed", low, high, -1e308) == ["out_of_range"] * 3


def test_what_is_no_finite_number_is_refused_also_where_nothing_bounds_it():
    values = np.nan, np.inf, -np.inf
    assert verdict("Vehicle.Free", *values, 1.7e308) == ["not_finite"] * 3 + [""]
    assert verdict("Vehicle.Speed", *values) == ["not_finite"] * 3
    assert verdict("Vehicle.Gear", *values) == ["not_finite"] * 3
    assert verdict("Vehicle.IsOn", *values) == ["not_finite"] * 3


def test_an_integer_has_no_fraction_and_keeps_its_range():
    assert verdict("Vehicle.Gear", -1, 8, 0.5, 1.0000001, 9, -2) == [
        *("", "", "wrong_type", "wrong_type", "out_of_range", "out_of_range")
    ]


def test_a_boolean_is_0_or_1():
    assert verdict("Vehicle.IsOn", 0, 1, -0.0, 2, -1, 0.5) == ["", "", "", "wrong_type", "wrong_type", "wrong_type"]


def test_text_for_a_number_and_a_number_for_text_are_refused():
    assert verdict("Vehicle.Speed", "fast", 3.0) == ["wrong_type", ""]
    assert verdict("Vehicle.IsOn", "true") == ["wrong_type"]
    assert verdict("Vehicle.Name", 3.0, "x", "") == ["wrong_type", "", ""]
    assert verdict("Vehicle.Name", np.nan) == ["wrong_type"]


def test_only_the_allowed_values_are_accepted():
    assert verdict("Vehicle.Mode", "ECO", "SPORT", "eco", "", "ECO ") == ["", "", *["out_of_range"] * 3]
    assert verdict("Vehicle.Level", 1, 2, 3, 4, 0) == ["", "", "out_of_range", "", "out_of_range"]


def test_a_list_is_text_of_any_content():
    assert verdict("Vehicle.Tags", "[]", '["a"]', 1.0) == ["", "", "wrong_type"]


@pytest.mark.parametrize(("signal", "cause"), [(-1, "unknown_signal"), (-2, "wrong_unit")])
def test_what_the_catalogue_does_not_name_is_refused_whatever_it_holds(signal, cause):
    assert verdict(signal, 1.0, np.nan, "text", 1e300) == [cause] * 4


def test_time_ahead_is_accepted_up_to_ten_minutes():
    edge = NOW_US + 600_000_000
    assert verdict("Vehicle.Free", 1, 1, 1, times=[NOW_US, edge, edge + 1]) == ["", "", "time_future"]
    assert verdict("Vehicle.Free", 1, times=[edge + 1], provenance=1) == ["time_future"]


def test_a_measured_sample_may_be_400_days_old():
    edge = NOW_US - 400 * DAY_US
    assert verdict("Vehicle.Free", 1, 1, times=[edge - 1, edge]) == ["time_past", ""]


@pytest.mark.parametrize("provenance", [1, 2])
def test_a_recording_or_simulation_may_be_of_any_year_since_1990(provenance):
    edge = LIMITS.earliest_us
    times = [-(2**63), edge - 1, edge, NOW_US]
    assert verdict("Vehicle.Free", 1, 1, 1, 1, times=times, provenance=provenance) == ["time_past", "time_past", "", ""]


def test_a_row_counts_once_under_the_first_guard_that_refuses_it():
    assert verdict("Vehicle.Gear", 0.5, times=[NOW_US - 500 * DAY_US]) == ["wrong_type"]
    assert verdict("Vehicle.Speed", 300, times=[NOW_US + 500 * DAY_US]) == ["out_of_range"]


def test_refusals_are_counted_by_batch():
    rows = Rows(
        run_batch=np.array([0, 0, 2], np.int32),
        run_signal=np.array([-1, INDEX["Vehicle.Speed"], INDEX["Vehicle.Speed"]], np.int32),
        run_count=np.array([2, 1, 3]),
        time_us=np.full(6, NOW_US),
        value=np.array([1, 1, 1, -1, 1, 999.0]),
        batch_received_us=np.full(3, NOW_US),
        batch_provenance=np.zeros(3, np.uint8),
        batch_purposes=np.zeros(3, np.uint64),
    )
    kept, refused = judge(rows, TERMS)
    assert kept.tolist() == [False, False, True, False, True, False]
    assert {cause: count.tolist() for cause, count in refused.items()} == {
        "unknown_signal": [2, 0, 0],
        "out_of_range": [0, 0, 2],
    }


def test_no_rows_are_judged_without_complaint():
    kept, refused = judge(rows_of("Vehicle.Speed"), TERMS)
    assert len(kept) == 0
    assert refused == {}


def test_each_guard_is_a_cause_and_the_set_is_closed():
    assert (*(guard.__name__ for guard in GUARDS), UNPAIRED) == ROW_CAUSES
    assert not set(ROW_CAUSES) & set(BATCH_CAUSES)
    assert QUARANTINED < CAUSES


def test_what_is_older_than_it_is_kept_is_refused_by_utc_days():
    text = """
    name: timed
    purposes: {run: {basis: contract, why: x}}
    rules:
      - {paths: [Vehicle.Speed], class: personal, purposes: [run], days: 3}
      - {paths: ["**"], class: operational, purposes: [run]}
    """
    terms = replace(TERMS, table=Table(parse(text, "timed"), CATALOGUE))
    first = (NOW_US // DAY_US - 3) * DAY_US
    for path, causes in (("Vehicle.Speed", ["expired"]), ("Vehicle.Free", [])):
        kept, refused = judge(rows_of(path, 1.0, 1.0, 1.0, times=[first - 1, first, NOW_US], provenance=1), terms)
        assert (kept.tolist(), list(refused)) == ([not causes, True, True], causes)
    late = rows_of("Vehicle.Speed", 1.0, times=[first - 1], provenance=1)
    late.run_signal[:] = -1
    assert list(judge(late, terms)[1]) == ["unknown_signal"]
    assert "expired" not in QUARANTINED
