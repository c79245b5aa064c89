"""Orders: signed in the browser by a key that it made itself, and followed until the car has acted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from carcloud.vehicle.commands import COMMANDS, REASONS, Bounds, Domain
from tests.browser.conftest import Visit
from tests.browser.safety.conftest import Human, come_in, fits
from tests.zone import RunningZone, carcloud, simulated_fleet

BUTTONS = [command for command in COMMANDS.values() if command.domain != Domain.COLLECTION]
"""Plans have a page of their own."""
WEB = Path(__file__).parents[3] / "web" / "src"


@pytest.fixture(scope="module")
def fred(admin: Human) -> Human:
    """Give a fleet manager."""
    return come_in(admin.add(login="fred", name="Fred Müller", roles=["fleet"]))


def chosen(page: Page, order: str, car: str) -> Locator:
    """Begin an order; return the dialog."""
    page.get_by_role("button", name="Send an order").press("Enter")
    dialog = page.get_by_role("dialog", name="Send an order")
    dialog.get_by_label("Vehicle").select_option(label=car)
    dialog.get_by_label("Order").select_option(order)
    return dialog


def test_order_is_signed_in_the_browser_and_done_by_the_car(visit: Visit, fred: Human, zone: RunningZone) -> None:
    shown = carcloud("operator", "pair", "fred", "--role", "fleet", "--data", str(zone.data)).stdout
    code = re.search(r"\b[a-z2-9]{16}\b", shown)
    assert code, shown
    page = visit("#/orders", fred)
    page.get_by_label("One-time code").fill("not-this-one")
    page.get_by_role("button", name="Make a key and pair it").click()
    expect(page.get_by_role("alert")).to_contain_text("No such pairing waits.")
    page.get_by_label("One-time code").fill(code[0])
    page.get_by_label("One-time code").press("Enter")
    expect(page.get_by_text("Paired as fred")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Paired as fred")).to_be_visible()

    dialog = chosen(page, "climate-temperature", "family-car")
    assert set(dialog.get_by_label("Order").locator("option").evaluate_all("all => all.map((one) => one.value)")) == {
        command.name for command in BUTTONS
    }
    dialog.get_by_role("spinbutton").fill("21.5")
    expect(dialog).to_contain_text("family-car sets the temperature of its cabin (21.5 °C)")
    dialog.get_by_role("button", name="Sign and send").click()
    expect(page.get_by_role("row").filter(has_text="Set temperature")).to_contain_text("waits for the car")
    with simulated_fleet(zone, 1):
        dialog = chosen(page, "locate", "sim-000")
        dialog.get_by_role("button", name="Sign and send").click()
        done = page.get_by_role("row").filter(has_text="Locate")
        expect(done).to_contain_text("done", timeout=30_000)
        expect(done).to_contain_text("fred")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="指令").first).to_be_visible()
    fits(page)


def test_who_may_not_order_is_told_so(visit: Visit, admin: Human, car: str) -> None:
    page = visit(f"#/vehicles/{car}/orders", admin)
    expect(page.get_by_text("Your roles only show them.")).to_be_visible()
    expect(page.get_by_role("button", name="Send an order")).to_have_count(0)


def test_commands_and_reasons_of_the_console_are_those_of_the_cars() -> None:
    source = (WEB / "orders" / "commands.ts").read_text(encoding="utf-8")
    for command in BUTTONS:
        line = next(line for line in source.splitlines() if re.match(rf'  "?{command.name}"?: ', line))
        assert ("ALL" if "operator" in command.roles else "MOST") in line
        for name, bounds in command.parameters.items():
            assert isinstance(bounds, Bounds)
            low, high, step = (f"{value:g}" for value in (bounds.low, bounds.high, bounds.step))
            assert f'{name}: {{ low: {low}, high: {high}, step: {step}, unit: "{bounds.unit}" }}' in line
    words = (WEB / "words" / "orders.ts").read_text(encoding="utf-8")
    for language in words.split("export const zh")[:2]:
        reasons = re.search(r"  reasons: \{(.*?)\n  \}", language, re.DOTALL)
        assert reasons
        assert set(re.findall(r"^    (\w+):", reasons[1], re.MULTILINE)) == set(REASONS)
