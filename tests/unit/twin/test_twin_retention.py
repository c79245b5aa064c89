"""Values older than the governance keeps them leave the twin and its saved state."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import ConflictError
from carcloud.safety.governance.policy import Policy, parse
from carcloud.twin.keeper import TwinKeeper
from carcloud.twin.state import TwinState
from tests.stream import CAR, DAY_US, NOW_US, OTHER, chunk

NAME, SPEED, FREE = "Vehicle.Name", "Vehicle.Speed", "Vehicle.Free"
POLICY = """
name: timed
purposes: {run: {basis: contract, why: x}}
rules:
  - {paths: [Vehicle.Name, Vehicle.Speed], class: personal, purposes: [run], days: 3}
  - {paths: [Vehicle.Free], class: operational, purposes: [run]}
"""
FIRST_US = (NOW_US // DAY_US - 3) * DAY_US
ROWS = [
    (CAR, NAME, FIRST_US - 1, "gone", 0),
    (CAR, SPEED, FIRST_US - 1, 12.5, 0),
    (CAR, FREE, FIRST_US - 1, 3.5, 0),
    (OTHER, NAME, FIRST_US, "kept", 0),
    (OTHER, SPEED, FIRST_US, 13.5, 0),
]


def test_only_values_of_before_their_days_are_dropped_from_the_state():
    state = TwinState()
    state.apply(chunk(1, ROWS))
    assert state.expire({NAME: FIRST_US, SPEED: FIRST_US}.get)
    assert not state.expire({NAME: FIRST_US, SPEED: FIRST_US}.get)
    assert {path: last.value for path, last in state.values(CAR).items()} == {FREE: 3.5}
    assert {path: last.value for path, last in state.values(OTHER).items()} == {NAME: "kept", SPEED: 13.5}
    state.apply(chunk(2, [(CAR, NAME, NOW_US, "new", 0)]))
    assert state.values(CAR)[NAME].value == "new"


def test_a_car_of_which_nothing_is_left_has_been_seen_and_has_no_clock():
    state = TwinState()
    state.apply(chunk(1, ROWS[:1]))
    state.expire({NAME: NOW_US}.get)
    presence = state.presence(CAR)
    assert presence is not None
    assert (presence.last_seen_us, presence.signals, presence.clock_offset_s) == (NOW_US, 0, None)


@pytest.fixture
def records(tmp_path: Path):
    opened = Records.open(f"sqlite:///{tmp_path / 'records.db'}")
    yield opened
    opened.close()


def test_what_expired_is_in_no_byte_of_the_saved_state(tmp_path: Path, records: Records):
    policy = parse(POLICY, "timed")
    asked: list[Policy] = []

    def governance() -> Policy:
        asked.append(policy)
        if len(asked) == 1:
            raise ConflictError("The governance is not the one the zone took.")
        return policy

    keeper = TwinKeeper(Bus(), records, tmp_path, lambda *_: True, governance)
    keeper._state.apply(chunk(1, ROWS))

    async def run() -> None:
        await keeper._save()
        with pytest.raises(ConflictError):
            await keeper.expire(datetime.fromtimestamp(NOW_US / 1e6, UTC))
        assert TwinState.load(tmp_path / "state-0.arrow").values(CAR)[NAME].value == "gone"
        await keeper.expire(datetime.fromtimestamp(NOW_US / 1e6, UTC))

    asyncio.run(run())
    saved = TwinState.load(tmp_path / "state-0.arrow")
    assert (set(saved.values(CAR)), set(saved.values(OTHER))) == ({FREE}, {NAME, SPEED})
    assert b"gone" not in (tmp_path / "state-0.arrow").read_bytes()
