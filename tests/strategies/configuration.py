"""Webhooks and silences as files and requests configure them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.strategies.values import label_maps, names, patterns, segments

_texts = st.one_of(
    names,
    # What one version of YAML or the other reads as no text.
    st.sampled_from(
        [
            "no",
            "null",
            "~",
            "1e5",
            "012",
            "0x1F",
            "1_000",
            "12:30:45",
            "2026-01-31",
            ".inf",
            "<<",
            "=",
            "- a",
            "a: b",
            "#",
        ]
    ),
)
_header_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20).filter(
    lambda text: text != "***"
)
_webhook_members: dict[str, st.SearchStrategy[Any]] = {
    "description": _texts | st.lists(_texts, min_size=2, max_size=3).map("\n".join),
    "event_types": st.lists(patterns, min_size=1, max_size=3),
    "labels": label_maps | st.dictionaries(_texts.map(lambda text: text[:64]), _texts, max_size=2),
    "headers": st.dictionaries(segments.map("X-{}".format), _header_values, max_size=2),
    "enabled": st.booleans(),
    "reenable": st.sampled_from(["never", "probe"]),
    "timeout_s": st.integers(1, 30) | st.floats(1, 30),
    "retry": st.fixed_dictionaries(
        {},
        optional={
            "schedule_s": st.lists(st.integers(0, 3600), max_size=3).map(lambda waits: [0, *waits]),
            "jitter_ratio": st.floats(0, 1),
        },
    ),
    "max_concurrency": st.integers(1, 1000),
    "rate_limit": st.none()
    | st.builds(lambda per_s, burst: {"per_s": per_s, "burst": burst}, *[st.integers(1, 99)] * 2),
    "ordered": st.sampled_from([False, True, "key"]),
    "signature": st.sampled_from(["v1", "v1a"]),
    "body_format": st.sampled_from(["standard", "slack", "ntfy"]),
    "reminders": st.none() | st.just([]) | st.just([900, 3600]),
}
_urls = st.sampled_from(
    ["HTTPS://Hooks.Example.com:443/a", "http://127.0.0.1:9/b?c=d", "https://hooks.slack.com/T/B/x"]
)
webhook_bodies = st.builds(
    lambda name, url, members: {"name": name, "url": url, **members},
    _texts,
    _urls,
    st.fixed_dictionaries({}, optional=_webhook_members),
)
"""Bodies of `POST /webhooks`."""


def silence_bodies(now: datetime) -> st.SearchStrategy[dict[str, Any]]:
    """Return bodies of `POST /silences` that begin around *now*; ``webhook_id`` is left out."""
    moments = st.integers(1, 300).map(lambda days: (now.astimezone(UTC) + timedelta(days=days)).isoformat())
    started = st.integers(-20, 20).map(lambda days: (now.astimezone(UTC) + timedelta(days=days)).isoformat())
    scopes = st.fixed_dictionaries(
        {"kind": st.sampled_from(["latency", "no_data"])},
        optional={"label": segments, "hold_deliveries": st.just(False)},
    )
    once = st.fixed_dictionaries({"ends_at": moments})
    repeated = st.fixed_dictionaries(
        {
            "starts_at": started,
            "duration_s": st.integers(60, 3600),
            "recurrence": st.sampled_from(
                [
                    {"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"},
                    {"rrule": "FREQ=WEEKLY;COUNT=40", "timezone": "UTC"},
                    {"rrule": "FREQ=DAILY;COUNT=5", "timezone": "UTC"},
                ]
            ),
        }
    )
    return st.builds(lambda reason, scope, time: {"reason": reason, **scope, **time}, _texts, scopes, once | repeated)
