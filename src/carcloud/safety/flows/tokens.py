"""Tokens for other zones: each reads one flow, and can do nothing else here."""

from __future__ import annotations

from datetime import datetime, timedelta

from carcloud.backends.records import ApiToken, Entry, Records
from carcloud.errors import InputError
from carcloud.safety.flows.flow import Flow
from carcloud.safety.people import secrets
from carcloud.safety.people.register import TOKEN_DAYS

PARTNER = "partner"


def make_token(records: Records, flow: Flow, tenant: str, days: int, actor: str, now: datetime) -> tuple[ApiToken, str]:
    """Make a token by which the zone that a flow leads to may read it; return it with its secret, shown this once.

    Raises:
        InputError: it would hold too long, or no time at all.
    """
    if not TOKEN_DAYS[0] <= days <= TOKEN_DAYS[1]:
        raise InputError(f"A token holds {TOKEN_DAYS[0]} to {TOKEN_DAYS[1]} days.", "Give another number.")
    secret, ends_at = secrets.new_secret(secrets.TOKEN_PREFIX), now + timedelta(days=days)
    name = f"flow {flow.name} for zone {flow.to}"
    roles = frozenset({PARTNER})
    token = ApiToken(secrets.new_id(), secrets.kept(secret), name, tenant, None, roles, now, ends_at)
    facts = {"flow": flow.name, "to": flow.to, "ends_at": ends_at.isoformat(timespec="seconds")}
    entry = Entry(actor, "makeToken", f"token:{token.id}", facts=facts, tenant=tenant, at=now)
    with records.transaction(writing=True) as db:
        records.passes.add_token(db, token)
        records.exports.bind(db, token.id, flow.name, flow.to)
        records.audit.note(db, entry)
    return token, secret
