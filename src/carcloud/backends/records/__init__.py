"""The records: what the zone knows for certain and changes seldom, in SQLite or PostgreSQL. Open `Records`."""

from carcloud.backends.records.approvals import Approval
from carcloud.backends.records.audit import Entry
from carcloud.backends.records.claims import Claim
from carcloud.backends.records.core import Records
from carcloud.backends.records.erasures import Erasure
from carcloud.backends.records.grants import Grant, Held
from carcloud.backends.records.passes import ApiToken, Session
from carcloud.backends.records.people import Person
from carcloud.backends.records.suspicions import Suspicion
from carcloud.backends.records.tables import (
    DEFAULT_TENANT,
    Certificate,
    QuarantineEntry,
    Vehicle,
    quarantine_id,
)
from carcloud.backends.records.tenants import Quotas, Tenant, Use
from carcloud.vehicle.life import State

__all__ = [
    "DEFAULT_TENANT",
    "ApiToken",
    "Approval",
    "Certificate",
    "Claim",
    "Entry",
    "Erasure",
    "Grant",
    "Held",
    "Person",
    "QuarantineEntry",
    "Quotas",
    "Records",
    "Session",
    "State",
    "Suspicion",
    "Tenant",
    "Use",
    "Vehicle",
    "quarantine_id",
]
