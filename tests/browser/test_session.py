"""Signing in: shared by the tabs of a browser, renewed without a loss, ended everywhere, no token left behind."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Receiver, Site

SHORT = ("--ttl", "6m")


def who(page: Page) -> str:
    return page.get_by_role("button", name=re.compile("^Sign out ")).get_attribute("title") or ""


def second_tab(page: Page, url: str) -> Page:
    tab = page.context.new_page()
    tab.goto(url)
    return tab


def expect_live(page: Page) -> None:
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "live")


def test_a_second_tab_and_a_deep_link_are_signed_in(page: Page, site: Site) -> None:
    tab = second_tab(page, f"{site.base}/#/webhooks?status=healthy")
    expect(tab.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    expect_live(tab)
    assert tab.url.endswith("#/webhooks?status=healthy")
    assert who(tab) == who(page)


def test_a_link_to_an_attempt_is_kept_while_one_signs_in(
    open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    webhook = site.create(receiver.url, name="Linked from a chat", event_types=["session.linked"])["id"]
    site.call("POST", f"webhooks/{webhook}/test")
    [attempt] = site.call("GET", f"webhooks/{webhook}/attempts")["items"]
    link = f"{site.base}/#/webhooks/{webhook}?attempt={attempt['id']}"
    page = open_page(link)
    page.get_by_label("Token").fill(site.issue("viewer"))
    page.get_by_role("button", name="Sign in").click()
    opened = page.locator(f".exchange[data-attempt='{attempt['id']}']")
    expect(opened.get_by_role("group", name="Request body")).to_be_in_viewport()
    assert page.url == link
    # And in a tab of its own, where one is signed in.
    tab = second_tab(page, link)
    expect(tab.locator(f".exchange[data-attempt='{attempt['id']}']")).to_be_in_viewport()


def test_no_script_can_read_the_token(page: Page, site: Site) -> None:
    cookies = page.context.cookies()
    assert [(c["name"], c["httpOnly"], c["sameSite"], c["path"]) for c in cookies] == [
        (f"monitor_session_{site.port}", True, "Strict", "/")
    ]
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("[...Object.values(sessionStorage), ...Object.values(localStorage)].join()").count(".") < 2


def test_signing_out_in_one_tab_signs_out_the_others(page: Page, site: Site) -> None:
    tab = second_tab(page, f"{site.base}/#/events")
    expect_live(tab)
    page.get_by_role("button", name=re.compile("^Sign out ")).click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(tab.get_by_text("Signed out in another tab.")).to_be_visible()
    assert page.context.cookies() == []
    tab.reload()
    expect(tab.get_by_label("Token")).to_be_visible()
    tab.get_by_label("Token").fill(site.token)
    tab.get_by_role("button", name="Sign in").click()
    # And signing in signs in.
    expect_live(tab)
    expect_live(page)
    assert tab.url.endswith("#/events")


def test_the_session_is_renewed_in_time_and_nothing_typed_is_lost(open_page: Callable[..., Page], site: Site) -> None:
    page = open_page(site.base)
    page.clock.install()
    page.goto(f"{site.base}/#token={site.issue('admin', *SHORT)}")
    expect_live(page)
    expect(page.locator(".session-end")).to_have_count(0)
    go(page, "/webhooks/new")
    page.get_by_label("Name", exact=True).fill("Half done")
    page.clock.run_for(75_000)
    expect(page.get_by_text("Your session ends in less than 5 minutes")).to_be_visible()
    page.clock.run_for(230_000)
    expect(page.get_by_role("alert").get_by_text("less than 1 minute")).to_be_visible()
    page.get_by_role("button", name="Enter a new token").click()
    asked = page.get_by_role("dialog", name="Stay signed in")
    asked.get_by_label("Token").fill("nonsense")
    asked.get_by_role("button", name="Sign in").click()
    expect(asked.get_by_text("This is not a token.")).to_be_visible()
    expect(asked.get_by_label("Token")).to_be_focused()
    asked.get_by_label("Token").fill(site.issue("admin"))
    asked.get_by_role("button", name="Sign in").click()
    expect(asked).to_have_count(0)
    expect(page.locator(".session-end")).to_have_count(0)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Half done")


def test_a_session_that_ended_waits_with_what_was_typed(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, token=site.issue("admin"))
    go(page, "/webhooks/new")
    page.get_by_label("Name", exact=True).fill("Saved after all")
    page.get_by_label("URL").fill("http://127.0.0.1:9/hook")
    page.get_by_label("Event types").fill("session.*")
    jti = page.evaluate("fetch('/api/v1/session').then(response => response.json()).then(view => view.subject)")
    assert jti == "the-admin"
    page.context.clear_cookies()
    page.get_by_role("button", name="Create webhook").click()
    ended = page.get_by_role("dialog", name="Your session has ended")
    expect(ended.get_by_text("This browser is no longer signed in.")).to_be_visible()
    expect(ended.get_by_label("Token")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(ended).to_be_visible()
    ended.get_by_label("Token").fill(site.issue("admin"))
    ended.get_by_role("button", name="Sign in").click()
    # The request that had been refused is made, once.
    expect(page.get_by_role("dialog", name="Webhook created")).to_be_visible()
    assert len(site.call("GET", "webhooks?q=Saved after all")["items"]) == 1


def test_a_renewal_in_one_tab_is_one_in_all(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, token=site.issue("admin"))
    tab = second_tab(page, f"{site.base}/#/webhooks/new")
    expect_live(tab)
    tab.get_by_label("Name", exact=True).fill("Of two tabs")
    page.context.clear_cookies()
    tab.get_by_label("URL").fill("http://127.0.0.1:9/hook")
    tab.get_by_label("Event types").fill("session.*")
    tab.get_by_role("button", name="Create webhook").click()
    expect(tab.get_by_role("dialog", name="Your session has ended")).to_be_visible()
    go(page, "/jobs")
    ended = page.get_by_role("dialog", name="Your session has ended")
    ended.get_by_label("Token").fill(site.issue("admin"))
    ended.get_by_role("button", name="Sign in").click()
    expect(ended).to_have_count(0)
    expect(tab.get_by_role("dialog", name="Webhook created")).to_be_visible()


def test_what_waited_is_not_sent_as_somebody_else(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, token=site.issue("admin"))
    go(page, "/webhooks/new")
    page.get_by_label("Name", exact=True).fill("Not mine")
    page.get_by_label("URL").fill("http://127.0.0.1:9/hook")
    page.get_by_label("Event types").fill("session.*")
    page.context.clear_cookies()
    page.get_by_role("button", name="Create webhook").click()
    ended = page.get_by_role("dialog", name="Your session has ended")
    ended.get_by_label("Token").fill(site.token)
    ended.get_by_role("button", name="Sign in").click()
    expect(ended).to_have_count(0)
    expect_live(page)
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    assert site.call("GET", "webhooks?q=Not mine")["items"] == []


def test_a_revoked_token_ends_the_session_of_every_tab(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, token=site.issue("operator"))
    tab = second_tab(page, f"{site.base}/#/alerts")
    expect_live(tab)
    (cookie,) = page.context.cookies()
    site.call("POST", "tokens/revocations", {"jti": jti_of(cookie["value"])})
    for either in (page, tab):
        ended = either.get_by_role("dialog", name="Your session has ended")
        expect(ended.get_by_text("revoked")).to_be_visible()
    ended.get_by_role("button", name="Sign out").click()
    for either in (page, tab):
        expect(either.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_page_of_another_port_cannot_use_the_session(page: Page, open_page: Callable[..., Page], site: Site) -> None:
    (cookie,) = page.context.cookies()
    other = page.context.new_page()
    other.route("http://127.0.0.1:9/", lambda route: route.fulfill(content_type="text/html", body="<p>Elsewhere"))
    other.goto("http://127.0.0.1:9/")
    script = """base => Promise.allSettled([
        fetch(`${base}/api/v1/webhooks`, {credentials: "include", mode: "no-cors"}),
        fetch(`${base}/api/v1/session`, {method: "DELETE", credentials: "include"}),
        fetch(`${base}/api/v1/tokens/revocations`, {method: "POST", credentials: "include", mode: "no-cors",
            headers: {"Content-Type": "text/plain"}, body: '{"jti": "elsewhere"}'}),
    ])"""
    other.evaluate(script, site.base)
    opened = """base => new Promise(resolve => {
        const socket = new WebSocket(`${base.replace("http", "ws")}/ws/dashboard`, "monitor.v1");
        socket.onopen = () => resolve("open"); socket.onerror = () => resolve("refused");
    })"""
    assert other.evaluate(opened, site.base) == "refused"
    assert "elsewhere" not in str(site.call("GET", "tokens/revocations"))
    assert page.context.cookies()[0]["value"] == cookie["value"]


@pytest.mark.parametrize("path", ["/api/v1/webhooks", "/metrics"])
def test_the_cookie_alone_reads_and_changes_nothing(path: str, page: Page, site: Site) -> None:
    (cookie,) = page.context.cookies()
    held = {"Cookie": f"{cookie['name']}={cookie['value']}"}
    assert httpx.get(f"{site.base}{path}", headers=held).status_code == 200
    assert httpx.post(f"{site.base}/api/v1/webhooks", headers=held, json={}).status_code == 403


def jti_of(token: str) -> str:
    payload = token.split(".")[1]
    claims: dict[str, str] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["jti"]
