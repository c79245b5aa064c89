"""The life of a car's identity: its states, and which act leads from one to another. Pure.

Rules:
* claimable: a claim is given out, nobody holds a certificate yet. active: the car speaks. quarantined: it comes in and
  says hello, and nothing else of it is taken. revoked and retired: it does not come in; retired is for ever.
* Whoever changes a state asks here; what is not in the table does not happen.
"""

from __future__ import annotations

from typing import Literal, get_args

from carcloud.errors import ConflictError

State = Literal["claimable", "active", "quarantined", "revoked", "retired", "replica"]
STATES: tuple[State, ...] = get_args(State)
Act = Literal["enrol", "quarantine", "release", "revoke", "retire", "rekey"]
ACTS: tuple[Act, ...] = get_args(Act)

LIVE: frozenset[State] = frozenset({"claimable", "active", "quarantined"})
"""States in which a car keeps its VIN and its label for itself."""

ADMITTED: frozenset[State] = frozenset({"active", "quarantined"})
"""States in which a car may come in."""

HEARD: frozenset[State] = frozenset({"active", "replica"})
"""States in which what is said of a car goes on to the guards."""

_STEPS: dict[tuple[Act, State], State] = {
    ("enrol", "claimable"): "active",
    ("quarantine", "active"): "quarantined",
    ("quarantine", "quarantined"): "quarantined",
    ("release", "quarantined"): "active",
    ("revoke", "claimable"): "revoked",
    ("revoke", "active"): "revoked",
    ("revoke", "quarantined"): "revoked",
    ("revoke", "revoked"): "revoked",
    ("retire", "claimable"): "retired",
    ("retire", "active"): "retired",
    ("retire", "quarantined"): "retired",
    ("retire", "revoked"): "retired",
    ("retire", "retired"): "retired",
    ("rekey", "claimable"): "claimable",
    ("rekey", "active"): "claimable",
}

_DO: dict[State, str] = {
    "claimable": "Let the car join with its claim first.",
    "active": "Nothing needs to be done.",
    "quarantined": "Release or revoke it first.",
    "revoked": "Enrol the car again: it gets a new id.",
    "retired": "Enrol the car again, if it is one after all: it gets a new id.",
    "replica": "It is another zone's car: that zone changes it; here it can only be erased.",
}


def after(act: Act, state: State) -> State:
    """Return the state that an act leads to; raise ConflictError where it cannot be done in this one."""
    step = _STEPS.get((act, state))
    if step is None:
        raise ConflictError(f"A car that is {state} cannot be changed by {act!r}.", _DO[state])
    return step


def ends_certificates(act: Act) -> bool:
    """Tell whether an act ends every certificate the car has."""
    return act in ("revoke", "retire", "rekey")
