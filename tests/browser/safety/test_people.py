"""Coming in, one's own account, people and their roles."""

from __future__ import annotations

import pyotp
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import PASSWORD, Human, come_in, fits, settled
from tests.zone import RunningZone


def sign_in(page: Page, login: str, password: str) -> None:
    """Type login and password, and send them by keyboard."""
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Password").press("Enter")


def test_person_sets_password_and_second_factor_and_signs_in_with_them(visit: Visit, admin: Human) -> None:
    page = visit("#/governance", None, PHONE)
    page.goto(admin.add(login="gwen", name="Gwen", roles=["engineer"]))
    page.goto(f"{admin.url}/#/account")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password, again").fill(PASSWORD)
    page.get_by_role("button", name="Save password").click()
    expect(page.get_by_text("The password is set.")).to_be_visible()
    page.get_by_role("button", name="Set up a second factor").click()
    page.get_by_label("Present password").last.fill(PASSWORD)
    page.get_by_role("button", name="Set up a second factor").click()
    expect(page.get_by_role("img", name="QR code of the second factor")).to_be_visible()
    secret = page.locator(".command code").inner_text()
    page.get_by_label("Code of your second factor").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("The second factor is on.")).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to open this console")).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(page.get_by_role("link", name="Sign in with login.example")).to_have_attribute("href", "/v1/session/oidc")

    sign_in(page, "gwen", "not this one, no")
    expect(page.get_by_role("alert")).to_contain_text("Login or password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    sign_in(page, "gwen", PASSWORD)
    expect(page.get_by_label("Code of your second factor")).to_be_focused()
    page.keyboard.type("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The code is wrong")
    fits(page)


def test_too_many_attempts_are_told_with_the_wait(visit: Visit, admin: Human) -> None:
    page = visit("#/", None)
    for _ in range(12):
        if page.get_by_text("Too many attempts failed.").is_visible():
            break
        with page.expect_response("**/v1/session") as answer:
            sign_in(page, "nobody-here", "wrong wrong wrong")
        assert answer.value.status in (401, 429)
        page.wait_for_timeout(100)
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts failed. Try again in")
    expect(page.get_by_role("button", name="Sign in")).to_be_disabled()


def test_person_is_added_by_keyboard_and_their_roles_open_their_pages_only(visit: Visit, admin: Human) -> None:
    page = visit("#/people", admin)
    settled(page)
    page.get_by_role("button", name="Add a person").press("Enter")
    dialog = page.get_by_role("dialog", name="Add a person")
    dialog.get_by_label("Login").fill("mara")
    dialog.get_by_label("Name").fill("Mara Díaz")
    dialog.get_by_label("Marketer").press("Space")
    dialog.get_by_label("Name").press("Enter")
    link = page.locator(".once code").inner_text()
    expect(page.get_by_role("row").filter(has_text="Mara Díaz").first).to_contain_text("Marketer")

    theirs = visit("#/governance", None)
    theirs.goto(link)
    expect(theirs.get_by_text("Your roles do not open this page.")).to_be_visible()
    theirs.locator("main").get_by_role("link", name="Governance").click()
    expect(theirs.get_by_role("heading", name="What is kept")).to_be_visible()
    expect(theirs.get_by_role("navigation").get_by_role("link", name="Vehicles")).to_have_count(0)


def test_page_says_that_changing_people_needs_a_second_factor(visit: Visit, zone: RunningZone) -> None:
    page = visit("#/people", None)
    page.goto(zone.link())
    page.goto(f"{zone.url}/#/people")
    expect(page.get_by_role("link", name="Changing people needs a second factor.")).to_be_visible()
    expect(page.get_by_role("button", name="Add a person")).to_have_count(0)


def test_second_person_approves_what_one_alone_may_not(visit: Visit, admin: Human) -> None:
    other = come_in(admin.add(login="bo", name="Bo Lin", roles=["operator"]))
    page = visit("#/people", other)
    page.get_by_role("button", name="Add a person").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Login").fill("dana")
    dialog.get_by_label("Name").fill("Dana Okafor")
    dialog.get_by_label("Data-protection officer").check()
    dialog.get_by_role("button", name="Add a person").click()
    expect(page.get_by_text("A second person has to approve this.")).to_be_visible()

    theirs = visit("#/people", admin, PHONE, "zh-CN")
    theirs.get_by_role("button", name="批准", exact=True).click()
    theirs.get_by_role("dialog").get_by_role("button", name="批准").click()
    expect(theirs.get_by_text("已批准")).to_be_visible()
    fits(theirs)
    page.reload()
    page.get_by_role("button", name="Do it now").click()
    expect(page.locator(".once")).to_contain_text("signed in as Dana Okafor")


def test_token_is_made_shown_once_and_revoked(visit: Visit, admin: Human) -> None:
    page = visit("#/account", admin)
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What it is for").fill("nightly report")
    dialog.get_by_role("button", name="Make a token").click()
    expect(page.locator(".once")).to_contain_text("not shown again")
    page.get_by_role("button", name="Revoke: nightly report").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row").filter(has_text="nightly report")).to_contain_text("revoked")
