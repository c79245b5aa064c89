"""How much of what all tenants share one may take at once: queries and live streams.

Rules:
* A quota holds as it is. Without one, a tenant that is alone in the zone may take all, else it leaves some to others.
* What the records say is believed for two seconds, and read again at once on a notice.
"""

from __future__ import annotations

import time

from carcloud.backends.records import Records, Tenant

READ_EVERY_S = 2.0


class Shares:
    """The shares of a zone's tenants."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._tenants: dict[str, Tenant] = {}
        self._read_at = -READ_EVERY_S

    def queries(self, tenant: str) -> int | None:
        """Return how many queries a tenant may ask at once by its quota; None without one."""
        return self._quota(tenant, "queries")

    def streams(self, tenant: str) -> int | None:
        """Return how many live streams a tenant may have open by its quota; None without one."""
        return self._quota(tenant, "streams")

    def several(self) -> bool:
        """Tell whether the zone has more than one tenant."""
        self._refresh()
        return len(self._tenants) > 1

    async def changed(self, _: str, __: bytes) -> None:
        """Take in that a tenant was changed."""
        self._read_at = -READ_EVERY_S

    def _quota(self, tenant: str, name: str) -> int | None:
        self._refresh()
        found = self._tenants.get(tenant)
        quota: int | None = getattr(found.quotas, name) if found else None
        return quota

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at >= READ_EVERY_S:
            self._tenants = {tenant.name: tenant for tenant in self._records.tenants.all()}
            self._read_at = time.monotonic()
