"""Events about alerts, as Monitor publishes them and as nobody should."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from monitor.domain.alerts.links import with_links
from monitor.domain.alerts.notification import RAISED, notification_of
from monitor.domain.delivery.alert_event import ALERTS
from monitor.domain.vocab import Severity
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import DOWN, Story

PAGE = "https://monitor.example.com/"

hostile_texts = st.lists(
    st.sampled_from(
        [
            "@everyone",
            "<!channel>",
            "<@U1>",
            "<at>",
            "&",
            "[a](http://x)",
            "*",
            "\\",
            "\x00",
            '"',
            "\U0001f600",
            "a" * 900,
        ]
    ),
    max_size=4,
).map("".join)
times = st.sampled_from(
    ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+02:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
alert_parts = st.fixed_dictionaries(
    {
        "title": hostile_texts,
        "severity": st.sampled_from(Severity),
        "kind": hostile_texts,
        "count": st.integers(-(2**63), 2**63 - 1),
    },
    optional={
        "id": st.uuids(),
        "acknowledged_by": st.none() | hostile_texts,
        "note": st.none() | hostile_texts,
        "raised_at": st.none() | times,
        "resolved_at": st.none() | times,
        "resolved_by": st.none() | hostile_texts,
    },
)
link_parts = st.dictionaries(
    st.sampled_from(["alert", "webhook", "failed_attempts", "other"]),
    hostile_texts | st.integers() | st.sampled_from([PAGE, "javascript:alert(1)", f"{PAGE}#/a)b", f"{PAGE}<b>"]),
)
alert_payloads = st.builds(
    lambda alert, name, rest: msgspec.json.encode({"data": {"alert": alert, "webhook": name}} | rest),
    alert_parts,
    st.none() | st.fixed_dictionaries({"name": st.none() | hostile_texts}),
    st.fixed_dictionaries({}, optional={"timestamp": times, "links": link_parts, "sample": st.booleans()}),
)
payloads = st.binary(max_size=300) | alert_payloads | hostile_texts.map(str.encode)
types = our.event_types | our.alert_event_types | st.text(max_size=600).map(ALERTS.__add__)


def alert_payload(event_type: str = RAISED, webhook: str | None = "Orders", **changes: Any) -> bytes:
    """Return the payload of an event about an alert that was raised because Orders is unavailable."""
    story = Story()
    story.update(DOWN)
    alert = msgspec.structs.replace(story.alert, **changes)
    return notification_of(event_type, alert, webhook, {}).payload


def linked_payload(event_type: str = RAISED, **changes: Any) -> bytes:
    """The same with links into the page."""
    return with_links(alert_payload(event_type, **changes), PAGE)
