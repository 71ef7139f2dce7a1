"""
Servers for the session, a database for each test, and the product on top of them.

Building the product takes longer than most of its tests, so ``parts``, ``api`` and ``server`` are those of the module,
on a database that is wiped after each test. A test that harms the product, or asks for its counts since the start,
takes ``own_parts`` and ``own_api``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack

import pytest

from monitor.bootstrap.container import Container
from monitor.cache.server import ROOT
from monitor.cli import main
from tests import servers
from tests.integration.processes import Invoke, Result
from tests.integration.support import Api, Receiver, api_of, served, settings
from tests.pgbouncer import if_asked_for


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server, if_asked_for(server.dsn):
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


@pytest.fixture(scope="module")
async def module_parts(postgres: servers.Postgres) -> AsyncIterator[Container]:
    async with postgres.database() as dsn, Container(settings(dsn)) as parts:
        yield parts


@pytest.fixture(scope="module")
async def module_api(module_parts: Container) -> AsyncIterator[Api]:
    async with api_of(module_parts) as api:
        yield api


@pytest.fixture
async def parts(module_parts: Container, postgres: servers.Postgres) -> AsyncIterator[Container]:
    yield module_parts
    await postgres.wipe(module_parts.database.dsn)
    await module_parts.cache.invalidate([ROOT], acknowledged=True)


@pytest.fixture
def api(parts: Container, module_api: Api) -> Api:
    return module_api


@pytest.fixture(scope="module")
async def module_server(module_parts: Container) -> AsyncIterator[Api]:
    async with served(module_parts) as api:
        yield api


@pytest.fixture
def server(parts: Container, module_server: Api) -> Api:
    """The product on a real socket."""
    return module_server


@pytest.fixture
async def own_parts(database_url: str) -> AsyncIterator[Container]:
    async with Container(settings(database_url)) as parts:
        yield parts


@pytest.fixture
async def own_api(own_parts: Container) -> AsyncIterator[Api]:
    async with api_of(own_parts) as api:
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


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a command inside this process, which spares it the start of another; only for commands that end."""

    def call(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        for name in [name for name in os.environ if name.startswith("MONITOR_")]:
            monkeypatch.delenv(name)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call
