"""Settings of the audit log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AuditSettings:
    """`witnesses`: further ones beside the zone's own, each as its address, a blank, and its key."""

    witnesses: tuple[str, ...] = ()
