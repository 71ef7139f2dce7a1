"""TLS to PostgreSQL with a certificate that is checked: both pools, the listener, and migrations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.adapters.postgres.migrate import upgrade
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.bootstrap.container import Container
from tests.debian_postgres import debian_postgres
from tests.integration.processes import production, run
from tests.integration.sender.support import certificate
from tests.integration.support import eventually, settings

pytestmark = pytest.mark.topology

USED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
ALL_USE_IT = (
    "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'monitor%'"
)


@pytest.fixture(scope="module")
def tls_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a certificate for 127.0.0.1, which the URL names as the one to trust."""
    _, pem = certificate(tmp_path_factory.mktemp("tls"))
    named = Path(pem).name
    with debian_postgres([Path(pem)], ssl="on", ssl_cert_file=named, ssl_key_file=named) as url:
        yield f"{url}?sslmode=verify-full&sslrootcert={pem}"


async def test_every_connection_checks_the_certificate(tls_url: str) -> None:
    before, after = await upgrade(tls_url)
    assert (before, bool(after)) == (None, True)
    async with Container(settings(tls_url)) as parts:
        (read,) = await parts.database.fetch(USED)
        (reserved,) = await parts.database.fetch(USED, reserved=True)
        async with parts.unit_of_work() as uow:
            assert await uow._raw_connection.fetchval(USED)
        assert (read["ssl"], reserved["ssl"]) == (True, True)
        listening = asyncio.create_task(PostgresWakeups(parts.database).listen(lambda _: None))
        try:
            await eventually(lambda: parts.database.listening)
            ((all_use_it,),) = await parts.database.fetch(ALL_USE_IT)
            assert all_use_it
        finally:
            listening.cancel()


async def test_a_certificate_of_another_authority_is_refused(tls_url: str, tmp_path: Path) -> None:
    _, pem = certificate(tmp_path)
    other = f"{tls_url.partition('sslrootcert=')[0]}sslrootcert={pem}"
    refused = await run("migrate", env=production(other))
    assert refused.code == 2
    assert "check sslmode and sslrootcert in MONITOR_DATABASE_URL" in refused.err


async def test_a_name_that_the_certificate_lacks_is_refused(tls_url: str) -> None:
    refused = await run("migrate", env=production(tls_url.replace("127.0.0.1", "localhost")))
    assert refused.code == 2
    assert "check sslmode and sslrootcert in MONITOR_DATABASE_URL" in refused.err
