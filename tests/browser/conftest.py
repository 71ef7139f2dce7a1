"""The browser, the server and the receiver. Whatever a page writes to its console as an error fails its test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.site import Receiver, Site

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SLOW_MS = 45_000
"""How long an expectation may take to come true on a busy machine."""

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}

NO_PARAMETERS = SimpleNamespace(params={})

EXPECTED_ERRORS = ("Failed to load resource", "WebSocket connection to")
"""What Chromium itself writes when a server is away or refuses; the page shows it to people in its own way."""

LONG = "MONITOR_TEST_LONG" in os.environ
"""Whether to look at everything in both themes and both sizes, and not at each theme and each size once."""

expect.set_options(timeout=SLOW_MS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out half of the looks in the short form: light on the desktop, dark on the phone."""
    if LONG:
        return
    left_out = [item for item in items if _is_mixed(list(getattr(item, "callspec", NO_PARAMETERS).params.values()))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_mixed(values: list[object]) -> bool:
    is_phone = PHONE in values or "phone" in values
    is_desktop = DESKTOP in values or "desktop" in values or None in values
    return ("light" in values and is_desktop) or ("dark" in values and is_phone)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if program is None:
        pytest.fail("No Chromium on PATH. Install it from the system's packages: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for the tests of one file: those of another leave webhooks behind that fail, or get every event."""
    running = Site(tmp_path_factory.mktemp("site"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A server that the test may stop and start."""
    running = Site(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiving:
        yield receiving


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open a new window on *url*; keywords go to the browser context."""
    contexts = []
    complaints: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    def open_(url: str, **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": DESKTOP, "color_scheme": "dark", **options})
        context.set_default_timeout(SLOW_MS)
        contexts.append(context)
        page = context.new_page()
        watch(page)
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith(EXPECTED_ERRORS)] == []


@pytest.fixture
def page(open_page: Callable[..., Page], site: Site) -> Page:
    """A window on the shared server, signed in as an admin and live."""
    return sign_in(open_page, site)


def sign_in(open_page: Callable[..., Page], site: Site, *, token: str | None = None, **options: Any) -> Page:
    """Open the page by a link such as ``monitor up`` prints, and wait until it is live."""
    page = open_page(f"{site.base}/#token={token or site.token}", **options)
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "live")
    return page


def go(page: Page, path: str) -> None:
    """Go to a view of the page that is open."""
    page.evaluate("path => { location.hash = path }", path)


def choose(page: Page, name: str) -> None:
    """Choose an action from the menu of a webhook."""
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name=name, exact=True).click()
