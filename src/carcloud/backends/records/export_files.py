"""The files that `carcloud export` wrote, so that a car's erasure reaches them; and those it could not reach.

Rules:
* A path may say who somebody is: it lies sealed, and is in no leaf of the audit log.
* A file that is written again under its path is the new one only.
* A file is here from before its first byte; until it is finished it has no SHA-256, and its draft's path.
* Before a file is replaced by another the new one's SHA-256 stands beside the old one's, so that a crash between two
  steps leaves none that is not known.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, String, Table, delete, insert, select, update

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, Sealed, metadata
from carcloud.backends.records.erasures import erasures
from carcloud.backends.records.tables import vehicles

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
    Column("also", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
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
    """A file that was written. `sha256`: "" until it is finished; `also`: what it may be as well, being replaced."""

    at: datetime
    tenant: str
    actor: str
    path: str
    format: str
    sha256: str
    rows: int
    also: str = ""
    id: str = ""

    @property
    def hashes(self) -> set[str]:
        """Return what the file's SHA-256 may be."""
        return {self.sha256, self.also} - {""}


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

    def finish(self, id: str, path: str, sha256: str, rows: int) -> bool:  # noqa: A002
        """Say that a file is whole and is about to take its place; tell whether it was still in the register.

        What lies in that place stays known until `settle`.
        """
        with self._database.transaction(writing=True) as db:
            there = db.execute(select(export_files).where(export_files.c.path == path)).one_or_none()
            mine = db.execute(select(export_files.c.id).where(export_files.c.id == id)).one_or_none()
            if mine is None:
                return False
            if there is not None:
                db.execute(delete(export_files).where(export_files.c.id == there.id))
            now = {"path": path, "sha256": sha256, "rows": rows, "also": there.sha256 if there is not None else ""}
            db.execute(update(export_files).where(export_files.c.id == id).values(**now))
            return True

    def forget(self, id: str, path: str) -> bool:  # noqa: A002
        """Take a file out of the register that was given up under its draft's path; tell whether it was there."""
        with self._database.transaction(writing=True) as db:
            mine = (export_files.c.id == id) & (export_files.c.path == path)
            return bool(db.execute(delete(export_files).where(mine)).rowcount)

    def allow(self, id: str, sha256: str) -> None:  # noqa: A002
        """Say what a file may be as well, since it is being replaced."""
        self._set(id, also=sha256)

    def settle(self, id: str) -> None:  # noqa: A002
        """Say that a file took its place."""
        self._set(id, also="")

    def change(self, id: str, sha256: str, rows: int) -> None:  # noqa: A002
        """Say that rows left a file, and what it is now."""
        self._set(id, sha256=sha256, rows=rows, also="")

    def cars(self, tenant: str) -> frozenset[str]:
        """Return the ids that a tenant's files may name: of its cars, replicas too, and of those being erased."""
        known = select(vehicles.c.id).where(vehicles.c.tenant == tenant)
        going = select(erasures.c.vehicle.label("id")).where(erasures.c.tenant == tenant)
        return frozenset(row.id for query in (known, going) for row in self._database.rows(query))

    def _set(self, id: str, **values: object) -> None:  # noqa: A002
        with self._database.transaction(writing=True) as db:
            db.execute(update(export_files).where(export_files.c.id == id).values(**values))

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
