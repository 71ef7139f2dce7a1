"""Which rows a list has: its conditions, its order and its pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.ids import id_floor, id_time
from monitor.domain.ports.queries.resources import SEARCHED_BYTES, AuditFilter, WebhookFilter
from monitor.domain.views.audit import AuditView
from monitor.domain.views.webhooks import WebhookView
from monitor.domain.webhooks.chat_url import is_chat_url, origin


class _Row(Protocol):
    @property
    def id(self) -> UUID: ...


R = TypeVar("R", bound=_Row)


def contains(payload: bytes, text: str) -> bool:
    return len(payload) <= SEARCHED_BYTES and text.encode() in payload


def page(rows: Iterable[R], after: UUID | None, limit: int) -> list[R]:
    newest_first = sorted(rows, key=lambda row: row.id, reverse=True)
    return [row for row in newest_first if after is None or row.id < after][:limit]


def is_wanted(view: WebhookView, where: WebhookFilter) -> bool:
    types = None if where.event_type is None else patterns_for(where.event_type)
    name, separator, value = (where.label or "").partition("=")
    labelled = view.labels.get(name) == value if separator else name in view.labels
    url = origin(view.url) if is_chat_url(view.url, view.body_format) else view.url
    texts = (view.name.lower(), url.lower(), view.description.lower())
    return (
        where.status in (None, view.health.status)
        and where.enabled in (None, view.enabled)
        and (types is None or not set(types).isdisjoint(view.event_types))
        and (where.label is None or labelled)
        and (where.q is None or any(where.q.lower() in text for text in texts))
    )


def within(id_: UUID, from_at: datetime | None, to_at: datetime | None) -> bool:
    return (from_at is None or id_ >= id_floor(from_at)) and (to_at is None or id_ < id_floor(to_at))


def is_audited(row: AuditView, where: AuditFilter) -> bool:
    action = where.action or ""
    return (
        where.subject in (None, row.subject)
        and where.target in (None, row.target)
        and (where.action in (None, row.action) or (action.endswith(".*") and row.action.startswith(action[:-1])))
        and (where.from_at is None or id_time(row.id) >= where.from_at)
        and (where.to_at is None or id_time(row.id) < where.to_at)
    )
