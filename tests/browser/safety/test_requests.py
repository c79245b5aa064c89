"""People's requests with their deadlines, the reports, and asking for a changed governance."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from carcloud.safety.people.register import Register
from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import Human, come_in, fits
from tests.zone import RunningZone

ANSWER_DAYS = 28  # as the European pack says


def test_request_is_taken_down_marked_late_and_refused_with_a_reason(visit: Visit, admin: Human, car: str) -> None:
    page = visit("#/requests", admin)
    page.get_by_role("button", name="Take a request down").press("Enter")
    dialog = page.get_by_role("dialog", name="Take a request down")
    dialog.get_by_label("Asked for").select_option("objection")
    dialog.get_by_label("Vehicle").fill("no-such-car")
    dialog.get_by_label("Reference").fill("2026-117")
    came = datetime.now(UTC).date() - timedelta(days=ANSWER_DAYS + 3)
    dialog.get_by_label("Received").fill(str(came))
    expect(dialog.get_by_role("status")).to_contain_text(f"{came + timedelta(days=ANSWER_DAYS)}, within 28 days")
    dialog.get_by_label("Reference").press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("No vehicle has the label or id “no-such-car”.")
    dialog.get_by_label("Vehicle").fill("Family-Car")
    dialog.get_by_label("Vehicle").press("Enter")
    row = page.get_by_role("row").filter(has_text="2026-117")
    expect(row).to_contain_text("late by 3 days")
    expect(row.get_by_role("link", name="family-car")).to_have_attribute("href", f"#/vehicles/{car}")
    expect(page.get_by_text("Late: 1")).to_be_visible()
    row.get_by_role("button", name="Close: Objection 2026-117").click()
    closing = page.get_by_role("dialog", name="Close: Objection 2026-117")
    closing.get_by_label("Refused").check()
    expect(closing.get_by_role("button", name="Close the request")).to_be_disabled()
    closing.get_by_label("Reason").fill("The claim is still being settled.")
    closing.get_by_role("button", name="Close the request").click()
    expect(page.get_by_text("No request waits for an answer.")).to_be_visible()
    page.get_by_role("button", name="Closed: 1").click()
    expect(row).to_contain_text("refused")
    expect(row).to_contain_text("answered late")
    fits(page)


def test_report_is_shown_and_taken_along_on_the_phone_in_chinese(visit: Visit, admin: Human) -> None:
    page = visit("#/requests", admin, PHONE, "zh-CN")
    page.get_by_label("年度报告").check()
    page.get_by_role("button", name="生成报告").click()
    expect(page.get_by_role("heading", name=re.compile(r"\d{4} 年度汽车数据安全管理情况报告"))).to_be_visible()
    expect(page.get_by_role("article")).to_contain_text("operation")
    expect(page.get_by_text(re.compile(r"留待人工填写：\d+ 处"))).to_be_visible()
    fits(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="下载 Markdown").click()
    assert download.value.suggested_filename.startswith("annual-")
    assert "## 数据处理者" in download.value.path().read_text("utf-8")


def test_changed_governance_is_checked_and_waits_for_a_second_person(
    visit: Visit, zone: RunningZone, admin: Human
) -> None:
    with contextlib.closing(zone.records()) as records:
        Register(records).add(None, "gustav", "Gustav", ["dpo"], "default")
    come_in(zone.link("gustav"))  # who could approve it
    page = visit("#/governance", admin)
    page.get_by_role("button", name="Change the governance…").press("Enter")
    drawer = page.get_by_role("dialog", name="Change the governance")
    editor = drawer.get_by_role("textbox", name="Governance file")
    standing = editor.input_value()
    rule = standing[: standing.index("exactness: 10")].rindex("- paths")
    line = standing[:rule].count("\n") + 1
    editor.fill(standing.replace("exactness: 10", "exactness: ten"))
    editor.press("Control+Enter")
    expect(drawer.get_by_role("alert")).to_contain_text(f"Line {line}:")
    expect(drawer.locator("li.wrong")).to_have_text(str(line))
    editor.fill(standing)
    drawer.get_by_role("button", name="Check").click()
    expect(drawer.get_by_text("there is nothing to change")).to_be_visible()
    editor.fill(standing.replace("days: 90", "days: 60").replace("epoch: month", "epoch: year"))
    drawer.get_by_role("button", name="Check").click()
    changes = drawer.get_by_role("region", name="What would change")
    expect(changes.get_by_role("listitem").filter(has_text="pseudonyms last")).to_contain_text("month → year")
    expect(changes.get_by_role("listitem").filter(has_text="signals")).to_contain_text("for 90 days")
    drawer.get_by_role("button", name="Ask for approval").click()
    expect(drawer.get_by_text("Nothing is changed yet.")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Change the governance…").click()
    expect(drawer.get_by_text("Nothing is changed yet.")).to_be_visible()  # this browser remembers the file
    drawer.get_by_role("link", name="See what waits for approval").click()
    asked = page.get_by_role("row").filter(has_text="the whole zone")
    expect(asked).to_contain_text("month → year")
    expect(asked.get_by_role("button", name="Approve")).to_have_count(0)
    assert zone.get("/v1/governance")["text"] == standing
    fits(page)
