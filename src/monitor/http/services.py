"""What the controllers call. Built by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from monitor.domain.ports import Queries
from monitor.domain.services.measure import Measurer
from monitor.domain.services.publish import Publisher
from monitor.domain.services.registry import Registry
from monitor.domain.services.triage import Triage
from monitor.domain.vocab import Page
from monitor.domain.watch_ports import AlertQueries
from monitor.http.paging import encode_cursor


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


Row = TypeVar("Row", bound=Identified)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the routes. ``readiness`` returns what is not ready, one line each."""

    registry: Registry
    publisher: Publisher
    measurer: Measurer
    triage: Triage
    queries: Queries
    alert_queries: AlertQueries
    readiness: Callable[[], Awaitable[list[str]]]


def page(rows: list[Row], limit: int) -> Page[Row]:
    """Cut a page of *limit* rows from a query that was asked for one more, to know whether another page follows."""
    following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return Page(rows[:limit], following)
