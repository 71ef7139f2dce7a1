"""Whatever a port raises, before or after its effect: dispatch of domain events and the live feed go on after it."""

from __future__ import annotations

import pytest

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.events import WebhookUpdated
from monitor.domain.ports.feed_log import FeedLog
from monitor.domain.ports.repositories.event_outbox import EventOutbox
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.repositories.event_outbox import FakeEventOutbox
from tests.fakes.redis.feed_log import FakeFeed, FakeFeedLog
from tests.fakes.trouble import Trouble, When, methods
from tests.unit.domain.services.test_event_dispatch import WEBHOOK, Process
from tests.unit.domain.services.test_live_feed import FeedUnderTest, no_time
from tests.waiting import until

WHEN: list[When] = ["before", "after"]


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("method", [name for _, name in methods(EventOutbox)])
async def test_a_domain_event_is_dispatched_and_deleted(
    monkeypatch: pytest.MonkeyPatch, method: str, when: When
) -> None:
    clock, outbox = FakeClock(), FakeEventOutbox()
    process = Process(clock, outbox)
    async with process.cache:
        assert await process.read() == b"old"
        process.value = b"new"
        own, left_behind = process.fact(WebhookUpdated(WEBHOOK)), process.fact(WebhookUpdated(WEBHOOK))
        trouble = Trouble(monkeypatch, FakeEventOutbox, method, RuntimeError("a bug"), when, times=1)
        await process.dispatcher.dispatch([own])
        assert await process.read() == b"new"
        clock.advance(2)
        failures = 0
        for _ in range(5):
            try:
                await process.dispatcher.sweep()
            except RuntimeError:
                failures += 1
            clock.advance(2)
        assert (trouble.left, failures) == (0, 1)
        assert outbox.kept == {}
        assert process.undelivered == [left_behind.event]


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("method", [name for _, name in methods(FeedLog)])
async def test_messages_arrive_once_and_in_order(monkeypatch: pytest.MonkeyPatch, method: str, when: When) -> None:
    shared = FakeFeed()
    feeds = [FeedUnderTest(shared, "one"), FeedUnderTest(shared, "two")]
    trouble = Trouble(monkeypatch, FakeFeedLog, method, RuntimeError("a bug"), when, times=1)
    supervisor = Supervisor(sleep=no_time)
    async with supervisor.running(feeds[0].loops()), supervisor.running(feeds[1].loops()):
        await until(lambda: all(feed.stream.connected for feed in feeds))
        if method == "restart":
            feeds[0].reset()
            # A restart whose answer was lost is repeated.
            epoch = "shared-2" if when == "before" else "shared-3"
            await until(lambda: all(feed.stream.connected and feed.stream.epoch == epoch for feed in feeds))
        for number in range(3):
            feeds[number % 2].publish("alert_new", number)
            await until(lambda number=number: all(number in feed.sink.data for feed in feeds))  # type: ignore[misc]
    assert trouble.left == 0
    for feed in feeds:
        assert feed.sink.data == [0, 1, 2]
    assert sum(supervisor.failures.values()) == 1
