"""Events over HTTP: what is accepted, when it is promised, and that the receiver gets the very bytes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import Api, Receiver, assert_problem, execute, finished, served, sql, verify, working

URL = "http://127.0.0.1:9/hook"

PAYLOADS = [
    b"{}",
    b"[]",
    b"null",
    b'""',
    b"0",
    b"-0",
    b"-0.0",
    b"1.0",
    b"1.10e+02",
    b"1E400",
    b"123456789012345678901234567890",
    b'{"a":1,"a":2}',
    rb'{"s":"\ud800"}',
    rb'{"\uDFFF":"\ud83d\ud83d\ude00"}',
    b'{ "a" :\t[ 1 ,\r\n2 ] }',
    rb'{"\u0061":"\u00e4\ud83d\ude00\/\b"}',
    '{"ä":"😀"}'.encode(),
    rb'{"nul":"\u0000"}',
    b'{"__proto__":{"x":[[[[[[[[]]]]]]]]}}',
    b'{"big":"' + b"x" * 60_000 + b'"}',
]


@pytest.mark.parametrize("socket", [False, True], ids=["in process", "on a socket"])
async def test_the_receiver_gets_the_payload_byte_for_byte(
    socket: bool, api: Api, receiver: Receiver, parts: Container
) -> None:
    created = await api.create(receiver.url)
    body = b",\n".join(b'{"payload" : ' + payload + b' , "type":"a.b"}' for payload in PAYLOADS)
    json = {"Content-Type": "application/json"}
    async with working(parts), served(parts) as live:
        caller = live if socket else api
        batch = await caller.post("events", content=b'{"events":[' + body + b"]}", headers=json, role=Role.PUBLISHER)
        assert batch.status_code == 202, batch.text
        posted = dict(zip((event["id"] for event in batch.json()["events"]), PAYLOADS, strict=True))
        for payload in PAYLOADS[:14]:
            single = await caller.post("events", content=b'{"type":"a.b","payload":' + payload + b"}", headers=json)
            assert single.status_code == 202, single.text
            posted[single.json()["id"]] = payload
        for received in await receiver.takes(len(posted)):
            assert received.body == posted[received.id]
            assert received.headers["content-type"] == "application/json"
            assert received.headers["monitor-event-type"] == "a.b"
            verify(created["secret"], received)
        for event_id, payload in posted.items():
            detail = await caller.get(f"events/{event_id}")
            assert b'"payload":' + payload in detail.content


async def test_an_event_reaches_exactly_the_webhooks_that_subscribed(api: Api, parts: Container) -> None:
    webhooks = {
        "exact": await api.create(URL, event_types=["order.paid"]),
        "prefix": await api.create(URL, event_types=["order.*"]),
        "deep": await api.create(URL, event_types=["order.paid.*"]),
        "all": await api.create(URL),
        "several": await api.create(URL, event_types=["user.*", "order.paid", "*"]),
        "other": await api.create(URL, event_types=["user.*", "orders.*"]),
        "labelled": await api.create(URL, labels={"region": "eu"}),
        "strict": await api.create(URL, labels={"region": "eu", "tier": "1"}),
        "disabled": await api.create(URL, enabled=False),
    }
    for labels, expected in (
        ({}, {"exact", "prefix", "all", "several"}),
        ({"region": "eu"}, {"exact", "prefix", "all", "several", "labelled"}),
        ({"region": "us", "tier": "1"}, {"exact", "prefix", "all", "several"}),
        ({"region": "eu", "tier": "1", "x": "y"}, {"exact", "prefix", "all", "several", "labelled", "strict"}),
    ):
        answer = await api.post("events", json={"type": "order.paid", "payload": 1, "labels": labels})
        accepted = answer.json()
        assert accepted["deliveries"] == len(expected)
        rows = (await api.read("deliveries", params={"event_id": accepted["id"]}))["items"]
        assert {row["webhook_id"] for row in rows} == {webhooks[name]["id"] for name in expected}
    (event,) = await api.publish(1, type="order.paid.late")
    rows = (await api.read("deliveries", params={"event_id": event}))["items"]
    assert {row["webhook_id"] for row in rows} == {webhooks[n]["id"] for n in ("prefix", "deep", "all", "several")}


async def test_an_event_nobody_wants_is_accepted_and_kept(api: Api) -> None:
    accepted = (await api.post("events", json={"type": "a.b", "payload": {"x": 1}})).json()
    assert accepted["deliveries"] == 0
    stored = await api.read(f"events/{accepted['id']}")
    assert stored["payload"] == {"x": 1}
    states = ("pending", "delivered", "failed", "cancelled", "quarantined")
    assert stored["deliveries"] == dict.fromkeys(states, 0) | {"complete": True}


async def test_a_time_of_occurrence_is_kept_and_given_in_utc(api: Api) -> None:
    accepted = await api.post(
        "events", json={"type": "a", "payload": 1, "occurred_at": "2020-02-29T23:30:00.123456+02:00"}
    )
    stored = await api.read(f"events/{accepted.json()['id']}")
    assert stored["occurred_at"] == "2020-02-29T21:30:00.123456Z"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"payload": 1}, "/type"),
        ({"type": "a"}, "/payload"),
        ({"type": "a..b", "payload": 1}, "/events/0/type"),
        ({"type": "a b", "payload": 1}, "/events/0/type"),
        ({"type": "", "payload": 1}, "/events/0/type"),
        ({"type": "*", "payload": 1}, "/events/0/type"),
        ({"type": "a", "payload": 1, "occurred_at": "2020-01-01T00:00:00"}, "/events/0/occurred_at"),
        ({"type": "a", "payload": 1, "occurred_at": "yesterday"}, "/occurred_at"),
        ({"type": "a", "payload": 1, "labels": {"x": 1}}, "/labels/x"),
        ({"type": "a", "payload": 1, "labels": {f"l{i}": "v" for i in range(33)}}, "/events/0/labels"),
        ({"events": []}, "/events"),
        ({"events": [{"type": "a", "payload": 1}, {"type": "b"}]}, "/events/1/payload"),
        ({"events": [{"type": "a", "payload": 1}] * 1001}, "/events"),
        ({"type": "a", "payload": 1, "extra": 1}, "/extra"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_batch_with_one_bad_event_is_refused_whole(api: Api, body: dict[str, object], pointer: str) -> None:
    problem = assert_problem(await api.post("events", json=body), 422, "invalid")
    assert len(problem["errors"]) == 1
    # Some paths go through a dictionary, whose keys the decoder does not name.
    assert pointer.startswith(problem["errors"][0]["pointer"])
    assert problem["errors"][0]["pointer"]
    assert await api.ids("events") == []


async def test_one_event_and_a_batch_at_once_are_refused(api: Api) -> None:
    both = {"type": "a", "payload": 1, "events": [{"type": "a", "payload": 1}]}
    assert_problem(await api.post("events", json=both), 422, "invalid")


async def test_a_batch_of_a_thousand_is_accepted_in_its_order(api: Api, parts: Container) -> None:
    await api.create(URL)
    ids = await api.publish(*range(1000))
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    seen = [item["id"] async for items in api.pages("events", limit=200) for item in items]
    assert seen == ids[::-1]
    async with sql(parts) as connection:
        assert await connection.fetchval("SELECT count(*) FROM deliveries") == 1000


async def test_a_repeated_key_publishes_once(api: Api) -> None:
    await api.create(URL)
    body = {"events": [{"type": "a", "payload": i} for i in range(3)]}
    answers = [await api.post("events", json=body, headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    other = await api.post("events", json={"type": "a", "payload": 9}, headers={"Idempotency-Key": "k"})
    assert_problem(other, 422, "idempotency_mismatch")
    assert len(await api.ids("events")) == 3
    assert len(await api.ids("deliveries")) == 3


async def test_keys_of_webhooks_and_events_are_apart(api: Api) -> None:
    assert (await api.post("webhooks", json={"name": "n", "url": URL}, headers={"Idempotency-Key": "k"})).is_success
    assert (await api.post("events", json={"type": "a", "payload": 1}, headers={"Idempotency-Key": "k"})).is_success


async def test_posts_at_once_with_one_key_publish_once(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.post("events", json={"type": "a", "payload": 1}, headers={"Idempotency-Key": "k"}) for _ in range(32))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len(await api.ids("events")) == 1


async def test_a_commit_that_fails_is_not_answered_with_202(api: Api, parts: Container) -> None:
    await api.create(URL)
    post = {"json": {"type": "a", "payload": 1}, "headers": {"Idempotency-Key": "k"}}
    # The error of a server that shuts down, raised by COMMIT itself.
    await execute(
        parts,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'shutting down' USING ERRCODE = '57P01'; END $$;"
        " CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON deliveries DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    try:
        refused = await api.post("events", **post)
    finally:
        await execute(parts, "DROP FUNCTION refuse CASCADE")
    assert_problem(refused, 503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert await api.ids("events") == []
    assert await api.ids("deliveries") == []
    assert (await api.post("events", **post)).status_code == 202
    assert len(await api.ids("deliveries")) == 1


async def test_events_are_listed_by_type_and_time_without_payloads(api: Api) -> None:
    (first,) = await api.publish(1, type="a.x")
    (second,) = await api.publish({"k": "v"}, type="a.y", labels={"l": "1"})
    rows = (await api.read("events"))["items"]
    assert [row["id"] for row in rows] == [second, first]
    assert "payload" not in rows[0]
    assert rows[0]["labels"] == {"l": "1"}
    assert await api.ids("events", type="a.x") == [first]
    assert await api.ids("events", type="a") == []
    created = datetime.fromisoformat(rows[1]["created_at"])
    hour = timedelta(hours=1)
    assert len(await api.ids("events", **{"from": (created - hour).isoformat()})) == 2
    assert await api.ids("events", to=(created - hour).isoformat()) == []
    assert await api.ids("events", **{"from": (datetime.now(UTC) + hour).isoformat()}) == []


async def test_an_event_tells_where_its_deliveries_stand(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    await api.create(receiver.url)
    held = await api.create(receiver.url)
    await api.post(f"webhooks/{held['id']}/pause")
    async with working(parts):
        (event,) = await api.publish(1)
        await receiver.takes(2)
    assert (await api.read(f"events/{event}"))["deliveries"] == {
        "pending": 1,
        "delivered": 2,
        "failed": 0,
        "cancelled": 0,
        "quarantined": 0,
        "complete": True,
    }
    assert len(await api.ids("deliveries", event_id=event)) == 3
    assert_problem(await api.get(f"events/{held['id']}"), 404, "not_found")
    await api.post(f"webhooks/{held['id']}/resume")
    async with working(parts):
        await finished(api, 3)
