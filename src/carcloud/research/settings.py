"""What recordings may take of a zone."""

from __future__ import annotations

from dataclasses import dataclass

from carcloud.errors import InputError

LEAST_MEMORY_BYTES = 512 << 20


@dataclass(frozen=True)
class ResearchSettings:
    """How large a recording may be, and what its import may take.

    recording_bytes: all files of one recording together. import_memory_bytes: of the process that imports it, beside
    what it has when it begins; import_s: seconds until it is given up.
    """

    recording_bytes: int = 16 << 30
    import_memory_bytes: int = 2 << 30
    import_s: float = 3600.0

    def __post_init__(self) -> None:
        if self.import_memory_bytes < LEAST_MEMORY_BYTES:
            message = f"import_memory_bytes is {self.import_memory_bytes}."
            raise InputError(message, f"Give {LEAST_MEMORY_BYTES} or more.")
