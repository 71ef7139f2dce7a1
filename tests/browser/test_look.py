"""What a view looks like when it is short, and when nothing answers."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Receiver, Site

LINK = ".link-state"
MIDDLE = "element => { const box = element.getBoundingClientRect(); return box.top + box.height / 2; }"
TEXT_MIDDLE = """element => {
    const range = document.createRange();
    range.selectNodeContents([...element.childNodes].findLast(node => node.nodeType === Node.TEXT_NODE));
    const box = range.getBoundingClientRect();
    return box.top + box.height / 2;
}"""


class Wire:
    """What is between a page and its server: it can be cut, and mended."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._sockets: list[WebSocketRoute] = []
        self._is_cut = False
        page.route_web_socket(re.compile("/ws/dashboard"), self._connect)
        page.route(re.compile("/api/"), self._ask)

    def cut(self) -> None:
        self._is_cut = True
        for socket in self._sockets:
            socket.close()

    def mend(self) -> None:
        self._is_cut = False
        self._page.evaluate("dispatchEvent(new Event('online'))")

    def _connect(self, socket: WebSocketRoute) -> None:
        if self._is_cut:
            socket.close()
            return
        self._sockets.append(socket)
        socket.connect_to_server()

    def _ask(self, route: Route) -> None:
        if self._is_cut:
            route.abort()
        else:
            route.continue_()


def middle(of: Locator, script: str = MIDDLE) -> float:
    place: float = of.evaluate(script)
    return place


def test_a_view_that_is_shorter_than_the_window_has_no_scroll_bar(page: Page) -> None:
    go(page, "/silences")
    expect(page.get_by_text("No active silences")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_a_status_stands_in_the_middle_of_its_row(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="In a row", event_types=["row.*"])["id"]
    site.call("POST", "events", {"type": "row.one", "payload": {}})
    go(page, f"/webhooks/{webhook}")
    row = page.get_by_role("region", name="Attempts").get_by_role("row").filter(has_text="200")
    expect(row.locator(".status")).to_be_visible()
    status = middle(row.locator(".status"), TEXT_MIDDLE)
    assert abs(status - middle(row.locator("time"))) < 1
    assert abs(status - middle(row.locator(".status .icon"))) < 1


def test_panels_that_have_nothing_to_say_are_low(page: Page, site: Site) -> None:
    webhook = site.create("http://127.0.0.1:9/closed", name="Quiet", event_types=["quiet.*"])["id"]
    go(page, f"/webhooks/{webhook}")
    line = page.locator("main .panel").filter(has_text="No anomalies yet")
    expect(line).to_have_count(1)
    expect(line).to_contain_text("No alerts yet")
    box = line.bounding_box()
    assert box is not None
    assert box["height"] < 60


def test_without_a_connection_one_banner_speaks_and_each_panel_says_its_age(
    open_page: Callable[..., Page], site: Site
) -> None:
    webhook = site.create("http://127.0.0.1:9/closed", name="Cut off", event_types=["cut.*"])["id"]
    page = open_page(site.base)
    wire = Wire(page)
    page.clock.install()
    page.goto(f"{site.base}/#token={site.token}")
    expect(page.locator(LINK)).to_have_attribute("data-mode", "live")
    go(page, f"/webhooks/{webhook}")
    expect(page.get_by_role("region", name="Attempts").get_by_text("No attempts")).to_be_visible()

    wire.cut()
    page.clock.run_for(20_000)
    expect(page.locator("#stale")).to_contain_text("No connection")
    expect(page.locator("main .age")).to_have_count(5)
    expect(page.locator("main .age").first).to_have_text(re.compile(r"^\d+ s ago$"))
    expect(page.locator("main .notice")).to_have_count(0)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)

    wire.mend()
    expect(page.locator(LINK)).to_have_attribute("data-mode", "live")
    # Nobody has to ask for it, nor to wait for the next round.
    expect(page.locator("main .age")).to_have_count(0)
    expect(page.locator("#stale")).to_have_count(0)


def test_a_request_that_fails_beside_a_live_feed_is_said_where_it_failed(
    open_page: Callable[..., Page], site: Site
) -> None:
    webhook = site.create("http://127.0.0.1:9/closed", name="Half", event_types=["half.*"])["id"]
    page = sign_in(open_page, site)
    go(page, f"/webhooks/{webhook}")
    attempts = page.get_by_role("region", name="Attempts")
    expect(attempts.get_by_text("No attempts")).to_be_visible()
    page.route(re.compile("/attempts"), lambda route: route.abort())
    expect(attempts.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute(re.compile("/attempts"))
    attempts.get_by_role("button", name="Try again").click()
    expect(attempts.get_by_role("button", name="Try again")).to_have_count(0)
