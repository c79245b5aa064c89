"""Who asks the lake, and what they reach: looked at when their turn comes, and again before they are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from carcloud.safety.grants.reach import Part, Reach


@dataclass(frozen=True)
class Asker:
    """Who asks, of which tenant.

    name: who of the tenant, as the audit log names callers. reach: returns what they reach at that moment; raises what
    they are to be told where it is nothing any more.
    """

    tenant: str
    name: str
    reach: Callable[[], Awaitable[Reach]]


def still_open(before: Reach, now: Reach) -> bool:
    """Tell whether all that was in reach is in reach now."""
    if now.parts is None or before == now:
        return before.tenant == now.tenant
    if before.parts is None or before.tenant != now.tenant:
        return False
    left: dict[str, list[Part]] = {}
    for part in now.parts:
        left.setdefault(part.vehicle, []).append(part)
    return all(part in left.get(part.vehicle, ()) for part in before.parts)
