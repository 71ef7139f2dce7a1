"""A process without a key that stored secrets need: it leaves those webhooks to others, and says what to do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest
import structlog.testing

from monitor.bootstrap.container import Container
from monitor.bootstrap.server import readiness
from monitor.cli.doctor import examine
from monitor.settings.schema import SecretKey, Secrets, Settings
from tests.integration.support import (
    SECRET_KEY,
    Api,
    Receiver,
    api_of,
    assert_problem,
    eventually,
    finished,
    settings,
    sql,
    working,
)

OLD = SecretKey("old", SECRET_KEY)
NEW = SecretKey("new", base64.urlsafe_b64encode(bytes(range(65, 97))).decode())

OTHER_BYTES = SecretKey("new", SECRET_KEY)


def with_keys(dsn: str, *keys: SecretKey) -> Settings:
    return msgspec.structs.replace(settings(dsn), secrets=Secrets(keys=keys))


@pytest.fixture
async def both(database_url: str) -> AsyncIterator[Container]:
    async with Container(with_keys(database_url, NEW, OLD)) as parts:
        yield parts


@pytest.fixture
async def one(database_url: str) -> AsyncIterator[Container]:
    """A process that was not restarted with the new key."""
    async with Container(with_keys(database_url, OLD)) as parts:
        yield parts


@pytest.fixture
async def new_api(both: Container) -> AsyncIterator[Api]:
    async with api_of(both) as api:
        yield api


@pytest.fixture
async def old_api(one: Container) -> AsyncIterator[Api]:
    async with api_of(one) as api:
        yield api


async def test_it_sends_what_it_can_and_leaves_the_rest_as_it_is(
    new_api: Api, old_api: Api, one: Container, receiver: Receiver
) -> None:
    await new_api.create(receiver.url, event_types=["new"], headers={"X-Team": "blue"})
    await old_api.create(receiver.url, event_types=["old"])
    await new_api.publish(1, type="new")
    before = await rows(one)
    async with working(one):
        for n in range(3):
            await old_api.publish(n, type="old")
            await receiver.takes(n + 1)
        await eventually(lambda: settled(one))
        assert await rows(one) == before
    (left,) = (await old_api.read("deliveries", params={"state": "pending"}))["items"]
    assert (left["attempts"], len(receiver.requests)) == (0, 3)


async def rows(parts: Container) -> list[tuple[object, ...]]:
    """Return the state of what waits, with the lane's."""
    async with sql(parts) as connection:
        found = await connection.fetch(
            "SELECT d.id, d.due_at, d.fencing_token, d.leased_by, d.crashes, l.breaker_state, l.tokens"
            " FROM deliveries d JOIN webhook_lanes l USING (webhook_id) JOIN webhooks w ON w.id = d.webhook_id"
            " WHERE w.event_types = ARRAY['new']"
        )
    return [tuple(row) for row in found]


async def settled(parts: Container) -> bool:
    async with sql(parts) as connection:
        return bool(await connection.fetchval("SELECT count(*) = 1 FROM deliveries"))


async def test_a_worker_with_the_key_sends_beside_one_without(
    new_api: Api, both: Container, one: Container, receiver: Receiver
) -> None:
    await new_api.create(receiver.url)
    async with working(one, "without"), working(both, "with"):
        for n in range(10):
            await new_api.publish(n)
            await receiver.takes(n + 1, within_s=10)
        found = await finished(new_api, 10)
    assert {(row["state"], row["attempts"]) for row in found} == {("delivered", 1)}


async def test_it_says_what_to_do_once(new_api: Api, one: Container, both: Container, receiver: Receiver) -> None:
    await one.key_watch.measure()
    assert await readiness(one) == []
    made = await new_api.create(receiver.url)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await one.key_watch.measure()
    assert [(line["event"], line["kid"]) for line in logs] == [("encryption_key_missing", "new")]
    (line,) = await readiness(one)
    assert "'new'" in line
    assert "MONITOR_SECRETS__KEYS" in line
    await both.key_watch.measure()
    assert await readiness(both) == []
    async with api_of(one) as api:
        problem = assert_problem(await api.post(f"webhooks/{made['id']}/test"), 503, "row_unreadable")
        assert "MONITOR_SECRETS__KEYS" in problem["detail"]
        assert_problem(await api.get("/health/ready", role=None), 503)
    # A deleted webhook needs no key.
    assert (await new_api.call("DELETE", f"webhooks/{made['id']}")).status_code == 204
    await one.key_watch.measure()
    assert await readiness(one) == []


@pytest.mark.parametrize("key", [OLD, OTHER_BYTES], ids=["missing", "other bytes"])
async def test_doctor_opens_one_stored_secret_of_each_key(
    new_api: Api, both: Container, receiver: Receiver, key: SecretKey
) -> None:
    await new_api.create(receiver.url)
    dsn = both.database.dsn
    assert await stored_secrets(with_keys(dsn, NEW, OLD)) == [("ok", True)]
    ((state, names_it),) = await stored_secrets(with_keys(dsn, key))
    assert (state, names_it) == ("error", True)


async def stored_secrets(those: Settings) -> list[tuple[str, bool]]:
    """Return what doctor finds about stored secrets: the state, and whether an error names key and setting."""
    found = [finding for finding in await examine(those) if finding.check == "secrets"]
    return [(one.state, one.state == "ok" or ("'new'" in one.text and "SECRETS__KEYS" in one.text)) for one in found]


async def test_a_key_with_other_bytes_is_named_once_and_by_readiness(
    new_api: Api, both: Container, receiver: Receiver
) -> None:
    for _ in range(3):
        await new_api.create(receiver.url)
    async with Container(with_keys(both.database.dsn, OTHER_BYTES)) as wrong:
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                await wrong.key_watch.measure()
        assert [(line["event"], line["kid"]) for line in logs] == [("encryption_key_wrong", "new")]
        (line,) = await readiness(wrong)
        assert "'new'" in line
        assert "MONITOR_SECRETS__KEYS" in line


async def test_one_damaged_value_of_several_is_no_wrong_key(new_api: Api, both: Container, receiver: Receiver) -> None:
    made = [await new_api.create(receiver.url) for _ in range(2)]
    for one in made:
        async with sql(both) as connection:
            await connection.execute(
                "UPDATE webhook_secrets SET sealed = set_byte(sealed, length(sealed) - 1,"
                " 255 - get_byte(sealed, length(sealed) - 1)) WHERE webhook_id = $1",
                UUID(one["id"]),
            )
        await both.key_watch.measure()
        assert both.key_watch.wrong == ([] if one is made[0] else ["new"])


@pytest.mark.parametrize("key", [OLD, OTHER_BYTES], ids=["missing", "other bytes"])
async def test_the_webhook_and_its_deliveries_say_what_is_wrong(
    new_api: Api, both: Container, receiver: Receiver, key: SecretKey
) -> None:
    made = await new_api.create(receiver.url, headers={"X-Team": "blue"})
    await new_api.publish(1)
    path = f"webhooks/{made['id']}"
    (delivery,) = await new_api.ids("deliveries")
    async with Container(with_keys(both.database.dsn, key)) as wrong, api_of(wrong) as api:
        held = (await api.read(path))["held"]
        assert (held["reason"], held["until"]) == ("secrets", None)
        assert "MONITOR_SECRETS__KEYS" in held["detail"]
        assert "'new'" in held["detail"]
        assert [one["held"] for one in (await api.read("webhooks"))["items"]] == [held]
        assert (await api.read(f"deliveries/{delivery}"))["held"] == held
        assert [one["held"] for one in (await api.read("deliveries"))["items"]] == [held]
        for response in (
            await api.post(f"{path}/test"),
            await api.call("PATCH", path, json={"headers": {"X-Team": "***", "X-Other": "1"}}),
        ):
            assert "MONITOR_SECRETS__KEYS" in assert_problem(response, 503, "row_unreadable")["detail"]
        assert (await api.call("POST", f"{path}/pause")).status_code == 200
        assert (await api.read(path))["held"]["reason"] == "paused"
        assert (await api.call("POST", f"{path}/resume")).status_code == 200
    assert (await new_api.read(path))["held"] is None
    assert (await new_api.read(f"deliveries/{delivery}"))["held"]["reason"] == "release"


async def test_a_repeated_call_whose_response_does_not_open_says_so(
    new_api: Api, old_api: Api, both: Container, receiver: Receiver
) -> None:
    body, key = {"name": "n", "url": receiver.url}, {"Idempotency-Key": "one"}
    first = await new_api.post("webhooks", json=body, headers=key)
    problem = assert_problem(await old_api.post("webhooks", json=body, headers=key), 503, "row_unreadable")
    assert "'new'" in problem["detail"]
    async with sql(both) as connection:
        await connection.execute("UPDATE idempotency_keys SET answer_sealed = NULL")
    assert_problem(await new_api.post("webhooks", json=body, headers=key), 503, "row_unreadable")
    assert [one["id"] for one in (await new_api.read("webhooks"))["items"]] == [first.json()["id"]]


async def test_damaged_values_name_no_key(new_api: Api, both: Container, one: Container, receiver: Receiver) -> None:
    made = await new_api.create(receiver.url)
    for damage in (r"'\x'", r"'\x01'", r"'\x00ffaa'", r"'\x01ff00'"):
        async with sql(both) as connection:
            await connection.execute(f"UPDATE webhook_secrets SET sealed = {damage}")
            await connection.execute(f"UPDATE webhooks SET headers_sealed = {damage} WHERE id = $1", UUID(made["id"]))
        await one.key_watch.measure()
        assert one.key_watch.missing == []
