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


@pytest.mark.parametrize("key", [OLD, SecretKey("new", SECRET_KEY)], ids=["missing", "other bytes"])
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


async def test_damaged_values_name_no_key(new_api: Api, both: Container, one: Container, receiver: Receiver) -> None:
    made = await new_api.create(receiver.url)
    for damage in (r"'\x'", r"'\x01'", r"'\x00ffaa'", r"'\x01ff00'"):
        async with sql(both) as connection:
            await connection.execute(f"UPDATE webhook_secrets SET sealed = {damage}")
            await connection.execute(f"UPDATE webhooks SET headers_sealed = {damage} WHERE id = $1", UUID(made["id"]))
        await one.key_watch.measure()
        assert one.key_watch.missing == []
