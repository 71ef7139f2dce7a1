"""Lists by filters: short pages of bounded looks, and values that nothing has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from monitor.adapters.postgres import bulk
from monitor.adapters.postgres.bulk import PostgresBulkQueue
from monitor.adapters.postgres.queries import filtered
from monitor.bootstrap.container import Container
from monitor.domain.delivery.bulk import BulkAction
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.ports.queries.resources import EventFilter
from monitor.domain.vocab import DeliveryState
from tests.integration.support import Api, assert_problem, execute, sql
from tests.integration.test_bounded import ADD_FINISHED, ADD_WAITING, add, looked_at

URL = "http://127.0.0.1:9/"


@pytest.mark.parametrize("looked", [1, 2, 3, 7, 100])
async def test_short_pages_leave_nothing_out_and_repeat_nothing(
    looked: int, api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: whatever a look is bounded by, all pages together have what matches, newest first, once."""
    monkeypatch.setattr(filtered, "LOOKED_AT", looked)
    await api.create(URL, labels={"team": "a"})
    await api.create(URL, labels={"region": "b"})
    both = {"team": "a", "region": "b"}
    for n in range(6):
        await api.publish(n, type=("order.paid", "order.sent", "user.new")[n % 3], labels=both | {"n": str(n % 2)})
    ids = await api.ids("deliveries", limit=200)
    # Every second one is finished, so that both tables have rows between each other's.
    for id_ in ids[::2]:
        await api.post(f"deliveries/{id_}/cancel")
    await execute(parts, "UPDATE deliveries SET last_status_code = 503, last_error = 'status'")
    rows = (await api.read("deliveries", params={"limit": 200}))["items"]
    webhooks = {row["id"]: row["labels"] for row in (await api.read("webhooks"))["items"]}

    def is_new_and_cancelled(row: dict[str, Any]) -> bool:
        return (row["event_type"], row["state"]) == ("user.new", "cancelled")

    assert {row["state"] for row in rows} == {"pending", "cancelled"}
    for params, wanted in (
        ({"event_type": "order.*"}, lambda row: row["event_type"].startswith("order.")),
        (
            {"event_type": "user.new", "state": "cancelled"},
            lambda row: row["event_type"] == "user.new" and row["finished_at"],
        ),
        ({"label": "region=b"}, lambda row: "region" in webhooks[row["webhook_id"]]),
        ({"status_code": 503}, lambda row: row["last_status_code"] == 503),
        ({"status_code": 200}, lambda row: row["last_status_code"] == 200),
    ):
        found = [row["id"] async for page in api.pages("deliveries", limit=2, **params) for row in page]
        assert found == [row["id"] for row in rows if wanted(row)], params
    events = (await api.read("events", params={"limit": 200}))["items"]
    monkeypatch.setattr(filtered, "EVENTS_LOOKED_AT", looked)
    for params, wanted in (
        ({"type": "order.*"}, lambda event: event["type"] != "user.new"),
        ({"label": "n=1"}, lambda event: event["labels"]["n"] == "1"),
        ({"label": "m"}, lambda event: False),
        ({"status_code": 503}, lambda event: True),
        (
            {"state": "cancelled"},
            lambda event: event["id"] in {row["event_id"] for row in rows if row["state"] == "cancelled"},
        ),
        ({"q": "4"}, lambda event: event["id"] == events[1]["id"]),
        ({"q": "%"}, lambda event: False),
    ):
        found = [event["id"] async for page in api.pages("events", limit=2, **params) for event in page]
        assert found == [event["id"] for event in events if wanted(event)], params


class Recorder:
    """A connection, or a database, that keeps its last statement."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.last: tuple[str, Sequence[Any]] = ("", ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        self.last = (statement, args)
        found: list[asyncpg.Record] = await self._connection.fetch(statement, *args)
        return found

    async def fetchrow(self, statement: str, *args: Any) -> asyncpg.Record:
        self.last = (statement, args)
        return await self._connection.fetchrow(statement, *args)


async def _most_looked_at(connection: asyncpg.Connection, recorder: Recorder) -> int:
    statement, args = recorder.last
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *args)
    return max(looked_at(msgspec.json.decode(plan)[0]["Plan"]))


@pytest.mark.parametrize(
    "chosen",
    [
        DeliveryFilter(),
        DeliveryFilter(label="none"),
        DeliveryFilter(status_code=503),
        DeliveryFilter(error="timeout"),
        DeliveryFilter(error="503", label="none"),
        DeliveryFilter(event_type="order.*"),
        DeliveryFilter(state=DeliveryState.FAILED),
        DeliveryFilter(state=DeliveryState.DELIVERED, status_code=201),
        DeliveryFilter(state=DeliveryState.PENDING, event_type="order.paid"),
        DeliveryFilter(webhook_id=UUID(int=1), status_code=503),
        DeliveryFilter(ids=(UUID(int=1), UUID(int=2)), label="none"),
    ],
    ids=str,
)
async def test_a_filter_looks_at_a_bounded_part(
    chosen: DeliveryFilter, api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the backlog and the history, and however few match."""
    for module in (bulk, filtered):
        monkeypatch.setattr(module, "LOOKED_AT", 500)
    webhook = await api.create(URL)
    if chosen.webhook_id is not None:
        chosen = msgspec.structs.replace(chosen, webhook_id=UUID(webhook["id"]))
    await add(parts, ADD_WAITING, webhook["id"], 20_000)
    await add(parts, ADD_FINISHED, webhook["id"], 20_000)
    database = Recorder(parts.database)
    await filtered.list_deliveries(database, chosen, None, 51)
    async with sql(parts) as connection:
        assert await _most_looked_at(connection, database) <= 2 * 500 + 51
        for action in BulkAction:
            recorder = Recorder(connection)
            queue = PostgresBulkQueue(recorder, None)  # type: ignore[arg-type]
            await queue.look(action, msgspec.structs.replace(chosen, state=None), after=None, limit=100)
            # Finished ones have a part for each state.
            assert await _most_looked_at(connection, recorder) <= 5 * 500


async def test_events_are_looked_at_in_a_bounded_part(
    api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtered, "LOOKED_AT", 100)
    monkeypatch.setattr(filtered, "EVENTS_LOOKED_AT", 100)
    for _ in range(3):
        await api.publish(*range(1_000))
    await execute(parts, "ANALYZE events")
    for where in (
        EventFilter(type="user.*"),
        EventFilter(label="team"),
        EventFilter(order_key="none"),
        EventFilter(status_code=503),
        EventFilter(state=DeliveryState.FAILED),
        EventFilter(q="none"),
    ):
        database = Recorder(parts.database)
        look = await filtered.list_events(database, where, None, 51)
        assert (look.rows, look.last is None) == ([], False)
        async with sql(parts) as connection:
            assert await _most_looked_at(connection, database) <= 200


async def test_values_that_nothing_has_are_refused_with_those_allowed(api: Api) -> None:
    for path, params, allowed in (
        ("deliveries", {"error": "nonsense"}, "timeout"),
        ("deliveries", {"event_type": "order.*.paid"}, "order.*"),
        ("events", {"type": "*"}, "order.*"),
    ):
        problem = assert_problem(await api.get(path, params=params), 422, "invalid")
        assert allowed in problem["errors"][0]["detail"]
    for path, params in (
        ("deliveries", {"status_code": "99"}),
        ("deliveries", {"status_code": "abc"}),
        ("deliveries", {"state": "lost"}),
        ("deliveries", {"id": "x"}),
        ("events", {"status_code": "600"}),
        ("events", {"id": "x"}),
    ):
        assert_problem(await api.get(path, params=params), 400)
