"""Whom a zone trusts to say who somebody is."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from carcloud.errors import InputError
from carcloud.safety.people.caller import ROLES

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class OidcSettings:
    """Sign-in by an OpenID Connect provider; none where `issuer` is empty.

    `issuer`: its address, as it writes it itself. `client_id`, `client_secret_file`: how it knows the zone; the file
    holds the secret, readable by its owner only. `role_claim`: the claim of the ID token with somebody's groups.
    `roles`: what they mean here, each as `GROUP=ROLE`; they are taken anew at each sign-in.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    role_claim: str = ""
    roles: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InputError where these settings cannot work."""
        if not self.issuer:
            return
        where = urlsplit(self.issuer)
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in LOOPBACK):
            raise InputError(f"oidc.issuer {self.issuer!r} is no https address.", "Give the provider's own.")
        if not self.client_id or not self.client_secret_file:
            raise InputError("oidc wants client_id and client_secret_file.", "Register the zone with the provider.")
        self.meanings()

    def meanings(self) -> dict[str, str]:
        """Return group → role; raise InputError where an entry is none."""
        found = {}
        for entry in self.roles:
            group, _, role = entry.rpartition("=")
            if not group or role not in ROLES:
                raise InputError(f"oidc.roles: {entry!r} is no GROUP=ROLE.", f"Roles are: {', '.join(ROLES)}.")
            found[group] = role
        return found
