"""Grants as contracts need them: written down as they are, without a governance behind them."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any

from carcloud.backends.records import Grant


def consent(vehicle: str, purpose: str, at: datetime, **more: Any) -> Grant:
    """Return a consent given at a moment."""
    scope: dict[str, Any] = {"paths": ("**",), "commands": (), "precision": ()}
    given = Grant(
        id=secrets.token_hex(8),
        tenant="acme",
        vehicle=vehicle,
        grantee="zone",
        purpose=purpose,
        version=0,
        **scope,
        zone="test",
        from_at=at,
        until_at=None,
        given_at=at,
        given_by="person:p",
        under=None,
        policy="hash",
        said="said",
    )
    return replace(given, **more)
