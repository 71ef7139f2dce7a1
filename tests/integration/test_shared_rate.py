"""The rate limit of servers that share a Redis, and of one that lost it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
import redis

from monitor.bootstrap.container import Container
from monitor.settings.schema import Http
from tests.integration.support import Api, eventually, served, settings
from tests.servers import free_port

BURST = 300
LIMITS = Http(rate_limit_per_s=0.1, rate_burst=BURST)


@asynccontextmanager
async def server(database_url: str, redis_url: str | None) -> AsyncIterator[Api]:
    sound = settings(database_url, http=LIMITS)
    async with Container(msgspec.structs.replace(sound, redis_url=redis_url)) as parts, served(parts) as api:
        yield api


async def admits(api: Api, requests: int, path: str = "dashboard/overview") -> int:
    statuses = [(await api.get(path)).status_code for _ in range(requests)]
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


@pytest.mark.parametrize("path", ["dashboard/overview", "audit-log"])
async def test_a_caller_who_used_up_the_rate_at_one_process_is_soon_refused_by_the_other(
    path: str, database_url: str, own_redis_url: str, stack: AsyncExitStack
) -> None:
    with redis.Redis.from_url(own_redis_url) as client:
        for name in client.keys("{monitor:rate:*"):
            client.delete(name)
    one, two = [await stack.enter_async_context(server(database_url, own_redis_url)) for _ in range(2)]
    assert await admits(one, BURST + 5, path) in {BURST, BURST + 1}
    admitted = 0

    async def is_refused() -> bool:
        nonlocal admitted
        status = (await two.get(path)).status_code
        admitted += status == 200
        return status == 429

    await eventually(is_refused)
    assert 0 < admitted < BURST / 2
    assert int((await two.get(path)).headers["retry-after"]) >= 1
    assert (await two.get(path, subject="bob")).status_code == 200


@pytest.mark.parametrize("is_set", [True, False])
async def test_a_server_alone_counts_for_itself(is_set: bool, database_url: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0" if is_set else None
    async with server(database_url, url) as api:
        assert await admits(api, BURST + 5, "audit-log") in {BURST, BURST + 1}
