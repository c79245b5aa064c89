"""Who answers for the zone's data, as it stands on every report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ControllerSettings:
    """The controller of the zone's data, in law's sense. `officer`: the data-protection officer and how to reach them.

    `security`: who answers for data security, and how to reach them; mainland China asks for it by name.
    """

    name: str = ""
    address: str = ""
    contact: str = ""
    officer: str = ""
    security: str = ""
