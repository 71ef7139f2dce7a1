"""The migrations make the schema that ``tables`` describes, and can be taken back."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.adapters.postgres import migrate
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.schema import StoredSchema, stored_schema
from monitor.adapters.postgres.tables import metadata
from monitor.domain.anomaly import Baselines
from monitor.domain.delivery.job import JobParameters, ReplayParameters
from monitor.domain.errors import Unavailable
from monitor.domain.vocab import DeliveryState
from tests.integration.support import eventually

pytestmark = pytest.mark.migrations

PARTITION = re.compile(r"\w+_(\d{8}|\d{6}|default)")
"""The days or months of a table, and what falls outside them. They belong to it and are in no metadata."""


async def test_migrations_make_what_the_tables_describe_down_and_up_again(empty_database_url: str) -> None:
    assert await migrate.upgrade(empty_database_url) == (None, migrate.newest_revision())
    assert await on(empty_database_url, differences) == []
    await on(empty_database_url, downgrade)
    assert await on(empty_database_url, table_names) == {"alembic_version"}
    assert await migrate.upgrade(empty_database_url) == (None, migrate.newest_revision())
    assert await on(empty_database_url, differences) == []


async def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    before = await on(empty_database_url, table_names)
    assert await migrate.upgrade(empty_database_url) == (migrate.newest_revision(), migrate.newest_revision())
    assert await on(empty_database_url, table_names) == before


async def test_what_a_migration_states_is_stored_with_it(empty_database_url: str) -> None:
    stated = {
        script.revision: getattr(script.module, "compatible_from", None)
        for script in ScriptDirectory.from_config(migrate._config()).walk_revisions()
    }
    newest = migrate.newest_revision()
    async with Database(DatabaseConfig(empty_database_url)) as database:
        assert await stored_schema(database) == StoredSchema()
        await migrate.upgrade(empty_database_url, revision="0025")
        assert await stored_schema(database) == StoredSchema("0025")
        await migrate.upgrade(empty_database_url)
        assert await stored_schema(database) == StoredSchema(newest, stated[newest])
        await on(empty_database_url, partial(downgrade, to="0027"))
        assert await stored_schema(database) == StoredSchema("0027", "0027")
        await on(empty_database_url, partial(downgrade, to="0025"))
        assert await stored_schema(database) == StoredSchema("0025")


async def test_a_migration_gives_up_behind_a_long_transaction_and_can_be_repeated(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url, revision="0006")
    other = await asyncpg.connect(empty_database_url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE audit_log IN ROW EXCLUSIVE MODE")
            with pytest.raises(Unavailable, match="waited too long for a lock"):
                await migrate.upgrade(empty_database_url)
    finally:
        await other.close()
    assert await migrate.upgrade(empty_database_url) == ("0008", migrate.newest_revision())


async def test_a_migration_that_meets_a_request_in_a_deadlock_is_repeated(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url, revision="0023")
    other, watch = await asyncpg.connect(empty_database_url), await asyncpg.connect(empty_database_url)
    try:
        # The migration is the one that gives way, however late the other one comes.
        name = await watch.fetchval("SELECT current_database()")
        await watch.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '3s'")
        async with other.transaction():
            await other.execute("SET LOCAL deadlock_timeout = '1h'; LOCK TABLE alerts IN ROW EXCLUSIVE MODE")
            migrating = asyncio.create_task(migrate.upgrade(empty_database_url))

            waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'alerts'::regclass)"

            async def waits() -> bool:
                return bool(await watch.fetchval(waiting))

            await eventually(waits)
            await other.execute("SELECT FROM webhooks")
        assert await migrating == ("0023", migrate.newest_revision())
    finally:
        await other.close()
        await watch.close()


async def test_processes_of_the_version_before_add_audit_rows_without_an_address(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        # The statement of schema 0027.
        await connection.execute(
            "INSERT INTO audit_log (id, at, subject, role, request_id, action, target, before, after)"
            " VALUES (gen_random_uuid(), now(), 'ada', 'admin', 'r1', 'webhook.pause', 'webhook:1', NULL, NULL)"
        )
        assert await connection.fetchval("SELECT client FROM audit_log") is None
    finally:
        await connection.close()


async def test_stored_replays_become_jobs(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url, revision="0009")
    insert = (
        "INSERT INTO replays (id, webhook_id, from_at, to_at, states, created_by, created_at, total, queued, cursor,"
        " finished_at) VALUES (gen_random_uuid(), gen_random_uuid(), now() - interval '1 hour', now(),"
        " '{failed,cancelled}', 'ada', now(), 7, 3, gen_random_uuid(), $1)"
    )
    connection = await asyncpg.connect(empty_database_url)
    try:
        for finished_at in (None, datetime(2026, 1, 1, tzinfo=UTC)):
            await connection.execute(insert, finished_at)
        before = await connection.fetch("SELECT * FROM replays ORDER BY finished_at NULLS FIRST")
        await migrate.upgrade(empty_database_url)
        assert await connection.fetch("SELECT * FROM replays") == []
        jobs = await connection.fetch("SELECT * FROM jobs ORDER BY finished_at NULLS FIRST")
        assert [(job["id"], job["state"], job["done"], job["cursor"]) for job in jobs] == [
            (row["id"], state, 3, row["cursor"]) for row, state in zip(before, ("running", "done"), strict=True)
        ]
        parameters = msgspec.json.decode(jobs[0]["parameters"])
        assert msgspec.convert(parameters, JobParameters) == ReplayParameters(
            webhook_id=before[0]["webhook_id"],
            from_at=before[0]["from_at"],
            to_at=before[0]["to_at"],
            states=(DeliveryState.FAILED, DeliveryState.CANCELLED),
        )
    finally:
        await connection.close()


def test_baselines_stored_under_the_old_names_keep_what_they_learned() -> None:
    window = {"learned_at": 0.0, "mean_from": 0.0, "spread_from": 4.0, "rings": []}
    share = {**window, "prior": 0.01, "suspected_at": 5.0, "spreads": [[1.0, 2.0]] * 3}
    old = {
        "failures": {"at": 1.0, "started_at": 0.0, "share": share, "follows": [3.0, 4.0]},
        "latency": {"at": 1.0, "started_at": 0.0, "level": {**window, "wobbles": [[1.0, 2.0]] * 3}, "answers": 7},
        "tail": {"at": 1.0, "started_at": 0.0, "share": share, "slow_log": 6.0},
        "traffic": {
            "at": 1.0,
            "started_at": 0.0,
            "hour": 0,
            "ring": [600.0, 0, [], []],
            "profile": {"level": [8.0, 9.0]},
            "silence_at": 1.0,
        },
    }
    migration = ScriptDirectory.from_config(migrate._config()).get_revision("0005")

    new = msgspec.msgpack.decode(migration.module.renamed_baselines(msgspec.msgpack.encode(old)), type=Baselines)

    assert new.failures.proportion.excess_at == 5.0
    assert new.failures.continuation.excess == 3.0
    assert new.latency.log_latency.dispersions[0].weight == 2.0
    assert new.latency.responses == 7
    assert new.latency_tail.log_threshold == 6.0
    assert new.traffic.profile.level.mean == 8.0
    assert new.traffic.no_data_at == 1.0


async def on(dsn: str, work: Any) -> Any:
    """Run *work* on a connection of its own and commit."""
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def differences(connection: Connection) -> list[Any]:
    """Return what alembic would change to get from the database to the tables."""
    options = {"compare_type": True, "compare_server_default": True, "include_name": is_no_partition}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def is_no_partition(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name is None or name in metadata.tables or PARTITION.fullmatch(name) is None


def downgrade(connection: Connection, to: str = "base") -> None:
    config = migrate._config()
    config.attributes["connection"] = connection
    command.downgrade(config, to)


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())
