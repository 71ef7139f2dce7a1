"""The page of a one-use link: what it says, without scripts, and with untrusted texts as texts."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from monitor.domain.alerts.action_links import LinkAction
from monitor.domain.services.action_links import LinkStatus, LinkView
from monitor.http.page.action_page import POLICY, action_page, status_code_of

AT = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
PAGE = "https://monitor.example.com/#/alerts/1"


def view(status: LinkStatus, action: LinkAction = LinkAction.ACKNOWLEDGE, by: str = "ada") -> LinkView:
    return LinkView(status, action, "Orders is unavailable.", by, AT, None, PAGE)


def text_of(page: bytes) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.decode())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (LinkStatus.READY, "Acknowledge this alert?"),
        (LinkStatus.DONE, "You acknowledged this alert"),
        (LinkStatus.USED, "Used by ada at 2026-03-01 12:05 UTC."),
        (LinkStatus.ACKNOWLEDGED, "Acknowledged by ada at 2026-03-01 12:05 UTC."),
        (LinkStatus.RESOLVED, "Resolved by ada at 2026-03-01 12:05 UTC."),
        (LinkStatus.EXPIRED, "It was valid until 2026-03-01 12:05 UTC."),
        (LinkStatus.UNKNOWN, "There is no such link"),
    ],
)
def test_it_says_what_became_of_the_link(status: LinkStatus, said: str) -> None:
    page = action_page(view(status))
    assert said in text_of(page)
    assert (b"<form" in page) is (status is LinkStatus.READY)
    assert (PAGE.encode() in page) is (status is not LinkStatus.READY)


@pytest.mark.parametrize("action", LinkAction)
def test_only_its_form_acts_and_posts_to_its_own_address(action: LinkAction) -> None:
    page = action_page(view(LinkStatus.READY, action)).decode()
    assert page.count('<form method="post">') == 1
    assert "action=" not in page
    assert "<script" not in page


def test_a_silence_says_until_when() -> None:
    done = LinkView(LinkStatus.DONE, LinkAction.SILENCE_HOUR, "T", "link of Ops", AT, AT.replace(hour=13))
    assert "until 2026-03-01 13:05 UTC" in text_of(action_page(done))


def test_an_alert_may_resolve_by_itself() -> None:
    assert "Resolved by itself at" in text_of(action_page(view(LinkStatus.RESOLVED, by="system")))


def test_texts_are_texts() -> None:
    hostile = '<script>alert(1)</script>"&'
    page = action_page(LinkView(LinkStatus.USED, LinkAction.ACKNOWLEDGE, hostile, hostile, AT, None, PAGE)).decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;") == 2


def test_its_style_is_the_one_that_the_policy_allows() -> None:
    [style] = re.findall(r"<style>(.*?)</style>", action_page(view(LinkStatus.READY)).decode(), re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert "default-src 'none'" in POLICY
    assert "script-src" not in POLICY


@pytest.mark.parametrize(
    ("status", "looked", "used"),
    [
        (LinkStatus.READY, 200, 409),
        (LinkStatus.DONE, 200, 200),
        (LinkStatus.USED, 200, 409),
        (LinkStatus.ACKNOWLEDGED, 200, 409),
        (LinkStatus.RESOLVED, 200, 409),
        (LinkStatus.EXPIRED, 410, 410),
        (LinkStatus.UNKNOWN, 404, 404),
    ],
)
def test_the_status_of_the_response(status: LinkStatus, looked: int, used: int) -> None:
    assert status_code_of(view(status), used=False) == looked
    assert status_code_of(view(status), used=True) == used
