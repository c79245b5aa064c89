"""The records: what the zone knows for certain and changes seldom, in SQLite or PostgreSQL. Open `Records`."""

from carcloud.backends.records.audit import Entry
from carcloud.backends.records.core import Records
from carcloud.backends.records.tables import (
    DEFAULT_TENANT,
    Certificate,
    QuarantineEntry,
    State,
    Vehicle,
    quarantine_id,
)

__all__ = ["DEFAULT_TENANT", "Certificate", "Entry", "QuarantineEntry", "Records", "State", "Vehicle", "quarantine_id"]
