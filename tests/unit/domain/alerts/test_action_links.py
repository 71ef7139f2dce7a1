"""Tokens of one-use links: only what was signed here is read, and a message has them where somebody should act."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts.action_links import (
    OFFERED,
    ActionLink,
    ActionLinks,
    LinkAction,
    link_digest,
    without_tokens,
)
from monitor.domain.alerts.notification import ACKNOWLEDGED, RAISED, RESOLVED, notification_of
from monitor.domain.ids import id_floor
from tests.unit.domain.alerts.alert_stories import DOWN, NOW, Story

PAGE = "https://monitor.example.com/"
KEY, OLDER = b"k" * 32, b"o" * 32
LINKS = ActionLinks(PAGE, (KEY, OLDER))
DESTINATION = UUID(int=9)
LINK = ActionLink(LinkAction.ACKNOWLEDGE, UUID(int=5), DESTINATION, NOW)
EVENT = id_floor(NOW)

links = st.builds(
    ActionLink,
    st.sampled_from(LinkAction),
    st.uuids(),
    st.uuids(),
    st.integers(0, 2**32 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)


def payload(event_type: str = RAISED) -> bytes:
    story = Story()
    story.update(DOWN)
    return notification_of(event_type, story.alert, "Orders", {}).payload


@given(links)
def test_a_token_is_read_as_it_was_made(link: ActionLink) -> None:
    """Any link, signed with any key of the ring, comes back."""
    for key in (KEY, OLDER):
        token = LINKS.token(link, key)
        assert LINKS.read(token) == link
        assert len(token) == 72


@given(links, st.integers(0, 54 * 8 - 1))
def test_a_token_with_any_bit_changed_is_not_read(link: ActionLink, bit: int) -> None:
    """A forged token says nothing: neither another action, nor alert, nor destination, nor time."""
    signed = bytearray(base64.urlsafe_b64decode(LINKS.token(link)))
    signed[bit // 8] ^= 1 << bit % 8
    assert LINKS.read(base64.urlsafe_b64encode(bytes(signed)).decode()) is None


@given(st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9_-]{72}", fullmatch=True))
def test_any_other_text_is_not_read(text: str) -> None:
    """Total over texts."""
    assert LINKS.read(text) is None


def test_a_key_that_is_gone_takes_its_links_along() -> None:
    token = LINKS.token(LINK, OLDER)
    assert ActionLinks(PAGE, (KEY,)).read(token) is None


@pytest.mark.parametrize("head", [b"\x02\x01", b"\x01\x00", b"\x01\x63"])
def test_a_token_of_another_version_is_not_read(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.domain.alerts import action_links  # noqa: PLC0415 - signs what no version makes

    body = head + base64.urlsafe_b64decode(LINKS.token(LINK))[2:38]
    signed = body + action_links._mac(KEY, body)
    assert LINKS.read(base64.urlsafe_b64encode(signed).decode()) is None


def test_a_message_has_a_link_for_each_action_valid_for_a_day() -> None:
    sent = msgspec.json.decode(LINKS.added_to(payload(), RAISED, EVENT, DESTINATION))
    assert set(sent["links"]) == {"acknowledge", "silence_1h", "silence_1d"}
    for action in LinkAction:
        url = sent["links"][action.value]
        assert url.startswith("https://monitor.example.com/act/")
        read = LINKS.read(url.rpartition("/")[2])
        assert read is not None
        assert (read.action, read.destination_id) == (action, DESTINATION)
        assert str(read.alert_id) == sent["data"]["alert"]["id"]
        assert read.expires_at == NOW + timedelta(days=1)


def test_a_retry_sends_the_same_bytes_and_another_destination_others() -> None:
    first = LINKS.added_to(payload(), RAISED, EVENT, DESTINATION)
    assert LINKS.added_to(payload(), RAISED, EVENT, DESTINATION) == first
    assert LINKS.added_to(payload(), RAISED, EVENT, UUID(int=8)) != first


def test_other_links_and_members_stay() -> None:
    members = msgspec.json.decode(payload()) | {"links": {"alert": f"{PAGE}#/alerts/1"}, "more": [1]}
    sent = msgspec.json.decode(LINKS.added_to(msgspec.json.encode(members), RAISED, EVENT, DESTINATION))
    assert sent["links"]["alert"] == f"{PAGE}#/alerts/1"
    assert {name: sent[name] for name in ("data", "more")} == {name: members[name] for name in ("data", "more")}


@pytest.mark.parametrize("event_type", [ACKNOWLEDGED, RESOLVED, "order.paid", "webhook.ping"])
def test_messages_about_nothing_to_do_have_none(event_type: str) -> None:
    assert event_type not in OFFERED
    assert list(LINKS.variants(payload(), event_type, EVENT, DESTINATION)) == [payload()]


def test_an_alert_that_is_not_pending_has_none() -> None:
    story = Story()
    story.update(DOWN)
    story.ack()
    stored = notification_of(RAISED, story.alert, "Orders", {}).payload
    assert LINKS.added_to(stored, RAISED, EVENT, DESTINATION) == stored


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b'{"data": 1}', b"\xff", b"[" * 5_000, b'{"data":{"alert":{}}}'])
def test_a_payload_that_cannot_be_read_stays_as_it_is(stored: bytes) -> None:
    assert LINKS.added_to(stored, RAISED, EVENT, DESTINATION) == stored


def test_each_key_makes_a_variant_of_a_message() -> None:
    variants = list(LINKS.variants(payload(), RAISED, EVENT, DESTINATION))
    assert len(set(variants)) == 2
    assert variants[0] == LINKS.added_to(payload(), RAISED, EVENT, DESTINATION)


def test_users_see_a_message_without_tokens() -> None:
    sent = LINKS.added_to(payload(), RAISED, EVENT, DESTINATION)
    shown = msgspec.json.decode(without_tokens(sent))
    assert set(shown["links"].values()) == {"https://monitor.example.com/act/***"}
    assert without_tokens(payload()) == payload()


def test_what_is_stored_of_a_token_is_no_token() -> None:
    token = LINKS.token(LINK)
    assert len(link_digest(token)) == 32
    assert token.encode() not in link_digest(token)


def test_the_keys_are_not_shown() -> None:
    assert repr(LINKS) == "ActionLinks(…)"
