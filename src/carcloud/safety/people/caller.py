"""Who calls: a person, or a program that a person let in."""

from __future__ import annotations

from dataclasses import dataclass

ROLES = (
    "operator",
    "fleet",
    "analyst",
    "dpo",
    "engineer",
    "marketer",
    "owner",
    "partner",
)
"""What a person may be; the policies say what each may do."""


@dataclass(frozen=True)
class Caller:
    """Whoever stands behind a request, as the policies and the audit log see them.

    id: `person:…` or `token:…`. name: for people to read; it enters no log.
    mfa: whether a second factor was shown when signing in. app: what a token was made for, as grants name it.
    """

    id: str
    name: str
    roles: frozenset[str]
    tenant: str
    mfa: bool = False
    app: str | None = None
