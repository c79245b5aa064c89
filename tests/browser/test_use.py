"""Anyone can use the console: by keyboard, in both languages, in light and dark, with or without the API."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Open

READABLE = 4.5  # WCAG 2.2, 1.4.3, level AA
LOWEST_CONTRAST = """() => {
  const parts = (text) => {
    const numbers = text.match(/-?[\\d.]+(e-?\\d+)?/g).map(Number);
    const scale = text.startsWith("color(srgb") ? 255 : 1;
    return [...numbers.slice(0, 3).map((part) => part * scale), numbers[3] ?? 1];
  };
  const light = (rgb) => {
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, under) => [0, 1, 2].map((index) => top[index] * top[3] + under[index] * (1 - top[3]));
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parts(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const worst = { contrast: 21, text: "" };
  for (const element of document.querySelectorAll("#app *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    const text = texts.map((node) => node.data.trim()).join("");
    const apart = element.closest("canvas, option, textarea, .only-read, .skip");
    if (!text || apart || !element.checkVisibility()) continue;
    const under = ground(element);
    const [a, b] = [light(over(parts(getComputedStyle(element).color), under)), light(under)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < worst.contrast) Object.assign(worst, { contrast, text: `${element.outerHTML.slice(0, 200)}` });
  }
  return worst;
}"""


def pages(vehicle: dict[str, Any]) -> list[str]:
    """Return the addresses of all pages."""
    car = f"#/vehicles/{vehicle['id']}"
    fleet = ["#/", "#/map", "#/vehicles", car, "#/sql?q=select%201%20as%20one", "#/plans", "#/plans?write"]
    sides = [f"{car}/{side}" for side in ("plans", "grants", "identity", "orders")]
    names = ("safety", "governance", "identity", "orders", "audit", "people", "account")
    return [*fleet, *sides, *(f"#/{name}" for name in names)]


def settled(page: Page) -> None:
    """Wait until a page shows what it has."""
    expect(page.get_by_role("status").first).to_have_text("Running")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable(open_page: Open, vehicle: dict[str, Any], scheme: str) -> None:
    page = open_page("#/", color_scheme=scheme)
    for address in pages(vehicle):
        page.goto(f"{page.url.split('#')[0]}{address}")
        settled(page)
        worst = page.evaluate(LOWEST_CONTRAST)
        assert worst["contrast"] >= READABLE, (address, worst)


def test_language_follows_the_browser_and_the_choice_is_kept(open_page: Open) -> None:
    page = open_page("#/", locale="zh-CN")
    expect(page.get_by_role("heading", name="总览")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.get_by_role("button", name="EN").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_no_page_is_wider_than_a_phone_in_chinese(open_page: Open, vehicle: dict[str, Any]) -> None:
    page = open_page("#/", PHONE, locale="zh-CN")
    for address in pages(vehicle):
        page.goto(f"{page.url.split('#')[0]}{address}")
        expect(page.get_by_role("status").first).to_have_text("运行正常")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address


def test_keyboard_skips_to_the_content_and_reaches_every_page(open_page: Open) -> None:
    page = open_page("#/")
    settled(page)
    page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for name in ("Map", "Vehicles", "SQL", "Governance", "Identity", "Orders", "Audit log", "People", "Overview"):
        link = page.get_by_role("navigation").get_by_role("link", name=name, exact=True)
        for _ in range(30):
            page.keyboard.press("Shift+Tab")
            if link.evaluate("element => element === document.activeElement"):
                break
        expect(link).to_be_focused()
        assert link.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(link).to_have_attribute("aria-current", "page")
        expect(page.locator("main")).to_be_focused()


def test_api_away_is_told_with_the_last_data_kept_and_ends_when_it_is_back(open_page: Open) -> None:
    page = open_page("#/")
    settled(page)
    page.context.set_offline(True)
    banner = page.get_by_role("alert").filter(has_text="The zone does not answer.")
    expect(banner).to_be_visible()
    expect(page.get_by_label("The way of a sample")).to_have_css("opacity", "0.5")
    page.context.set_offline(False)
    banner.get_by_role("button", name="Try again").click()
    expect(banner).to_be_hidden()
    open_page.errors.clear()  # type: ignore[attr-defined]  # the browser notes the lost calls


def test_console_without_a_session_says_how_to_open_it(open_page: Open, vehicle: dict[str, Any]) -> None:
    page = open_page("#/vehicles", signed_in=False)
    expect(page.get_by_role("heading", name="Sign in to open this console")).to_be_visible()
    expect(page.get_by_text("/?link=…")).to_be_visible()
    assert vehicle["vin"] not in page.content()


def test_unknown_page_and_unknown_vehicle_are_told(open_page: Open) -> None:
    page = open_page("#/nowhere")
    expect(page.get_by_text("There is no such page.")).to_be_visible()
    page.goto(f"{page.url.split('#')[0]}#/vehicles/aaaaaaaaaaaaaaaa")
    expect(page.get_by_text("There is no such vehicle.")).to_be_visible()
    open_page.errors.clear()  # type: ignore[attr-defined]  # the browser notes the answer 404


def test_pages_load_nothing_from_elsewhere(open_page: Open, vehicle: dict[str, Any]) -> None:
    page = open_page("#/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    origin = page.url.split("#")[0]
    page.reload()
    for address in pages(vehicle):
        page.goto(f"{origin}{address}")
        settled(page)
    assert asked
    assert [url for url in asked if not url.startswith((origin, "blob:", "data:"))] == []
