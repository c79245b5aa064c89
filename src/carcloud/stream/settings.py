"""How the stream is governed. Light, since every process reads the settings."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FloodLimits:
    """How much one car may send in a second of the broker's time before its session is closed.

    `bytes_per_s` counts what batches unpack to, JSON 32-fold: a few bytes can ask for much work.
    """

    messages_per_s: int = 1000
    bytes_per_s: int = 32 * 1024 * 1024


@dataclass(frozen=True)
class TimeLimits:
    """How far a sample's time may lie from the moment the broker received it.

    A measured sample may be as old as a car was parked; a recording or a simulation may be of any year since 1990.
    """

    ahead_s: float = 600.0
    behind_days: float = 400.0
    earliest_us: int = 631_152_000_000_000


@dataclass(frozen=True)
class GovernorSettings:
    """How the governor works. `rhythm_s`: a chunk is closed this long after its first message, or at `chunk_samples`.

    `reserve_bytes`: free disk below which ingestion stops. `raw_bytes`, `governed_bytes`: bounds of the two streams.
    """

    rhythm_s: float = 0.1
    chunk_samples: int = 1_000_000
    reserve_bytes: int = 512 * 1024 * 1024
    raw_bytes: int = 256 * 1024 * 1024
    governed_bytes: int = 8 * 1024 * 1024 * 1024
    flood: FloodLimits = field(default_factory=FloodLimits)
    time: TimeLimits = field(default_factory=TimeLimits)
