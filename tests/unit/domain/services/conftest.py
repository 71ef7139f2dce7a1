"""A database, a receiver and a clock that exist only in memory."""

from __future__ import annotations

import pytest

from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from tests.fakes.clock import FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.unit.domain.services.deliver_bench import Bench


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(clock: FakeClock) -> FakeDatabase:
    return FakeDatabase(clock)


@pytest.fixture
def unit_of_work(database: FakeDatabase) -> UnitOfWorkFactory:
    return lambda: FakeUnitOfWork(database)


@pytest.fixture
def queries(database: FakeDatabase) -> FakeQueries:
    return FakeQueries(database)


@pytest.fixture
def sender() -> FakeWebhookSender:
    return FakeWebhookSender()


@pytest.fixture
def bench(
    database: FakeDatabase, unit_of_work: UnitOfWorkFactory, sender: FakeWebhookSender, clock: FakeClock
) -> Bench:
    return Bench(database, unit_of_work, sender, clock)
