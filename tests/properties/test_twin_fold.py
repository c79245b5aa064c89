"""The twin's fold against a dictionary, under any chunks, replays, and saving and loading at any point."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.twin.state import PROVENANCES, TwinState
from tests.stream import NOW_US, chunk

CARS = st.sampled_from([f"car{number}" for number in range(6)])
ROWS = st.lists(
    st.tuples(
        st.sampled_from([f"car{number}" for number in range(5)]),
        st.sampled_from(["A.b", "A.c", "B.a"]),
        st.integers(0, 6).map(lambda at: NOW_US + at),
        st.one_of(st.floats(allow_nan=False), st.sampled_from(["", "on", "off"])),
        st.integers(0, 2),
    ),
    max_size=12,
)
STEPS = st.lists(st.one_of(ROWS, st.sampled_from(["replay", "save and load"]), CARS), max_size=12)


def saved_and_loaded(state: TwinState) -> TwinState:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.arrow"
        file.write_bytes(state.dump())
        return TwinState.load(file)


@settings(max_examples=200)
@given(STEPS)
def test_the_twin_holds_the_newest_sample_of_every_signal(steps):
    state, chunks, known = TwinState(), [], {}
    for step in steps:
        if step == "save and load":
            state = saved_and_loaded(state)
        elif isinstance(step, str) and step.startswith("car"):  # it is erased
            assert state.forget(step) == any(vehicle == step for vehicle, _ in known)
            known = {key: value for key, value in known.items() if key[0] != step}
            assert state.presence(step) is None
        elif step == "replay":
            for old in chunks:
                assert len(state.apply(old)[0]) == 0
        else:
            made = chunk(len(chunks) + 1, step, NOW_US + len(chunks))
            chunks.append(made)
            before = dict(known)
            for vehicle, path, at, value, provenance in sorted(step, key=lambda row: row[:3]):
                if at >= known.get((vehicle, path), (at,))[0]:
                    known[vehicle, path] = (at, value, PROVENANCES[provenance])
            cells = state.apply(made)
            told = {(car, path) for car, paths in state.changes(cells).items() for path in paths}
            assert {key for key in known if known[key] != before.get(key)} <= told <= {row[:2] for row in step}
    found = {
        (vehicle, path): (last.time_us, last.value, last.provenance)
        for vehicle in state.vehicles
        for path, last in state.values(vehicle).items()
    }
    assert found == known
    assert state.chunk == len(chunks)
    for vehicle in state.vehicles:
        presence = state.presence(vehicle)
        heard = [number for number, made in enumerate(chunks) if vehicle in made.rows["vehicle"].to_pylist()]
        assert presence.last_seen_us == NOW_US + heard[-1]
        assert presence.signals == sum(car == vehicle for car, _ in known)


@settings(max_examples=200)
@given(st.lists(ROWS, max_size=8).flatmap(lambda batches: st.tuples(st.just(batches), st.permutations(batches))))
def test_the_order_of_batches_does_not_change_the_last_state(orders):
    """Where no two samples of one signal have the same time; there the later arrival stands, by the twin's rule."""
    taken, found = dict[tuple[str, str, int], tuple](), []
    for batches in orders:
        state = TwinState()
        for number, rows in enumerate(batches, 1):
            state.apply(chunk(number, [taken.setdefault(row[:3], row) for row in rows], NOW_US))
        found.append({vehicle: (state.values(vehicle), state.presence(vehicle)) for vehicle in state.vehicles})
    assert {car: known[0] for car, known in found[0].items()} == {car: known[0] for car, known in found[1].items()}
    seen = [{car: (known[1].last_seen_us, known[1].signals) for car, known in state.items()} for state in found]
    assert seen[0] == seen[1]
