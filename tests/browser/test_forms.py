"""Forms: errors, the focus, what is typed, what is copied; also on a host without a secure context."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import CHROMIUM, DESKTOP, choose, go, sign_in
from tests.browser.site import Receiver, Site
from tests.browser.test_views import violations

LAN = "monitor.lan"
"""A name that is no localhost: over plain http no secure context."""


@pytest.fixture(scope="module")
def lan_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("lan"), HTTP__ALLOWED_HOSTS=f'["{LAN}", "127.0.0.1"]')
    try:
        running.start()
        yield running
    finally:
        running.stop()


def resolving(chromium: Browser) -> Browser:
    """Return a browser for which :data:`LAN` is this machine."""
    program = next(path for name in CHROMIUM if (path := shutil.which(name)))
    flags = [f"--host-resolver-rules=MAP {LAN} 127.0.0.1", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return chromium.browser_type.launch(executable_path=program, args=flags)


@pytest.fixture
def lan_page(chromium: Browser, lan_site: Site) -> Iterator[Page]:
    browser = resolving(chromium)
    errors: list[str] = []
    page = browser.new_page(viewport=DESKTOP)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://{LAN}:{lan_site.port}/#token={lan_site.token}")
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "live")
    yield page
    browser.close()
    assert errors == []


def fill(page: Page, name: str, url: str = "http://127.0.0.1:9/hook", *, types: str = "forms.*") -> None:
    """Fill in what is required; *types* that nobody else posts, since other tests share the server."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("URL").fill(url)
    page.get_by_label("Event types").fill(types)


def test_without_a_secure_context_a_webhook_is_created_and_its_secret_selected(lan_page: Page) -> None:
    page = lan_page
    assert page.evaluate("[isSecureContext, typeof navigator.clipboard, typeof crypto.randomUUID]") == [
        False,
        "undefined",
        "undefined",
    ]
    page.get_by_role("link", name="Webhooks", exact=True).click()
    page.get_by_role("link", name="New webhook").click()
    fill(page, "On the LAN")
    page.get_by_role("button", name="Create webhook").click()
    made = page.get_by_role("dialog", name="Webhook created")
    copy = made.get_by_role("button", name="Copy", exact=True)
    copy.click()
    expect(made.get_by_role("button", name="Press Ctrl+C")).to_be_visible()
    expect(made.get_by_role("status").first).to_have_text("Selected. Press Ctrl+C.")
    expect(made.get_by_text("Copied")).to_have_count(0)
    secret = made.get_by_label("Signing secret")
    assert page.evaluate("getSelection().toString()") == secret.input_value()
    made.get_by_role("button", name="I've saved it", exact=True).click()
    expect(page.get_by_role("heading", name="On the LAN")).to_be_visible()


def test_a_view_that_fails_does_not_take_the_others_with_it(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site)
    page.route(re.compile(r"/api/v1/jobs"), lambda route: route.fulfill(json={"items": [None], "next_cursor": None}))
    page.evaluate("console.error = () => {}")
    go(page, "/jobs")
    expect(page.get_by_role("heading", name="This view failed")).to_be_visible()
    go(page, "/events")
    expect(page.get_by_role("heading", name="Events", exact=True)).to_be_visible()


@pytest.mark.parametrize("allowed", [True, False])
def test_the_copy_button_says_what_became_of_it(allowed: bool, page: Page, site: Site) -> None:
    if allowed:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    else:
        page.evaluate(
            "void (navigator.clipboard.writeText = () => Promise.reject(new DOMException('', 'NotAllowedError')))"
        )
    webhook = site.create("http://127.0.0.1:9/hook", name="To copy from", event_types=["forms.*"])["id"]
    go(page, f"/webhooks/{webhook}")
    choose(page, "Rotate secret")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    shown = page.get_by_role("dialog", name="New signing secret")
    shown.get_by_role("button", name="Copy", exact=True).click()
    expect(shown.get_by_role("button", name="Copied" if allowed else "Press Ctrl+C")).to_be_visible()
    if allowed:
        assert page.evaluate("navigator.clipboard.readText()") == shown.get_by_label("Signing secret").input_value()


def test_nothing_but_its_button_closes_the_secret(page: Page) -> None:
    go(page, "/webhooks/new")
    fill(page, "Kept secret")
    page.get_by_role("button", name="Create webhook").click()
    made = page.get_by_role("dialog", name="Webhook created")
    expect(made.get_by_role("button", name="Close")).to_have_count(0)
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(made).to_be_visible()
    made.get_by_text("Verify signatures").click()
    expect(made.locator("pre").first).to_contain_text("standardwebhooks")
    made.get_by_role("button", name="I've saved it, send a test").click()
    expect(page.get_by_role("dialog", name="Send a test message")).to_be_visible()


def test_the_focus_goes_to_the_first_wrong_field_and_its_error_goes_when_it_is_edited(page: Page) -> None:
    go(page, "/webhooks/new")
    page.get_by_role("button", name="Create webhook").press("Enter")
    name, url = page.get_by_label("Name", exact=True), page.get_by_label("URL")
    expect(name).to_be_focused()
    expect(page.get_by_text("Please fix the marked fields.")).to_be_visible()
    expect(url).to_have_attribute("aria-invalid", "true")
    page.keyboard.type("Corrected")
    expect(name).not_to_have_attribute("aria-invalid", "true")
    expect(url).to_have_attribute("aria-invalid", "true")
    # What the server says is shown in the same way.
    url.fill("http://169.254.169.254/latest")
    page.get_by_role("button", name="Create webhook").press("Enter")
    expect(url).to_be_focused()
    expect(url).to_have_attribute("aria-invalid", "true")
    page.keyboard.type("x")
    expect(url).not_to_have_attribute("aria-invalid", "true")


def test_a_wrong_field_that_is_folded_away_is_opened(page: Page) -> None:
    go(page, "/webhooks/new")
    fill(page, "Folded")
    page.get_by_text("More: headers").click()
    page.get_by_label("Timeout (seconds)").fill("99")
    page.get_by_text("More: headers").click()
    expect(page.get_by_label("Timeout (seconds)")).to_be_hidden()
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_label("Timeout (seconds)")).to_be_focused()


def test_the_button_keeps_the_focus_while_it_is_busy(page: Page, site: Site) -> None:
    held: list[Callable[[], None]] = []
    page.route(re.compile(r"/api/v1/webhooks$"), lambda route: held.append(route.continue_))
    go(page, "/webhooks/new")
    fill(page, "Slow to save", "http://169.254.169.254/")
    page.get_by_role("button", name="Create webhook").press("Enter")
    busy = page.get_by_role("button", name="Saving…")
    expect(busy).to_be_focused()
    busy.press("Enter")
    assert len(held) == 1
    held[0]()
    expect(page.get_by_label("URL")).to_be_focused()


@pytest.mark.parametrize(
    ("path", "resource", "name"),
    [("/silences/new", "silences", "Silence"), ("/events?post=1", "events", "Post event")],
)
def test_no_button_of_a_form_loses_the_focus_while_it_is_busy(page: Page, path: str, resource: str, name: str) -> None:
    held: list[Callable[[], None]] = []
    page.route(
        re.compile(rf"/api/v1/{resource}$"),
        lambda route: held.append(route.abort) if route.request.method == "POST" else route.continue_(),
    )
    go(page, path)
    if name == "Silence":
        page.get_by_label("Reason").fill("Upgrade of the receiver")
    button = page.get_by_role("button", name=name, exact=True)
    button.press("Enter")
    # Browsers take the focus from a button that is disabled by its attribute.
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_be_focused()
    button.press("Enter")
    assert len(held) == 1
    held[0]()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    expect(button).to_be_focused()


def test_a_form_with_unsaved_input_asks_before_it_is_left(page: Page) -> None:
    go(page, "/webhooks")
    go(page, "/webhooks/new")
    page.get_by_label("Name", exact=True).fill("Unsaved")
    asked = page.get_by_role("dialog", name="Leave without saving?")
    for leave in (
        lambda: page.get_by_role("link", name="Events", exact=True).click(),
        page.go_back,
        lambda: page.get_by_role("link", name="Cancel").click(),
    ):
        leave()
        asked.get_by_role("button", name="Keep editing").click()
        expect(asked).to_have_count(0)
        expect(page.get_by_label("Name", exact=True)).to_have_value("Unsaved")
        expect(page).to_have_url(re.compile("#/webhooks/new$"))
    page.get_by_role("link", name="Events", exact=True).click()
    asked.get_by_role("button", name="Discard changes").click()
    expect(page.get_by_role("heading", name="Events", exact=True)).to_be_visible()
    # A form that is as it was is left unasked.
    go(page, "/webhooks/new")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()


def test_retries_are_chosen_and_said_in_words(page: Page, site: Site) -> None:
    go(page, "/webhooks/new")
    fill(page, "Retried")
    page.get_by_text("More: headers").click()
    schedule = page.get_by_label("Retry schedule")
    expect(schedule.locator("option:checked")).to_have_text("Standard")
    expect(page.get_by_text("10 attempts: at once, then after 5 s, 5 min, 30 min … over 3.1 days.")).to_be_visible()
    schedule.select_option("custom")
    delays = page.get_by_label("Delays before each attempt")
    expect(delays).to_have_value("0 5s 5m 30m 2h 5h 10h 14h 20h 1d")
    delays.fill("0 90s 2h")
    expect(page.get_by_text("3 attempts: at once, then after 1 min 30 s, 2 h over 2 h.")).to_be_visible()
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_role("dialog", name="Webhook created")).to_be_visible()
    (made,) = site.call("GET", "webhooks?q=Retried")["items"]
    assert made["retry"]["schedule_s"] == [0, 90, 7200]


def test_headers_are_rows_and_a_stored_value_is_kept(page: Page, site: Site) -> None:
    hook = site.create(
        "http://127.0.0.1:9/hook",
        name="With headers",
        event_types=["forms.*"],
        headers={"X-Old": "kept", "X-Gone": "g"},
    )
    go(page, f"/webhooks/{hook['id']}/edit")
    page.get_by_text("More: headers").click()
    page.get_by_role("button", name="Remove header X-Gone").click()
    page.get_by_role("button", name="Add header").click()
    expect(page.get_by_label("Name of header 2")).to_be_focused()
    page.keyboard.type("X-New")
    page.get_by_label("Value of header X-New").fill("secret: value")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("heading", name="With headers")).to_be_visible()
    assert site.call("GET", f"webhooks/{hook['id']}")["headers"] == {"X-Old": "***", "X-New": "***"}


def test_types_that_were_seen_are_offered(page: Page, site: Site) -> None:
    site.call("POST", "events", {"type": "seen.lately", "payload": 1})
    go(page, "/webhooks/new")
    fill(page, "Choosy", types="*")
    page.get_by_role("group", name="Seen lately").get_by_role("button", name="seen.lately").click()
    expect(page.get_by_label("Event types")).to_have_value("seen.lately")
    expect(page.get_by_role("button", name="seen.lately")).to_have_attribute("aria-pressed", "true")


def test_a_secret_can_be_brought_along(page: Page) -> None:
    own = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    go(page, "/webhooks/new")
    fill(page, "Own secret")
    page.get_by_text("More: headers").click()
    page.get_by_label("Signing secret").fill("whsec_short")
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_label("Signing secret")).to_be_focused()
    page.get_by_label("Signing secret").fill(own)
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_role("dialog").get_by_label("Signing secret")).to_have_value(own)


def test_a_dialog_says_what_is_missing_in_its_own_words(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Not yet deleted", event_types=["forms.*"])["id"]
    go(page, f"/webhooks/{webhook}")
    choose(page, "Delete")
    asked = page.get_by_role("dialog", name="Delete the webhook")
    asked.get_by_role("button", name="Delete").click()
    expect(asked.get_by_role("alert")).to_contain_text("enter a value.")
    expect(asked.get_by_role("textbox")).to_be_focused()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_forms_and_the_dialogs_of_a_session_are_accessible(
    scheme: str, open_page: Callable[..., Page], site: Site
) -> None:
    page = sign_in(open_page, site, token=site.issue("admin"), color_scheme=scheme)
    go(page, "/webhooks/new")
    page.get_by_role("button", name="Create webhook").click()
    page.get_by_text("More: headers").click()
    page.get_by_role("button", name="Add header").click()
    assert violations(page) == []
    fill(page, f"Accessible {scheme}")
    page.get_by_role("button", name="Remove header 1").click()
    page.get_by_role("button", name="Create webhook").click()
    made = page.get_by_role("dialog", name="Webhook created")
    made.get_by_text("Verify signatures").click()
    assert violations(page) == []
    made.get_by_role("button", name="I've saved it", exact=True).click()
    page.context.clear_cookies()
    go(page, "/jobs")
    expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible()
    assert violations(page) == []
