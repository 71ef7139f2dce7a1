"""Charts: points, the cursor that two charts share, zoom, marks; and the zone of times."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.seed import report
from tests.browser.site import Receiver, Site, until

LOAD = """
name => {
  const base = document.querySelector('script[type="module"]').src.replace("js/main.js", "");
  return import(base + name);
}
"""


def call(page: Page, module: str, function: str, *args: Any) -> Any:
    """Call a function of a module of the page."""
    return page.evaluate(
        f"async ([name, function_, args]) => (await ({LOAD})(name))[function_](...args)", [module, function, list(args)]
    )


def spread(site: Site, webhook_id: str, minutes: list[int], status: int = 200) -> None:
    """Report three attempts in each of *minutes*, which count back from now."""
    now = datetime.now(UTC).replace(second=30, microsecond=0)
    attempts = [
        {"delivered_at": (now - timedelta(minutes=back)).isoformat(), "status_code": status, "latency_ms": 40 + back}
        for back in minutes
        for _ in range(3)
    ]
    site.call("POST", f"webhooks/{webhook_id}/attempts", {"attempts": attempts})


def open_charts(page: Page, webhook_id: str, query: str = "") -> Locator:
    go(page, f"/webhooks/{webhook_id}{query}")
    charts = page.locator(".charts")
    expect(charts.locator(".u-over")).to_have_count(2)
    return charts


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ([], []),
        ([None, 5, None], [1]),
        ([1, 2, 3], [0, 1, 2]),
        # Many values, each alone: no line joins them.
        ([7, None] * 13, list(range(0, 26, 2))),
        # A line shows its values; the one beside it that stands alone needs a point.
        ([*range(13), None, 4, None], [14]),
        ([*range(20)], []),
    ],
)
def test_a_value_that_no_line_shows_is_a_point(page: Page, values: list[int | None], points: list[int]) -> None:
    assert call(page, "js/charts/points.js", "pointsOf", values) == points


def test_the_band_is_only_where_something_was_measured(page: Page) -> None:
    x = [0, 60, 120, 180, 240]
    series = [[1, None, None, None, 4], [None, 2, None, None, None]]
    assert call(page, "js/charts/points.js", "knownSpans", x, series) == [[0, 120], [240, 300]]


def test_times_to_come_are_rounded_up_and_midnight_shows_the_date(page: Page) -> None:
    for seconds, text in ((7_199, "in 2 h"), (20, "in 20 s"), (90, "in 2 min"), (5_400, "in 1 h 30 min")):
        assert call(page, "js/format.js", "ahead", seconds) == text
    now = datetime.now(UTC)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", call(page, "js/format.js", "clock", now.isoformat()))
    yesterday = (now - timedelta(days=1)).isoformat()
    assert re.fullmatch(r"\d+ \w{3,4},? \d\d:\d\d:\d\d", call(page, "js/format.js", "clock", yesterday))


def test_lone_values_are_painted(page: Page, site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="Every other minute")["id"]
    spread(site, webhook_id, [*range(2, 56, 2)])
    charts = open_charts(page, webhook_id)
    # The colours of p50 and p95, which only points can show here: no two minutes are neighbours.
    painted = """
    canvas => {
      const probe = document.createElement("i");
      probe.style.color = "var(--tone-warm)";
      document.body.append(probe);
      const [r, g, b] = getComputedStyle(probe).color.match(/[0-9.]+/g).map(Number);
      probe.remove();
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4)
        found += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12;
      return found;
    }
    """
    canvas = charts.locator("canvas").first
    until(lambda: canvas.evaluate(painted) > 100, within_s=20)


def test_both_charts_show_their_values_at_one_cursor(page: Page, site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="Two charts")["id"]
    spread(site, webhook_id, [*range(1, 50)])
    charts = open_charts(page, webhook_id)
    charts.locator(".u-over").first.hover(position={"x": 200, "y": 60})
    tips = charts.locator(".chart-tip")
    expect(tips).to_have_count(2)
    assert tips.nth(0).locator("> b").inner_text() == tips.nth(1).locator("> b").inner_text()
    page.mouse.move(5, 5)
    expect(tips).to_have_count(0)


def test_the_arrow_keys_move_the_cursor_and_say_the_values(page: Page, site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="By keyboard")["id"]
    spread(site, webhook_id, [*range(1, 50)])
    charts = open_charts(page, webhook_id)
    chart = charts.get_by_role("group", name="Latency of successes, chart")
    chart.focus()
    for _ in range(3):
        chart.press("ArrowLeft")
    expect(charts.locator(".chart-tip").first).to_be_visible()
    # The time has its date where the hour shown began on the day before.
    expect(charts.get_by_role("status").first).to_have_text(
        re.compile(r"^(\d+ \w+, )?\d\d:\d\d: p50 \d+ ms, p95 \d+ ms, p99 \d+ ms$")
    )
    chart.press("Escape")
    expect(charts.locator(".chart-tip")).to_have_count(0)


def test_dragging_zooms_and_the_address_keeps_it(page: Page, site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="Zoomed")["id"]
    spread(site, webhook_id, [*range(1, 50)])
    charts = open_charts(page, webhook_id)
    box = charts.locator(".u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=5)
    page.mouse.up()
    back = page.get_by_role("button", name="Back to last hour")
    expect(back).to_be_visible()
    start, end = (datetime.fromisoformat(page.evaluate(QUERY, name)) for name in ("from", "to"))
    assert timedelta(minutes=5) < end - start < timedelta(minutes=20)
    page.reload()
    expect(page.locator(".charts .u-over")).to_have_count(2)
    back.click()
    expect(back).to_have_count(0)
    assert page.evaluate(QUERY, "from") is None


QUERY = "name => new URLSearchParams(location.hash.split('?')[1]).get(name)"


def test_changes_are_marked_and_listed(page: Page, site: Site, receiver: Receiver) -> None:
    webhook_id = site.create(receiver.url, name="Changed", event_types=["changed.*"])["id"]
    spread(site, webhook_id, [*range(1, 30)])
    site.call("POST", f"webhooks/{webhook_id}/pause")
    charts = open_charts(page, webhook_id)
    changes = page.locator(".changes")
    expect(changes.locator("summary")).to_contain_text("P paused or resumed")
    changes.locator("summary").click()
    expect(changes.get_by_role("listitem").filter(has_text="Paused")).to_contain_text("by ")
    expect(charts).to_be_visible()


def test_a_new_webhook_begins_with_its_first_attempts(page: Page, site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="New")["id"]
    spread(site, webhook_id, [1, 2, 3])
    open_charts(page, webhook_id)
    expect(page.get_by_text("Starts with the first attempts")).to_be_visible()
    page.get_by_role("group", name="Range").get_by_role("button", name="15m").click()
    table = page.locator(".figures summary").filter(has_text="Data table").first
    table.click()
    expect(page.get_by_role("region", name="Latency of successes, data table").locator("tbody tr")).to_have_count(3)


def test_throughput_is_of_the_last_minutes_and_says_so(page: Page, site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="Busy")["id"]
    report(site, webhook_id, 200, 400)
    until(lambda: site.call("GET", "dashboard/overview")["throughput"]["attempts"] > 0, within_s=90)
    overview = site.call("GET", "dashboard/overview")
    assert overview["throughput"]["window_s"] == 300
    go(page, "/")
    expect(page.get_by_text("Throughput, last 5 min")).to_be_visible()
    expect(page.get_by_text("Delivery lag")).to_be_visible()


def test_times_are_shown_in_utc_when_that_is_chosen(open_page: Callable[..., Page], site: Site) -> None:
    webhook_id = site.create("http://127.0.0.1:9/hook", name="Zones")["id"]
    spread(site, webhook_id, [2])
    page = sign_in(open_page, site, timezone_id="Asia/Tokyo")
    go(page, f"/webhooks/{webhook_id}")
    time = page.get_by_role("row").locator("time").first
    expect(time).to_have_attribute("title", re.compile(r"\d{4}, \d\d:\d\d:\d\d (GMT\+9|JST)$"))
    page.get_by_role("button", name="Times: local time. Change").click()
    expect(time).to_have_attribute("title", re.compile(r"\d{4}, \d\d:\d\d:\d\d UTC$"))
    shown, at = time.inner_text(), time.get_attribute("datetime")
    assert at is not None
    assert at[11:16] in shown
    page.reload()
    expect(page.get_by_role("button", name="Times: UTC. Change")).to_be_visible()
