"""
Events about alerts as needed by messages and pagers, read from the payload that subscribers get.

Payloads are untrusted: those that cannot be read are ``None``, and of links only those to HTTP URLs without special
characters are kept.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.lateness import late_text
from monitor.domain.text import safe_text
from monitor.domain.vocab import Severity

ALERTS = "monitor.alert."
"""Prefix of the types of events about alerts."""

RAISED = "raised"
ACKNOWLEDGED = "acknowledged"
RESOLVED = "resolved"
FLAPPING = "flapping"
"""Last segments of those types. Any other, of a newer version, is about an open alert."""

SYSTEM_ACTOR = "system"

LINK_TEXTS = {
    "alert": "Open alert",
    "acknowledge": "Acknowledge",
    "silence_1h": "Silence for 1 h",
    "webhook": "Webhook",
    "failed_attempts": "Failed attempts",
}
"""The links that messages show, in their order: five, which is what Slack shows of buttons."""

_LINK = re.compile(r"https?://[A-Za-z0-9\[][A-Za-z0-9._~:/?#\[\]@!$&+,;=%-]{1,2000}")

AwareTime = Annotated[datetime, Meta(tz=True)]


class EventAlert(msgspec.Struct, frozen=True):
    """The alert of an event. ``note`` is the user's; of an alert that resolved by itself it states what is well now."""

    title: str
    severity: Severity
    kind: str
    count: int
    id: UUID | None = None
    acknowledged_by: str | None = None
    note: str | None = None
    raised_at: AwareTime | None = None
    resolved_at: AwareTime | None = None
    resolved_by: str | None = None


class AlertEvent(msgspec.Struct, frozen=True):
    """``verb`` is the last segment of the event's type; ``links`` are pairs of text and URL. ``is_sample``: there is no
    such alert. ``late_s``: how long after it was due it is sent, in seconds. ``reminder`` is the sentence of a
    reminder."""

    verb: str
    alert: EventAlert
    webhook: str | None
    at: datetime | None
    links: tuple[tuple[str, str], ...]
    is_sample: bool
    late_s: int = 0
    reminder: str | None = None

    @property
    def is_over(self) -> bool:
        return self.verb == RESOLVED

    @property
    def key(self) -> str:
        """What identifies the alert at a pager, in every event about it."""
        return str(self.alert.id or "monitor-alert")

    @property
    def heading(self) -> str:
        late = late_text(self.late_s)
        return f"{self.alert.severity.capitalize()} alert {self.verb}{f' ({late})' if late else ''}"

    @property
    def sentence(self) -> str:
        """What holds now: the alert's sentence, or once it is resolved that, for how long it was, and what is well."""
        alert = self.alert
        if not self.is_over:
            return safe_text(self.reminder or alert.title) or self.heading
        by = "" if self._resolved_itself or alert.resolved_by is None else f" by {alert.resolved_by}"
        end = f" after {in_words(duration)}" if (duration := self._duration()) is not None else ""
        rest = alert.note if self._resolved_itself and alert.note else f"It was: {alert.title}"
        return safe_text(f"Resolved{by}{end}. {rest}")

    @property
    def alert_link(self) -> str | None:
        return dict(self.links).get(LINK_TEXTS["alert"])

    def facts(self) -> dict[str, str]:
        """Return labels and values, none blank."""
        alert = self.alert
        facts = {
            "Webhook": self.webhook,
            "Severity": alert.severity.value,
            "Kind": alert.kind,
            "Times": str(alert.count),
            "Time": None if self.at is None else utc(self.at),
            "Acknowledged by": alert.acknowledged_by,
            "Note": None if self._resolved_itself else alert.note,
        }
        return {label: safe_text(value) for label, value in facts.items() if value and value.strip()}

    @property
    def _resolved_itself(self) -> bool:
        return self.is_over and self.alert.resolved_by == SYSTEM_ACTOR

    def _duration(self) -> timedelta | None:
        alert = self.alert
        if alert.raised_at is None or alert.resolved_at is None:
            return None
        return max(alert.resolved_at - alert.raised_at, timedelta(0))


def read_alert(event_type: str, payload: bytes) -> AlertEvent | None:
    """Return the event about an alert; ``None`` of any other event, and of a payload that cannot be read."""
    if not event_type.startswith(ALERTS):
        return None
    try:
        read = msgspec.json.decode(payload, type=_Payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    webhook = None if read.data.webhook is None else read.data.webhook.name
    return AlertEvent(
        event_type.removeprefix(ALERTS),
        read.data.alert,
        webhook,
        read.timestamp,
        _kept(read.links),
        read.sample,
        read.late_s,
        None if read.data.reminder is None else read.data.reminder.text,
    )


def utc(at: datetime) -> str:
    """Return *at* as readers of any zone understand it, to the second."""
    return f"{_in_utc(at):%Y-%m-%d %H:%M:%S} UTC"


def rfc3339(at: datetime) -> str:
    return _in_utc(at).isoformat().replace("+00:00", "Z")


def later(at: datetime, by: timedelta) -> datetime:
    """Return *at* in UTC after *by*, or the last time that there is."""
    try:
        return _in_utc(at) + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def in_words(duration: timedelta) -> str:
    """Return *duration*, not negative, in its largest unit of which there is one."""
    seconds = int(duration.total_seconds())
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            return _counted(seconds // unit, name)
    return _counted(seconds, "second")


def cut(text: str, max_length: int) -> str:
    """Return *text*, its end replaced by an ellipsis if it is longer than *max_length* characters."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def _counted(n: int, name: str) -> str:
    return f"{n} {name}" if n == 1 else f"{n} {name}s"


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        # In the first or last hours that there are.
        return at.replace(tzinfo=UTC)


def _kept(links: dict[str, object]) -> tuple[tuple[str, str], ...]:
    found = ((text, links.get(name)) for name, text in LINK_TEXTS.items())
    return tuple((text, url) for text, url in found if isinstance(url, str) and _LINK.fullmatch(url))


class _Webhook(msgspec.Struct):
    name: str | None = None


class _Reminder(msgspec.Struct):
    text: str


class _Data(msgspec.Struct):
    alert: EventAlert
    webhook: _Webhook | None = None
    reminder: _Reminder | None = None


class _Payload(msgspec.Struct):
    data: _Data
    timestamp: AwareTime | None = None
    links: dict[str, object] = {}
    sample: bool = False
    late_s: int = 0
