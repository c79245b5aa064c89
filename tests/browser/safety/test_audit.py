"""The audit log: found, opened, and proven in the browser itself."""

from __future__ import annotations

import base64
import json
import re

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import Human, fits, settled


def opened(page: Page) -> None:
    """Open the first entry that is listed."""
    settled(page)
    page.get_by_role("link", name="Entry").first.press("Enter")


def test_entry_is_found_and_its_proof_computed(visit: Visit, admin: Human) -> None:
    page = visit("#/audit", admin, PHONE)
    expect(page.get_by_text("carcloud/local/witness")).to_be_visible()
    page.get_by_label("Act").select_option("changePeople")
    expect(page.get_by_role("row").filter(has_text="change people").first).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="sign in")).to_have_count(0)
    opened(page)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_contain_text("This entry is in the log of")
    dialog.get_by_text("Show the").click()
    expect(dialog.locator("code.good")).to_be_visible()
    fits(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert "action=changePeople" in page.url


def test_entry_changed_on_its_way_is_found_out(visit: Visit, admin: Human) -> None:
    page = visit("#/audit", admin)

    def forge(route: Route) -> None:
        said = route.fetch()
        leaf = said.json()
        entry = json.loads(base64.b64decode(leaf["entry_base64"])) | {"outcome": "denied"}
        leaf["entry_base64"] = base64.b64encode(json.dumps(entry).encode()).decode()
        route.fulfill(response=said, json=leaf)

    settled(page)
    page.route(re.compile(r"/v1/audit/\d+$"), forge)
    opened(page)
    alerts = page.get_by_role("dialog").get_by_role("alert")
    expect(alerts.filter(has_text="The proof does NOT hold.")).to_be_visible()
    expect(alerts.filter(has_text="differs from the entry itself")).to_be_visible()


def test_log_that_lost_entries_is_found_out(visit: Visit, admin: Human) -> None:
    page = visit("#/audit", admin)
    settled(page)
    expect(page.get_by_text("Newest checkpoint")).to_be_visible()
    key = "carcloud.checkpoint.carcloud/local"
    page.evaluate("key => localStorage.setItem(key, JSON.stringify({ size: 1e9, root: 'other' }))", key)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The log is not the one this browser saw before")
