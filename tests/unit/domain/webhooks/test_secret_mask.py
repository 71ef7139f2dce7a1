"""What is kept of an attempt holds no secret of its destination, however the receiver spells it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.exchange import Exchange, HeaderField
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES, Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import BodyFormat, ErrorKind, SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.secret_mask import SecretMask

KEY = bytes(range(24))
TOKEN = 't0ken/"ü"+secret'
DESTINATION = Destination(
    "https://example.com/hook", 5.0, (("X-Token", TOKEN), ("Authorization", "Bearer abcdefgh123"), ("X-Env", "eu")),
    SignatureScheme.V1, (KEY,),
)  # fmt: skip
MASKED = SecretMask(DESTINATION)


def outcome_of(body: bytes, *headers: tuple[str, str]) -> Outcome:
    sent = OutboundRequest(DESTINATION.url, (("webhook-id", "1"), *DESTINATION.headers), b'{"a": 1}', 5.0)
    exchange = Exchange(sent, (("Host", "example.com"),), headers, "odd")
    return Outcome(1.0, 200, response_body=body, exchange=exchange)


@pytest.mark.parametrize(
    "echo",
    [
        TOKEN,
        json.dumps(TOKEN)[1:-1],
        json.dumps(TOKEN, ensure_ascii=False)[1:-1],
        json.dumps(TOKEN)[1:-1].replace("/", "\\/"),
        json.dumps(json.dumps(TOKEN))[3:-3],
        json.dumps(TOKEN)[1:-1].replace("+", "\\u002B"),
        quote(TOKEN, safe=""),
        quote(TOKEN).lower(),
        quote(quote(TOKEN, safe=""), safe=""),
        html.escape(TOKEN),
        html.escape(TOKEN).replace("&quot;", "&#34;").replace("+", "&#x2B;"),
        "".join(c.upper() if c.isascii() else c for c in TOKEN),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("="),
        KEY.hex(),
        "BEARER+ABCDEFGH123",
        "Bearer%20abcdefgh123",
        "Bearer abcdefgh123",
        "abcdefgh123",
        base64.b64encode(b"abcdefgh123").decode(),
        base64.b64encode(KEY).decode(),
    ],
)
def test_an_echo_is_masked_however_it_is_spelled(echo: str) -> None:
    masked = MASKED.mask(f"before {echo} after {echo}").replace("***=", "***")
    assert masked == "before *** after ***"


def test_what_is_too_short_to_be_a_secret_stays_in_answers() -> None:
    assert MASKED.mask("europe: eu") == "europe: eu"


def test_a_secret_that_the_kept_body_cuts_is_masked_as_far_as_it_goes() -> None:
    filler = "x" * (RESPONSE_BODY_BYTES - 8)
    outcome, _ = MASKED.kept(outcome_of(f"{filler}abcdefgh123".encode()[:RESPONSE_BODY_BYTES]))
    assert outcome.response_body.decode() == f"{filler}***"


@pytest.mark.parametrize(
    "end",
    [
        "abcd",
        "abcdefgh12",
        "ABCDEFGH",
        "t0ken%2",
        "t0ken%2F%2",
        "t0ken\\",
        "t0ken/\\u002",
        "&#120;t0ken/&quo",
    ],
)
def test_a_secret_is_masked_wherever_the_kept_body_cuts_it(end: str) -> None:
    masked = MASKED.mask(f"see {end}", is_cut=True)
    assert masked in {"see ***", "see &#120;***"}


def test_what_is_not_a_secret_keeps_its_escapes() -> None:
    for text in ('{"a": "\\u00fc\\\\/"}', "a%20b%2", "&lt;p&gt; &am", "\\ud800", "%ff%fe"):
        assert MASKED.mask(text) == MASKED.mask(text, is_cut=True) == text


def test_credentials_are_masked_as_sent_and_as_meant() -> None:
    basic = "Basic " + base64.b64encode(b"ada:pass word").decode()
    mask = SecretMask(msgspec.structs.replace(DESTINATION, headers=(("Authorization", basic),)))
    assert mask.mask(f"{basic} ada:pass word / pass word") == "*** *** / ***"
    for odd in ("Basic ???", "Basic /w==", "Basic"):
        SecretMask(msgspec.structs.replace(DESTINATION, headers=(("Authorization", odd),)))


def test_the_parts_of_a_secret_are_masked_in_base64() -> None:
    path = "/services/T0/B0/abcdefghijklmnopqrstuvwx"
    basic = "Basic " + base64.b64encode(b"ada:pass word").decode()
    headers = (("Authorization", basic),)
    mask = SecretMask(Destination(f"https://a.com{path}", 5.0, headers, SignatureScheme.V1, (KEY,), BodyFormat.SLACK))
    for secret in (path, path[-24:], "ada:pass word", "pass word"):
        assert mask.mask(base64.b64encode(secret.encode()).decode().rstrip("=")) == "***"


def test_the_url_of_a_chat_service_is_masked_in_what_is_kept() -> None:
    url = "https://hooks.slack.com/services/T0000/B0000/abcdefghijklmnopqrstuvwx"
    mask = SecretMask(Destination(url, 5.0, (), SignatureScheme.V1, (KEY,), BodyFormat.SLACK))
    sent = OutboundRequest(url, (), b"{}", 5.0)
    answered = (("Location", url), ("X-ABCDEFGHIJKLMNOPQRSTUVWX", "1"))
    exchange = Exchange(sent, (("Host", "hooks.slack.com"),), answered, "odd: abcdefghijklmnopqrstuvwx")
    outcome, stored = mask.kept(
        Outcome(
            1.0,
            404,
            ErrorKind.STATUS,
            "abcdefghijklmnopqrstuvwx is gone",
            response_body=b"no /services/T0000/B0000/abcdefghijklmnopqrstuvwx here",
            exchange=exchange,
        )
    )
    assert (outcome.response_body, outcome.error_detail) == (b"no *** here", "*** is gone")
    assert stored is not None
    assert (stored.url, stored.note) == ("https://hooks.slack.com/***", "odd: ***")
    assert stored.response_headers == (HeaderField("Location", "https://hooks.slack.com***"), HeaderField("X-***", "1"))


def test_a_cut_body_that_ends_otherwise_stays() -> None:
    body = b"y" * RESPONSE_BODY_BYTES
    outcome, _ = MASKED.kept(outcome_of(body))
    assert outcome.response_body == body


def test_a_whole_body_that_ends_like_a_secret_begins_stays() -> None:
    outcome, _ = MASKED.kept(outcome_of(b"see abcdefgh"))
    assert outcome.response_body == b"see abcdefgh"


def test_the_exchange_shows_what_was_sent_without_the_webhooks_own_values() -> None:
    _, exchange = MASKED.kept(outcome_of(b"", ("X-Echo", f"you sent {TOKEN}"), ("X-Echo", "eu")))
    assert exchange is not None
    assert (exchange.method, exchange.url, exchange.note) == ("POST", DESTINATION.url, "odd")
    assert exchange.request_headers == (
        HeaderField("Host", "example.com"),
        HeaderField("webhook-id", "1"),
        HeaderField("X-Token", "***"),
        HeaderField("Authorization", "***"),
        HeaderField("X-Env", "***"),
        HeaderField("Content-Length", "8"),
    )
    assert (exchange.body_bytes, exchange.body_sha256) == (8, hashlib.sha256(b'{"a": 1}').hexdigest())
    assert exchange.response_headers == (HeaderField("X-Echo", "you sent ***"), HeaderField("X-Echo", "eu"))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Set-Cookie", "session=abc; Path=/", "session=***"),
        ("set-cookie", "abc", "***"),
        ("Authentication-Info", "nextnonce=1", "***"),
        ("Set-Cookies", "a=b", "a=b"),
    ],
)
def test_secrets_of_the_receiver_are_not_kept(name: str, value: str, kept: str) -> None:
    _, exchange = MASKED.kept(outcome_of(b"", (name, value)))
    assert exchange is not None
    assert exchange.response_headers == (HeaderField(name, kept),)


def test_an_attempt_that_sent_nothing_has_no_exchange() -> None:
    outcome = Outcome(1.0, response_body=b"")
    assert MASKED.kept(outcome) == (outcome, None)


def test_a_body_is_kept_as_text_of_its_charset() -> None:
    outcome, _ = MASKED.kept(outcome_of("grüß".encode("latin-1"), ("content-type", "text/plain; charset=ISO-8859-1")))
    assert outcome.response_body == "grüß".encode()


def test_a_destination_without_secrets_changes_nothing() -> None:
    bare = SecretMask(Destination("https://a.com/", 1.0, (), SignatureScheme.V1, ()))
    assert bare.mask("anything") == "anything"


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_of_four_characters_survives(secret: str, before: str, after: str) -> None:
    mask = SecretMask(Destination("https://a.com/", 1.0, (("X", secret),), SignatureScheme.V1, ()))
    assert secret not in mask.mask(f"{before}{secret}{after}").replace("***", "")


@given(st.text(alphabet="act/%2F\\u0026&lt;x", max_size=40), st.text(alphabet="\\u0061%20&amp;", max_size=40))
def test_a_text_too_short_for_a_secret_stays(before: str, after: str) -> None:
    """No text without escapes is longer than with them, so a shorter one than all secrets is never masked."""
    only_key = SecretMask(Destination("https://example.com/", 5.0, (), SignatureScheme.V1, (KEY,)))
    text = (before + after)[:31]
    assert only_key.mask(text) == text
