"""
What another version stored: a row with a further member, a value of a newer enum, a wrong type or null is set aside,
and its neighbours go on. One line in the log, one count.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from monitor.adapters.postgres.repositories.event_outbox import PostgresEventOutbox
from monitor.bootstrap.container import Container
from monitor.domain.events import WebhookUpdated
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.notifications import AlertNotifier
from tests.integration.detection_support import Watch, alerts, fail
from tests.integration.support import Api, Receiver, deliverer, execute, finished, sql, working

NOWHERE = "http://127.0.0.1:9/hook"


class Damage(NamedTuple):
    """A value that this version cannot read. ``value`` is SQL."""

    table: str
    column: str
    value: str
    kind: str


def _jsonb(table: str, column: str, **values: str) -> Iterator[Damage]:
    return (Damage(table, column, f"'{value}'::jsonb", kind) for kind, value in values.items())


def _text(table: str, *columns: str) -> Iterator[Damage]:
    return (Damage(table, column, "'of_a_newer_version'", "unknown") for column in columns)


RETRY = '{"schedule_s": [0], "jitter_ratio": 0'
POLICIES = [
    *_jsonb("webhooks", "retry", more=RETRY + ', "max_age_s": 9}', wrong='{"schedule_s": "fast"}', null="null"),
    *_jsonb("webhooks", "rate_limit", more='{"per_s": 9, "burst": 9, "by": "host"}', wrong='{"per_s": "x"}'),
    *_jsonb("webhooks", "rate_limit", null="null", other="7"),
]
LANE = [
    *_text("webhook_lanes", "health_status", "breaker_state"),
    Damage("webhook_lanes", "recent", "ARRAY[NULL]::text[]", "null"),
]
DESTINATION = [
    *_text("webhooks", "body_format", "signature"),
    Damage("webhooks", "headers_sealed", r"'\x00'", "wrong"),
]
LABELS = [*_jsonb("webhooks", "labels", wrong='{"team": 5}', null="null", other="[]")]


def named(damage: Damage) -> str:
    return f"{damage.table}.{damage.column}-{damage.kind}"


async def damage_row(parts: Container, damage: Damage, id_: str) -> None:
    key = "webhook_id" if damage.table == "webhook_lanes" else "id"
    await execute(parts, f"UPDATE {damage.table} SET {damage.column} = {damage.value} WHERE {key} = $1", UUID(id_))


class Count:
    """What one block adds to the count of a table, with its lines in the log."""

    def __init__(self, parts: Container, lines: list[Any], table: str) -> None:
        self._parts, self._lines, self._table = parts, lines, table
        self._before = parts.database.rows.unreadable[table]

    def is_one(self, id_: object) -> bool:
        lines = [line for line in self._lines if line["event"] == "row_unreadable" and line["table"] == self._table]
        assert [line["row"] for line in lines] == [str(id_)], lines
        return self._parts.database.rows.unreadable[self._table] - self._before == 1


@pytest.mark.parametrize("damage", [*POLICIES, *LANE, *DESTINATION], ids=named)
async def test_the_neighbour_gets_its_deliveries(
    api: Api, parts: Container, receiver: Receiver, damage: Damage
) -> None:
    other = await api.create(NOWHERE, event_types=["other"])
    neighbour = await api.create(receiver.url, event_types=["mine"])
    await api.publish(1, type="other")
    await damage_row(parts, damage, other["id"])
    with capture_logs() as lines:
        count = Count(parts, lines, "webhooks" if damage in DESTINATION else "webhook_lanes")
        async with working(parts):
            ids = await api.publish(1, 2, 3, type="mine")
            await receiver.takes(3)
        assert count.is_one(other["id"])
    assert sorted(receiver.ids) == sorted(ids)
    # It waits for a version that can read it.
    pending = await api.read("deliveries", params={"webhook_id": other["id"]})
    assert [(one["state"], one["attempts"]) for one in pending["items"]] == [("pending", 0)]
    metrics = (await api.get("/metrics")).text
    assert f'monitor_unreadable_rows_total{{table="{lines[0]["table"]}"}}' in metrics
    assert neighbour["id"] in await api.ids("webhooks")


async def test_more_unreadable_lanes_than_a_claim_takes_hide_no_readable_one(
    api: Api, parts: Container, receiver: Receiver
) -> None:
    others = [await api.create(NOWHERE, event_types=["other"]) for _ in range(5)]
    await api.publish(1, type="other")
    await api.create(receiver.url, event_types=["mine"])
    await api.publish(1, type="mine")
    for other in others:
        await damage_row(parts, LANE[0], other["id"])
    claim = await deliverer(parts, "w", lanes_per_claim=2).claim(None, 10)
    assert [delivery.event_type for delivery in claim.deliveries] == ["mine"]


@pytest.mark.parametrize("damage", [POLICIES[0], *LANE], ids=named)
async def test_a_result_is_settled_though_its_lane_became_unreadable(
    api: Api, parts: Container, receiver: Receiver, damage: Damage
) -> None:
    other, _ = [await api.create(receiver.url) for _ in range(2)]

    async def answer(_: Any) -> Any:
        await damage_row(parts, damage, other["id"])
        return web.Response()

    receiver.answer = answer
    await api.publish(1)
    async with working(parts):
        rows = await finished(api, 2)
    assert [(row["state"], row["attempts"]) for row in rows] == [("delivered", 1)] * 2
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("damage", LABELS, ids=named)
async def test_events_of_the_same_type_are_accepted_and_fanned_out(api: Api, parts: Container, damage: Damage) -> None:
    other, neighbour = [await api.create(NOWHERE) for _ in range(2)]
    await damage_row(parts, damage, other["id"])
    with capture_logs() as lines:
        count = Count(parts, lines, "webhooks")
        (event,) = await api.publish(1)
        assert count.is_one(other["id"])
    listed = (await api.read("deliveries", params={"event_id": event}))["items"]
    assert [one["webhook_id"] for one in listed] == [neighbour["id"]]
    assert await api.ids("webhooks", limit=1) == [neighbour["id"]]


@pytest.mark.parametrize("damage", DESTINATION, ids=named)
async def test_events_are_accepted_for_a_webhook_that_a_newer_version_sends(
    api: Api, parts: Container, damage: Damage
) -> None:
    other = await api.create(NOWHERE)
    await damage_row(parts, damage, other["id"])
    (event,) = await api.publish(1)
    listed = (await api.read("deliveries", params={"event_id": event}))["items"]
    assert [(one["webhook_id"], one["state"]) for one in listed] == [(other["id"], "pending")]


@pytest.mark.parametrize(
    "damage", [*LABELS, LANE[0], Damage("webhook_lanes", "unevaluated", r"'\xc1'", "wrong")], ids=named
)
async def test_the_neighbour_is_evaluated_and_gets_its_alert(api: Api, parts: Container, damage: Damage) -> None:
    other, neighbour = [await api.create(NOWHERE) for _ in range(2)]
    await fail(api, other["id"], neighbour["id"])
    await damage_row(parts, damage, other["id"])
    await Watch(parts).look()
    assert neighbour["id"] in [alert["webhook_id"] for alert in await alerts(api)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "'snoozed'"),
        ("severity", "'fatal'"),
        ("evidence", "'{\"a\": []}'"),
        ("evidence", "'null'"),
        ("causes", "ARRAY[NULL]::text[]"),
    ],
)
async def test_an_alert_that_cannot_be_read_stops_no_other(api: Api, parts: Container, column: str, value: str) -> None:
    other, neighbour = [await api.create(NOWHERE) for _ in range(2)]
    watch = Watch(parts)
    await fail(api, other["id"])
    await watch.look()
    await execute(parts, f"UPDATE alerts SET {column} = {value}")
    await fail(api, other["id"], neighbour["id"])
    await watch.look()
    raised = [alert["webhook_id"] for alert in await alerts(api)]
    assert neighbour["id"] in raised
    assert (await api.get("alerts/stats/summary")).status_code == 200
    assert (await api.get("dashboard/overview")).status_code == 200


async def test_an_anomaly_that_cannot_be_read_stops_no_other(api: Api, parts: Container) -> None:
    other, neighbour = [await api.create(NOWHERE) for _ in range(2)]
    await execute(
        parts,
        "INSERT INTO anomalies (id, webhook_id, signal, severity, sentence, evidence, opened_at)"
        " VALUES (gen_random_uuid(), $1, 'rhythm', 'info', 's', '{}', now())",
        UUID(other["id"]),
    )
    await fail(api, other["id"], neighbour["id"])
    await Watch(parts).look()
    assert [alert["webhook_id"] for alert in await alerts(api)] == [neighbour["id"]]
    assert (await api.read("dashboard/anomalies"))["items"] == []


PACKED = [
    msgspec.msgpack.encode(None),
    msgspec.msgpack.encode(5),
    msgspec.msgpack.encode({"type": None, "payload": b"", "labels": {}, "except_webhook": "x"}),
    msgspec.msgpack.encode({"type": "OfANewerVersion"}),
    b"\xc1",
]
"""Values of the two queues that this version cannot read."""


@pytest.mark.parametrize("stored", PACKED)
async def test_the_next_notification_is_published(api: Api, parts: Container, stored: bytes) -> None:
    await api.create(NOWHERE, event_types=["monitor.alert.*"])
    failing = await api.create(NOWHERE, event_types=["other"])
    ids = [parts.clock.new_id() for _ in range(3)]
    for id_ in ids:
        await execute(parts, "INSERT INTO alert_notifications VALUES ($1, $2)", id_, stored)
    watch = Watch(parts)
    await fail(api, failing["id"])
    await watch.watcher.tick()
    notifier = AlertNotifier(parts.unit_of_work, parts.clock)
    with capture_logs() as lines:
        assert await notifier.publish() == 1
        assert await notifier.publish() == 0
    assert [line["row"] for line in lines if line["event"] == "row_unreadable"] == [str(id_) for id_ in ids]
    (row,) = await parts.database.fetch("SELECT count(*) AS n FROM alert_notifications")
    assert row["n"] == 3


@pytest.mark.parametrize("stored", PACKED)
async def test_the_next_domain_event_is_found(parts: Container, stored: bytes) -> None:
    ids = [parts.clock.new_id() for _ in range(2)]
    good = msgspec.msgpack.encode(WebhookUpdated(parts.clock.new_id()))
    await execute(parts, "INSERT INTO event_outbox (id, event) VALUES ($1, $3), ($2, $4)", *ids, stored, good)
    before = parts.clock.now() + timedelta(hours=1)
    found = await PostgresEventOutbox(parts.database).undispatched(before, 1)
    assert [one.id for one in found] == ids[1:]


@pytest.mark.parametrize("change", [{"kind": "erase"}, {"webhook_id": None}, {"states": ["expired"]}])
async def test_the_next_job_goes_on(api: Api, parts: Container, change: dict[str, Any]) -> None:
    made = await api.create(NOWHERE)
    at = parts.clock.now().isoformat()
    good = {"kind": "replay", "webhook_id": made["id"], "from_at": at, "to_at": at, "states": ["failed"]}
    insert = (
        "INSERT INTO jobs (id, kind, parameters, state, created_by, created_at, stepped_at, done)"
        " VALUES ($1, 'replay', $2, 'running', 'ada', now(), now(), 0)"
    )
    ids = [parts.clock.new_id() for _ in range(2)]
    for id_, parameters in zip(ids, (good | change, good), strict=True):
        await execute(parts, insert, id_, msgspec.json.encode(parameters).decode())
    jobs = JobCommands(parts.unit_of_work)
    assert await jobs.step()
    assert not await jobs.step()
    assert [job["id"] for job in (await api.read("jobs"))["items"]] == [str(ids[1])]
    async with sql(parts) as db:
        rows = await db.fetch("SELECT id FROM jobs WHERE finished_at IS NULL")
    assert [row["id"] for row in rows] == ids[:1]


async def test_a_silence_that_cannot_be_read_stops_no_alert(api: Api, parts: Container) -> None:
    made = await api.create(NOWHERE)
    await execute(
        parts,
        "INSERT INTO silences (id, created_by, created_at, reason, ends_at, kind)"
        " VALUES (gen_random_uuid(), 'ada', now(), 'r', now() + interval '1 hour', 'rhythm')",
    )
    await fail(api, made["id"])
    await Watch(parts).look()
    assert [alert["webhook_id"] for alert in await alerts(api)] == [made["id"]]
    assert (await api.read("silences"))["items"] == []


@pytest.mark.parametrize("damage", [POLICIES[0], LABELS[0], LANE[0], DESTINATION[0]], ids=named)
async def test_pages_are_full_of_the_others(api: Api, parts: Container, damage: Damage) -> None:
    made = [(await api.create(NOWHERE))["id"] for _ in range(5)]
    await damage_row(parts, damage, made[2])
    shown = [item["id"] async for page in api.pages("webhooks", limit=1) for item in page]
    hidden = set() if damage in DESTINATION[1:] else {made[2]}
    assert shown == [id_ for id_ in reversed(made) if id_ not in hidden]
    assert (await api.get("dashboard")).status_code == 200
