"""How tenants stand with the governor: who may speak, how much, and in which signals.

Rules:
* What the records say is believed for two seconds, and read again at once on a notice.
* A tenant whose lake is full is held back like one that sends too much: its cars keep what they have.
* An alarm names a tenant that was held back within the last ten seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from carcloud.backends.records import Records, Tenant, Use
from carcloud.stream.intake import Quota, Refusal

READ_EVERY_S = 2.0
ALARM_S = 10.0


class TenantsStanding:
    """What the governor knows of tenants. `whose`: whose the signals are that not every tenant has."""

    def __init__(self, records: Records, whose: Mapping[str, frozenset[str]]) -> None:
        self._records = records
        self._tenants: dict[str, Tenant] = {}
        self._quotas: dict[str, Quota] = {}
        self._held: dict[str, tuple[float, str]] = {}
        self._read_at = 0.0
        self.hidden = lru_cache(4096)(
            lambda tenant: frozenset(path for path, owners in whose.items() if tenant not in owners)
        )

    async def refresh(self) -> None:
        """Read the records again where that is due."""
        if time.monotonic() - self._read_at >= READ_EVERY_S:
            await self.read()

    async def read(self) -> None:
        """Read the records."""
        self._read_at = time.monotonic()
        found, uses = await asyncio.to_thread(self._look)
        self._tenants = {tenant.name: tenant for tenant in found}
        quotas = ((tenant.name, _quota(tenant, uses.get(tenant.name, Use()))) for tenant in found)
        self._quotas = {name: quota for name, quota in quotas if quota != Quota()}

    def stands(self, tenant: str) -> bool:
        """Tell whether a tenant's cars may speak."""
        found = self._tenants.get(tenant)
        return found is None or found.state == "active"

    def quota(self, tenant: str) -> Quota | None:
        """Return a tenant's quota, None where it has none."""
        return self._quotas.get(tenant)

    def note(self, refusals: Iterable[Refusal]) -> None:
        """Note whom a quota held back."""
        for tenant in {refusal.origin.tenant for refusal in refusals if refusal.cause == "quota"}:
            since = self._held[tenant][1] if tenant in self._held else _now()
            self._held[tenant] = time.monotonic(), since

    @property
    def alarms(self) -> list[dict[str, str]]:
        """Return an alarm for each tenant that is held back now."""
        recent = time.monotonic() - ALARM_S
        self._held = {tenant: held for tenant, held in self._held.items() if held[0] >= recent}
        return [self._alarm(tenant, since) for tenant, (_, since) in sorted(self._held.items())]

    def _alarm(self, tenant: str, since: str) -> dict[str, str]:
        quota = self._quotas.get(tenant)
        why = "has its lake quota used up" if quota and quota.full else "sends more than its quota"
        return {
            "code": "quota",
            "message": f"Tenant {tenant} {why}: its cars are held back and keep what they have.",
            "do": f"Have them send less, or give it a larger quota: carcloud tenant quota {tenant}.",
            "since": since,
            "tenant": tenant,
        }

    def _look(self) -> tuple[list[Tenant], dict[str, Use]]:
        return self._records.tenants.all(), self._records.tenants.uses()


def _quota(tenant: Tenant, use: Use) -> Quota:
    limits = tenant.quotas
    full = limits.lake_bytes is not None and use.lake_bytes >= limits.lake_bytes
    return Quota(limits.messages_per_s, limits.bytes_per_s, full)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
