"""Subscribers of domain events: every event has a row, and the row says what follows."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, get_args
from uuid import UUID

import pytest

from monitor.bootstrap.subscribers import SUBSCRIBERS, is_live, live_publisher
from monitor.domain import events
from monitor.domain.alerts.alert import AlertKind
from monitor.domain.anomaly.model import Signal
from monitor.domain.events import DomainEvent
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.live.messages import MessageKind
from monitor.domain.vocab import HealthStatus, Severity

HOOK, OTHER = UUID(int=7), UUID(int=8)
AT = datetime(2027, 1, 15, 8, tzinfo=UTC)


class FakeReads:
    """Answers with the kind of view and the id that was read."""

    async def alert(self, alert_id: UUID) -> tuple[str, UUID]:
        return "alert", alert_id

    async def anomaly(self, anomaly_id: UUID) -> tuple[str, UUID]:
        return "anomaly", anomaly_id


async def published(event: DomainEvent) -> list[tuple[MessageKind, Any, UUID | None]]:
    """Return the live messages of *event*."""
    sent: list[tuple[MessageKind, Any, UUID | None]] = []
    feed: Any = SimpleNamespace(publish=lambda kind, data, webhook_id: sent.append((kind, data, webhook_id)))
    reads: Any = FakeReads()
    await live_publisher(feed, reads)([event])
    return sent


@pytest.mark.parametrize("event", get_args(DomainEvent))
def test_every_event_has_a_row(event: type[DomainEvent]) -> None:
    assert event in SUBSCRIBERS


@pytest.mark.parametrize(
    ("event", "kind", "webhook_id", "view"),
    [
        (
            events.AlertRaised(OTHER, HOOK, AlertKind.FAILING, Severity.WARNING, "t"),
            MessageKind.ALERT_NEW,
            HOOK,
            "alert",
        ),
        (events.AlertUpdated(OTHER, SYSTEM_ID), MessageKind.ALERT_UPDATED, None, "alert"),
        (events.AlertUnacknowledged(OTHER, HOOK, "ada"), MessageKind.ALERT_UPDATED, HOOK, "alert"),
        (events.AlertAcknowledged(OTHER, HOOK, "ada"), MessageKind.ALERT_UPDATED, HOOK, "alert"),
        (events.AlertResolved(OTHER, HOOK, "ada"), MessageKind.ALERT_UPDATED, HOOK, "alert"),
        (
            events.AnomalyOpened(OTHER, HOOK, Signal.FAILURES, Severity.WARNING, "s"),
            MessageKind.ANOMALY_OPENED,
            HOOK,
            "anomaly",
        ),
        (events.AnomalyClosed(OTHER, HOOK, Signal.FAILURES), MessageKind.ANOMALY_CLOSED, HOOK, "anomaly"),
    ],
)
async def test_an_event_of_an_alert_or_anomaly_is_published_with_its_view(
    event: DomainEvent, kind: MessageKind, webhook_id: UUID | None, view: str
) -> None:
    assert await published(event) == [(kind, (view, OTHER), webhook_id)]


async def test_a_change_of_health_is_published_with_its_own_members() -> None:
    event = events.WebhookStatusChanged(HOOK, HealthStatus.DEGRADED, "r", AT)
    members = {"webhook_id": HOOK, "status": HealthStatus.DEGRADED, "reason": "r", "at": AT}
    assert await published(event) == [(MessageKind.WEBHOOK_STATUS_CHANGED, members, HOOK)]


@pytest.mark.parametrize("event", [events.WebhookCreated(HOOK), events.SilencesChanged()])
async def test_an_event_without_a_live_message_is_not_published(event: DomainEvent) -> None:
    assert not is_live(event)
    assert await published(event) == []
