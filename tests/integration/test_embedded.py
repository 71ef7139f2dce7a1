"""The PostgreSQL of ``monitor up``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from monitor.adapters.embedded import EmbeddedError, EmbeddedPostgres, pgserver


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path, since PostgreSQL's Unix socket lies inside."""
    with TemporaryDirectory(prefix="monitor-up-", dir="/tmp") as name:
        yield Path(name) / "data"


class OfAnotherUser:
    """The package's lock as the second user of a machine finds it: a file that the first one owns."""

    def __enter__(self) -> None:
        raise PermissionError("/tmp/.lockfile")

    def __exit__(self, *_exc: object) -> None:
        """Nothing was taken."""


async def test_it_starts_beside_another_users_server_and_keeps_its_data(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgserver().PostgresServer, "_lock", OfAnotherUser())
    async with EmbeddedPostgres(data_dir) as dsn:
        await execute(dsn, "CREATE TABLE kept (n integer)")
        with pytest.raises(EmbeddedError, match="in use by another"):
            await EmbeddedPostgres(data_dir).start()
    async with EmbeddedPostgres(data_dir) as dsn:
        await execute(dsn, "SELECT n FROM kept")


async def execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
