"""One process's feed: what is published arrives once and in order, whatever happens to the log between processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.live import Kind, Message, Position
from monitor.domain.services.live_feed import OUTBOX, RESET_INTERVAL_S, LiveFeed
from tests.fakes.clock import FakeClock
from tests.fakes.redis.feed_log import FakeFeed, FakeFeedLog


class Ears:
    """Remembers what a process hands on."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.restarts = 0

    async def deliver(self, messages: list[Message]) -> None:
        self.heard += messages

    def restarted(self) -> None:
        self.restarts += 1

    @property
    def numbers(self) -> list[int]:
        return [message.seq for message in self.heard]

    @property
    def data(self) -> list[Any]:
        return [msgspec.json.decode(message.text)["data"] for message in self.heard]


async def until(holds: Callable[[], object]) -> None:
    """Let the event loop turn until *holds*. Nothing in here waits for time."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("never so")


async def settle() -> None:
    """Let all happen that can: for what must not have happened, there is nothing to wait for."""
    for _ in range(10):
        await asyncio.sleep(0)


async def no_time(_seconds: float) -> None:
    await asyncio.sleep(0)


def feed_on(shared: FakeFeed | None, name: str = "one") -> LiveFeed:
    epochs = iter(f"{name}-{i}" for i in range(100))
    log = None if shared is None else FakeFeedLog(shared, name)
    return LiveFeed(log, now=FakeClock().now, new_epoch=lambda: next(epochs), sleep=no_time)


@asynccontextmanager
async def running(feed: LiveFeed, *, listens: bool = True) -> AsyncIterator[Ears]:
    ears = Ears()
    if listens:
        feed.attach(ears.deliver, ears.restarted)
    async with Supervisor(sleep=no_time).running(feed.loops(follow=listens)):
        yield ears


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_a_process_of_its_own_numbers_its_messages_itself() -> None:
    feed = feed_on(None)
    async with running(feed) as ears:
        feed.publish("alert_new", b'{"raw":1}', SYSTEM_ID)
        feed.publish(Kind.ALERT_UPDATED, {"encoded": 2})
        await until(lambda: len(ears.heard) == 2)
    assert feed.connected
    assert (ears.numbers, ears.data) == ([1, 2], [{"raw": 1}, {"encoded": 2}])
    assert (ears.heard[0].epoch, ears.heard[0].webhook_id, ears.restarts) == ("one-0", SYSTEM_ID, 0)


async def test_figures_replace_each_other_and_take_no_number() -> None:
    feed = feed_on(None)
    feed.set_metrics({"i": 1})
    feed.set_metrics({"i": 2})
    assert feed.latest_metrics is not None
    assert (feed.latest_metrics.kind, bytes(feed.latest_metrics.data), feed.metrics_version) == (
        "metrics_update",
        b'{"i":2}',
        2,
    )
    assert feed.stream.seq == 0


async def test_all_processes_hear_the_same_in_one_order(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    one, two = feed_on(shared, "one"), feed_on(shared, "two")
    near, far = [await stack.enter_async_context(running(feed)) for feed in (one, two)]
    await until(lambda: one.connected and two.connected)
    for i in range(300):
        one.publish("alert_new", i)
        two.publish("alert_new", -i)
    await until(lambda: len(near.heard) == len(far.heard) == 600)
    assert near.numbers == far.numbers == list(range(1, 601))
    assert near.data == far.data
    assert [i for i in near.data if i > 0] == list(range(1, 300))


async def test_a_process_without_sockets_only_speaks(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    worker, server = feed_on(shared, "worker"), feed_on(shared, "server")
    await stack.enter_async_context(running(worker, listens=False))
    ears = await stack.enter_async_context(running(server))
    worker.publish("alert_new", 1)
    await until(lambda: ears.heard or server.stream.seq == 1)
    assert (worker.stream.seq, worker.connected) == (0, False)


async def test_without_log_and_listeners_nothing_is_kept_waiting() -> None:
    feed = feed_on(None)
    async with running(feed, listens=False):
        feed.publish("alert_new", 1)
        await until(lambda: feed.stream.seq == 1)
        for _ in range(OUTBOX + 1):
            feed.publish("alert_new", 1)
        await until(lambda: feed.stream.position == Position("one-1", 1))


async def test_what_waited_for_the_log_arrives_once_when_it_is_back(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    ears = await stack.enter_async_context(running(feed))
    await until(lambda: feed.connected)
    shared.up = False
    shared.wake()
    feed.publish("alert_new", 1)
    await until(lambda: not feed.connected)
    assert ears.heard == []
    shared.up = shared.deaf = True
    await until(lambda: shared.told)
    shared.deaf = False
    feed.publish("alert_new", 2)
    await until(lambda: len(ears.heard) == 2)
    assert (ears.data, ears.restarts) == ([1, 2], 1)


async def test_a_log_that_lost_everything_begins_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    ears = await stack.enter_async_context(running(feed))
    await until(lambda: feed.connected)
    feed.publish("alert_new", 1)
    await until(lambda: ears.numbers == [1])
    shared.begin()
    await until(lambda: ears.restarts == 2)
    feed.publish("alert_new", 2)
    await until(lambda: ears.numbers == [1, 1])
    assert [message.epoch for message in ears.heard] == ["shared-1", "shared-2"]


async def test_what_was_not_told_makes_every_process_begin_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    one, two = feed_on(shared, "one"), feed_on(shared, "two")
    near, far = [await stack.enter_async_context(running(feed)) for feed in (one, two)]
    await until(lambda: one.connected and two.connected)
    one.reset()
    await until(lambda: near.restarts == far.restarts == 2)
    two.publish("alert_new", 1)
    await until(lambda: near.numbers == far.numbers == [1])
    assert one.stream.epoch == two.stream.epoch == "shared-2"


async def test_it_does_not_begin_anew_again_and_again(stack: AsyncExitStack) -> None:
    waited: list[float] = []
    gate = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await gate.wait()

    feed = LiveFeed(None, now=FakeClock().now, new_epoch=iter("abcd").__next__, sleep=sleep)
    ears = await stack.enter_async_context(running(feed))
    for _ in range(3):
        feed.reset()
        await settle()
        assert ears.restarts == 1
    assert waited == [RESET_INTERVAL_S]
    gate.set()
    await until(lambda: ears.restarts == 2)


async def test_to_begin_anew_is_tried_until_the_log_is_back(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    ears = await stack.enter_async_context(running(feed))
    await until(lambda: feed.connected)
    shared.up = False
    shared.wake()
    feed.reset()
    await until(lambda: not feed.connected)
    await settle()
    assert ears.restarts == 1
    shared.up = True
    await until(lambda: ears.restarts == 2)


async def test_the_last_words_are_waited_for_but_not_for_ever(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    await stack.enter_async_context(running(feed))
    await until(lambda: feed.connected)
    feed.publish("alert_new", 1)
    await feed.flush(5)
    assert feed.waiting == 0
    shared.up = False
    shared.wake()
    feed.publish("alert_new", 2)
    await feed.flush(0.01)
    assert feed.waiting == 1


async def test_a_process_of_its_own_begins_anew_too(stack: AsyncExitStack) -> None:
    feed = feed_on(None)
    ears = await stack.enter_async_context(running(feed))
    feed.reset()
    await until(lambda: ears.restarts == 1)
    feed.publish("alert_new", 1)
    await until(lambda: ears.numbers == [1])


async def test_a_full_outbox_makes_every_process_begin_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    one, two = feed_on(shared, "one"), feed_on(shared, "two")
    near, far = [await stack.enter_async_context(running(feed)) for feed in (one, two)]
    await until(lambda: one.connected and two.connected)
    shared.up = False
    shared.wake()
    for i in range(OUTBOX + 1):
        one.publish("alert_new", i)
    shared.up = True
    await until(lambda: near.restarts == far.restarts == 2)
    await until(lambda: one.stream.seq == two.stream.seq == 1)
    assert one.stream.epoch == two.stream.epoch == "shared-2"


async def test_a_process_that_only_lost_touch_goes_on_without_beginning_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    ears = await stack.enter_async_context(running(feed))
    await until(lambda: feed.connected)
    feed.publish("alert_new", 1)
    await until(lambda: ears.numbers == [1])
    feed.connected = False
    feed.publish("alert_new", 2)
    await until(lambda: ears.numbers == [1, 2])
    assert ears.restarts == 1
