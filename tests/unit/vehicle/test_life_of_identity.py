import pytest

from carcloud.errors import ConflictError
from carcloud.vehicle.life import ACTS, LIVE, STATES, Act, State, after, ends_certificates

POSSIBLE: dict[State, set[Act]] = {
    "claimable": {"enrol", "rekey", "revoke", "retire"},
    "active": {"quarantine", "rekey", "revoke", "retire"},
    "quarantined": {"quarantine", "release", "revoke", "retire"},
    "revoked": {"revoke", "retire"},
    "retired": {"retire"},
    "replica": set(),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("act", ACTS)
def test_only_the_named_steps_are_possible_and_a_refusal_says_what_to_do(act: Act, state: State) -> None:
    if act in POSSIBLE[state]:
        assert after(act, state) in STATES
    else:
        with pytest.raises(ConflictError) as refused:
            after(act, state)
        assert refused.value.do


def test_no_way_leads_back_from_revoked_or_retired() -> None:
    for state in ("revoked", "retired"):
        ends = {after(act, state) for act in POSSIBLE[state]}
        assert not ends & LIVE


def test_nobody_comes_from_quarantine_to_active_but_by_release() -> None:
    assert {act for act in POSSIBLE["quarantined"] if after(act, "quarantined") == "active"} == {"release"}


def test_acts_that_end_certificates_leave_no_state_in_which_they_would_be_used() -> None:
    for state, acts in POSSIBLE.items():
        assert all(after(act, state) not in ("active", "quarantined") for act in acts if ends_certificates(act))
