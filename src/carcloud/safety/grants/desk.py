"""Where grants are given, revoked and looked up: the decisions are in `grant` and `reach`, here are the records.

Rules:
* Whoever runs the zone gives grants on any car. An owner gives under the grant by which the zone made them that, on
  that car, and no more than it; what they were given by another owner they cannot pass on.
* An owner revokes what they gave, their own grant, and consents; nothing else that the zone gave.
* Waits for disk: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from carcloud.backends.records import Grant, Held, Records, Vehicle
from carcloud.errors import InputError, MissingError, NotAllowedError
from carcloud.safety.grants.grant import ZONE, Ground, Wanted, made
from carcloud.safety.grants.reach import Reach, reach
from carcloud.safety.people.caller import Caller

SAME = timedelta(minutes=1)
"""A claim made so soon after a car was enrolled is its first, not one by which it changed hands."""


def give(
    records: Records, ground: Ground, vehicle: str, wanted: Wanted, by: str, own: Collection[str] | None = None
) -> Grant:
    """Give a grant on a car; tell the zone afterwards.

    Args:
        own: the giver as grantees are named, where they give as the car's owner; None where they run the zone.

    Raises:
        InputError: it says what no grant can.
        NotAllowedError: it opens more than the giver holds.
        MissingError: there is no such car or grantee.
        ConflictError: the zone gave them another for this purpose.
    """
    car, now = records.vehicle(vehicle), datetime.now(UTC)
    if own is None:
        grant = made(wanted, car, by, ground, now)
    else:
        grant = _under(wanted, by, ground, now, roots(records, ground, vehicle, own, now), records)
    _check_grantee(records, grant)
    if not wanted.anyway:
        _check_app(records, grant, now)
        _check_begin(records, grant, car)
    return records.grants.give(grant)


def revoke(
    records: Records, ground: Ground, vehicle: str, id_: str, by: str, own: Collection[str] | None = None
) -> Grant:
    """End a grant on a car, with what was given under it; `own` as for `give`. Tell the zone afterwards.

    Raises:
        MissingError: there is no such grant on this car, or none that the owner may end.
    """
    grant, now = records.grants.grant(id_), datetime.now(UTC)
    mine = True
    if own is not None:
        ids = {held.grant.id for held in roots(records, ground, vehicle, own, now)}
        mine = grant.grantee == ZONE or grant.id in ids or grant.under in ids
    if grant.vehicle != vehicle or not mine:
        raise MissingError(f"No grant {id_[:40]!r} of yours on this car.", "List them; see docs/grants.md.")
    return records.grants.revoke(id_, by, now)


def grantees_of(caller: Caller) -> tuple[str, ...]:
    """Return the names by which grants reach a caller."""
    return (caller.id,) if caller.app is None else (caller.id, f"app:{caller.app}")


def held_by(records: Records, ground: Ground, caller: Caller, vehicle: str | None = None) -> list[Held]:
    """Return the grants that hold for a caller now: of one car, or of all."""
    now = datetime.now(UTC)
    cars = None if vehicle is None else [vehicle]
    held = records.grants.held(now, grantees_of(caller), cars, caller.tenant)
    return [one for one in held if ground.holds(one, now)]


def reach_by_grants(records: Records, ground: Ground, caller: Caller) -> Reach:
    """Return what a caller reaches by grants alone."""
    return reach(caller.tenant, held_by(records, ground, caller), ground, datetime.now(UTC))


def roots(records: Records, ground: Ground, vehicle: str, own: Collection[str], now: datetime) -> list[Held]:
    """Return the grants on a car by which the zone made these its owner, and that hold."""
    held = records.grants.held(now, own, [vehicle])
    return [one for one in held if one.grant.owner and ground.holds(one, now)]


def _under(wanted: Wanted, by: str, ground: Ground, now: datetime, mine: list[Held], records: Records) -> Grant:
    """Return what is wanted under the first of the giver's grants that allows it."""
    refused: NotAllowedError | None = None
    for own in mine:
        try:
            return made(wanted, records.vehicle(own.grant.vehicle), by, ground, now, own)
        except NotAllowedError as error:
            refused = refused or error
    raise refused or NotAllowedError("You hold no grant on this car.", "Ask who runs the zone.")


def _check_app(records: Records, grant: Grant, now: datetime) -> None:
    """Raise InputError for an app that no token is made for, which is most often a name misspelt."""
    kind, _, name = grant.grantee.partition(":")
    tokens = records.passes.tokens(grant.tenant) if kind == "app" else []
    standing = any(one.app == name and one.revoked_at is None and one.ends_at > now for one in tokens)
    if kind == "app" and not standing:
        do = f"Make one with `carcloud token make NAME --role partner --app {name}`, or grant it `anyway` (`--yes`)."
        raise InputError(f"No token is made for the app {name!r}.", do)


def _check_begin(records: Records, grant: Grant, car: Vehicle) -> None:
    """Raise InputError where a grant would show what the car said under another owner."""
    rekeyed = max((claim.made_at for claim in records.claims.of(car.id)), default=car.enrolled_at)
    if car.enrolled_at + SAME <= rekeyed and grant.from_at < rekeyed:
        message = f"This car changed hands on {rekeyed:%Y-%m-%dT%H:%M:%SZ}, and the grant begins before."
        raise InputError(message, "Begin it later, or grant it `anyway` (`--yes`).")


def _check_grantee(records: Records, grant: Grant) -> None:
    """Raise MissingError where the tenant has no such person or token."""
    kind, _, id_ = grant.grantee.partition(":")
    if kind == "person":
        tenant = records.people.get(id_).tenant
    elif kind == "token":
        tenant = records.passes.token_by_id(id_).tenant
    else:
        return
    if tenant != grant.tenant:
        raise MissingError(f"No {kind} {id_!r}.", f"List them with `carcloud {kind} list`.")
