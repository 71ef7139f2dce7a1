"""The URL of a chat service is a secret."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.monitoring.health import UNKNOWN_HEALTH
from monitor.domain.views.audit import AuditView, without_secret_urls
from monitor.domain.views.webhooks import below_admin, view_of
from monitor.domain.vocab import BodyFormat
from monitor.domain.webhooks.chat_url import is_chat_url, origin, secret_parts, shown_url, traced_url
from monitor.domain.webhooks.webhook import Webhook
from tests import strategies as our
from tests.fakes.clock import START

SLACK = "https://hooks.slack.com/services/T0000/B0000/abcdefghijklmnopqrstuvwx"


@pytest.mark.parametrize(
    ("url", "body_format", "shown"),
    [
        (SLACK, BodyFormat.SLACK, "https://hooks.slack.com/***"),
        (SLACK, BodyFormat.STANDARD, "https://hooks.slack.com/***"),
        ("https://ptb.discord.com/api/webhooks/1/x", BodyFormat.STANDARD, "https://ptb.discord.com/***"),
        ("https://a.webhook.office.com:8443/x", BodyFormat.STANDARD, "https://a.webhook.office.com:8443/***"),
        ("https://ntfy.sh/alerts", BodyFormat.STANDARD, "https://ntfy.sh/***"),
        ("https://ntfy.example.com/alerts", BodyFormat.NTFY, "https://ntfy.example.com/***"),
        ("https://chat.googleapis.com/v1/spaces/A/messages?key=k", BodyFormat.STANDARD, "https://chat.googleapis.com/***"),
        ("https://chat.example.com/hooks/x?k=1", BodyFormat.TEAMS, "https://chat.example.com/***"),
        ("https://example.com/x", "of a newer version", "https://example.com/***"),
        ("http://[::1]:9000/x", BodyFormat.DISCORD, "http://[::1]:9000/***"),
        ("https://shop.example.com/hooks?k=1", BodyFormat.STANDARD, "https://shop.example.com/hooks?k=1"),
        ("mailto:ops@example.org", BodyFormat.EMAIL, "mailto:ops@example.org"),
        ("https://notdiscord.com/x", BodyFormat.STANDARD, "https://notdiscord.com/x"),
        ("https://hooks.slack.com.example.com/x", BodyFormat.STANDARD, "https://hooks.slack.com.example.com/x"),
        ("https://example.com/https://hooks.slack.com/x", BodyFormat.STANDARD, "https://example.com/https://hooks.slack.com/x"),
    ],
)  # fmt: skip
def test_all_but_the_origin_of_a_chat_url_is_hidden(url: str, body_format: str, shown: str) -> None:
    assert shown_url(url, body_format) == shown
    assert is_chat_url(url, body_format) == shown.endswith("/***")
    assert shown_url(shown, body_format) == shown


def test_a_text_without_an_origin_has_none() -> None:
    assert origin("nonsense") == ""


def test_what_a_receiver_may_echo_of_a_chat_url() -> None:
    assert secret_parts(SLACK, BodyFormat.SLACK) == [
        SLACK.removeprefix("https://hooks.slack.com"),
        "abcdefghijklmnopqrstuvwx",
    ]
    assert secret_parts("https://a.com/x/y", BodyFormat.SLACK) == []
    assert secret_parts("https://a.com/run?sig=0123456789abcdef%2Bx", BodyFormat.TEAMS) == [
        "/run?sig=0123456789abcdef%2Bx",
        "0123456789abcdef+x",
        "sig=0123456789abcdef%2Bx",
        "sig=0123456789abcdef+x",
    ]


def test_ntfy_echoes_topics_of_any_length() -> None:
    assert secret_parts("https://ntfy.sh/alerts?x=1", BodyFormat.NTFY) == ["alerts"]
    assert secret_parts("https://ntfy.sh/alerts", BodyFormat.STANDARD) == []


def test_an_old_audit_row_shows_no_chat_url() -> None:
    row = AuditView(
        UUID(int=1), START, "ada", "admin", None, None, "webhook.update", "webhook:1",
        {"url": SLACK, "name": "ops"}, {"url": "https://example.com/x", "body_format": "slack"},
    )  # fmt: skip
    shown = without_secret_urls(row)
    assert shown.before == {"url": "https://hooks.slack.com/***", "name": "ops"}
    assert shown.after == {"url": "https://example.com/***", "body_format": "slack"}
    for members in (None, {"note": "x"}, {"url": None}):
        other = msgspec.structs.replace(row, before=None, after=members)
        assert without_secret_urls(other) == other


@given(our.webhooks, st.sampled_from(BodyFormat))
def test_a_view_for_roles_below_admin_differs_in_the_url_alone(webhook: Webhook, body_format: BodyFormat) -> None:
    view = view_of(msgspec.structs.replace(webhook, body_format=body_format), UNKNOWN_HEALTH)
    shown = below_admin(view)
    assert shown.url == shown_url(view.url, body_format)
    assert msgspec.structs.replace(shown, url=view.url) == view


@pytest.mark.parametrize(
    ("url", "traced"),
    [
        ("https://a.example/hook", "https://a.example/hook"),
        ("https://a.example:8443/hook?token=canary&x=1", "https://a.example:8443/hook?***"),
        ("https://a.example/hook?", "https://a.example/hook?***"),
        ("https://hooks.slack.com/services/T0/B0/canary?x", "https://hooks.slack.com/***"),
    ],
)
def test_spans_have_a_url_without_its_query(url: str, traced: str) -> None:
    assert traced_url(url, BodyFormat.STANDARD) == traced
