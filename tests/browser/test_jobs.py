"""Jobs: found from the overview, shown with their progress, and cancelled, in both themes and by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PHONE, go, sign_in
from tests.browser.site import Site, until
from tests.browser.test_views import violations

JOB: dict[str, Any] = {
    "id": "019cad3b-3c00-7379-9dbb-6b708f9e0caa",
    "kind": "bulk_retry",
    "state": "running",
    "parameters": {"filter": {"state": "failed", "label": "team=shipping", "to": "2026-03-02T12:00:00Z"}},
    "done": 200,
    "total": 412,
    "per_s": 50.0,
    "error": None,
    "created_by": "grace",
    "created_at": "2026-03-02T12:00:00Z",
    "finished_at": None,
}
OTHERS = [
    JOB | {"id": JOB["id"][:-1] + "b", "kind": "bulk_resend", "total": None},
    JOB | {"id": JOB["id"][:-1] + "c", "kind": "cancel_deliveries", "parameters": {"webhook_id": JOB["id"]}},
]


def running(page: Page) -> list[str]:
    """Let the server have three running jobs; return the addresses of those that were cancelled."""
    cancelled: list[str] = []

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            cancelled.append(route.request.url)
            route.fulfill(json=JOB | {"state": "cancelled"})
        else:
            jobs = OTHERS if cancelled else [JOB, *OTHERS]
            route.fulfill(body=json.dumps({"items": jobs, "next_cursor": None}), content_type="application/json")

    page.route(re.compile(r"/api/v1/jobs(\?state=running|/.*/cancel)"), answer)
    return cancelled


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_running_jobs_show_their_progress_and_are_accessible(
    theme: str, open_page: Callable[..., Page], site: Site
) -> None:
    page = sign_in(open_page, site, viewport=PHONE, color_scheme=theme, reduced_motion="reduce")
    running(page)
    go(page, "/jobs")
    expect(page.get_by_role("progressbar")).to_have_count(3)
    expect(page.get_by_role("region", name="List of jobs")).to_contain_text("200 of 412 deliveries")
    expect(page.get_by_text("state failed · label team=shipping")).to_have_count(2)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("button", name="Cancel: Bulk retry").click()
    expect(page.get_by_role("dialog", name="Cancel the job")).to_be_visible()
    assert violations(page) == []


def test_a_job_is_cancelled_by_keyboard(page: Page) -> None:
    cancelled = running(page)
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    page.get_by_role("button", name="Cancel: Bulk retry").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").press("Enter")
    expect(page.get_by_role("button", name="Cancel: Bulk retry")).to_have_count(0)
    assert [url.split("/api/v1/")[1] for url in cancelled] == [f"jobs/{JOB['id']}/cancel"]
    # That of a deletion ends with its last delivery.
    expect(page.get_by_role("button", name=re.compile("^Cancel: "))).to_have_count(1)


def test_the_jobs_of_the_server_are_found_from_the_overview(
    page: Page, open_page: Callable[..., Page], site: Site
) -> None:
    body = {"action": "retry", "filter": {"label": "none"}}
    job = site.call("POST", "deliveries/bulk", body)["id"]
    until(lambda: site.call("GET", f"jobs/{job}")["state"] == "done")
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_text("No running jobs")).to_be_visible()
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.get_by_text("Bulk retry")).to_be_visible()
    expect(page.get_by_text("0 of 0 deliveries")).to_be_visible()
    viewer = sign_in(open_page, site, token=site.issue("viewer"))
    running(viewer)
    go(viewer, "/jobs")
    expect(viewer.get_by_role("progressbar")).to_have_count(3)
    expect(viewer.get_by_role("button", name=re.compile("^Cancel: "))).to_have_count(0)
