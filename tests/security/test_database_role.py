"""The role of `serve` and `work`: everything works under it, and it changes neither the schema nor the audit log."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from monitor.adapters.postgres.migrate import upgrade
from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_scheduler
from tests import servers
from tests.docs.documents import ROOT, blocks
from tests.docs.installation import postgres_with_passwords
from tests.integration.processes import production, run
from tests.integration.support import Receiver, api_of, finished, settings, working

STATEMENTS = re.compile(r"<<'EOF'\n(.*?)^EOF$", re.DOTALL | re.MULTILINE)
SQL = [
    statements
    for block in blocks(ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md")
    for statements in STATEMENTS.findall(block.text)
    if statements.startswith(("CREATE USER", "GRANT"))
]
"""What the checklist types as superuser, and then as owner."""

OLD = "now() - interval '400 days'"
ADD_OLD_AUDIT_ROW = f"""
INSERT INTO audit_log (id, at, subject, role, action, target)
VALUES (gen_random_uuid(), {OLD}, 'ada', 'admin', 'webhook.create', 'webhook:1')
"""


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """URLs of the database by user, on a server that asks for passwords."""
    with (
        tempfile.TemporaryDirectory(prefix="monitor-pg-", dir="/tmp") as directory,
        postgres_with_passwords(Path(directory)) as where,
    ):
        made, granted = SQL
        found = {user: f"postgresql://monitor_{user}:{user}-password@/monitor?{where}" for user in ("owner", "app")}
        servers.in_thread(lambda: _execute(f"postgresql://postgres@/postgres?{where}", made))
        servers.in_thread(lambda: upgrade(found["owner"]))
        servers.in_thread(lambda: _execute(found["owner"], granted))
        yield found


@pytest.fixture
async def parts(urls: dict[str, str]) -> AsyncIterator[Container]:
    async with Container(settings(urls["app"])) as parts:
        yield parts


@pytest.fixture
async def owner(urls: dict[str, str]) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(urls["owner"])
    yield connection
    await connection.close()


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        # One by one: a database is not made inside a transaction.
        for statement in statements.split(";\n"):
            if statement.strip():
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_delivery_and_every_periodic_job_work_under_the_role(parts: Container, urls: dict[str, str]) -> None:
    async with Receiver() as receiver, api_of(parts) as api, working(parts):
        webhook = await api.create(receiver.url, event_types=["order.*"])
        await api.publish({"n": 1})
        await receiver.takes(1)
        (delivery,) = await finished(api, 1)
        assert delivery["state"] == "delivered"
        for _, job in build_scheduler(parts).jobs.values():
            await job()
        assert (await api.call("DELETE", f"webhooks/{webhook['id']}")).status_code == 204
        actions = [row["action"] for row in (await api.read("audit-log"))["items"]]
    assert {"webhook.create", "webhook.delete"} <= set(actions)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET subject = 'somebody else'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "DROP TABLE audit_log",
        "GRANT monitor_owner TO monitor_app",
        "CREATE RULE hide AS ON INSERT TO audit_log DO INSTEAD NOTHING",
        "CREATE TABLE t (n int)",
        "CREATE TEMPORARY TABLE t (n int)",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE webhooks ADD COLUMN n int",
        "DROP TABLE webhooks",
        "TRUNCATE webhooks",
        "CREATE INDEX ON webhooks (id)",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "ALTER DATABASE monitor SET search_path = s",
        "CREATE USER another",
        "SET ROLE monitor_owner",
        "SET session_replication_role = replica",
    ],
)
async def test_the_role_is_refused(statement: str, urls: dict[str, str]) -> None:
    connection = await asyncpg.connect(urls["app"])
    try:
        await connection.execute(ADD_OLD_AUDIT_ROW.replace(OLD, "now()"))
        before = await connection.fetch("SELECT * FROM audit_log ORDER BY id")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
        assert await connection.fetch("SELECT * FROM audit_log ORDER BY id") == before
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("at", "before"),
    [
        ("294276-01-01", None),
        ("4000-01-01 BC", None),
        ("infinity", None),
        ("-infinity", None),
        ("now", '["a list"]'),
        ("now", '"a text"'),
        ("now", '{"n":' + "9" * 6000 + "}"),
        ("now", '{"a":' * 3000 + "1" + "}" * 3000),
    ],
)
async def test_no_row_that_the_role_adds_hides_another(
    at: str, before: str | None, parts: Container, urls: dict[str, str], owner: asyncpg.Connection
) -> None:
    async with api_of(parts) as api:
        await api.create("https://hooks.example.com/x")
        known = await api.ids("audit-log", limit=1)
        connection = await asyncpg.connect(urls["app"])
        try:
            false = await connection.fetch(
                "INSERT INTO audit_log (id, at, subject, action, target, before)"
                f" SELECT overlay(gen_random_uuid()::text PLACING 'ffffffff' FROM 1)::uuid, '{at}', 'mallory', 'false',"
                " 'x', $1::jsonb FROM generate_series(1, 60) RETURNING id",
                before,
            )
        finally:
            await connection.close()
        try:
            rows = (await api.read("audit-log", params={"limit": 61}))["items"]
        finally:
            await owner.execute("DELETE FROM audit_log WHERE action = 'false'")
    assert {row["id"] for row in rows[:-1]} == {str(row["id"]) for row in false}
    assert rows[-1]["id"] == known[0]
    assert {str(row["before"]) for row in rows[:-1]} == {str({"unreadable": True} if before else None)}


async def test_a_table_of_a_later_migration_is_granted_as_well(owner: asyncpg.Connection) -> None:
    await owner.execute("CREATE TABLE later (n int)")
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        assert await owner.fetchval("SELECT has_table_privilege('monitor_app', 'later', $1)", privilege)
    await owner.execute("DROP TABLE later")


async def test_retention_is_the_owners_job(parts: Container, urls: dict[str, str], owner: asyncpg.Connection) -> None:
    await owner.execute(ADD_OLD_AUDIT_ROW)
    tomorrow = await owner.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYYMMDD')")
    await owner.execute(f"DROP TABLE attempts_{tomorrow}")
    jobs = build_scheduler(parts).jobs
    with capture_logs() as lines:
        await jobs["maintain_partitions"][1]()
        await jobs["purge"][1]()
    assert [line["partitions"] for line in lines if line["event"] == "partitions_missing"] == [[f"attempts_{tomorrow}"]]
    count = f"SELECT count(*) FROM audit_log WHERE at < {OLD} + interval '1 minute'"
    assert await owner.fetchval(count) == 1

    refused = await run("maintain", env=production(urls["app"]))
    assert refused.code == 2
    assert "does not own the tables" in refused.err
    made = await run("maintain", env=production(urls["owner"]))
    assert made.code == 0, made.err
    assert await owner.fetchval(count) == 0
    assert await owner.fetchval(f"SELECT to_regclass('attempts_{tomorrow}') IS NOT NULL")
    with capture_logs() as lines:
        await jobs["maintain_partitions"][1]()
    assert [line for line in lines if line["event"] == "partitions_missing"] == []
