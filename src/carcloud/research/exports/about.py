"""What an export says of where its scenarios come from: every file carries licence and consent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class About:
    """Of one scenario, as its recording has it.

    Args:
        recording: its id.
        vehicle: the car that recorded it; empty where nobody knows.
        licence: under which it may be used.
        consent: the grant by which a person agreed to it; empty where none was needed.
        purpose, basis: what it may be used for, and why that is lawful.
        place: in words.
        software: the version of the car's software.
    """

    recording: str = ""
    vehicle: str = ""
    licence: str = ""
    consent: str = ""
    purpose: str = ""
    basis: str = ""
    place: str = ""
    software: str = ""

    def words(self) -> dict[str, str]:
        """Return what is said, by name; what is empty left out."""
        return {name: value for name, value in asdict(self).items() if value}


Abouts = Mapping[str, About]
"""By the ids of scenarios."""
