"""Gathering what reports are made from: what is in force, and what the records count."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from carcloud.backends.records import Records
from carcloud.safety.backup.months import months_known
from carcloud.safety.governance.policy import Policy
from carcloud.safety.grants.grant import ZONE, consents, ground_of
from carcloud.safety.reports.facts import Facts
from carcloud.safety.tenants import seen_by
from carcloud.settings import (
    Folder,
    Settings,
    catalogue_in_force,
    flows_in_force,
    governance_in_force,
    own_signals_in_force,
)
from carcloud.vehicle.life import LIVE

LIMIT_SUSPECTED = 10_000


def facts_of(settings: Settings, folder: Folder, records: Records, tenant: str, year: int, now: datetime) -> Facts:
    """Return a tenant's facts on a day, with what happened in a calendar year."""
    policy, flows = governance_in_force(settings, folder), flows_in_force(folder)
    catalogue, home = catalogue_in_force(settings, folder), tenant == settings.tenant
    seen = seen_by(catalogue, own_signals_in_force(folder), tenant)
    signals, unnamed = _named(policy, sorted(seen))
    erased = [each for each in records.erasures.all() if each.tenant == tenant and each.at.year == year]
    ground = ground_of(settings.zone, policy, catalogue)
    agreed = consents(records.grants.held(now, [ZONE], tenant=tenant), ground, now)
    return Facts(
        controller=settings.controller,
        zone=settings.zone,
        tenant=tenant,
        region=settings.region,
        today=now.date(),
        year=year,
        policy=policy,
        flows=[flow for flow in flows.leaving if home and not flows.ended(flow, now)],
        signals=signals,
        unnamed=unnamed,
        vehicles=sum(count for state, count in records.life.counts(tenant).items() if state in LIVE),
        consents=Counter(purpose for purposes in agreed.values() for purpose in purposes),
        requests=records.requests.all(tenant),
        erased=len(erased),
        left=records.exports.meters(year) if home else {},
        stopped=len(records.exports.stopped(year)) if home else 0,
        suspected=len(records.suspicions.open(LIMIT_SUSPECTED, tenant)),
        measures=_measures(settings, records, tenant),
        backups=months_known(records),
    )


def _named(policy: Policy, paths: list[str]) -> tuple[dict[int, list[str]], int]:
    """Return the paths by the position of the rule that is the first to name them, and how many none names."""
    found: dict[int, list[str]] = {}
    unnamed, at_of = 0, {id(rule): at for at, rule in enumerate(policy.rules)}
    for path in paths:
        rule = policy.rule_of(path)
        if rule is None:
            unnamed += 1
        else:
            found.setdefault(at_of[id(rule)], []).append(path)
    return found, unnamed


def _measures(settings: Settings, records: Records, tenant: str) -> dict[str, str]:
    """Return the safeguards of the zone: those that always hold, and how the others are set."""
    active = [person for person in records.people.all(tenant) if person.state == "active"]
    guarded = sum(person.factor is not None for person in active)
    return {
        "tls": settings.listen.tls,
        "certificates": f"{settings.vehicle_days} d",
        "sealed": "AES-256-SIV, AES-256-GCM",
        "audit": "RFC 6962, Ed25519",
        "orders": "P-256, HKDF-SHA256, AES-256-GCM",
        "factor": f"{guarded} / {len(active)}",
    }
