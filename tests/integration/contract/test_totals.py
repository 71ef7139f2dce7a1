"""The laws of :class:`TotalsMachine` on PostgreSQL."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.alerts import PostgresAlertQueries
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.adapters.secret_box import SecretBox
from monitor.domain.delivery import backfill
from monitor.domain.services import fan_outs, jobs, resends, webhooks
from tests.integration.contract.conftest import age
from tests.integration.contract.world import World
from tests.pgbouncer import database_config
from tests.servers import Postgres
from tests.unit.world.totals_machine import TotalsMachine

EXAMPLES = 10


def test_nothing_accepted_is_out_of_reach(
    postgres: Postgres, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PostgresTotalsMachine(TotalsMachine):
        async def open(self) -> World:
            self.stack = AsyncExitStack()
            clock, secret_box = SystemClock(), SecretBox([("test", bytes(32))])
            config = database_config(database_url, read_pool=1, write_pool=1)
            database = await self.stack.enter_async_context(Database(config))
            return World(
                lambda: PostgresUnitOfWork(database, secret_box, clock),
                PostgresQueries(database, secret_box),
                PostgresAlertQueries(database),
                clock,
                PostgresWakeups(database),
                partial(age, database_url),
                lambda: None,
            )

        async def close(self) -> None:
            await self.stack.aclose()
            await postgres.wipe(database_url)

    for module in (fan_outs, resends):
        monkeypatch.setattr(module, "REQUEST_MAX", 2)
    for module in (fan_outs, jobs, webhooks):
        monkeypatch.setattr(module, "CHUNK", 2)
    # Requests and jobs take turns here, so no event is committed late.
    monkeypatch.setattr(backfill, "COMMITTED_S", 0.0)
    few = settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    run_state_machine_as_test(PostgresTotalsMachine, settings=few)
