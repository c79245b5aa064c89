"""The files that `carcloud export` wrote, so that a car's erasure reaches them; and those it could not reach.

Rules:
* A path may say who somebody is: it lies sealed, and is in no leaf of the audit log.
* A file that is written again under its path is the new one only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, String, Table, delete, insert, select, update

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, Sealed, metadata

export_files = Table(
    "export_files",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("actor", String(96), nullable=False),
    Column("path", Sealed, nullable=False, unique=True),
    Column("format", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("names_cars", Boolean, nullable=False),
)
export_misses = Table(
    "export_misses",
    metadata,
    Column("erasure", String(32), ForeignKey("erasures.id"), primary_key=True),
    Column("path", Sealed, primary_key=True),
    Column("why", String(64), nullable=False),
)


@dataclass(frozen=True)
class ExportFile:
    """A file that was written. `names_cars`: whether its rows say whose they are, by a column `vehicle`."""

    at: datetime
    tenant: str
    actor: str
    path: str
    format: str
    sha256: str
    rows: int
    names_cars: bool
    id: str = ""


class ExportFiles:
    """The register of files that were written out of the lake."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def add(self, file: ExportFile, *entries: Entry) -> ExportFile:
        """Put a file into the register; return it with its id."""
        row = vars(file) | {"id": secrets.token_hex(8)}
        with self._database.transaction(writing=True) as db:
            db.execute(delete(export_files).where(export_files.c.path == file.path))
            db.execute(insert(export_files).values(**row))
            self._audit.note(db, *entries)
        return ExportFile(**row)

    def all(self, tenant: str | None = None) -> list[ExportFile]:
        """Return the files, the oldest first; of a tenant, or None: of all."""
        query = select(export_files).order_by(export_files.c.at, export_files.c.id)
        if tenant is not None:
            query = query.where(export_files.c.tenant == tenant)
        return [ExportFile(**row._mapping) for row in self._database.rows(query)]

    def change(self, id: str, sha256: str, rows: int) -> None:  # noqa: A002
        """Say that rows left a file, and what it is now."""
        with self._database.transaction(writing=True) as db:
            db.execute(update(export_files).where(export_files.c.id == id).values(sha256=sha256, rows=rows))

    def miss(self, erasure: str, missed: dict[str, str]) -> None:
        """Say which files an erasure did not reach, and why: path → reason. What was said before goes."""
        with self._database.transaction(writing=True) as db:
            db.execute(delete(export_misses).where(export_misses.c.erasure == erasure))
            rows = [{"erasure": erasure, "path": path, "why": why} for path, why in missed.items()]
            if rows:
                db.execute(insert(export_misses), rows)

    def missed(self, erasure: str) -> dict[str, str]:
        """Return the files that an erasure did not reach: path → reason."""
        query = select(export_misses).where(export_misses.c.erasure == erasure)
        return {row.path: row.why for row in self._database.rows(query)}
