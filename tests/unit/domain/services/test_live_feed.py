"""One process's feed: what is published arrives once and in order, whatever happens to the log between processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from monitor.domain.ids import SYSTEM_ID
from monitor.domain.live import FeedEntry, Message, MessageKind, Position, Stream
from monitor.domain.services.live_feed import OUTBOX, RESET_INTERVAL_S, LiveFeed
from tests.fakes.clock import FakeClock
from tests.fakes.redis.feed_log import FakeFeed, FakeFeedLog
from tests.waiting import until


class FakeSink:
    """Keeps what a process delivers."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.restarts = 0
        self.failure: Exception | None = None

    async def deliver(self, messages: Sequence[Message]) -> None:
        self.messages += messages
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def restart(self) -> None:
        self.restarts += 1

    @property
    def numbers(self) -> list[int]:
        return [message.seq for message in self.messages]

    @property
    def data(self) -> list[Any]:
        return [msgspec.json.decode(message.encoded) for message in self.messages]


def encode(entry: FeedEntry, epoch: str, seq: int) -> Message:
    return Message(entry.kind, epoch, seq, entry.webhook_id, bytes(entry.data))


async def settle() -> None:
    """Let all happen that can: for what must not have happened, there is nothing to wait for."""
    for _ in range(10):
        await asyncio.sleep(0)


Sleep = Callable[[float], Awaitable[None]]


async def no_time(_seconds: float) -> None:
    await asyncio.sleep(0)


class FeedUnderTest(LiveFeed):
    """A live feed whose clock and waits take no time."""

    def __init__(
        self, shared: FakeFeed | None, name: str = "one", *, has_sink: bool = True, sleep: Sleep = no_time
    ) -> None:
        self.sink = FakeSink()
        epochs = (f"{name}-{i}" for i in itertools.count())
        super().__init__(
            None if shared is None else FakeFeedLog(shared, name),
            Stream(next(epochs), encode),
            self.sink if has_sink else None,
            now=FakeClock().now,
            new_epoch=lambda: next(epochs),
            sleep=sleep,
        )


def feed_on(shared: FakeFeed | None, name: str = "one", *, has_sink: bool = True) -> FeedUnderTest:
    return FeedUnderTest(shared, name, has_sink=has_sink)


@asynccontextmanager
async def running(feed: FeedUnderTest) -> AsyncIterator[FakeSink]:
    tasks = [asyncio.ensure_future(loop()) for loop in feed.loops().values()]
    try:
        yield feed.sink
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_a_process_of_its_own_numbers_its_messages_itself() -> None:
    feed = feed_on(None)
    async with running(feed) as sink:
        feed.publish("alert_new", b'{"raw":1}', SYSTEM_ID)
        feed.publish(MessageKind.ALERT_UPDATED, {"encoded": 2})
        await until(lambda: len(sink.messages) == 2)
    assert feed.stream.connected
    assert (sink.numbers, sink.data) == ([1, 2], [{"raw": 1}, {"encoded": 2}])
    assert (sink.messages[0].epoch, sink.messages[0].webhook_id, sink.restarts) == ("one-0", SYSTEM_ID, 0)


async def test_all_processes_hear_the_same_in_one_order(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    one, two = feed_on(shared, "one"), feed_on(shared, "two")
    near, far = [await stack.enter_async_context(running(feed)) for feed in (one, two)]
    await until(lambda: one.stream.connected and two.stream.connected)
    for i in range(300):
        one.publish("alert_new", i)
        two.publish("alert_new", -i)
    await until(lambda: len(near.messages) == len(far.messages) == 600)
    assert near.numbers == far.numbers == list(range(1, 601))
    assert near.data == far.data
    assert [i for i in near.data if i > 0] == list(range(1, 300))


async def test_sockets_are_taken_once_the_log_was_read(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    first = feed_on(shared, "first")
    await stack.enter_async_context(running(first))
    await first.opened(60)
    before = first.stream.position
    second = feed_on(shared, "second")
    await stack.enter_async_context(running(second))
    await second.opened(60)
    # Where a client of the first one resumes.
    assert second.stream.position == before


async def test_sockets_do_not_wait_for_a_log_that_is_away_or_not_there(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    shared.up = False
    away, nowhere, worker = feed_on(shared), feed_on(None), feed_on(shared, has_sink=False)
    await away.opened(0)
    await stack.enter_async_context(running(away))
    for feed in (away, nowhere, worker):
        await feed.opened(60)
    assert not away.stream.connected


async def test_a_process_without_sockets_only_speaks(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    worker, server = feed_on(shared, "worker", has_sink=False), feed_on(shared, "server")
    await stack.enter_async_context(running(worker))
    sink = await stack.enter_async_context(running(server))
    worker.publish("alert_new", 1)
    await until(lambda: sink.messages or server.stream.seq == 1)
    assert (worker.stream.seq, worker.stream.connected) == (0, False)


async def test_without_log_and_listeners_nothing_is_kept_waiting() -> None:
    feed = feed_on(None, has_sink=False)
    async with running(feed):
        feed.publish("alert_new", 1)
        await until(lambda: feed.stream.seq == 1)
        for _ in range(OUTBOX + 1):
            feed.publish("alert_new", 1)
        await until(lambda: feed.stream.position == Position("one-1", 1))


async def test_what_waited_for_the_log_arrives_once_when_it_is_back(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    sink = await stack.enter_async_context(running(feed))
    await until(lambda: feed.stream.connected)
    shared.up = False
    shared.wake()
    feed.publish("alert_new", 1)
    await until(lambda: not feed.stream.connected)
    assert sink.messages == []
    shared.up = shared.deaf = True
    await until(lambda: shared.told)
    shared.deaf = False
    feed.publish("alert_new", 2)
    await until(lambda: len(sink.messages) == 2)
    assert (sink.data, sink.restarts) == ([1, 2], 1)


async def test_a_log_that_lost_everything_begins_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    sink = await stack.enter_async_context(running(feed))
    await until(lambda: feed.stream.connected)
    feed.publish("alert_new", 1)
    await until(lambda: sink.numbers == [1])
    shared.begin()
    await until(lambda: sink.restarts == 2)
    feed.publish("alert_new", 2)
    await until(lambda: sink.numbers == [1, 1])
    assert [message.epoch for message in sink.messages] == ["shared-1", "shared-2"]


async def test_what_was_not_told_makes_every_process_begin_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    one, two = feed_on(shared, "one"), feed_on(shared, "two")
    near, far = [await stack.enter_async_context(running(feed)) for feed in (one, two)]
    await until(lambda: one.stream.connected and two.stream.connected)
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

    feed = FeedUnderTest(None, sleep=sleep)
    sink = await stack.enter_async_context(running(feed))
    for _ in range(3):
        feed.reset()
        await settle()
        assert sink.restarts == 1
    assert waited == [RESET_INTERVAL_S]
    gate.set()
    await until(lambda: sink.restarts == 2)


async def test_to_begin_anew_is_tried_until_the_log_is_back(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    sink = await stack.enter_async_context(running(feed))
    await until(lambda: feed.stream.connected)
    shared.up = False
    shared.wake()
    feed.reset()
    await until(lambda: not feed.stream.connected)
    await settle()
    assert sink.restarts == 1
    shared.up = True
    await until(lambda: sink.restarts == 2)


async def test_the_last_words_are_waited_for_but_not_for_ever(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    feed = feed_on(shared)
    await stack.enter_async_context(running(feed))
    await until(lambda: feed.stream.connected)
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
    sink = await stack.enter_async_context(running(feed))
    feed.reset()
    await until(lambda: sink.restarts == 1)
    feed.publish("alert_new", 1)
    await until(lambda: sink.numbers == [1])


async def test_a_full_outbox_makes_every_process_begin_anew(stack: AsyncExitStack) -> None:
    shared = FakeFeed()
    one, two = feed_on(shared, "one"), feed_on(shared, "two")
    near, far = [await stack.enter_async_context(running(feed)) for feed in (one, two)]
    await until(lambda: one.stream.connected and two.stream.connected)
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
    sink = await stack.enter_async_context(running(feed))
    await until(lambda: feed.stream.connected)
    feed.publish("alert_new", 1)
    await until(lambda: sink.numbers == [1])
    feed.stream.disconnect()
    feed.publish("alert_new", 2)
    await until(lambda: sink.numbers == [1, 2])
    assert sink.restarts == 1


async def test_a_delivery_that_failed_starts_every_socket_over_and_the_next_start_goes_on() -> None:
    feed = feed_on(None)
    feed.sink.failure = RuntimeError("a bug")
    for number in (1, 2):
        feed.publish("alert_new", number)
    with pytest.raises(RuntimeError):
        await feed.loops()["live_feed.send"]()
    assert feed.sink.restarts == 1
    async with running(feed) as sink:
        await until(lambda: feed.waiting == 0)
    assert sink.data[-2:] == [1, 2]
