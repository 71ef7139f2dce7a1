"""Read model of what happened lately: changes of alerts, of anomalies and of the health of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

MAX_ACTIVITY = 200
"""Entries of one answer."""

ActivityKind = Literal["alert", "anomaly", "health"]


class ActivityView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One change. ``action`` is that of an alert's history, ``opened`` or ``closed`` of an anomaly, ``changed`` of a
    health; ``level`` is the severity, or the health since then. ``webhook_name`` is null once the webhook is deleted,
    and ``webhook_id`` for what is about all webhooks.
    """

    at: datetime
    kind: ActivityKind
    action: str
    level: str
    text: str
    webhook_id: UUID | None
    webhook_name: str | None
    alert_id: UUID | None = None
    anomaly_id: UUID | None = None


class ActivityList(msgspec.Struct, frozen=True):
    """The newest changes, newest first."""

    items: list[ActivityView]
