"""Whatever is written where a condition belongs: a condition that can be evaluated, or an error with its place."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from carcloud.vehicle.conditions.condition import Condition, ConditionError
from carcloud.vehicle.conditions.incremental import Evaluator
from carcloud.vehicle.conditions.text import KEYWORDS, parse
from tests.conditions import CATALOGUE, START, Sample, samples

WORDS = (
    *KEYWORDS,
    *CATALOGUE,
    *("(", ")", "+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">=", "==", '"D"', '"', "'", "Vehicle", ".", "Speed"),
    *(
        "0",
        "1",
        "2.5",
        "1e9",
        "1e-9",
        "1e999",
        "1e300",
        "0.5",
        "99999999999999999999",
        "µ",
        "°",
        "\t",
        "\n",
        "\x00",
        "\ud800",
    ),
    *(
        "km/h",
        "s",
        "ms",
        "min",
        "h",
        "d",
        "%",
        "percent",
        "deg/s",
        "m/s^2",
        "°C",
        "K",
        "km^9",
        "l/100km",
        "zz",
        "dBm",
        "Np",
        "ppm",
        "e",
    ),
)
SENTENCES = (
    "Vehicle.Speed > 50 km/h for at least 2 s and not Vehicle.IsBraking",
    "abs(rate of Vehicle.Speed) > 10 km/h/s within 3 s of rising Vehicle.IsBraking",
    'Vehicle.Gear = "R" then Vehicle.Speed changed by 5 km/h over 3 s within 10 s stale after 1 min',
    "mean of Vehicle.Speed over 5 s - min of Vehicle.Speed over 5 s > 5 km/h or Vehicle.Pedal is unknown",
    "Vehicle.Speed * 2 s / 3 > 5 m and count of Vehicle.Gear over 1 h < 3",
)
soups = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


@st.composite
def mended(draw: st.DrawFn) -> str:
    """Draw a sentence in which a few words were replaced, taken out or put in."""
    words = draw(st.sampled_from(SENTENCES)).split(" ")
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(words)))
        words[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.sampled_from(WORDS), max_size=2))
    return draw(st.sampled_from(["", " "])).join(words) if draw(st.integers(0, 9)) == 0 else " ".join(words)


def read(text: str) -> Condition | ConditionError:
    try:
        return parse(text, CATALOGUE)
    except ConditionError as error:
        return error


@given(st.one_of(st.text(), soups, mended()), samples)
@example("(" * 4000, [])
@example("not " * 1000, [])
@example("1 " + "+ 1 " * 1000, [])
def test_any_text_is_a_condition_or_an_error_with_its_place(text: str, given_samples: list[Sample]) -> None:
    condition = read(text)
    if isinstance(condition, ConditionError):
        assert 0 <= condition.at <= condition.at + condition.length <= len(text)
        assert condition.message
        assert condition.do
        str(condition).encode()
        return
    assert set(condition.paths) <= set(CATALOGUE)
    assert parse(text, CATALOGUE) == condition
    evaluator = Evaluator([condition])
    for sample in given_samples:
        evaluator.take(*sample)
    told = [change for _, change in evaluator.advance(START + 10**15)]
    assert [change.time_us for change in told] == sorted({change.time_us for change in told})
