"""Statements that look for few rows among many read an index: the failures of a healthy webhook, what has expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.maintenance.partitions import Retention
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.repositories.alerts import UNTOLD
from monitor.adapters.postgres.repositories.detection import EXPIRED_DELIVERIES
from monitor.adapters.postgres.repositories.reminders import DUE
from monitor.bootstrap.container import Container
from monitor.domain.alerts.conditions import EXPIRED_MAX
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.ports.queries.resources import AttemptFilter
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.integration.many_webhooks import ADD_MANY
from tests.integration.plans import plan_of
from tests.integration.support import execute, sql
from tests.integration.test_bounded import looked_at

MANY = 20_000
FEW = 3
LIMIT = 25

# Ids in their order, of this moment, so that their partition is there.
_MS = "(extract(epoch FROM now()) * 1000)::bigint"
_ID = f"(lpad(to_hex({_MS}), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid"
ADD_ATTEMPTS = f"""
INSERT INTO attempts (webhook_id, id, kind, number, status_code, error, latency_ms)
SELECT $1, {_ID}, 'delivery', 1, CASE WHEN n > $3 THEN 200 ELSE 503 END, CASE WHEN n <= $3 THEN 'status' END, 9
FROM generate_series(1, $2::int) AS n
"""
ADD_FINISHED = f"""
INSERT INTO deliveries_finished (id, event_id, webhook_id, state, attempts, fencing_token, last_error, finished_at)
SELECT {_ID}, $1, $1, CASE WHEN n <= $3 THEN 'failed' ELSE 'delivered' END, 1, 1, CASE WHEN n <= $3 THEN 'expired' END,
    now() - CASE WHEN n <= $3 / 2 THEN interval '2 days' ELSE interval '1 minute' END
FROM generate_series(1, $2::int) AS n
"""


async def as_planned(parts: Container, *tables: str) -> None:
    """Have the planner see *tables* as they are: a reused database keeps the pages that an index once had."""
    for table in tables:
        await execute(parts, f"REINDEX TABLE {table}")
    await execute(parts, f"ANALYZE {', '.join(tables)}")


_AGED = "now() - CASE WHEN n <= $2 THEN interval '2 years' ELSE interval '0 s' END"
_SERIES = "FROM generate_series(1, $1::int) AS n"


def _alerts(*, state: str = "'pending'", resolved_at: str = "NULL", pending: str = "false") -> str:
    return (
        "INSERT INTO alerts (id, webhook_id, kind, severity, state, title, count, causes, evidence, raised_at,"
        " resolved_at, transitions, flapping, notified, pending_notification, version)"
        f" SELECT {_ID}, gen_random_uuid(), 'failing', 'critical', {state}, 't', 1, '{{}}', '{{}}', now(),"
        f" {resolved_at}, '{{}}', false, false, {pending}, 1 {_SERIES}"
    )


PURGED = {
    "audit_log": f"INSERT INTO audit_log (id, at, subject, action, target)"
    f" SELECT gen_random_uuid(), {_AGED}, 's', 'a', 't' {_SERIES}",
    "anomalies": f"INSERT INTO anomalies (id, webhook_id, signal, severity, sentence, evidence, opened_at, closed_at)"
    f" SELECT gen_random_uuid(), gen_random_uuid(), 'volume', 'info', 's', '{{}}', now(), {_AGED} {_SERIES}",
    "silences": f"INSERT INTO silences (id, created_by, created_at, reason, ends_at)"
    f" SELECT gen_random_uuid(), 'ada', now(), 'r', {_AGED} {_SERIES}",
    "jobs": "INSERT INTO jobs (id, kind, parameters, state, created_by, created_at, stepped_at, done, finished_at)"
    f" SELECT gen_random_uuid(), 'replay', '{{}}', 'done', 'ada', now(), now(), 0, {_AGED} {_SERIES}",
    "idempotency_keys": f"INSERT INTO idempotency_keys (scope, key, body_hash, created_at)"
    f" SELECT 's', n::text, '', {_AGED} {_SERIES}",
    "alerts": _alerts(state="'resolved'", resolved_at=_AGED),
    "health_changes": "INSERT INTO health_changes (id, webhook_id, at, status, reason)"
    f" SELECT gen_random_uuid(), gen_random_uuid(), {_AGED}, 'healthy', 'r' {_SERIES}",
    "silenced_hours": "INSERT INTO silenced_hours (webhook_id, bucket_at, attempts, failures)"
    f" SELECT gen_random_uuid(), {_AGED}, 1, 0 {_SERIES}",
    "used_links": "INSERT INTO used_links (digest, used_at, used_by, expires_at)"
    f" SELECT decode(md5(n::text), 'hex'), now(), 'l', {_AGED} + interval '1 day' {_SERIES}",
}
UNTOLD_ALERTS = _alerts(pending="n <= $2")
REMINDERS = """
INSERT INTO alert_reminders (alert_id, since, passed_s, next_at)
SELECT id, raised_at, 0, now() + CASE WHEN pending_notification THEN interval '-1 minute' ELSE interval '1 hour' END
FROM alerts
"""


class Recorder:
    """A database that keeps its statements; with *answer* it runs none of them."""

    def __init__(self, database: Any, answer: list[dict[str, Any]] | None = None) -> None:
        self.statements: list[tuple[str, Sequence[Any]]] = []
        self._database = database
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def fetch(self, statement: str, *args: Any) -> list[Any]:
        self.statements.append((statement, args))
        return self._answer if self._answer is not None else await self._database.fetch(statement, *args)


async def most_looked_at(connection: asyncpg.Connection, statement: str, *args: object) -> int:
    """Run *statement*, take it back, and return how many rows the most costly step of its plan looked at."""
    return max(looked_at(await plan_of(connection, statement, *args)))


async def test_the_failures_of_a_healthy_webhook_are_found_without_its_successes(parts: Container) -> None:
    webhook_id = (await samples.add_webhook(parts.unit_of_work, parts.clock)).id
    await execute(parts, ADD_ATTEMPTS, webhook_id, MANY, FEW)
    await as_planned(parts, "attempts")
    recorder: Any = Recorder(parts.database)
    queries = PostgresQueries(recorder, parts.secret_box)
    for where in (AttemptFilter(ok=False), AttemptFilter(error="503"), AttemptFilter(error="status")):
        found = await queries.attempts(webhook_id, where, after=None, limit=50)
        assert [one.ok for one in found] == [False] * FEW
    async with sql(parts) as connection:
        for statement, args in recorder.statements:
            if "FROM attempts" in statement:
                assert await most_looked_at(connection, statement, *args) <= FEW, statement


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.CANCELLED])
async def test_the_failed_deliveries_of_a_healthy_webhook_are_found_without_the_delivered_ones(
    parts: Container, state: DeliveryState
) -> None:
    webhook_id = (await samples.add_webhook(parts.unit_of_work, parts.clock)).id
    await execute(parts, ADD_FINISHED, webhook_id, MANY, FEW)
    await as_planned(parts, "deliveries_finished")
    recorder: Any = Recorder(parts.database)
    queries = PostgresQueries(recorder, parts.secret_box)
    found = await queries.deliveries(DeliveryFilter(webhook_id=webhook_id, state=state), after=None, limit=50)
    assert len(found.rows) == (FEW if state is DeliveryState.FAILED else 0)
    ((statement, args),) = [one for one in recorder.statements if "FROM deliveries_finished" in one[0]]
    async with sql(parts) as connection:
        assert await most_looked_at(connection, statement, *args) <= FEW


@pytest.mark.parametrize("table", PURGED)
async def test_a_purge_finds_what_has_expired_without_the_rest(parts: Container, table: str) -> None:
    await execute(parts, PURGED[table], MANY, FEW)
    if table == "alerts":
        await execute(
            parts,
            "INSERT INTO alert_history (alert_id, version, at, action, actor)"
            " SELECT id, 1, now(), 'raised', 'system' FROM alerts",
        )
    await as_planned(parts, table, "alert_history")
    now = parts.clock.now()
    recorder: Any = Recorder(parts.database, [{"at": now, "now": now, "n": 0, "allowed": True}])
    await PostgresHousekeeping(recorder, parts.secret_box, Retention(), audit_d=365, alerts_d=365).purge()
    statements = [one for one in recorder.statements if f"FROM {table} " in one[0]]
    assert statements
    async with sql(parts) as connection:
        for statement, args in statements:
            assert await most_looked_at(connection, statement, *args) <= FEW, statement


@pytest.mark.parametrize("expired", [0, 3 * EXPIRED_MAX])
async def test_expired_deliveries_are_counted_up_to_a_bound(parts: Container, expired: int) -> None:
    webhook_id, other = [(await samples.add_webhook(parts.unit_of_work, parts.clock)).id for _ in range(2)]
    await execute(parts, ADD_FINISHED, webhook_id, MANY, expired)
    await as_planned(parts, "deliveries_finished")
    ids: list[UUID] = [webhook_id, other]
    async with sql(parts) as connection:
        rows = await connection.fetch(EXPIRED_DELIVERIES, ids)
        assert [tuple(row) for row in rows] == ([(webhook_id, EXPIRED_MAX)] if expired else [])
        assert await most_looked_at(connection, EXPIRED_DELIVERIES, ids) <= max(EXPIRED_MAX, len(ids))


@pytest.mark.parametrize("untold", [FEW, MANY])
async def test_alerts_that_are_to_be_told_are_found_without_the_others(parts: Container, untold: int) -> None:
    await execute(parts, ADD_MANY, 1_000)
    await execute(parts, UNTOLD_ALERTS, MANY, untold)
    await as_planned(parts, "alerts", "webhooks")
    async with sql(parts) as connection:
        assert len(await connection.fetch(UNTOLD, UUID(int=0), LIMIT)) == min(untold, LIMIT)
        assert await most_looked_at(connection, UNTOLD, UUID(int=0), LIMIT) <= min(untold, LIMIT)


@pytest.mark.parametrize("due", [FEW, MANY])
async def test_reminders_that_are_due_are_found_without_the_others(parts: Container, due: int) -> None:
    await execute(parts, UNTOLD_ALERTS, MANY, due)
    await execute(parts, REMINDERS)
    await as_planned(parts, "alerts", "alert_reminders")
    async with sql(parts) as connection:
        assert len(await connection.fetch(DUE, LIMIT)) == min(due, LIMIT)
        assert await most_looked_at(connection, DUE, LIMIT) <= min(due, LIMIT)
