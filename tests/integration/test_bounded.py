"""A webhook with a long backlog: no statement changes, or looks at, more than a chunk of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monitor.adapters.postgres.bulk import LATER
from monitor.adapters.postgres.claims import LEASE_SINCE
from monitor.adapters.postgres.queries.resources import EVALUATED_WEBHOOK
from monitor.adapters.postgres.queue import (
    CANCEL_WAITING,
    COUNT_CHUNK,
    FIRST_ID,
    LEFT_BEHIND,
    RELEASED,
    REQUEUE_CHUNK,
    STEP_ASIDE,
)
from monitor.bootstrap.container import Container
from monitor.domain.ids import id_floor
from monitor.domain.services.jobs import CHUNK, JobCommands
from monitor.domain.vocab import Role
from tests.integration.support import Api, execute, sql

URL = "http://127.0.0.1:9/"
WAITING = 200_000
CHANGED_MAX = 1_000

# Ids in their order, of this moment, so that their partition is there.
_MS = "(extract(epoch FROM now()) * 1000)::bigint"
_ID = f"(lpad(to_hex({_MS}), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid"
ADD_WAITING = f"""
INSERT INTO deliveries (id, event_id, webhook_id, due_at)
SELECT {_ID}, $3, $1, now() - interval '1 minute' FROM generate_series(1, $2) AS n
"""
ADD_FINISHED = f"""
INSERT INTO deliveries_finished (id, event_id, webhook_id, state, attempts, fencing_token, finished_at)
SELECT {_ID}, $3, $1, 'delivered', 1, 1, now() FROM generate_series(1, $2) AS n
"""

COUNT_CHANGES = """
CREATE TABLE changes (rows bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO changes SELECT count(*) FROM changed; RETURN NULL; END $$;
CREATE TRIGGER updated AFTER UPDATE ON deliveries
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER deleted AFTER DELETE ON deliveries
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER inserted AFTER INSERT ON deliveries_finished
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note();
"""
FORGET_CHANGES = "DROP FUNCTION note CASCADE; DROP TABLE changes"


async def add(parts: Container, statement: str, webhook_id: str, count: int) -> None:
    await execute(parts, statement, UUID(webhook_id), count, parts.clock.new_id())
    await execute(parts, "ANALYZE deliveries, deliveries_finished")


async def test_a_long_backlog_is_paused_resumed_disabled_and_deleted_in_chunks(api: Api, parts: Container) -> None:
    webhook = await api.create(URL)
    path = f"webhooks/{webhook['id']}"
    await add(parts, ADD_WAITING, webhook["id"], WAITING)
    await execute(parts, COUNT_CHANGES)
    try:
        for action in ("pause", "resume"):
            assert (await api.post(f"{path}/{action}", role=Role.OPERATOR)).status_code == 200
        for enabled in (False, True):
            assert (await api.call("PATCH", path, json={"enabled": enabled})).status_code == 200
        async with sql(parts) as db:
            assert await db.fetchval("SELECT count(*) FROM changes") == 0
        assert (await api.call("DELETE", path)).status_code == 204
        (job,) = (await api.read("jobs"))["items"]
        assert (job["kind"], job["state"], job["done"]) == ("cancel_deliveries", "running", CHUNK)
        queue = (await api.read("dashboard/overview"))["queue"]
        assert (queue["pending"] > 0, queue["oldest_due_age_s"]) == (True, 0)
        (waiting,) = (await api.read("deliveries", params={"state": "pending", "limit": 1}))["items"]
        assert waiting["held"] == {"reason": "deleted", "until": None, "detail": None}
        jobs = JobCommands(parts.unit_of_work)
        while await jobs.step():
            pass
        over = await api.read(f"jobs/{job['id']}")
        assert (over["state"], over["done"]) == ("done", WAITING)
        async with sql(parts) as db:
            assert await db.fetchval("SELECT max(rows) FROM changes") == CHUNK <= CHANGED_MAX
            assert await db.fetchval("SELECT count(*) FROM deliveries") == 0
            states = await db.fetch("SELECT state, count(*) AS n FROM deliveries_finished GROUP BY state")
        assert [tuple(row) for row in states] == [("cancelled", WAITING)]
    finally:
        await execute(parts, FORGET_CHANGES)


def looked_at(plan: dict[str, Any]) -> Iterator[int]:
    """Yield for each node of *plan* the rows that it returned or left out."""
    left_out = sum(plan.get(name, 0) for name in ("Rows Removed by Filter", "Rows Removed by Join Filter"))
    yield round((plan["Actual Rows"] + left_out) * plan["Actual Loops"])
    for child in plan.get("Plans", ()):
        yield from looked_at(child)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("cancel", 500),
        ("since", 10),
        ("released", 1),
        ("left behind", 2),
        ("count", 1_000),
        ("replay", 500),
        ("replay all", 500),
        ("aside", 500),
        ("later", 500),
        # Nearly all rows are of this webhook: the table itself is read, until as many are found.
        ("webhook", 12_001),
    ],
)
async def test_a_statement_looks_at_a_bounded_part(api: Api, parts: Container, name: str, bound: int) -> None:
    """However long the backlog and the history, however few are chosen of them, and whatever other webhooks have."""
    other, webhook = [await api.create(URL) for _ in range(2)]
    id_, now = UUID(webhook["id"]), parts.clock.now()
    for statement in (ADD_WAITING, ADD_FINISHED):
        await add(parts, statement, other["id"], 2_000)
        await add(parts, statement, webhook["id"], 20_000)
    range_ = (id_, FIRST_ID, id_floor(now.replace(year=now.year + 1)))
    statement, args = {
        "cancel": (CANCEL_WAITING, (id_, FIRST_ID, bound)),
        "since": (LEASE_SINCE, ([id_], [bound], timedelta(seconds=30), "worker", [], [now])),
        "released": (RELEASED, ([id_], [now])),
        "aside": (STEP_ASIDE, (id_, FIRST_ID, bound)),
        "later": (LATER, (id_, FIRST_ID, bound, 100)),
        "webhook": (EVALUATED_WEBHOOK, (id_,)),
        "left behind": (LEFT_BEHIND, (10,)),
        "count": (COUNT_CHUNK.format(undelivered=""), (*range_, ["failed"], FIRST_ID, bound)),
        "replay all": (REQUEUE_CHUNK.format(undelivered=""), (*range_, ["delivered"], FIRST_ID, bound, 50.0, 0.0)),
        "replay": (REQUEUE_CHUNK.format(undelivered=""), (*range_, ["failed"], FIRST_ID, bound, 50.0, 0.0)),
    }[name]
    async with sql(parts) as db:
        found = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *args)
    (plan,) = msgspec.json.decode(found)
    assert max(looked_at(plan["Plan"])) <= bound
