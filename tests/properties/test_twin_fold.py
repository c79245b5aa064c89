"""The twin's fold against a dictionary, under any chunks, replays, and saving and loading at any point."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.twin.state import PROVENANCES, TwinState
from tests.stream import NOW_US, chunk

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
STEPS = st.lists(st.one_of(ROWS, st.sampled_from(["replay", "save and load"])), max_size=12)


def saved_and_loaded(state: TwinState) -> TwinState:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.arrow"
        file.write_bytes(state.dump())
        return TwinState.load(file)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_the_twin_holds_the_newest_sample_of_every_signal(steps):
    state, chunks, known = TwinState(), [], {}
    for step in steps:
        if step == "save and load":
            state = saved_and_loaded(state)
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
