"""Servers for the session, a database for each test, and the product on top of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from monitor.bootstrap.container import Container
from tests import servers
from tests.integration.support import Api, Receiver, api_of, settings


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that all processes of the run share: every name that a test uses there has a prefix of its own."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def own_redis_url() -> Iterator[str]:
    """A Redis for whole servers, whose names in it are fixed."""
    with servers.own_redis() as url:
        yield url


@pytest.fixture
async def database_url(postgres: servers.Postgres) -> AsyncIterator[str]:
    async with postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def empty_database_url(postgres: servers.Postgres) -> AsyncIterator[str]:
    async with postgres.empty_database() as dsn:
        yield dsn


@pytest.fixture
async def parts(database_url: str) -> AsyncIterator[Container]:
    async with Container(settings(database_url)) as parts:
        yield parts


@pytest.fixture
async def api(parts: Container) -> AsyncIterator[Api]:
    async with api_of(parts) as api:
        yield api


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One receiver that takes everything."""
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """For what a test opens in numbers: receivers, second processes, workers."""
    async with AsyncExitStack() as stack:
        yield stack
