"""Headless Chromium at a real zone's console."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.zone import RunningZone

PAGES = Path(__file__).parents[2] / "src" / "carcloud" / "api" / "pages" / "index.html"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESK, PHONE = (1440, 900), (390, 844)
# A zone without a road map answers 404, and the browser writes that down as an error of its own.
EXPECTED = "/v1/map"

Open = Callable[..., Page]
Visit = Callable[..., Page]

expect.set_options(timeout=20_000)  # a busy machine stalls for seconds


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start one Chromium for a file's tests, or skip them. No longer: its event loop lives in this thread."""
    if not PAGES.is_file():
        pytest.skip("the console is not built: run `make console`")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, zone: RunningZone) -> Iterator[Open]:
    """Give a call that opens an address of the console, signed in by a link; a console error fails the test."""
    errors: list[str] = []
    contexts = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and EXPECTED not in message.location.get("url", ""):
            errors.append(f"{message.text} ({message.location.get('url')})")

    def opened(path: str = "#/", size: tuple[int, int] = DESK, *, signed_in: bool = True, **options: Any) -> Page:
        viewport = {"width": size[0], "height": size[1]}
        context = chromium.new_context(viewport=viewport, **{"locale": "en-GB", **options})  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        if signed_in:
            page.on("console", hear)
            page.on("pageerror", lambda error: errors.append(str(error)))
            context.request.get(zone.link())
        page.goto(f"{zone.url}/{path}")
        return page

    opened.errors = errors  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def visit(chromium: Browser, zone: RunningZone) -> Iterator[Visit]:
    """Give a call that opens a page of the console in somebody's name; whatever a script throws fails the test."""
    thrown: list[str] = []
    contexts = []

    def visited(path: str, human: Any, size: tuple[int, int] = DESK, locale: str = "en-GB", **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, locale=locale, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        if human:
            context.add_cookies([human.cookie()])
        page = context.new_page()
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(f"{zone.url}/{path}")
        return page

    yield visited
    for context in contexts:
        context.close()
    assert thrown == []


@pytest.fixture(scope="session")
def vehicle(zone: RunningZone) -> dict[str, Any]:
    """Give one vehicle that reports."""
    found = zone.get("/v1/vehicles")["vehicles"]
    return next(one for one in found if one["signals"] > 0)
