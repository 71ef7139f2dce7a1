"""What an attempt sent and was answered: byte for byte, as a command, and whether a secret made its signature."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from standardwebhooks import Webhook as Verifier

from tests.browser.conftest import PHONE, go, sign_in
from tests.browser.seed import CANARY
from tests.browser.site import Receiver, Site, until
from tests.browser.test_views import violations

PAYLOAD = b'{ "amount": 19.90,   "note": "it\'s $HOME `id` \\\\ !! \xe2\x80\xae\xc3\xbc", "big": 12345678901234567890 }'
"""Numbers that JavaScript writes otherwise, what a shell would expand, and text that changes its direction."""

ONCE = {"schedule_s": [0], "jitter_ratio": 0}


def publish(site: Site, type_: str, payload: bytes = PAYLOAD) -> str:
    """Post *payload* byte for byte, and return the id of the event."""
    response = httpx.post(
        f"{site.base}/api/v1/events",
        headers={"Authorization": f"Bearer {site.token}", "Content-Type": "application/json"},
        content=b'{"type": "%b", "payload": %b}' % (type_.encode(), payload),
    )
    assert response.is_success, response.text
    event: str = response.json()["id"]
    return event


def attempts_of(site: Site, webhook_id: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait for *count* attempts, and return them, newest first."""
    found: list[dict[str, Any]] = until(
        lambda: len(items := site.call("GET", f"webhooks/{webhook_id}/attempts")["items"]) >= count and items
    )
    return found


def clipboard(page: Page) -> str:
    text: str = page.evaluate("() => navigator.clipboard.readText()")
    return text


def exchange(page: Page) -> Locator:
    return page.locator(".exchange")


def copied(page: Page, name: str) -> str:
    exchange(page).get_by_role("button", name=name).click()
    expect(exchange(page).get_by_text("Copied", exact=True)).to_be_visible()
    return clipboard(page)


@pytest.fixture
def reader(open_page: Callable[..., Page], site: Site) -> Page:
    """A window whose page may use the clipboard."""
    return sign_in(open_page, site, permissions=["clipboard-read", "clipboard-write"])


def test_the_bytes_and_headers_are_shown_as_they_were_sent_whatever_the_webhook_is_now(
    reader: Page, site: Site, receiver: Receiver
) -> None:
    receiver.status, receiver.headers = 503, {"X-Trace": CANARY, "Retry-After": "7", "Set-Cookie": "session=s3cret"}
    receiver.body = CANARY.encode()
    webhook = site.create(
        receiver.url, name="As sent", event_types=["sent.*"], headers={"X-Token": "t0ken-of-mine"}, retry=ONCE
    )
    publish(site, "sent.now")
    [attempt] = attempts_of(site, webhook["id"])
    site.call("PATCH", f"webhooks/{webhook['id']}", {"url": receiver.url + "/moved", "headers": {"X-Token": "other"}})

    go(reader, f"/webhooks/{webhook['id']}?attempt={attempt['id']}")
    [(headers, body)] = receiver.requests
    assert body == PAYLOAD
    shown = reader.get_by_role("group", name="Request body")
    # What reorders the text around it is replaced in what is seen, and copied as it is.
    assert shown.text_content() == PAYLOAD.decode().replace("\u202e", "\ufffd")
    assert copied(reader, "Copy body") == PAYLOAD.decode()
    lines = (reader.get_by_role("group", name="Request headers").text_content() or "").split("\n")
    assert lines[0] == f"POST {receiver.url} HTTP/1.1"
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert sent == {**headers, "x-token": "***"}
    expect(exchange(reader)).to_contain_text(f"{len(PAYLOAD)} bytes")
    expect(exchange(reader)).to_contain_text("Signed with the current secret")
    answered = reader.get_by_role("group", name="Response headers")
    expect(answered).to_contain_text(f"X-Trace: {CANARY}")
    expect(answered).to_contain_text("Set-Cookie: session=***")
    expect(reader.get_by_role("group", name="Response body")).to_have_text(CANARY)
    assert reader.evaluate("() => window.canary") is None

    reader.get_by_role("button", name="Formatted").click()
    assert (shown.text_content() or "").split("\n")[:2] == ["{", '  "amount": 19.90,']
    expect(shown).to_contain_text('"big": 12345678901234567890')


def test_the_copied_command_sends_the_same_bytes_with_the_same_signature(
    reader: Page, site: Site, receiver: Receiver
) -> None:
    secret_headers = {"X-Token": "t0ken-of-mine", "X-It's": "a 'b' $(id)"}
    webhook = site.create(receiver.url, name="Curl", event_types=["curl.*"], headers=secret_headers)
    publish(site, "curl.now")
    [attempt] = attempts_of(site, webhook["id"])
    go(reader, f"/webhooks/{webhook['id']}?attempt={attempt['id']}")
    command = copied(reader, "Copy as curl")
    assert "t0ken-of-mine" not in command
    ran = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True)
    assert ran.stdout == b"thank you"
    (first, body), (again, repeated) = receiver.requests
    assert body == repeated == PAYLOAD
    masked = {"x-token": "<X-Token>", "x-it's": "<X-It's>"}
    assert again == {**first, **masked}
    Verifier(webhook["secret"]).verify(repeated, again)


def test_a_secret_is_checked_in_the_browser_and_sent_nowhere(reader: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Whose secret", event_types=["whose.*"])
    publish(site, "whose.now")
    [attempt] = attempts_of(site, webhook["id"])
    go(reader, f"/webhooks/{webhook['id']}?attempt={attempt['id']}")
    said: list[str] = []
    reader.on("request", lambda request: said.append(f"{request.url} {request.post_data}"))
    reader.get_by_text("Verify signature").click()
    field = reader.get_by_label("Secret of the receiver")
    other = "whsec_" + "A" * 32
    for secret, answer in [(webhook["secret"], "made the signature"), (other, "did not make the signature")]:
        field.fill(secret)
        field.press("Enter")
        expect(exchange(reader)).to_contain_text(f"This secret {answer}")
    field.fill("not one")
    field.press("Enter")
    expect(exchange(reader)).to_contain_text("This is no secret")
    assert not [text for text in said if "whsec_" in text]
    site.call("POST", f"webhooks/{webhook['id']}/rotate-secret", {"overlap_s": 3600})
    reader.reload()
    expect(exchange(reader)).to_contain_text("Signed with the previous secret")


def test_without_a_secure_context_the_page_says_what_it_cannot_do(reader: Page, site: Site, receiver: Receiver) -> None:
    reader.add_init_script(
        "delete Crypto.prototype.subtle; Object.defineProperty(navigator, 'clipboard', { value: undefined })"
    )
    webhook = site.create(receiver.url, name="Plain HTTP", event_types=["plain.*"])
    publish(site, "plain.now")
    [attempt] = attempts_of(site, webhook["id"])
    go(reader, f"/webhooks/{webhook['id']}?attempt={attempt['id']}")
    reader.reload()
    reader.get_by_text("Verify signature").click()
    reader.get_by_label("Secret of the receiver").fill(webhook["secret"])
    reader.get_by_role("button", name="Verify", exact=True).click()
    expect(exchange(reader)).to_contain_text("none over plain HTTP")
    reader.get_by_role("button", name="Copy as curl").click()
    by_hand = reader.get_by_label("press Ctrl+C")
    expect(by_hand).to_be_focused()
    chosen = by_hand.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert "curl --http1.1" in chosen
    assert chosen == by_hand.input_value()
    expect(exchange(reader).get_by_text("Copied", exact=True)).to_have_count(0)


def test_a_link_opens_one_attempt_of_a_webhook_or_of_an_event_and_scrolls_to_it(
    reader: Page, site: Site, receiver: Receiver
) -> None:
    webhook = site.create(receiver.url, name="Linked", event_types=["linked.*"])
    first = publish(site, "linked.first")
    [attempt] = attempts_of(site, webhook["id"])
    for n in range(21):
        publish(site, f"linked.n{n}")
    attempts_of(site, webhook["id"], 20)
    until(lambda: attempt["id"] not in {one["id"] for one in newest(site, webhook["id"])})
    for path in (f"/webhooks/{webhook['id']}", f"/events/{first}"):
        go(reader, f"{path}?attempt={attempt['id']}")
        opened = reader.locator(f".exchange[data-attempt='{attempt['id']}']")
        expect(opened.get_by_role("group", name="Request body")).to_be_in_viewport()
    go(reader, f"/webhooks/{webhook['id']}?attempt={attempt['id']}")
    link = copied(reader, "Copy link")
    assert link == f"{site.base}/#/webhooks/{webhook['id']}?attempt={attempt['id']}"
    reader.get_by_role("table", name="Linked attempt").get_by_role("button", name="Details").click()
    expect(exchange(reader)).to_have_count(0)
    expect(reader.get_by_role("heading", name="Attempts")).to_be_focused()
    assert "attempt=" not in reader.url


def newest(site: Site, webhook_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.call("GET", f"webhooks/{webhook_id}/attempts?limit=20")["items"]
    return found


def test_the_filters_of_attempts_stay_in_the_address(reader: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Filtered", event_types=["filter.*"], retry=ONCE)
    for n, status in enumerate((200, 500, 503), 1):
        receiver.status = status
        publish(site, f"filter.s{status}")
        attempts_of(site, webhook["id"], n)
    go(reader, f"/webhooks/{webhook['id']}")
    table = reader.get_by_role("table", name="Attempts", exact=True)
    rows = table.locator("tr.attempt")
    expect(rows).to_have_count(3)
    reader.get_by_role("group", name="Filter attempts").get_by_role("button", name="Failed").click()
    expect(rows).to_have_count(2)
    reader.get_by_label("Status code").fill("503")
    expect(rows).to_have_count(1)
    assert "ok=false" in reader.url
    assert "code=503" in reader.url
    reader.reload()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("filter.s503")
    go(reader, f"/webhooks/{webhook['id']}?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z")
    expect(reader.get_by_text("No attempts", exact=True)).to_be_visible()
    reader.get_by_role("button", name="All times").click()
    expect(rows).to_have_count(3)


def test_a_test_message_leads_to_its_request_and_response(reader: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Tested", event_types=["tested.*"], body_format="teams")
    go(reader, f"/webhooks/{webhook['id']}")
    reader.get_by_role("button", name="Send test").click()
    reader.get_by_role("dialog").get_by_role("button", name="Send").click()
    reader.get_by_role("link", name="Request and response").click()
    [(_, body)] = receiver.requests
    expect(reader.get_by_role("group", name="Request body")).to_have_text(body.decode())
    expect(exchange(reader)).to_contain_text("Signed with the current secret")


def test_what_was_not_sent_is_called_rebuilt(reader: Page, site: Site) -> None:
    webhook = site.create("http://127.0.0.1:9/hook", name="Nobody there", event_types=["nobody.*"], retry=ONCE)
    publish(site, "nobody.now")
    [attempt] = attempts_of(site, webhook["id"])
    go(reader, f"/webhooks/{webhook['id']}?attempt={attempt['id']}")
    expect(exchange(reader)).to_contain_text("No request was sent. Rebuilt from today's configuration.")
    assert reader.get_by_role("group", name="Request body").text_content() is not None


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [None, PHONE], ids=["desktop", "phone"])
def test_an_exchange_is_reached_and_read_in_every_look(
    scheme: str, size: Any, open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    options: dict[str, Any] = {"color_scheme": scheme} | ({"viewport": size} if size else {})
    page = sign_in(open_page, site, **options)
    receiver.status = 500
    webhook = site.create(receiver.url, name="Looked at", event_types=["look.*"], retry=ONCE)
    publish(site, "look.now", PAYLOAD)
    attempts_of(site, webhook["id"])
    go(page, f"/webhooks/{webhook['id']}")
    details = page.get_by_role("button", name="Details of the attempt")
    details.scroll_into_view_if_needed()
    expect(details).to_be_in_viewport(ratio=1)
    details.click()
    page.get_by_text("Verify signature").click()
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    details.click()
    expect(exchange(page)).to_have_count(0)
