"""Runs in the console: asked for, compared, judged, and followed to the scenes in which something went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from carcloud.research.store import Store
from tests.braking import braking
from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import Human, come_in, fits, settled
from tests.browser.test_use import LOWEST_CONTRAST, READABLE
from tests.zone import RunningZone, running_zone

LIMITS = re.compile(r"scenarios: 20")
GATE_MS = 60_000


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone with scenarios in which a car ahead brakes."""
    folder = tmp_path_factory.mktemp("runs-pages") / "data"
    with running_zone(folder) as running:
        Store(Path(running.folder.lake)).add("drives", [braking(gap, 20.0, 6.5, length_s=4.0) for gap in range(6, 12)])
        yield running


@pytest.fixture(scope="module")
def people(zone: RunningZone) -> dict[str, Human]:
    """Give an engineer, who may run planners, and an analyst, who may look."""
    admin = come_in(zone.link())
    return {role: come_in(admin.add(login=role, name=role.title(), roles=[role])) for role in ("engineer", "analyst")}


def run(page: Page, planner: str) -> None:
    """Have the zone drive a planner through all scenarios, and wait until it has."""
    page.get_by_role("link", name="Run a planner").press("Enter")
    page.get_by_role("radio", name=re.compile(f"^{planner} ")).check()
    page.get_by_role("button", name="Run it").press("Enter")
    asked = page.get_by_role("region", name="Asked for").get_by_role("listitem").filter(has_text=f"Run {planner}")
    expect(asked).to_contain_text("done", timeout=GATE_MS)


def test_planner_is_run_compared_judged_and_followed_to_the_scene(visit: Visit, people: dict[str, Human]) -> None:
    page = visit("#/runs", people["engineer"])
    expect(page.get_by_role("heading", name="No planner was run yet.")).to_be_visible()
    run(page, "idm")
    run(page, "constant-speed")

    table = page.get_by_role("region", name="Runs", exact=True)
    expect(table.get_by_role("row").filter(has_text="constant-speed")).to_contain_text("collided")
    for planner in ("idm", "constant-speed"):
        table.get_by_role("checkbox", name=re.compile(f"Choose {planner}")).press("Space")
    table.get_by_role("link", name="Compare").press("Enter")
    expect(page.get_by_text("Both drove the same 6 scenarios.")).to_be_visible()
    pairs = page.get_by_role("region", name="Scenarios").get_by_role("row").filter(has_text="collided")
    first = pairs.first.get_by_role("link")
    expect(first).to_have_attribute("href", re.compile(r"#/scenarios/\w+\?run=\w+&beside=\w+&at="))

    page.get_by_role("link", name="All runs").click()
    for planner in ("idm", "constant-speed"):
        table.get_by_role("checkbox", name=re.compile(f"Choose {planner}")).check()
    table.get_by_role("button", name="Have the gate judge").click()
    sure = page.get_by_role("dialog", name="Have the gate judge?")
    expect(sure).to_contain_text("Whether constant-speed may take the place of idm.")
    sure.get_by_role("checkbox", name="Other limits than the zone's").check()
    limits = sure.get_by_role("textbox", name="Limits")
    expect(limits).to_have_value(LIMITS)
    limits.fill(LIMITS.sub("scenarios: 6", limits.input_value()))
    sure.get_by_role("button", name="Have the gate judge").press("Enter")
    expect(sure).to_have_count(0)
    asked = page.get_by_role("region", name="Asked for").get_by_role("listitem").filter(has_text="Verdict")
    asked.get_by_role("link", name="Verdict").click(timeout=GATE_MS)

    expect(page.get_by_role("heading", name="Verdict: stopped")).to_be_visible()
    checks = page.get_by_role("region", name="Checks").get_by_role("row")
    expect(checks.filter(has_text="Newly collided")).to_contain_text("at most 0")
    expect(page.get_by_role("region", name="UN R157")).to_contain_text("the candidate collides in")
    newly = page.get_by_role("region", name="Newly collided")
    expect(newly.get_by_role("link").first).to_have_attribute("href", re.compile(r"&beside=\w+&at="))
    expect(page.get_by_role("region", name="What was judged")).to_contain_text("Hash of the limits")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download it as JSON").click()
    assert '"newly"' in Path(download.value.path()).read_text()


def test_run_is_filtered_and_says_what_happened(visit: Visit, people: dict[str, Human]) -> None:
    page = visit("#/runs", people["analyst"])
    expect(page.get_by_role("link", name="Run a planner")).to_have_count(0)
    page.get_by_role("region", name="Runs", exact=True).get_by_role("link", name="constant-speed").click()
    expect(page.get_by_role("heading", name="constant-speed")).to_be_visible()
    page.get_by_role("button", name="Collided", exact=True).press("Enter")
    results = page.get_by_role("region", name="Scenarios")
    row = results.get_by_role("row").filter(has_text="its fault").first
    expect(row).to_contain_text("hit with its front")
    expect(row.get_by_role("link")).to_have_attribute("href", re.compile(r"#/scenarios/\w+\?run=\w+&at="))
    page.get_by_role("button", name="Planner failed").click()
    expect(results).to_contain_text("No scenario of this kind.")
    page.get_by_role("button", name="All", exact=True).click()
    results.get_by_role("searchbox").fill("11 20.0")
    expect(results.get_by_role("row")).to_have_count(2)
    page.goto(f"{page.url.split('#')[0]}#/runs/none")
    expect(page.get_by_role("heading", name="There is no such run.")).to_be_visible()
    page.goto(f"{page.url.split('#')[0]}#/gates/none")
    expect(page.get_by_role("heading", name="There is no such verdict.")).to_be_visible()


def test_scene_is_played_stepped_through_and_measured(visit: Visit, people: dict[str, Human]) -> None:
    page = visit("#/runs", people["analyst"])
    page.get_by_role("region", name="Runs", exact=True).get_by_role("link", name="constant-speed").click()
    page.get_by_role("button", name="Collided", exact=True).click()
    page.get_by_role("region", name="Scenarios").get_by_role("row").filter(has_text="its fault").first.get_by_role(
        "link"
    ).click()
    expect(page.get_by_text("As constant-speed drove it in run")).to_contain_text("collided after")
    time = page.get_by_role("slider", name="Time")
    before = float(time.input_value())
    page.get_by_role("button", name="One step on").press("Enter")
    assert float(time.input_value()) > before
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it ends, and may be played again
    assert float(time.input_value()) == float(time.get_attribute("max") or 0)
    expect(page.get_by_text("Time to collision")).to_be_visible()
    users = page.get_by_role("region", name="2 road users")
    lead = users.get_by_role("button").nth(1)
    lead.press("Enter")
    expect(lead).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("region", name="Speed")).to_contain_text("Road user 1")
    page.goto(f"{page.url.split('#')[0]}#/scenarios/none")
    expect(page.get_by_role("heading", name="There is no such scenario.")).to_be_visible()


def test_scene_fits_a_phone_and_is_readable_in_chinese(
    visit: Visit, people: dict[str, Human], zone: RunningZone
) -> None:
    scenario = Store(Path(zone.folder.lake)).scenarios()[0].id
    page = visit(f"#/scenarios/{scenario}", people["analyst"], PHONE, "zh-CN")
    expect(page.get_by_role("button", name="播放", exact=True)).to_be_visible()
    settled(page)
    fits(page)
    worst = page.evaluate(LOWEST_CONTRAST)
    assert worst["contrast"] >= READABLE, worst


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_runs_fit_a_phone_and_are_readable_in_chinese(
    visit: Visit, people: dict[str, Human], zone: RunningZone, scheme: str
) -> None:
    runs, gates = zone.records().runs.listed("default"), zone.records().runs.verdicts("default")
    page = visit("#/runs", people["engineer"], PHONE, "zh-CN", color_scheme=scheme)
    expect(page.get_by_role("heading", name="运行", exact=True)).to_be_visible()
    one, other = (run.id for run in runs[:2])
    runs_of = ("#/runs", "#/runs?start", f"#/runs/{one}", f"#/runs/{one}?beside={other}")
    for address in (*runs_of, f"#/gates/{gates[0].digest}"):
        page.goto(f"{page.url.split('#')[0]}{address}")
        settled(page)
        fits(page)
        worst = page.evaluate(LOWEST_CONTRAST)
        assert worst["contrast"] >= READABLE, (address, worst)
