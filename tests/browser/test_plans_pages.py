"""Collection plans in the console: written and checked, tried on history, taken by cars, and where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import Human, come_in, fits, settled
from tests.browser.test_use import LOWEST_CONTRAST, READABLE
from tests.zone import RunningZone, carcloud, running_zone, simulated_fleet

PLAN = f"""plan: moving
version: 1
signals:
  - {{path: Vehicle.Speed, every: 1 s}}
when: Vehicle.Speed >= 0 km/h
interval: 5 s
after: 2 s
purpose: research
basis: legitimate-interest
budget: 1 MB
until: {datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}
"""
WRONG = PLAN.replace("Vehicle.Speed >= 0 km/h", "Vehicle.Speed >= 0 km/h and Vehicle.Sped < 3 km/h").replace(
    "interval: 5 s", "interval: often"
)


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone with two cars that drive."""
    folder = tmp_path_factory.mktemp("plans-pages")
    with running_zone(folder / "data") as running, simulated_fleet(running, 2):
        yield running


@pytest.fixture(scope="module")
def people(zone: RunningZone) -> dict[str, Human]:
    """Give an operator, and two who run cars, each with a second factor."""
    admin = come_in(zone.link())
    fleet = {name: come_in(admin.add(login=name, name=name.title(), roles=["fleet"])) for name in ("fred", "greta")}
    return {"admin": admin, **fleet}


@pytest.fixture(scope="module")
def car(zone: RunningZone) -> dict[str, Any]:
    """Give the first car."""
    found: list[dict[str, Any]] = zone.get("/v1/vehicles")["vehicles"]
    return min(found, key=lambda one: str(one["label"]))


@pytest.fixture(scope="module")
def kept(zone: RunningZone, people: dict[str, Human]) -> str:
    """Keep a plan beside the one that is written in the browser; return its name."""
    document = PLAN.replace("plan: moving", "plan: standing").replace(
        "Vehicle.Speed >= 0 km/h", "Vehicle.Speed < 0 km/h"
    )
    answer = people["admin"].client.post("/v1/plans", json={"document": document})
    assert answer.status_code == 200, answer.text
    return "standing"


def test_plan_is_checked_at_its_places_tried_and_kept(visit: Visit, people: dict[str, Human]) -> None:
    page = visit("#/plans", people["admin"])
    expect(page.get_by_role("heading", name="No plan was written yet.")).to_be_visible()
    page.get_by_role("link", name="Write a plan").press("Enter")
    text = page.get_by_role("textbox", name="Plan as text")
    text.fill(WRONG)
    wrong = page.get_by_role("listitem").filter(has_text="Vehicle.Sped")
    expect(wrong.get_by_role("button", name="Line 5")).to_be_visible()
    expect(
        page.get_by_role("listitem").filter(has_text="interval").get_by_role("button", name="Line 6")
    ).to_be_visible()
    expect(page.get_by_role("button", name="Keep this plan")).to_be_disabled()
    wrong.get_by_role("button", name="Line 5").press("Enter")
    selected = text.evaluate("(area) => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert selected == "Vehicle.Sped"
    expect(text).to_have_attribute("aria-invalid", "true")

    text.fill(PLAN)
    expect(page.get_by_text("This is a plan.")).to_be_visible()
    expect(page.get_by_text("Its conditions ask about")).to_be_visible()
    text.press("Control+Enter")
    trial = page.get_by_role("region", name="On history")
    chart = trial.get_by_role("list", name=re.compile(r"\d+ firings in 2 cars over time"))
    expect(chart.get_by_role("listitem").filter(has_text="sim-000")).to_be_visible()
    expect(trial.get_by_text("within the budget of")).to_be_visible()
    expect(trial.get_by_role("region", name="Bytes a day").get_by_role("row")).not_to_have_count(0)
    expect(trial.get_by_text("Its condition was known")).to_be_visible()

    page.get_by_role("button", name="Keep this plan").press("Enter")
    expect(page.get_by_text("Kept: moving/1.")).to_be_visible()
    page.get_by_role("link", name="Open it").press("Enter")
    expect(page.get_by_role("heading", name="moving")).to_be_visible()
    expect(page.get_by_text("No car was ordered to take this plan.")).to_be_visible()
    expect(page.get_by_text("Cars are ordered by fleet managers")).to_be_visible()


def test_late_answer_about_governance_replaces_nothing_that_was_written(visit: Visit, people: dict[str, Human]) -> None:
    page = visit("#/plans", people["admin"])
    page.get_by_role("link", name="Write a plan").wait_for()
    held: list[Route] = []
    page.route("**/v1/governance", lambda route: held.append(route))
    page.get_by_role("link", name="Write a plan").click()
    text = page.get_by_role("textbox", name="Plan as text")
    expect(text).not_to_be_editable()
    assert len(held) == 1
    held[0].continue_()
    expect(text).to_be_editable()
    text.fill(WRONG)
    expect(page.get_by_role("button", name="Line 6")).to_be_visible()
    assert text.input_value() == WRONG


def pair(page: Page, zone: RunningZone, login: str) -> None:
    """Make a key in this browser, and have it registered."""
    shown = carcloud("operator", "pair", login, "--role", "fleet", "--data", str(zone.data)).stdout
    code = re.search(r"\b[a-z2-9]{16}\b", shown)
    assert code, shown
    page.get_by_label("One-time code").fill(code[0])
    page.get_by_role("button", name="Make a key and pair it").click()
    expect(page.get_by_text(f"Paired as {login}")).to_be_visible()


def test_car_takes_a_plan_by_a_key_of_the_browser(
    visit: Visit, people: dict[str, Human], zone: RunningZone, car: dict[str, Any]
) -> None:
    page = visit("#/plans/moving", people["fred"])
    pair(page, zone, "fred")
    order = page.get_by_role("region", name="Have cars take it")
    order.get_by_role("radio", name="For which a condition holds now").check()
    order.get_by_role("textbox", name="Condition").fill("Vehicle.Speed is known")
    order.get_by_role("button", name="Which are they?").click()
    expect(order.get_by_text("2 cars", exact=True)).to_be_visible()
    order.get_by_role("radio", name="Picked from a list").check()
    order.get_by_role("checkbox", name=car["label"]).press("Space")
    order.get_by_role("button", name="Sign for 1 car").press("Enter")
    sure = page.get_by_role("dialog", name="Sign the order?")
    expect(sure).to_contain_text("1 car will take moving/1")
    sure.get_by_role("button", name="Sign for 1 car").press("Enter")
    expect(page.get_by_text("The order is given to 1 car.")).to_be_visible()
    row = page.get_by_role("row").filter(has_text=car["label"])
    expect(row).to_contain_text("active", timeout=60_000)

    row.get_by_role("link", name=car["label"]).click()
    mine = page.get_by_role("region", name="Plans of this car").get_by_role("row").filter(has_text="moving")
    expect(mine).to_contain_text("active")
    expect(mine).to_contain_text("of 1 MB", timeout=60_000)
    expect(page.get_by_role("region", name="Wanted and reported")).to_contain_text("Nothing was ordered")

    page.goto(f"{zone.url}/#/plans/moving")
    page.get_by_role("button", name="Have cars drop it").press("Enter")
    order = page.get_by_role("region", name="Have cars drop it")
    expect(order.get_by_role("checkbox", name=car["label"])).to_be_checked()
    order.get_by_role("checkbox", name="Have a second person sign it too").check()
    order.get_by_role("button", name="Sign for 1 car").click()
    page.get_by_role("dialog", name="Sign the order?").get_by_role("button", name="Sign for 1 car").click()
    half = order.get_by_role("status").get_by_role("textbox")
    expect(half).to_have_value(re.compile("plan-drop"))
    order.get_by_text("Add the second signature", exact=True).click()
    order.get_by_role("textbox", name="Signed text").last.fill(half.input_value())
    expect(order.get_by_text("You signed it already")).to_be_visible()

    second = visit("#/plans/moving", people["greta"], PHONE)
    pair(second, zone, "greta")
    second.get_by_text("Add the second signature", exact=True).click()
    second.get_by_role("textbox", name="Signed text").fill(half.input_value())
    expect(second.get_by_text("Have cars drop it · 1 car")).to_be_visible()
    second.get_by_role("button", name="Add the second signature").click()
    expect(second.get_by_text("The order is given to 1 car.")).to_be_visible()
    fits(second)
    expect(page.get_by_role("row").filter(has_text=car["label"])).to_contain_text("dropped", timeout=60_000)


def test_withdrawn_plan_is_told_apart_in_the_list(visit: Visit, people: dict[str, Human], kept: str) -> None:
    page = visit(f"#/plans/{kept}", people["admin"])
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_text("It would not have fired.")).to_be_visible()
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_role("dialog", name=f"Withdraw {kept}/1?").get_by_role("button", name="Withdraw").click()
    expect(page.locator("main").get_by_text("withdrawn", exact=True)).to_be_visible()
    page.get_by_role("link", name="All plans").click()
    expect(page.get_by_role("row").filter(has_text=kept)).to_contain_text("withdrawn")
    page.goto(f"{page.url.split('#')[0]}#/plans/nobody")
    expect(page.get_by_role("heading", name="There is no such plan.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_plans_fit_a_phone_and_are_readable_in_chinese(
    visit: Visit, people: dict[str, Human], car: dict[str, Any], kept: str, scheme: str
) -> None:
    page = visit("#/plans", people["admin"], PHONE, "zh-CN", color_scheme=scheme)
    expect(page.get_by_role("heading", name="采集计划")).to_be_visible()
    for address in ("#/plans", f"#/plans/{kept}?try", "#/plans?write", f"#/vehicles/{car['id']}/plans"):
        page.goto(f"{page.url.split('#')[0]}{address}")
        settled(page)
        fits(page)
        worst = page.evaluate(LOWEST_CONTRAST)
        assert worst["contrast"] >= READABLE, (address, worst)
