"""Incremental evaluation says what the definition says, whatever the condition and however samples come."""

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.vehicle.conditions.condition import Change, Condition
from carcloud.vehicle.conditions.incremental import Evaluator
from tests.conditions import START, Sample, changes, conditions, samples

END = START + 200_000_000


@settings(max_examples=300)
@given(conditions, samples)
def test_incremental_is_what_the_definition_says(condition: Condition, given_samples: list[Sample]):
    evaluator = Evaluator([condition])
    assert all(evaluator.take(*sample) for sample in given_samples)
    assert [change for _, change in evaluator.advance(END)] == changes(condition, given_samples)


@settings(max_examples=200)
@given(st.lists(conditions, min_size=1, max_size=3), samples, st.lists(st.integers(-2, 30), max_size=6))
def test_wherever_the_watermark_stands_the_accepted_samples_decide(
    several: list[Condition], given_samples: list[Sample], marks: list[int]
):
    evaluator = Evaluator(several)
    told: list[tuple[int, Change]] = []
    accepted: list[Sample] = []
    watermark = START - 2_000_000
    for at, sample in enumerate(given_samples):
        if at < len(marks):
            mark = START + marks[at] * 500_000
            told += evaluator.advance(mark)
            watermark = max(watermark, mark)
        taken = evaluator.take(*sample)
        assert taken == (sample.time_us >= watermark)
        if taken:
            accepted.append(sample)
    assert evaluator.late == len(given_samples) - len(accepted)
    told += evaluator.advance(END)
    for index, condition in enumerate(several):
        assert [change for each, change in told if each == index] == changes(condition, accepted)
    assert told == sorted(told, key=lambda each: (each[1].time_us, each[0]))
