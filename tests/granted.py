"""Giving and revoking grants as the zone's own people do, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from carcloud.backends.records import Grant, Records
from carcloud.safety.grants.desk import give, revoke
from carcloud.safety.grants.grant import ZONE, Ground, Wanted


def granted(records: Records, ground: Ground, vehicle: str, grantee: str, purpose: str, **scope: Any) -> Grant:
    """Give a grant on a car."""
    return give(records, ground, vehicle, Wanted(grantee, purpose, **{"anyway": True} | scope), "test")


def consent(records: Records, ground: Ground, vehicle: str, purpose: str, *, agreed: bool = True) -> None:
    """Give a consent, or withdraw it."""
    if agreed:
        give(records, ground, vehicle, Wanted(ZONE, purpose), "test")
        return
    for held in records.grants.held(datetime.now(UTC), [ZONE], [vehicle]):
        if held.grant.purpose == purpose:
            revoke(records, ground, vehicle, held.grant.id, "test")
