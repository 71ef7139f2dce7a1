"""Whatever users and crashes do, the laws of :class:`TotalsMachine` hold over the fakes."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from monitor.domain.delivery import backfill
from monitor.domain.services import fan_outs, jobs, resends, webhooks
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.alerts import FakeAlertQueries
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.repositories.events import FakeWakeups
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.integration.contract.world import World
from tests.unit.world.totals_machine import TotalsMachine


class FakeTotalsMachine(TotalsMachine):
    async def open(self) -> World:
        clock = FakeClock()
        database = FakeDatabase(clock)

        def unit_of_work() -> FakeUnitOfWork:
            # No two transactions at the same time, as in PostgreSQL.
            clock.advance(0.001)
            return FakeUnitOfWork(database)

        async def pass_time(seconds: float) -> None:
            clock.advance(seconds)

        queries, alerts = FakeQueries(database), FakeAlertQueries(database)
        return World(unit_of_work, queries, alerts, clock, FakeWakeups(database), pass_time, lambda: None)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fan_outs, resends):
        monkeypatch.setattr(module, "REQUEST_MAX", 2)
    for module in (fan_outs, jobs, webhooks):
        monkeypatch.setattr(module, "CHUNK", 2)
    # Requests and jobs take turns here, so no event is committed late.
    monkeypatch.setattr(backfill, "COMMITTED_S", 0.0)


def test_nothing_accepted_is_out_of_reach() -> None:
    run_state_machine_as_test(FakeTotalsMachine, settings=settings(stateful_step_count=30))


def test_a_fan_out_whose_commit_was_not_answered_is_finished_by_a_job() -> None:
    machine = FakeTotalsMachine()
    try:
        machine.begin(kinds=[{}, {}])
        machine.publish(which=0, to_all=True, keys=[None, None])
        machine.fan_out(crash="after")
        machine.totals_hold()
        # The rest is the job's by now, so a worker finds nothing to take, and it is not finished.
        machine.fan_out(crash=None)
        machine.totals_hold()
        assert machine.journal.fanning_out
    finally:
        machine.teardown()
    assert not machine.journal.fanning_out
    assert all(len(machine.journal.matched(one)) == 2 for one in machine.journal.alive)
