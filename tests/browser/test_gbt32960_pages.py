"""Terminals and relays of GB/T 32960 in the console: who is connected, what was wrong, what one can tell."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from carcloud.backends.records import Vehicle
from carcloud.gateway.gbt32960.terminals import add_terminal
from carcloud.onboard.gbt32960.store import Store
from carcloud.onboard.gbt32960.terminal import Identity, Line, Terminal
from carcloud.vehicle.gbt32960.frames import Edition
from tests.browser.conftest import PHONE, Visit
from tests.browser.safety.conftest import Human, come_in, fits, settled
from tests.browser.test_use import LOWEST_CONTRAST, READABLE
from tests.end_to_end import terminals as raw
from tests.zone import RunningZone, running_zone, until

CONFIG = """governance = "{folder}/governance.yaml"
flows = "{folder}/flows.yaml"
[gbt32960]
port = 1
"""
GOVERNANCE = """
name: reporting
purposes:
  reporting: {basis: legal-obligation, why: The authority is told how new energy vehicles fare.}
rules:
  - {paths: ["Vehicle.**"], class: personal, purposes: [reporting]}
"""
FLOWS = """
relays:
  city:
    to: city-centre
    address: 127.0.0.1:{port}
    tls: false
    edition: 2016
    user: here
    password_file: {folder}/password
    code: RELAY000000000001
    purpose: reporting
    why: The authority asks for it.
    classes: [personal, operational]
    limits: {{personal: 100}}
    vehicles: all
"""
VIN, STRANGER = "LSVAA4182E2000001", "LSVAA4182E2999999"


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone whose door is open, and which relays to an authority where nobody answers."""
    folder = tmp_path_factory.mktemp("gbt32960-pages")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = probe.getsockname()[1]
    (folder / "governance.yaml").write_text(GOVERNANCE)
    (folder / "flows.yaml").write_text(FLOWS.format(port=nobody, folder=folder))
    (folder / "password").touch(0o600)
    (folder / "password").write_text("between us and the city")
    with running_zone(folder / "data", config=CONFIG.format(folder=folder)) as running:
        yield running


@pytest.fixture(scope="module")
def people(zone: RunningZone) -> dict[str, Human]:
    """Give an operator, and two who run cars, each with a second factor."""
    admin = come_in(zone.link())
    fleet = [come_in(admin.add(login=name, name=name.title(), roles=["fleet"])) for name in ("meng", "ada")]
    return {"admin": admin, "meng": fleet[0], "ada": fleet[1]}


class Driving:
    """A terminal of 2025 in a thread of its own, that reports until it is stopped."""

    def __init__(self, port: int, folder: Path) -> None:
        self._ended = threading.Event()
        self._port, self._store = port, folder / "terminal"
        self.parameters: dict[int, Any] = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._drive()))
        self._thread.start()

    async def _drive(self) -> None:
        identity = Identity(VIN, edition=Edition.E2025)
        terminal = Terminal(identity, Line("127.0.0.1", self._port), Store(self._store))
        self.parameters = terminal.parameters
        running = asyncio.create_task(terminal.run())
        while not self._ended.is_set():
            terminal.report(datetime.now(UTC).replace(microsecond=0), (raw.vehicle(Edition.E2025),))
            await asyncio.sleep(1)
        await terminal.stop()
        await running

    def stop(self) -> None:
        """Log out."""
        self._ended.set()
        self._thread.join(30)


@pytest.fixture(scope="module")
def car(zone: RunningZone) -> Iterator[Vehicle]:
    """Give a car whose terminal is connected, while a stranger's was refused."""
    records = zone.records()
    added = add_terminal(records, VIN, "van-7", "default", "machine")
    records.close()
    with raw.Terminal(zone.file.gbt32960) as stranger:
        stranger.log_in(STRANGER, datetime.now(UTC))
    driving = Driving(zone.file.gbt32960, zone.data)
    try:
        until(lambda: zone.get("/v1/gbt32960/sessions")["sessions"], "the terminal is not in")
        yield added
    finally:
        driving.stop()


def test_connected_car_is_shown_live_with_what_was_wrong_and_no_vin(
    visit: Visit, people: dict[str, Human], car: Vehicle
) -> None:
    page = visit("#/terminals", people["admin"])
    row = page.get_by_role("row").filter(has_text="van-7")
    expect(row).to_contain_text("2025")
    frames = row.get_by_role("cell").nth(5)
    first = int(frames.inner_text())
    expect(frames).not_to_have_text(str(first))
    wrong = page.get_by_role("row").filter(has_text="unknown_vin")
    expect(wrong).to_contain_text("Nobody let this VIN in.")
    expect(wrong).to_contain_text("carcloud gbt32960 add VIN")
    assert page.get_by_role("button", name="Tell").count() == 0, "an operator sends no orders"
    assert VIN not in page.content()
    assert STRANGER not in page.content()
    nav = page.get_by_role("navigation")
    nav.get_by_role("link", name="Relay").press("Enter")
    expect(page.get_by_role("heading", name="Relay", exact=True)).to_be_visible()


def test_terminal_says_its_parameters_and_takes_another(visit: Visit, people: dict[str, Human], car: Vehicle) -> None:
    page = visit("#/terminals", people["meng"], PHONE)
    page.get_by_role("button", name="Tell van-7 something").press("Enter")
    drawer = page.get_by_role("dialog", name="Tell van-7 something")
    expect(drawer).to_contain_text("no signature on the way down")
    drawer.get_by_role("button", name="Ask").press("Enter")
    expect(drawer.get_by_role("row").filter(has_text="period of reporting, s")).to_contain_text("10")
    drawer.get_by_role("combobox", name="What", exact=True).select_option(label="Set parameters")
    drawer.get_by_label("Value").fill("20")
    drawer.get_by_role("button", name="Tell it").press("Enter")
    sure = page.get_by_role("dialog", name="Set parameters: period of reporting, s = 20: van-7?")
    sure.get_by_role("button", name="Tell it").press("Enter")
    expect(drawer.get_by_text("The terminal took it.")).to_be_visible()
    fits(page)


def test_what_can_cut_a_terminal_off_takes_a_second_person(
    visit: Visit, people: dict[str, Human], car: Vehicle
) -> None:
    page = visit("#/terminals", people["meng"])
    page.get_by_role("button", name="Tell van-7 something").click()
    drawer = page.get_by_role("dialog", name="Tell van-7 something")
    drawer.get_by_role("combobox", name="What", exact=True).select_option(label="Have it do something")
    drawer.get_by_role("combobox", name="Have it do something", exact=True).select_option(
        label="Switch the terminal off"
    )
    expect(drawer.get_by_text("takes two people")).to_be_visible()
    drawer.get_by_role("button", name="Tell it").click()
    page.get_by_role("dialog", name="Switch the terminal off: van-7?").get_by_role("button", name="Tell it").click()
    expect(drawer.get_by_text("Nothing was told yet")).to_be_visible()
    expect(drawer.get_by_text("Asked for; not approved yet.")).to_be_visible()

    other = visit("#/people", people["ada"])
    row = other.get_by_role("row").filter(has_text="Switch the terminal off")
    row.get_by_role("button", name="Approve").click()
    other.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(row).to_contain_text("approved")

    page.goto(f"{page.url.split('#')[0]}#/people")
    page.get_by_role("link", name="Do it now").click()
    drawer = page.get_by_role("dialog", name="Tell van-7 something")
    drawer.get_by_role("button", name="Tell it now").click()
    page.get_by_role("dialog", name="Switch the terminal off: van-7?").get_by_role("button", name="Tell it").click()
    expect(drawer.get_by_text("The terminal took it.")).to_be_visible()


def test_relay_without_a_platform_says_why_and_when_it_tries_again(
    visit: Visit, people: dict[str, Human], car: Vehicle
) -> None:
    page = visit("#/relays", people["admin"])
    relay = page.get_by_role("region", name="city")
    expect(relay).to_contain_text("to city-centre")
    expect(relay).to_contain_text("waits for the next try")
    expect(relay).to_contain_text("Nobody answers at the platform's address")
    expect(relay.get_by_text("in ", exact=False).first).to_be_visible()
    waiting = relay.locator("dl div").filter(has_text="Waiting").first.locator("dd")
    expect(waiting).not_to_have_text("0")
    expect(relay).to_contain_text("Oldest waiting")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_are_readable_in_both_languages(
    visit: Visit, people: dict[str, Human], car: Vehicle, scheme: str
) -> None:
    page = visit("#/safety", people["meng"], PHONE, "zh-CN", color_scheme=scheme)
    page.get_by_role("main").get_by_role("link", name="车载终端").click()
    expect(page.get_by_role("heading", name="车载终端")).to_be_visible()
    settled(page)
    for address in ("#/terminals", "#/relays"):
        human = people["admin"]
        page.context.add_cookies([human.cookie()])  # type: ignore[list-item]
        page.goto(f"{page.url.split('#')[0]}{address}")
        settled(page)
        fits(page)
        worst = page.evaluate(LOWEST_CONTRAST)
        assert worst["contrast"] >= READABLE, (address, worst)


def test_page_of_relays_is_not_offered_to_who_may_not_see_flows(
    visit: Visit, people: dict[str, Human], car: Vehicle
) -> None:
    page = visit("#/terminals", people["meng"])
    settled(page)
    nav = page.get_by_role("navigation")
    expect(nav.get_by_role("link", name="Terminals")).to_be_visible()
    assert nav.get_by_role("link", name="Relay").count() == 0
