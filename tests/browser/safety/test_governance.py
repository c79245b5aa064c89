"""What is kept, and what each car's person agreed to: read and changed as their people would."""

from __future__ import annotations

import contextlib
import re

import pytest
from playwright.sync_api import expect

from carcloud.safety.people.register import Register
from tests.browser.conftest import DESK, PHONE, Visit
from tests.browser.safety.conftest import Human, come_in, fits
from tests.zone import RunningZone


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_governance_says_what_is_kept_why_and_how_exactly(visit: Visit, admin: Human, size: tuple[int, int]) -> None:
    page = visit("#/governance", admin, size)
    expect(page.get_by_label("In short")).to_contain_text(re.compile(r"This zone keeps \d+ of the \d+ signals"))
    research = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="research"))
    expect(research).to_contain_text("Agreed: 0 of 1 cars")
    page.get_by_role("searchbox").fill("currentlocation.latitude")
    place = page.get_by_role("row").filter(has_text="Vehicle.CurrentLocation.Latitude").first
    expect(place).to_contain_text("in steps of 0.001°")
    expect(place).to_contain_text("about 111 m on the ground")
    page.get_by_role("searchbox").fill("HorizontalAccuracy")
    expect(page.get_by_role("row").filter(has_text="Everything else")).to_contain_text("dropped")
    page.get_by_text("Show the file").click()
    expect(page.locator("pre")).to_contain_text("basis: legal-obligation")
    fits(page)


def test_consent_is_noted_and_withdrawn_by_keyboard(visit: Visit, admin: Human, car: str) -> None:
    page = visit(f"#/vehicles/{car}/grants", admin)
    note = page.get_by_role("button", name="Note consent: research")
    note.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Note consent to research?")
    expect(dialog).to_contain_text("really agreed")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(note).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Note consent").press("Enter")
    expect(page.get_by_role("row").filter(has_text="research")).to_contain_text("holds")
    page.get_by_role("button", name="Withdraw: research").click()
    page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("row").filter(has_text="research")).to_contain_text("revoked")
    expect(page.get_by_text("not agreed", exact=True)).to_be_visible()
    fits(page)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_something_of_a_car_is_granted_and_revoked(
    visit: Visit, zone: RunningZone, admin: Human, car: str, size: tuple[int, int]
) -> None:
    page, app = visit(f"#/vehicles/{car}/grants", admin, size), f"app:of-{size[0]}"
    with contextlib.closing(zone.records()) as records:
        Register(records).make_token(None, app, ["partner"], 1, "default", app.partition(":")[2])
    page.get_by_role("button", name="Grant…").press("Enter")
    dialog = page.get_by_role("dialog", name="Grant something of this car")
    dialog.get_by_label("To whom").fill("everybody")
    dialog.get_by_label("Signals").fill("Vehicle.Speed")
    dialog.get_by_label("Show numbers to a step only").fill("Vehicle.Speed")
    expect(dialog.get_by_role("alert")).to_contain_text("is no step")
    dialog.get_by_label("Show numbers to a step only").fill("Vehicle.Speed=10")
    dialog.get_by_role("button", name="Grant…").click()
    expect(dialog).to_contain_text("is nobody to grant to")
    dialog.get_by_label("To whom").fill(app)
    fits(page)
    dialog.get_by_role("button", name="Grant…").click()
    row = page.get_by_role("row").filter(has_text=app)
    expect(row).to_contain_text("Vehicle.Speed")
    expect(row).to_contain_text("holds")
    fits(page)
    page.get_by_role("button", name=f"Revoke: {app}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")


def test_safety_pages_are_found_on_the_phone_in_chinese(visit: Visit, admin: Human) -> None:
    page = visit("#/", admin, PHONE, "zh-CN")
    page.get_by_role("navigation").get_by_role("link", name="安全").click()
    page.locator("main").get_by_role("link", name="治理").click()
    expect(page.get_by_role("heading", name="治理", exact=True)).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="丢弃").first).to_be_visible()
    fits(page)


def test_car_is_erased_by_the_data_protection_officer(visit: Visit, zone: RunningZone) -> None:
    sold, _ = zone.enrol("sold-car")
    with contextlib.closing(zone.records()) as records:
        Register(records).add(None, "erika", "Erika", ["dpo"], "default")
    page = visit(f"#/vehicles/{sold.vehicle.id}/grants", come_in(zone.link("erika")), PHONE)
    page.get_by_role("button", name="Erase…").click()
    dialog = page.get_by_role("dialog", name="Erase sold-car?")
    expect(dialog.get_by_role("button", name="Erase for ever")).to_be_disabled()
    dialog.get_by_label("Type sold-car to go on").fill("sold-car")
    dialog.get_by_role("button", name="Erase for ever").click()
    expect(page.get_by_text("The erasure has begun.")).to_be_visible()
    page.goto(f"{zone.url}/#/governance")
    expect(page.get_by_role("row").filter(has_text=sold.vehicle.id)).to_be_visible()
    fits(page)
