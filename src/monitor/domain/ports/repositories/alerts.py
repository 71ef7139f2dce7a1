"""Alerts and their history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Alert, AlertKind, HistoryEntry
from monitor.domain.alerts.notification import NotificationRef


class UntoldAlert(msgspec.Struct, frozen=True):
    """An alert and its webhook; ``webhook_name`` is ``None`` for an alert about all webhooks."""

    alert: Alert
    webhook_name: str | None
    labels: Mapping[str, str]


class UntoldPage(msgspec.Struct, frozen=True):
    """Alerts in the order of their ids. ``ids`` are all of the page, those too that cannot be read."""

    alerts: list[UntoldAlert]
    ids: list[UUID]


class AlertRepository(Protocol):
    """Alerts and their append-only history, updated with optimistic concurrency."""

    async def latest(self, webhook_ids: Collection[UUID]) -> dict[tuple[UUID, AlertKind], Alert]:
        """Lock and return the latest alert of each webhook and kind, without those resolved over two days ago unless
        destinations were last notified of these as open."""
        ...

    async def untold(self, after: UUID, limit: int) -> UntoldPage:
        """Lock and return up to *limit* alerts after *after* that have a pending notification or are flapping, in the
        order of their ids, without those that are locked."""
        ...

    async def get(self, alert_id: UUID) -> Alert:
        """Lock and return an alert. Raises ``NotFound``."""
        ...

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> bool:
        """
        Store *after* and append *entries*, which may be none, if *before* is still stored unchanged.

        Returns:
            ``False`` if another transaction was first: it changed the alert, or raised one of the same kind.
        """
        ...

    async def link_events(self, notified: Sequence[NotificationRef]) -> None:
        """Store with each history entry the event by which subscribers were notified of it; entries that are not there
        are left out."""
        ...
