"""What no rule foresees: the bus fails, and costs the process its trust in memory until it runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from monitor.cache.cache import RESTART_S
from monitor.cache.server import Invalidated, Pong
from tests.fakes.cache.server import FakeCacheServer
from tests.unit.cache.world import ONE, World

BUG = RuntimeError("a bug")


@pytest.mark.parametrize("operation", ["subscribe", "reset_if_server_changed", "renew"])
def test_a_failure_of_the_bus_is_logged_and_the_bus_runs_again(world: World, operation: str) -> None:
    cache, writer = world.cache(), world.cache()
    server = world.server(cache)

    with capture_logs() as lines:
        server.errors[operation] = BUG
        server.cut_bus()
        world.pass_time(3 * RESTART_S)
        failed = cache.stats().trusted
        world.write(writer)
        read = world.read(cache)
        server.errors.clear()
        world.pass_time(2 * RESTART_S)

    assert not failed
    assert read == b"2"
    assert cache.stats().trusted
    assert {line["task"] for line in lines if line["event"] == "cache_task_failed"} == {"cache_bus"}


def test_the_cache_starts_although_the_bus_fails(world: World) -> None:
    with capture_logs():
        cache = world.cache(errors={"subscribe": BUG, "leave": BUG})

    assert world.read(cache) == b"1"
    assert not cache.stats().trusted


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"inf", b"1e308"])
def test_a_pong_that_answers_no_ping_proves_nothing(world: World, payload: bytes) -> None:
    cache = world.cache()
    subscription = world.server(cache).subscription
    assert subscription is not None

    subscription.add(Pong(payload))
    world.pass_time(0)
    trusted_at_once = cache.stats().trusted
    world.pass_time(1)

    assert not trusted_at_once
    assert cache.stats().trusted


def test_an_invalidation_of_unnamed_origin_expires_what_it_names_and_leaves_the_trust(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    subscription = world.server(cache).subscription
    assert subscription is not None

    subscription.add(Invalidated(0, "", ("*",)))
    world.pass_time(0)

    assert cache.peek(ONE.text) is None
    assert cache.stats().trusted


def test_a_supervisor_gets_the_name_and_the_failure_of_the_bus(world: World) -> None:
    started: list[str] = []
    failures: list[Exception] = []

    def supervise(name: str, loop: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        started.append(name)

        async def once() -> None:
            try:
                await loop()
            except RuntimeError as error:
                failures.append(error)

        return asyncio.create_task(once())

    cache = world.cache(supervise=supervise)
    world.server(cache).errors["renew"] = BUG
    world.pass_time(1)

    assert (started, failures) == (["cache_bus"], [BUG])
    assert not cache.stats().trusted


def test_a_stopped_cache_ends_although_a_cancellation_was_swallowed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``asyncio.wait_for`` of Python 3.11, within redis-py, loses one that comes together with the answer."""
    renew = FakeCacheServer.renew

    async def swallowing(self: FakeCacheServer, member: str, lease_s: float) -> None:
        with suppress(asyncio.CancelledError):
            await renew(self, member, lease_s)

    monkeypatch.setattr(FakeCacheServer, "renew", swallowing)
    cache = world.cache()
    world.server(cache).before["renew"] = world.gate()
    world.pass_time(0.3)

    stopping = world.start(cache.stop())
    world.pass_time(1)

    assert stopping.done
