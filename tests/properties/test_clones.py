"""What looks like two cars, and what never may."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from carcloud.gateway.clones import LIMIT_COMINGS, RETURNS, WINDOW_S, Coming, Comings, returns, suspicious

CAR, PLACES = "a" * 16, st.sampled_from(["192.0.2.1", "192.0.2.2", "198.51.100.7"])
GAPS = st.lists(st.floats(0, 2 * WINDOW_S), max_size=60)


def comings(places: Sequence[tuple[str, str]], gaps: Sequence[float]) -> list[Coming]:
    at, found = 0.0, []
    for (address, serial), gap in zip(places, gaps, strict=False):
        at += gap
        found.append(Coming(CAR, address, serial, at))
    return found


def suspected(line: Sequence[Coming]) -> bool:
    watched = Comings()
    return any(watched.add(coming) for coming in line)


@given(GAPS)
def test_car_that_comes_from_one_place_is_never_suspected_at_any_rate(gaps: list[float]) -> None:
    assert not suspected(comings([("192.0.2.1", "1f")] * len(gaps), gaps))


@given(GAPS, st.integers(0, 60))
def test_one_change_of_address_or_certificate_is_never_suspected(gaps: list[float], change: int) -> None:
    for moved in (("192.0.2.2", "1f"), ("192.0.2.1", "2f"), ("192.0.2.2", "2f")):
        places = [("192.0.2.1", "1f")] * min(change, len(gaps)) + [moved] * max(len(gaps) - change, 0)
        assert not suspected(comings(places, gaps))


@given(st.lists(st.integers(0, 1000), max_size=60, unique=True), GAPS)
def test_car_that_never_returns_to_a_place_it_left_is_never_suspected(places: list[int], gaps: list[float]) -> None:
    assert not suspected(comings([(f"192.0.2.{place}", "1f") for place in places], gaps))


@given(st.lists(st.floats(0, WINDOW_S / (RETURNS + 2)), min_size=RETURNS + 2, max_size=60), st.booleans())
def test_two_that_push_each_other_out_are_always_suspected(gaps: list[float], by_serial: bool) -> None:
    pair = [("192.0.2.1", "1f"), ("192.0.2.1", "2f") if by_serial else ("192.0.2.2", "1f")]
    assert suspected(comings([pair[turn % 2] for turn in range(len(gaps))], gaps))


@given(st.lists(st.tuples(PLACES, st.sampled_from(["1f", "2f"])), max_size=60), GAPS)
def test_what_is_remembered_never_suspects_more_than_the_whole_history(
    places: list[tuple[str, str]], gaps: list[float]
) -> None:
    line, watched = comings(places, gaps), Comings()
    for at, coming in enumerate(line):
        if watched.add(coming) is not None:
            assert suspicious(line[: at + 1], coming.at)


@given(st.lists(st.tuples(PLACES, st.sampled_from(["1f"])), max_size=LIMIT_COMINGS), GAPS)
def test_returns_are_counted_within_the_window_only(places: list[tuple[str, str]], gaps: list[float]) -> None:
    line = comings(places, gaps)
    if line:
        assert returns(line, line[-1].at + WINDOW_S + 1) == 0
        assert returns(line, line[-1].at) <= max(len(line) - 2, 0)


def test_car_that_someone_acted_on_begins_anew() -> None:
    watched = Comings()
    line = comings([("192.0.2.1", "1f"), ("192.0.2.2", "1f")] * 4, [1.0] * 8)
    assert [watched.add(coming) for coming in line][-1] is not None
    watched.forget(CAR)
    assert watched.add(line[-1]) is None
