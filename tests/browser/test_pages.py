"""Every page of the console shows a real zone's live data, at the desk and on the phone."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESK, PHONE, Open

SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
SPEED = "Vehicle.Speed"
# The colours in which vehicles are drawn by charge, as red, green, blue.
ARROWS = [(194, 52, 42), (217, 130, 43), (184, 154, 28), (63, 154, 103), (18, 128, 154)]
COUNT_PIXELS = """async ([png, colours]) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const pen = new OffscreenCanvas(image.width, image.height).getContext("2d");
  pen.drawImage(image, 0, 0);
  const { data } = pen.getImageData(0, 0, image.width, image.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (colours.some((one) => one.every((part, index) => Math.abs(part - data[at + index]) < 6))) count += 1;
  return count;
}"""


def fits(page: Page) -> None:
    """Check that nothing is wider than the screen."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@SIZES
def test_overview_shows_the_stream_as_it_flows(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page("#/", size)
    way = page.get_by_label("The way of a sample")
    batches = way.get_by_text(re.compile("batches so far"))
    expect(batches).to_be_visible()
    before = batches.inner_text()
    expect(page.get_by_text("Not for other people's cars.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="governor").get_by_text("up", exact=True)).to_be_visible()
    expect(page.locator("canvas")).to_have_count(3)
    expect(batches).not_to_have_text(before)
    fits(page)


@SIZES
def test_map_draws_the_fleet(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page("#/map", size)
    listed = page.get_by_label("Vehicles on the map").get_by_role("listitem")
    expect(listed.first).to_contain_text(re.compile("km/h|standing"))
    expect(page.locator("canvas.maplibregl-canvas")).to_be_visible()
    for _ in range(40):
        picture = base64.b64encode(page.locator(".canvas").screenshot()).decode()
        if page.evaluate(COUNT_PIXELS, [picture, ARROWS]) > 50:
            break
        page.wait_for_timeout(250)
    else:
        raise AssertionError("no vehicle is drawn on the map")
    fits(page)


def test_vehicle_chosen_on_the_map_leads_to_its_page(open_page: Open) -> None:
    page = open_page("#/map")
    first = page.get_by_label("Vehicles on the map").get_by_role("listitem").first.get_by_role("button")
    first.click()
    expect(first).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Open vehicle").click()
    expect(page.get_by_role("heading", name="Values")).to_be_visible()
    assert "#/vehicles/" in page.url


@SIZES
def test_vehicles_are_listed_and_found(open_page: Open, vehicle: dict[str, Any], size: tuple[int, int]) -> None:
    page = open_page("#/vehicles", size)
    page.get_by_role("searchbox").fill(vehicle["vin"])
    expect(page.get_by_role("link", name=vehicle["label"])).to_be_visible()
    expect(page.get_by_text("1 shown")).to_be_visible()
    page.get_by_role("searchbox").fill("no such vehicle")
    expect(page.get_by_text("No vehicle matches the filter.")).to_be_visible()
    fits(page)


@SIZES
def test_vehicle_shows_live_values_charts_and_history(
    open_page: Open, vehicle: dict[str, Any], size: tuple[int, int]
) -> None:
    page = open_page(f"#/vehicles/{vehicle['id']}?signals={SPEED}", size)
    expect(page.get_by_text("simulated", exact=True)).to_be_visible()
    time = page.locator(".leaf", has=page.get_by_title(SPEED, exact=True)).locator(".age")
    before = time.get_attribute("title")
    expect(page.get_by_role("img", name=SPEED, exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=f"History: {SPEED}")).to_be_visible()
    expect(page.get_by_text(re.compile("samples, one point per"))).to_be_visible()
    expect(time).not_to_have_attribute("title", str(before))
    fits(page)


def test_values_are_filtered_and_charted(open_page: Open, vehicle: dict[str, Any]) -> None:
    page = open_page(f"#/vehicles/{vehicle['id']}?signals={SPEED}")
    page.get_by_placeholder("Filter signals").fill("stateofcharge.current")
    leaves = page.locator(".leaf")
    expect(leaves.first).to_be_visible()
    assert all("StateOfCharge.Current" in str(name.get_attribute("title")) for name in leaves.locator(".name").all())
    page.get_by_role("button", name=re.compile("^Chart .*StateOfCharge.Current$")).click()
    expect(page.get_by_role("img", name=re.compile("^Vehicle.*StateOfCharge.Current$"))).to_be_visible()
    assert "StateOfCharge.Current" in page.url


@SIZES
def test_every_example_statement_runs(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page("#/sql", size)
    examples = page.get_by_label("Examples")
    expect(page.get_by_role("button", name="Insert vehicle", exact=True)).to_be_attached()
    names = [name for name in examples.locator("option").all_inner_texts() if not name.endswith("…")]
    assert len(names) >= 6
    for name in names:
        with page.expect_response("**/v1/lake/sql") as answer:
            examples.select_option(label=name)
        assert answer.value.ok, (name, answer.value.text())
        expect(page.get_by_text(re.compile(r"\d rows in"))).to_be_visible()
    fits(page)


def test_answer_is_a_table_a_chart_and_a_file(open_page: Open) -> None:
    page = open_page("#/sql")
    statement = page.get_by_role("textbox", name="Statement")
    statement.fill("select signal, count(*) as samples from samples group by signal order by samples desc limit 5")
    statement.press("Control+Enter")
    expect(page.get_by_text("5 rows in")).to_be_visible()
    expect(page.get_by_role("columnheader", name="samples int64")).to_have_class(re.compile("number"))
    page.get_by_role("button", name="Chart", exact=True).click()
    expect(page.get_by_role("img", name="Chart")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    assert text.splitlines()[0] == "signal,samples"
    assert len(text.splitlines()) == 6


def test_wrong_statement_is_told_with_its_line(open_page: Open) -> None:
    page = open_page("#/sql")
    statement = page.get_by_role("textbox", name="Statement")
    statement.fill("select vehicle,\n  nothing_like_it\nfrom samples")
    statement.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("nothing_like_it")
    expect(page.locator("li.wrong")).to_have_text("2")
    open_page.errors.clear()  # type: ignore[attr-defined]  # the browser notes the answer 400


def test_cut_answer_says_so(open_page: Open) -> None:
    page = open_page("#/sql?q=select%20*%20from%20range(20000)")
    expect(page.get_by_text("Only the first 10,000 rows are shown.")).to_be_visible()
