"""One zone for all safety pages: under the European governance, with an administrator who has a second factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.zone import RunningZone, running_zone

CONFIG = """governance = "eu"
[oidc]
issuer = "https://login.example"
client_id = "zone"
client_secret_file = "{secret}"
"""
PASSWORD = "four words make sense"


@dataclass
class Human:
    """Somebody with password and second factor, in whose name a browser comes in."""

    url: str
    client: httpx.Client
    secret: str

    def cookie(self) -> dict[str, str]:
        """Return the session as a browser keeps it."""
        (found,) = self.client.cookies.jar
        return {"name": found.name, "value": str(found.value), "url": self.url}

    def add(self, **person: object) -> str:
        """Add a person; return the address of their first link."""
        answer = self.client.post("/v1/people", json=person)
        assert answer.status_code == 201, answer.text
        return self.url + str(answer.json()["link"]["path"])


def come_in(link: str) -> Human:
    """Come in by a link; set a password and a second factor."""
    url, _, path = link.partition("/?")
    client = httpx.Client(base_url=url, headers={"origin": url}, timeout=60, trust_env=False)
    assert client.get(f"/?{path}").status_code == 303
    assert client.post("/v1/session/password", json={"new": PASSWORD}).status_code == 200
    secret = client.post("/v1/session/factor", json={"password": PASSWORD}).json()["secret"]
    done = client.post("/v1/session/factor/confirm", json={"code": pyotp.TOTP(secret).now()})
    assert done.status_code == 200, done.text
    return Human(url, client, secret)


@pytest.fixture(scope="package")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone of its own, with one car that is away."""
    folder = tmp_path_factory.mktemp("safety")
    secret = folder / "oidc.secret"
    secret.write_text("between zone and provider")
    secret.chmod(0o600)
    with running_zone(folder / "data", config=CONFIG.format(secret=secret)) as running:
        running.enrol("family-car")
        yield running


@pytest.fixture(scope="package")
def admin(zone: RunningZone) -> Human:
    """Give the local administrator, with a second factor."""
    return come_in(zone.link())


@pytest.fixture(scope="package")
def car(zone: RunningZone) -> str:
    """Give the car's id."""
    return str(zone.get("/v1/vehicles")["vehicles"][0]["id"])


def fits(page: Page) -> None:
    """Check that nothing is wider than the screen."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def settled(page: Page) -> None:
    """Wait until a page shows what it has."""
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)
