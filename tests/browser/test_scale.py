"""A thousand webhooks: the list draws what is in sight, and no step of it blocks the page for long."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Site

MANY = 1_000
FEW_NODES = 3_000
LONGEST_TASK_MS = 1_000
"""Lenient: a busy machine stretches everything. Drawing all rows takes several times as long."""

WATCH_TASKS = """() => {
    window.tasks = [];
    new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(task => task.duration)))
        .observe({ type: "longtask" });
}"""


def test_a_thousand_webhooks_stay_smooth(open_page: Callable[..., Page], own_site: Site) -> None:
    headers = {"Authorization": f"Bearer {own_site.token}"}
    with httpx.Client(base_url=own_site.base, headers=headers, timeout=30) as client:
        for i in range(MANY):
            spec = {"name": f"Webhook {i:04}", "url": f"http://127.0.0.1:9/{i}", "event_types": ["never"]}
            assert client.post("/api/v1/webhooks", json=spec).status_code == 201
    page = sign_in(open_page, own_site)
    page.evaluate(WATCH_TASKS)
    go(page, "/webhooks?sort=name")
    expect(page.get_by_text(f"{MANY:,} webhooks", exact=True)).to_be_visible()
    nodes = "document.querySelectorAll('*').length"
    assert page.evaluate(nodes) < FEW_NODES
    expect(page.get_by_role("link", name="Webhook 0000")).to_be_visible()

    for _ in range(30):
        page.mouse.wheel(0, 2_000)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_role("link", name=f"Webhook {MANY - 1:04}")).to_be_in_viewport()
    assert page.evaluate(nodes) < FEW_NODES
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("searchbox").fill("Webhook 0777")
    expect(page.locator("tr[data-row]")).to_have_count(1)
    assert max(page.evaluate("window.tasks"), default=0) < LONGEST_TASK_MS
