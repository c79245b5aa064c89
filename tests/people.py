"""People who use a running zone, as a browser would let them: by link, password and code."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx
import pyotp

from carcloud.assembly.records import open_records
from carcloud.safety.people.register import Register
from carcloud.settings import Settings
from tests.zone import RunningZone

PASSWORD = "four plain words here"
_logins = itertools.count(1)


class Visitor:
    """Somebody at the console of a zone, not signed in yet. `address`: where on the loopback they come from."""

    def __init__(self, zone: RunningZone, login: str = "", address: str = "127.0.0.1") -> None:
        self.zone, self.login, self.secret = zone, login, ""
        self.client = httpx.Client(
            base_url=zone.url,
            headers={"origin": zone.url},
            transport=httpx.HTTPTransport(local_address=address),
            timeout=20,
        )

    def open(self, link: str) -> httpx.Response:
        """Open a one-time link."""
        return self.client.get(link)

    def myself(self) -> dict[str, Any]:
        """Return GET /v1/session."""
        found: dict[str, Any] = self.client.get("/v1/session").json()
        return found

    def set_password(self, password: str = PASSWORD) -> None:
        """Set a first password."""
        answer = self.client.post("/v1/session/password", json={"new": password})
        assert answer.status_code == 200, answer.text

    def set_factor(self) -> None:
        """Set up a second factor, and confirm it."""
        begun = self.client.post("/v1/session/factor", json={"password": PASSWORD})
        assert begun.status_code == 200, begun.text
        self.secret = begun.json()["secret"]
        confirmed = self.client.post("/v1/session/factor/confirm", json={"code": self.code(-1)})
        assert confirmed.json()["mfa"], confirmed.text

    def code(self, step: int = 0) -> str:
        """Return the code of now, or of some time steps before or behind."""
        return pyotp.TOTP(self.secret).at(time.time() + 30 * step)

    def sign_in(self, password: str = PASSWORD, code: str = "") -> httpx.Response:
        """Sign in by login and password."""
        return self.client.post("/v1/session", json={"login": self.login, "password": password, "code": code})


def join(zone: RunningZone, *roles: str, factor: bool = False, name: str = "") -> Visitor:
    """Add a person with these roles, who comes in by a link; with a password and second factor if `factor`."""
    login = name or f"{roles[0]}-{next(_logins)}"
    records = open_records(Settings(), zone.folder)
    try:
        made = Register(records).add(None, login, login.title(), roles, "default")
    finally:
        records.close()
    assert isinstance(made, tuple)
    visitor = Visitor(zone, login)
    assert visitor.open(zone.file.console(made[1])).status_code == 303
    if factor:
        visitor.set_password()
        visitor.set_factor()
    return visitor
