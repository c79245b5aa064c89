"""Who may come in: seen and changed in the console."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import Human, fits, settled
from tests.zone import RunningZone


def test_car_is_held_back_released_and_revoked(visit: Visit, admin: Human, zone: RunningZone) -> None:
    enrolled, _ = zone.enrol("lent-car")
    page = visit(f"#/vehicles/{enrolled.vehicle.id}/identity", admin, PHONE)
    settled(page)
    for act, state in (("Hold back", "held back"), ("Release", "active"), ("Revoke", "revoked")):
        page.get_by_role("button", name=f"{act}…").press("Enter")
        dialog = page.get_by_role("dialog", name=f"{act}: lent-car?")
        dialog.get_by_role("button", name=act).click()
        expect(page.locator("main .panel header .tag").first).to_have_text(state)
    expect(page.get_by_role("button", name="Release…")).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="revoked").first).to_be_visible()
    fits(page)


def test_car_is_let_join_by_a_claim_shown_once(visit: Visit, admin: Human) -> None:
    page = visit("#/identity", admin)
    settled(page)
    page.get_by_role("button", name="Let a car join").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("VIN").fill("wvwzzz1jzxw000001")
    dialog.get_by_label("Name for people").fill("new-van")
    dialog.get_by_role("button", name="Let a car join").click()
    expect(page.locator(".once")).to_contain_text("carcloud join --claim")
    expect(page.get_by_role("heading", name="Open claims")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="root").first).to_contain_text("ECDSA")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="身份")).to_be_visible()
    fits(page)
