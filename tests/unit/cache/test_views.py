"""The tables of cached views and of what drops them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given

from monitor.bootstrap.subscribers import CONFIGURED, INVALIDATION_RULES
from monitor.cache import POLICIES, Cache
from monitor.cache.views import STATS_DAYS, CachedViews
from monitor.domain.errors import NotFound, Unavailable
from monitor.domain.events import (
    AlertAcknowledged,
    AlertResolved,
    AlertUnacknowledged,
    DomainEvent,
    LaneChanged,
    SilencesChanged,
    WebhookCreated,
    WebhookDeleted,
    WebhookUpdated,
)
from monitor.domain.paging import DEFAULT_LIMIT
from monitor.domain.views.dashboard import (
    INITIAL_ROWS,
    WINDOWS,
    OverviewView,
    QueueView,
    RowLook,
    Throughput,
    TrafficSummary,
)
from tests import strategies
from tests.fakes.clock import START, FakeClock

WEBHOOK = UUID(int=7)
BY_A_PERSON = (
    LaneChanged,
    WebhookCreated,
    WebhookUpdated,
    WebhookDeleted,
    AlertAcknowledged,
    AlertUnacknowledged,
    AlertResolved,
    SilencesChanged,
)
OVERVIEW = OverviewView(
    as_of=START,
    webhooks={},
    disabled=0,
    paused=0,
    throughput=Throughput(300, 0, 0.0),
    traffic=TrafficSummary(3600, 0, 0.0, None, None, None, None),
    queue=QueueView(0, 0, 0.0, 0.0),
    alerts={},
    acknowledged=0,
    anomalies=0,
)


class FakeReads:
    """Every query that the catalogue asks, and how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None
        self.sockets: int | None = None
        self.found: dict[str, list[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        async def query(*args: Any, **kwargs: Any) -> Any:
            self.asked.append((name, kwargs))
            if self.error is not None:
                raise self.error
            if name == "overview":
                return OVERVIEW
            if name == "rows":
                return RowLook([])
            if name in self.found:
                return self.found[name]
            return {} if name in {"performance", "stats", "webhook", "metrics", "uptime", "row_counts"} else []

        return query


@pytest.fixture
def reads() -> FakeReads:
    return FakeReads()


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    async with Cache(FakeClock()) as cache:
        yield cache


@pytest.fixture
def catalogue(cache: Cache, reads: FakeReads) -> CachedViews:
    fake: Any = reads
    return CachedViews(cache, fake, fake, fake, sockets=lambda: reads.sockets)


@given(strategies.domain_events)
def test_every_event_says_what_it_drops(event: DomainEvent) -> None:
    """Law: the table has a row for each event, and its templates fit the event's fields."""
    plan = INVALIDATION_RULES.invalidation_for([event])
    assert plan.tags
    assert plan.acknowledged == isinstance(event, BY_A_PERSON)


@given(strategies.domain_events)
def test_every_event_changes_the_dashboard(event: DomainEvent) -> None:
    """Law: the first paint shows a bit of everything, so whatever happens makes it untrue."""
    assert "dashboard" in INVALIDATION_RULES.invalidation_for([event]).tags


def test_a_change_of_a_webhook_drops_all_that_shows_its_name() -> None:
    tags = INVALIDATION_RULES.invalidation_for([WebhookUpdated(WEBHOOK)]).tags
    assert tags == {tag.format(webhook_id=WEBHOOK) for tag in CONFIGURED}
    assert tags >= {"webhooks", f"webhook:{WEBHOOK}", "alerts", "anomalies"}


SCOPES: dict[str, dict[str, Any]] = {
    "performance": {"window": "15m"},
    "performance_long": {"window": "1h"},
    "alert_stats": {"days": STATS_DAYS},
    "busiest_webhooks": {"limit": 10},
    "webhook": {"webhook_id": WEBHOOK, "admin": True},
    "webhooks": {"admin": False},
    "uptime": {"webhook_id": WEBHOOK},
    "metrics_closed": {"webhook_id": WEBHOOK, "from_at": START, "to_at": START, "step_s": 60},
}


@pytest.mark.parametrize("name", POLICIES)
async def test_every_policy_has_a_view_that_is_asked_once(name: str, catalogue: CachedViews, reads: FakeReads) -> None:
    first = await catalogue.answer(name, **SCOPES.get(name, {}))
    asked = len(reads.asked)
    again = await catalogue.answer(name, **SCOPES.get(name, {}))
    assert asked >= 1
    assert len(reads.asked) == asked
    assert again.digest == first.digest


@pytest.mark.parametrize("name", POLICIES)
async def test_every_view_can_be_dropped_by_an_event(name: str, catalogue: CachedViews) -> None:
    view, _ = catalogue._views[name]
    tags = set(view.key(**SCOPES.get(name, {})).tags)
    facts = [kind for kind in get_args(DomainEvent) if hasattr(kind, "webhook_id")]
    dropped = set().union(*(drop.tags for drop in INVALIDATION_RULES._rows.values()))
    assert facts
    assert tags <= {tag.format(webhook_id=WEBHOOK) for tag in dropped}


async def test_what_was_answered_can_be_peeked_at_by_its_text(catalogue: CachedViews) -> None:
    text = catalogue.text("webhook", **SCOPES["webhook"])
    assert catalogue.peek(text) is None
    answer = await catalogue.answer("webhook", **SCOPES["webhook"])
    peeked = catalogue.peek(text)
    assert peeked is not None
    assert peeked.body == answer.body


async def test_the_webhook_of_one_id_is_not_that_of_another(catalogue: CachedViews, reads: FakeReads) -> None:
    await catalogue.answer("webhook", webhook_id=WEBHOOK, admin=True)
    await catalogue.answer("webhook", webhook_id=UUID(int=8), admin=True)
    assert [name for name, _ in reads.asked] == ["webhook", "webhook"]


async def test_the_overview_counts_the_sockets_and_hits_of_this_process(
    catalogue: CachedViews, cache: Cache, reads: FakeReads
) -> None:
    overview = msgspec.json.decode((await catalogue.answer("overview")).body, type=OverviewView)
    assert (overview.sockets, overview.cache_hit_ratio) == (None, None)
    reads.sockets = 3
    assert await catalogue.answer("overview")
    await cache.invalidate(["dashboard"], acknowledged=True)
    overview = msgspec.json.decode((await catalogue.answer("overview")).body, type=OverviewView)
    assert (overview.sockets, overview.cache_hit_ratio) == (3, 0.5)


async def test_a_page_asks_for_one_row_more_than_it_shows(catalogue: CachedViews, reads: FakeReads) -> None:
    for name in ("webhooks", "anomalies", "alerts"):
        await catalogue.answer(name, **SCOPES.get(name, {}))
    assert {kwargs["limit"] for _, kwargs in reads.asked} == {DEFAULT_LIMIT + 1}
    assert {kwargs.get("is_open") for name, kwargs in reads.asked if name == "anomalies"} == {True}


async def test_the_first_paint_shows_the_first_rows_of_the_lists(catalogue: CachedViews, reads: FakeReads) -> None:
    reads.found = {"anomalies": [{"id": n} for n in range(DEFAULT_LIMIT)], "alerts": [{"id": 7}]}
    shown = msgspec.json.decode((await catalogue.answer("dashboard")).body)
    assert shown["as_of"] == shown["overview"]["as_of"]
    assert [row["id"] for row in shown["anomalies"]] == list(range(INITIAL_ROWS))
    assert shown["alerts"] == [{"id": 7}]


async def test_the_first_paint_asks_for_nothing_that_another_view_has_just_answered(
    catalogue: CachedViews, reads: FakeReads
) -> None:
    for name in ("overview", "webhook_health", "anomalies", "alerts"):
        await catalogue.answer(name)
    reads.asked.clear()
    await catalogue.answer("dashboard")
    assert [name for name, _ in reads.asked] == ["performance"]
    await catalogue.answer("performance_long", window="1h")
    assert len(reads.asked) == 1


async def test_reads_by_the_first_paint_are_nobodys(catalogue: CachedViews, cache: Cache) -> None:
    await catalogue.answer("overview")
    await catalogue.answer("dashboard")
    assert {view.view: view.reads for view in cache.stats().views if view.reads} == {"overview": 1, "dashboard": 1}


async def test_the_first_paint_is_not_made_of_last_good_values(
    catalogue: CachedViews, reads: FakeReads, cache: Cache
) -> None:
    good = await catalogue.answer("dashboard")
    reads.error = Unavailable("The database is not reachable.")
    await cache.invalidate(["alerts"], acknowledged=True)
    kept = await catalogue.answer("dashboard")
    assert (kept.body, kept.stale) == (good.body, True)


async def test_what_the_page_shows_first_is_kept_warm(catalogue: CachedViews, cache: Cache) -> None:
    texts = [key.text for key, _ in catalogue.pinned()]
    assert len(texts) == 8 + len(WINDOWS)
    assert {text.partition("?")[0] for text in texts} == POLICIES.keys() - {
        "busiest_webhooks",
        "metrics_closed",
        "uptime",
        "webhook",
    }
    for key, create in catalogue.pinned():
        assert (await cache.refresh(key, create)).body


async def test_nothing_there_is_an_answer_and_not_an_outage(catalogue: CachedViews, reads: FakeReads) -> None:
    reads.error = NotFound("There is no webhook with this id.")
    with pytest.raises(NotFound):
        await catalogue.answer("webhook", **SCOPES["webhook"])


async def test_the_last_good_answer_stands_in_for_a_database_that_is_away(
    catalogue: CachedViews, reads: FakeReads, cache: Cache
) -> None:
    good = await catalogue.answer("overview")
    reads.error = Unavailable("The database is not reachable.")
    await cache.invalidate(["dashboard"], acknowledged=True)
    kept = await catalogue.answer("overview")
    assert (kept.body, kept.stale) == (good.body, True)
    with pytest.raises(Unavailable):
        await catalogue.answer("webhooks", admin=True)


async def test_a_current_answer_is_computed_after_the_call_and_never_the_last_good_one(
    catalogue: CachedViews, reads: FakeReads, cache: Cache
) -> None:
    good = await catalogue.answer("webhooks", admin=True)
    assert await catalogue.current("webhooks", admin=True) == good.body
    assert [name for name, _ in reads.asked] == ["webhooks", "webhooks"]
    for error in (Unavailable("The database is not reachable."), TimeoutError()):
        reads.error = error
        with pytest.raises(Unavailable):
            await catalogue.current("webhooks", admin=True)
        assert (await catalogue.answer("webhooks", admin=True)).body == good.body


async def test_a_creation_that_takes_too_long_is_an_outage(catalogue: CachedViews, reads: FakeReads) -> None:
    reads.error = TimeoutError()
    with pytest.raises(Unavailable):
        await catalogue.answer("webhooks", admin=True)
