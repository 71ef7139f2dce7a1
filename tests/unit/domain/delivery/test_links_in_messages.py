"""One-use links and reminders in the messages of every format, and what is kept of them."""

from __future__ import annotations

from urllib.parse import unquote
from uuid import UUID

import msgspec
import pytest

from monitor.domain.alerts.action_links import ActionLinks, without_tokens
from monitor.domain.alerts.links import with_links
from monitor.domain.alerts.notification import RAISED, notification_of
from monitor.domain.alerts.reminders import ReminderSpan, reminder_of
from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.chat_formats import FIELD_MAX
from monitor.domain.delivery.exchange import Exchange
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.reminders import REMINDER
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.ids import id_floor
from monitor.domain.vocab import BodyFormat, SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.secret_mask import SecretMask
from tests.unit.domain.alerts.alert_stories import DOWN, NOW, Story

ORIGIN = "https://monitor.example.com"
DESTINATION = UUID(int=9)
KEY = b"s" * 24


def story() -> Story:
    told = Story()
    told.update(DOWN)
    return told


def sent(page: str = ORIGIN, *, reminder: bool = False) -> bytes:
    alert = story().alert
    if reminder:
        made = reminder_of(alert, ReminderSpan(0, 3_600), "Orders", {})
    else:
        made = notification_of(RAISED, alert, "Orders", {})
    links = ActionLinks(page, (b"k" * 32,))
    return links.added_to(with_links(made.payload, page), made.type, id_floor(NOW), DESTINATION)


def url_of(payload: bytes, name: str) -> str:
    found: str = msgspec.json.decode(payload)["links"][name]
    return found


@pytest.mark.parametrize("body_format", list(BodyFormat))
def test_each_format_shows_links_to_acknowledge_and_to_silence(body_format: BodyFormat) -> None:
    payload = sent()
    rendered = render_body(body_format, RAISED, payload, "key")
    shown = rendered.body.decode() + unquote(rendered.query)
    assert url_of(payload, "acknowledge") in shown
    assert url_of(payload, "silence_1h") in shown


@pytest.mark.parametrize("body_format", list(BodyFormat))
def test_users_see_no_token_in_what_a_format_sent(body_format: BodyFormat) -> None:
    payload = sent()
    tokens = [url_of(payload, name).rpartition("/")[2] for name in ("acknowledge", "silence_1h", "silence_1d")]
    rendered = render_body(body_format, RAISED, payload, "key")
    request = OutboundRequest(rendered.url("https://example.com/hook"), (), rendered.body, 1.0)
    mask = SecretMask(Destination("https://example.com/hook", 1.0, (), SignatureScheme.V1, (KEY,), body_format))
    exchange = Exchange(request)
    outcome = Outcome(1.0, 200, response_body=rendered.body, exchange=exchange)
    kept, stored = mask.kept(outcome)
    assert stored is not None
    texts = (without_tokens(rendered.body).decode(), kept.response_body.decode(), stored.url)
    assert not any(token in text for token in tokens for text in texts)


@pytest.mark.parametrize("body_format", [one for one in BodyFormat if one is not BodyFormat.STANDARD])
def test_each_format_says_for_how_long_nobody_acknowledged_it(body_format: BodyFormat) -> None:
    rendered = render_body(body_format, REMINDER, sent(reminder=True), "key")
    assert "Still failing after 1 h, nobody acknowledged it: Orders is unavailable." in rendered.body.decode()


@pytest.mark.parametrize("length", [10, 100, 200, 250])
def test_discord_shows_as_many_links_as_a_field_holds(length: int) -> None:
    payload = sent(f"https://{'m' * length}.example.com")
    [embed] = msgspec.json.decode(render_body(BodyFormat.DISCORD, RAISED, payload).body)["embeds"]
    [links] = [field["value"] for field in embed["fields"] if field["name"] == "Links"]
    assert 0 < len(links) <= FIELD_MAX
    assert links.startswith("[Open alert](")


def test_of_what_a_receiver_echoes_no_spelling_of_a_token_is_kept() -> None:
    token = url_of(sent(), "acknowledge").rpartition("/")[2]
    mask = SecretMask(Destination("https://example.com/hook", 1.0, (), SignatureScheme.V1, (KEY,)))
    echoes = [f"{ORIGIN}/act/{token}", rf"https:\/\/x\/act\/{token}", f"x%2Fact%2F{token}%22", f"/act/{token[:70]}"]
    for echo in echoes:
        kept, _ = mask.kept(Outcome(1.0, 200, response_body=echo.encode()))
        assert token[:40] not in kept.response_body.decode()
    other = f"/contact/{token}"
    kept, _ = mask.kept(Outcome(1.0, 200, response_body=other.encode()))
    assert kept.response_body.decode() == other


def test_of_a_redirect_that_echoes_the_query_no_token_is_kept() -> None:
    payload = sent()
    token = url_of(payload, "acknowledge").rpartition("/")[2]
    url = render_body(BodyFormat.NTFY, RAISED, payload).url("http://ntfy.example.com/topic")
    mask = SecretMask(
        Destination("http://ntfy.example.com/topic", 1.0, (), SignatureScheme.V1, (KEY,), BodyFormat.NTFY)
    )
    exchange = Exchange(
        OutboundRequest(url, (), b"", 1.0),
        response_headers=(("Location", url.replace("http:", "https:")),),
        note=f"The URL is {url}.",
    )
    kept, stored = mask.kept(Outcome(1.0, 308, error_detail=f"answered 308 to {url}", exchange=exchange))
    assert stored is not None
    assert stored.note is not None
    assert kept.error_detail is not None
    [location] = stored.response_headers
    assert not any(token in text for text in (location.value, stored.note, kept.error_detail))
