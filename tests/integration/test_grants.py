"""`monitor migrate --grant`: what a role without DDL may do after it."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from monitor.adapters.postgres.grants import GRANTS
from tests.integration.processes import production, run

CHECKLIST = Path(__file__).parents[2] / "docs" / "DEPLOYMENT_CHECKLIST.md"
ROLE = "Rows-only"

INSERT = (
    "INSERT INTO audit_log (id, at, subject, client, action, target)"
    " VALUES (gen_random_uuid(), now(), 'ada', '192.0.2.7', 'webhook.pause', 'webhook:1')"
)
REFUSED = (
    "CREATE TABLE mine (n int)",
    "ALTER TABLE webhooks ADD COLUMN mine int",
    "UPDATE audit_log SET subject = 'bob'",
    "DELETE FROM audit_log",
    "UPDATE alembic_version SET version_num = '0001'",
)


def test_the_statements_are_those_of_the_checklist() -> None:
    (block,) = re.findall(r"^(GRANT SELECT.*?)^EOF$", CHECKLIST.read_text(), re.DOTALL | re.MULTILINE)
    assert block.splitlines() == [statement.format(role="monitor_app") for statement in GRANTS]


async def test_a_granted_role_writes_rows_and_only_adds_to_the_audit_log(empty_database_url: str) -> None:
    env = production(empty_database_url)
    owner = await asyncpg.connect(empty_database_url)
    missing = await run("migrate", "--grant", ROLE, env=env)
    assert (missing.code, f'role "{ROLE}" does not exist; create it first' in missing.err) == (2, True), missing.err
    assert "schema 0" in missing.err
    await owner.execute(f'CREATE ROLE "{ROLE}" LOGIN')
    try:
        for _ in range(2):
            granted = await run("migrate", "--grant", ROLE, env=env)
            assert granted.code == 0, granted.err
        own = await run("migrate", "--grant", "postgres", env=env)
        assert (own.code, "is the owner, which needs no grants" in own.err) == (2, True), own.err
        # As for a table of a later migration.
        await owner.execute("CREATE TABLE later (n int)")
        await owner.execute(f'SET ROLE "{ROLE}"')
        await owner.execute(INSERT)
        await owner.execute("INSERT INTO later VALUES (1)")
        await owner.execute("UPDATE webhooks SET name = 'x'")
        for statement in REFUSED:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await owner.execute(statement)
        await owner.execute("RESET ROLE")
    finally:
        await owner.execute(f'RESET ROLE; DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')
        await owner.close()
