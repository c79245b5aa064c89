"""Every role finds its pages, and no page asks for what the role may not have."""

from __future__ import annotations

import contextlib

import pytest
from playwright.sync_api import expect

from carcloud.safety.people.caller import ROLES
from carcloud.safety.people.register import Register
from tests.browser.conftest import Visit
from tests.browser.safety.conftest import settled
from tests.zone import RunningZone


@pytest.fixture(scope="module", autouse=True)
def one_of_each(zone: RunningZone) -> None:
    """Add somebody of each role beside the zone, where that takes no second person."""
    with contextlib.closing(zone.records()) as records:
        for role in ROLES:
            Register(records).add(None, f"the-{role}", f"The {role}", [role], "default")


@pytest.mark.parametrize("role", ROLES)
def test_role_is_denied_nothing_on_the_pages_it_is_offered(
    visit: Visit, zone: RunningZone, car: str, role: str
) -> None:
    page = visit("#/safety", None)
    denied: list[str] = []
    page.on("response", lambda answer: denied.append(answer.url) if answer.status == 403 else None)
    page.goto(zone.link(f"the-{role}"))
    page.goto(f"{zone.url}/#/safety")
    settled(page)
    offered = page.get_by_role("navigation").get_by_role("link")
    links = [str(link.get_attribute("href")) for link in offered.all()]
    if "#/vehicles" in links:
        links += [f"#/vehicles/{car}{side}" for side in ("", "/plans", "/grants", "/identity", "/orders")]
    for link in [*links, "#/account"]:
        page.goto(f"{zone.url}/{link}")
        settled(page)
        page.wait_for_timeout(150)
        expect(page.get_by_text("Your roles do not open this page.")).to_have_count(0)
    assert denied == []
