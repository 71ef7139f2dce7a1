"""What every rate ledger does, on Redis and in the fake."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import redis

from monitor.adapters.clock import SystemClock
from monitor.adapters.redis.rate_ledger import RedisRateLedger
from monitor.domain.errors import Unavailable
from monitor.domain.ports.rate_ledger import RateLedger
from tests.fakes.redis.rate_ledger import FakeRateLedger
from tests.integration.support import eventually
from tests.servers import free_port

LATE_S = 5.0
"""What may pass between two calls on a machine that is busy."""


@pytest.fixture
def prefix() -> str:
    return f"{{test:{SystemClock().token_bytes(8).hex()}}}:"


@pytest.fixture(params=["fake", "redis"])
async def pair(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[tuple[RateLedger, RateLedger]]:
    """Two processes' ways to one ledger that gives one in ten seconds, and keeps an hour."""
    if request.param == "fake":
        fake = FakeRateLedger(per_s=0.1, longest_s=3600, now_s=time.monotonic)
        yield fake, fake
        return
    url = request.getfixturevalue("redis_url")
    one, two = (RedisRateLedger(url, per_s=0.1, longest_s=3600, prefix=prefix) for _ in range(2))
    async with one, two:
        yield one, two


def about(*seconds: float) -> list[object]:
    """A little less than *seconds*: time goes on meanwhile."""
    return [pytest.approx(each - LATE_S / 2, abs=LATE_S / 2 + 0.001) for each in seconds]


async def test_what_all_admitted_adds_up_for_each_subject(pair: tuple[RateLedger, RateLedger]) -> None:
    one, two = pair
    assert list(await one.spend({"a": 3, "ü \"'{}": 1})) == about(30, 10)
    assert list(await two.spend({"b": 2, "a": 4})) == about(20, 70)
    assert list(await one.spend({"ü \"'{}": 1})) == about(20)


async def test_time_pays_back(pair: tuple[RateLedger, RateLedger]) -> None:
    one, _ = pair
    started = time.monotonic()
    (before,) = await one.spend({"a": 100})
    tries = 0

    async def is_paid() -> bool:
        nonlocal tries
        tries += 1
        (now,) = await one.spend({"a": 1})
        paid_s = before + 10 * tries - now
        assert paid_s <= time.monotonic() - started + 0.001
        return paid_s > 0

    await eventually(is_paid)


async def test_no_subject_gets_further_ahead_than_the_ledger_keeps(pair: tuple[RateLedger, RateLedger]) -> None:
    one, two = pair
    assert list(await one.spend({"a": 1_000_000})) == about(3600)
    assert list(await two.spend({"a": 1})) == about(3600)


async def test_nothing_to_tell_is_nothing(pair: tuple[RateLedger, RateLedger]) -> None:
    assert list(await pair[0].spend({})) == []


async def test_a_subject_takes_room_only_while_it_is_ahead(redis_url: str, prefix: str) -> None:
    async with RedisRateLedger(redis_url, per_s=50.0, longest_s=10, prefix=prefix) as ledger:
        await ledger.spend({"quick": 1, "slow": 500})
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.pttl(f"{prefix}slow") <= 10_000
        await eventually(lambda: client.keys(f"{prefix}*") == [f"{prefix}slow".encode()])


async def test_a_clock_that_is_set_back_shuts_nobody_out_for_long(redis_url: str, prefix: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{prefix}a", f"{time.time() + 86_400:.6f}")
    async with RedisRateLedger(redis_url, per_s=1.0, longest_s=10, prefix=prefix) as ledger:
        assert await ledger.spend({"a": 1}) == [10.0]


async def test_a_redis_that_is_not_there_is_unavailable() -> None:
    async with RedisRateLedger(f"redis://127.0.0.1:{free_port()}/0", per_s=1.0, longest_s=1, prefix="{x}:") as ledger:
        with pytest.raises(Unavailable):
            await ledger.spend({"a": 1})
