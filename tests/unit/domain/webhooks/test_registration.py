"""What a person may ask of a webhook."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Invalid
from monitor.domain.vocab import BodyFormat
from monitor.domain.webhooks.registration import (
    WebhookSpec,
    check,
    check_origin,
    merge,
    merge_patch,
    reconfigure,
    register,
    spec_of,
    stored_headers,
)
from monitor.domain.webhooks.webhook import MASK, Webhook
from tests import strategies as our

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "https://orders.example/hook"
SPEC = WebhookSpec(name="Orders", url=URL)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | our.segments,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def with_(**changes: Any) -> WebhookSpec:
    return msgspec.structs.replace(SPEC, **changes)


def pointers(spec: WebhookSpec, known: tuple[str, ...] | None = None) -> list[str]:
    """Return the pointers of what *check* finds wrong; *known* are the names of stored headers."""
    old = None if known is None else register(with_(headers=dict.fromkeys(known, "x")), UUID(int=1), URL, NOW)
    try:
        check(spec, old)
    except Invalid as error:
        return [field.pointer for field in error.errors]
    return []


# ---------------------------------------------------------------------------------------------------------------- rules


def test_of_e_mail_neither_header_fields_nor_format_can_be_chosen() -> None:
    mail = with_(url="mailto:ops@example.org")
    assert pointers(mail) == []
    chosen = msgspec.structs.replace(mail, headers={"X-Team": "ops"}, body_format=BodyFormat.SLACK)
    assert pointers(chosen) == ["/headers", "/body_format"]
    assert pointers(with_(body_format=BodyFormat.EMAIL)) == ["/body_format"]


def test_a_webhook_for_e_mail_is_of_its_format_whether_that_was_said_or_not() -> None:
    mail = with_(url="mailto:ops@example.org")
    webhook = register(mail, UUID(int=1), mail.url, NOW)
    assert webhook.body_format is BodyFormat.EMAIL
    assert pointers(spec_of(webhook)) == []
    assert reconfigure(webhook, SPEC, URL, NOW).body_format is BodyFormat.STANDARD


def test_a_name_and_an_address_are_enough() -> None:
    assert pointers(SPEC) == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"event_types": ["order.paid", "order.*", "*"]}, []),
        ({"event_types": ["order.paid", "or der", "*.paid"]}, ["/event_types/1", "/event_types/2"]),
        ({"labels": {str(n): "x" for n in range(32)}}, []),
        ({"labels": {str(n): "x" for n in range(33)}}, ["/labels"]),
        ({"headers": {"X-Team": "blue \t!", "Authorization": "Bearer 1"}}, []),
        ({"headers": {f"X-{n}": "x" for n in range(33)}}, ["/headers"]),
        ({"headers": {"": "x", "X Y": "x"}}, ["/headers/", "/headers/X Y"]),
        ({"headers": {"a/b~c": "x", "X-É": "x"}}, ["/headers/a~1b~0c", "/headers/X-É"]),
        ({"headers": {"Webhook-ID": "x", "HOST": "x"}}, ["/headers/Webhook-ID", "/headers/HOST"]),
        ({"headers": {"X-Team": "a", "x-team": "b"}}, ["/headers/x-team"]),
        ({"headers": {"X-Team": "a\r\nHost: evil"}}, ["/headers/X-Team"]),
        ({"headers": {"X-Team": "x" * 4_097}}, ["/headers/X-Team"]),
        ({"headers": {"X-Team": MASK}}, ["/headers/X-Team"]),
        ({"name": "pay\u202epal"}, ["/name"]),
        ({"name": "two\nlines"}, ["/name"]),
        ({"description": "two\n\tlines"}, []),
        ({"description": "\x1b[31mred"}, ["/description"]),
        ({"labels": {"te\u2066am": "blue"}}, ["/labels"]),
        ({"labels": {"team": "blue\x00"}}, ["/labels"]),
        ({"url": "https://hooks.slack.com/***"}, ["/url"]),
        ({"retry": RetryPolicy(())}, ["/retry/schedule_s"]),
        ({"retry": RetryPolicy((0.0,) * 50)}, []),
        ({"retry": RetryPolicy((0.0,) * 51)}, ["/retry/schedule_s"]),
        ({"retry": RetryPolicy((0.0, -1.0))}, ["/retry/schedule_s"]),
        ({"retry": RetryPolicy((5.0, 10.0))}, ["/retry/schedule_s/0"]),
        ({"retry": RetryPolicy((math.nan,))}, ["/retry/schedule_s"]),
        ({"retry": RetryPolicy((30 * 86_400 + 1.0,))}, ["/retry/schedule_s"]),
        ({"retry": RetryPolicy(jitter_ratio=1.5)}, ["/retry/jitter_ratio"]),
        ({"rate_limit": RateLimit(0.001, 1)}, []),
        ({"rate_limit": RateLimit(0.0, 1)}, ["/rate_limit"]),
        ({"rate_limit": RateLimit(1.0, 0)}, ["/rate_limit"]),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named_where_it_is(changes: dict[str, Any], wrong: list[str]) -> None:
    assert pointers(with_(**changes)) == wrong


def test_every_broken_rule_is_named_at_once() -> None:
    assert len(pointers(with_(event_types=["?"], headers={"Host": "x"}, rate_limit=RateLimit(0.0)))) == 3


def test_a_mask_keeps_only_a_header_that_is_stored() -> None:
    masked = with_(headers={"X-Team": MASK})
    assert pointers(masked, ("X-Team",)) == []
    assert pointers(masked, ("x-team",)) == ["/headers/X-Team"]
    assert stored_headers(with_(headers={"X-Team": MASK, "X-Env": "test"})) == {"X-Team": None, "X-Env": "test"}


def test_what_a_webhook_is_called_already_may_stay_and_nothing_else() -> None:
    named = with_(name="pay\u202epal", description="\x07", labels={"a\n": "b"})
    old = register(named, UUID(int=1), URL, NOW)
    check(msgspec.structs.replace(named, timeout_s=3.0), old)
    for changes in ({"name": "pal\u202e"}, {"description": "\x08"}, {"labels": {"a\n": "c"}}):
        with pytest.raises(Invalid):
            check(msgspec.structs.replace(named, **changes), old)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://orders.example/other?x=1", []),
        ("http://orders.example/hook", ["/headers/X-Team"]),
        ("https://orders.example:8443/hook", ["/headers/X-Team"]),
        ("https://evil.example/hook", ["/headers/X-Team"]),
        ("https://orders.example.evil.example/hook", ["/headers/X-Team"]),
    ],
)
def test_stored_header_values_go_to_the_server_that_they_were_given_for(url: str, wrong: list[str]) -> None:
    kept = with_(url=url, headers={"X-Team": MASK, "X-Env": "test"})
    if wrong:
        with pytest.raises(Invalid, match="again") as refused:
            check_origin(kept, URL, url)
        assert [field.pointer for field in refused.value.errors] == wrong
    else:
        check_origin(kept, URL, url)
    check_origin(with_(url=url, headers={"X-Team": "anew"}), URL, url)


# ------------------------------------------------------------------------------------------------------ there and back


@given(our.webhooks)
def test_a_webhook_replaced_by_its_own_description_only_moves_on(webhook: Webhook) -> None:
    """reconfigure(w, spec_of(w)) changes nothing but version, updated_at and why it was disabled."""
    again = reconfigure(webhook, spec_of(webhook), webhook.url, NOW)
    assert again.version == webhook.version + 1
    assert again.updated_at == NOW
    expected = msgspec.structs.replace(
        webhook,
        version=again.version,
        updated_at=NOW,
        event_types=tuple(dict.fromkeys(webhook.event_types)),
        header_names=tuple(dict.fromkeys(webhook.header_names)),
        disabled_reason=None if webhook.enabled else webhook.disabled_reason,
        disabled_at=None if webhook.enabled else webhook.disabled_at,
    )
    assert again == expected


def test_a_registered_webhook_is_as_described_at_its_canonical_address() -> None:
    spec = with_(event_types=["a", "b", "a"], headers={"X-Team": "blue"}, labels={"team": "blue"})
    webhook = register(spec, UUID(int=1), "https://canonical.example/", NOW)
    assert (webhook.url, webhook.version, webhook.created_at) == ("https://canonical.example/", 1, NOW)
    assert webhook.event_types == ("a", "b")
    assert webhook.header_names == ("X-Team",)


def test_enabling_a_webhook_forgets_why_it_was_disabled() -> None:
    gone = msgspec.structs.replace(register(SPEC, UUID(int=1), URL, NOW), enabled=False, disabled_reason="Gone.")
    assert reconfigure(gone, with_(enabled=False), URL, NOW).disabled_reason == "Gone."
    assert reconfigure(gone, SPEC, URL, NOW).disabled_reason is None


# ---------------------------------------------------------------------------------------------------------- merge patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396_hold(target: Any, patch: Any, result: Any) -> None:
    """RFC 7396 appendix A."""
    assert merge(target, patch) == result


@given(json_values, json_values)
def test_a_merge_patch_applied_twice_is_applied_once(target: Any, patch: Any) -> None:
    """merge(merge(t, p), p) == merge(t, p)."""
    once = merge(target, patch)
    assert merge(once, patch) == once


def test_a_patch_reaches_into_members_and_null_restores_the_default() -> None:
    spec = with_(retry=RetryPolicy((1.0, 2.0), 0.5), rate_limit=RateLimit(5.0, 2), headers={"X-A": MASK})
    patch = {"retry": {"schedule_s": None}, "rate_limit": {"burst": 9}, "headers": {"X-B": "b"}, "description": "New"}
    patched = msgspec.convert(merge_patch(spec, patch), WebhookSpec)
    assert patched.retry == RetryPolicy(jitter_ratio=0.5)
    assert patched.rate_limit == RateLimit(5.0, 9)
    assert patched.headers == {"X-A": MASK, "X-B": "b"}
    assert (patched.name, patched.description) == ("Orders", "New")
