"""Whether a recording may be kept, and on what ground: judged by the governance's rule for `Vehicle.Recording`.

Rules:
* A recording is kept for a purpose that its rule names, on the basis that the governance gives for that purpose.
* Where that basis is consent, the car's person must have consented; the grant is named in the recording.
* A rule that makes values coarser, times too, or hides the car, forbids recordings: they cannot be made so.
* What no car of the zone recorded has nobody here to consent. It is kept under its licence, which must be said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carcloud.backends.records import Records
from carcloud.errors import InputError, MissingError, NotAllowedError
from carcloud.safety.governance.collecting import doubts, keeps
from carcloud.safety.grants.grant import ZONE, Ground
from carcloud.vehicle.life import LIVE

RECORDING = "Vehicle.Recording"


@dataclass(frozen=True)
class Lawful:
    """Why a recording may be kept. `consent`: the grant; empty where none is needed."""

    purpose: str
    basis: str
    consent: str = ""


def purpose_of(ground: Ground, purpose: str) -> str:
    """Return a purpose as it is, or where none is named the only one that recordings are kept for.

    Raises:
        InputError: it must be named, or is none of the governance.
    """
    rule = ground.policy.rule_of(RECORDING)
    known = rule.purposes if rule is not None else ()
    if not purpose and len(known) == 1:
        return known[0]
    if purpose not in ground.policy.purposes:
        said = f"{purpose[:64]!r} is no purpose of the governance." if purpose else "A recording has a purpose."
        raise InputError(said, f"Name one of {', '.join(known or ground.policy.purposes)}.")
    return purpose


def judge(
    records: Records, ground: Ground, tenant: str, purpose: str, vehicle: str, licence: str, at: datetime
) -> Lawful:
    """Return the ground on which a recording may be kept.

    Raises:
        InputError: neither car nor licence is named, or the purpose is unknown.
        MissingError: the tenant has no such car.
        NotAllowedError: the governance forbids it, or the car's person did not consent.
    """
    purpose = purpose_of(ground, purpose)
    if why_not := keeps(ground.policy)(RECORDING, purpose):
        raise NotAllowedError(why_not, f"Have its rule for {RECORDING} changed, or use another purpose.")
    if coarser := doubts(ground.policy, [RECORDING]).get(RECORDING):
        message = f"A recording cannot be kept as the governance wants it: {'; '.join(coarser)}."
        raise NotAllowedError(message, f"Have its rule for {RECORDING} changed.")
    basis = ground.policy.purposes[purpose]
    if not vehicle:
        if not licence:
            do = "Name the car (--vehicle), or the licence of a recording that is none of your cars' (--licence)."
            raise InputError("Nobody says why this recording may be used.", do)
        return Lawful(purpose, basis.basis)
    _check_car(records, tenant, vehicle)
    consent = _consent(records, ground, purpose, vehicle, at) if basis.needs_consent else ""
    return Lawful(purpose, basis.basis, consent)


def _check_car(records: Records, tenant: str, vehicle: str) -> None:
    try:
        found = records.vehicle(vehicle)
    except MissingError:
        found = None
    if found is None or found.tenant != tenant or found.state not in LIVE:
        raise MissingError(f"No vehicle {vehicle[:64]!r}.", "List the enrolled ones with `carcloud vehicles`.")


def _consent(records: Records, ground: Ground, purpose: str, vehicle: str, at: datetime) -> str:
    for held in records.grants.held(at, [ZONE], [vehicle]):
        if held.grant.purpose == purpose and ground.holds(held, at):
            return held.grant.id
    message = f"The person of car {vehicle} did not consent to {purpose}."
    raise NotAllowedError(message, "Ask them: `carcloud consent` says what they agreed to.")
