"""How the lake is written and asked. Light, since every process reads the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LakeSettings:
    """How the lake is written. `rhythm_s`, `commit_rows`: when to commit. `window_rows`: how far files are joined.

    `compact_every_s`, `small_files`: files are joined this often, or when so many small ones have gathered.
    """

    rhythm_s: float = 1.5
    commit_rows: int = 1_000_000
    window_rows: int = 8_000_000
    compact_every_s: float = 300.0
    small_files: int = 250


LIMIT_ANSWER_BYTES = 256 << 20
"""An answer in its form: a million rows of all columns fit, and no more grows in the API."""


@dataclass(frozen=True)
class QueryLimits:
    """What one query may spend; two run at once.

    time_s: seconds a query may run, reading its result included; one car's day takes 0.1 s, a fleet's about 1 s.
    memory_bytes: what the engine may hold; nothing spills to disk.
    threads: cores; ingestion needs the others, and goes first where there are none.
    """

    time_s: float = 30.0
    memory_bytes: int = 1 << 30
    threads: int = 2
