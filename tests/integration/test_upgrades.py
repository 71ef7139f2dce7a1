"""The last release on the schema of this version, replaced under traffic; and this version on one of a next version."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from monitor.adapters.postgres.migrate import newest_revision
from tests.integration.cache.processes import LONG
from tests.integration.processes import SOURCE
from tests.integration.support import eventually
from tests.integration.upgrade_support import Journal, Upgrade, sometimes, stop
from tests.integration.versions import Step, last_release, next_version
from tests.servers import free_port

pytestmark = pytest.mark.upgrades

EACH = 2 if LONG else 1
"""How many servers, and how many workers, of each version."""

EVENTS = 500 if LONG else 40
"""How many events are accepted at least between two steps."""


BUSY = ("webhooks", "webhook_lanes", "deliveries", "deliveries_finished", "events", "attempts", "audit_log")


async def test_the_last_release_is_replaced_under_traffic_and_nothing_is_lost(
    empty_database_url: str, own_redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    old, upgrade = last_release(tmp_path / "old"), Upgrade(empty_database_url, own_redis_url, tmp_path / "logs")
    async with Journal(sometimes) as flaky, Journal() as ordered, Journal() as by_key, AsyncExitStack() as stack:
        await upgrade.migrate(old)
        servers = [await stack.enter_async_context(upgrade.server(old)) for _ in range(EACH)]
        workers = [await stack.enter_async_context(upgrade.worker(old)) for _ in range(EACH)]
        upgrade.servers = [client for _, client in servers]
        webhooks = [
            await upgrade.subscribe(flaky.url, rate_limit={"per_s": 500, "burst": 500}, headers={"X-Team": "a"}),
            await upgrade.subscribe(ordered.url, ordered=True),
            await upgrade.subscribe(by_key.url, ordered="key"),
        ]
        async with upgrade.traffic(flaky, ordered, by_key):
            await upgrade.goes_on(EVENTS)
            await upgrade.migrate(SOURCE)
            # The last release is ready on its own schema alone; what reaches it is answered all the same.
            health = await upgrade.servers[0].call("GET", "/health/ready")
            assert (health.status_code, "newer than this Monitor" in health.text) == (503, True)
            await upgrade.goes_on(EVENTS)
            newer = [await stack.enter_async_context(upgrade.server(SOURCE)) for _ in range(EACH)]
            await stack.enter_async_context(upgrade.worker(SOURCE))
            upgrade.servers += [client for _, client in newer]
            for number, server in enumerate(upgrade.servers):
                await upgrade.operate(server, webhooks[number % len(webhooks)], number)
            await upgrade.goes_on(EVENTS)
            for process, client in servers:
                # As a load balancer does, which sees that it is not ready.
                upgrade.servers.remove(client)
                await upgrade.goes_on(5)
                await stop([process])
            await stop(workers)
            await upgrade.goes_on(EVENTS)
        await upgrade.nothing_waits()
    for journal in (flaky, ordered, by_key):
        assert sorted(set(journal.taken)) == upgrade.accepted
        # No process was killed, so nothing was sent twice.
        assert journal.repeated == 0
    assert ordered.in_order()
    for key in range(5):
        assert [n for n in by_key.taken if n % 5 == key] == [n for n in upgrade.accepted if n % 5 == key]
    assert upgrade.errors() == []


async def test_a_schema_that_grew_leaves_processes_of_this_version_ready_and_one_that_broke_does_not(
    empty_database_url: str, own_redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    grows = [Step(f"ALTER TABLE {table} ADD COLUMN next text NOT NULL DEFAULT 'x'") for table in BUSY]
    contract = Step("ALTER TABLE audit_log RENAME COLUMN action TO verb", breaks=True)
    grown = next_version(tmp_path / "grown", *grows)
    broken = next_version(tmp_path / "broken", *grows, contract)
    upgrade = Upgrade(empty_database_url, own_redis_url, tmp_path / "logs")
    async with Journal() as plain, Journal() as ordered, AsyncExitStack() as stack:
        await upgrade.migrate(SOURCE)
        process, client = await stack.enter_async_context(upgrade.server(SOURCE))
        worker = await stack.enter_async_context(upgrade.worker(SOURCE))
        upgrade.servers = [client]
        webhook = await upgrade.subscribe(plain.url)
        await upgrade.subscribe(ordered.url, ordered=True)
        async with upgrade.traffic(plain, ordered):
            await upgrade.goes_on(EVENTS)
            await upgrade.migrate(grown)
            assert (await client.call("GET", "/health/ready")).status_code == 200
            await upgrade.goes_on(EVENTS)
            await upgrade.operate(client, webhook, 1)
            assert (await client.call("GET", "/health/ready")).status_code == 200
            # One that a service manager starts again meanwhile.
            await stop([worker])
            worker = await stack.enter_async_context(upgrade.worker(SOURCE))
            await upgrade.goes_on(EVENTS)
        await upgrade.nothing_waits()
        assert sorted(plain.taken) == ordered.taken == upgrade.accepted
        assert upgrade.errors() == []
        doctor = await upgrade.command("doctor")
        assert f"! migrations: schema 9907 is of a newer version; this one ({newest_revision()}) works" in doctor.out
        refused = await upgrade.command("migrate")
        assert (refused.code, "only the version that migrated it, or a later one" in refused.err) == (2, True)
        assert (await upgrade.command("maintain")).code == 0

        await upgrade.migrate(broken)

        async def unready() -> bool:
            answer = await client.call("GET", "/health/ready")
            return answer.status_code == 503 and "install the version that migrated it" in answer.text

        await eventually(unready)
        for command in (("maintain",), ("work",), ("serve", "--port", str(free_port()))):
            refused = await upgrade.command(*command)
            assert (refused.code, "install the version that migrated it" in refused.err) == (2, True), refused.err
        await stop([process, worker])
