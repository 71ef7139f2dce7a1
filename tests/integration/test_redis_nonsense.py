"""The whole product on a Redis that answers nonsense, from the start or from some time on."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.fakes.cache.nonsense import nonsense_server
from tests.integration.live_support import socket_of, watching
from tests.integration.processes import jti_of
from tests.integration.support import Api, api_of, eventually, execute, served, settings, signer
from tests.integration.test_live_redis_faults import Garbler

URL = "http://127.0.0.1:9/hook"
NONSENSE = [b":42\r\n", b"*0\r\n", b"$-1\r\n", b"+\xff\xfe\r\n"]
REVOKE = "INSERT INTO revoked_tokens (jti, revoked_at, expires_at) VALUES ($1, now(), now() + interval '1 hour')"


async def changes_are_answered_and_shown(api: Api) -> None:
    created = await api.create(URL)
    path = f"webhooks/{created['id']}"
    for name in ("first", "second"):
        # In memory, where there is one.
        assert (await api.read(path))["id"] == created["id"]
        patched = await api.call("PATCH", path, json={"name": name})
        assert (patched.status_code, patched.json()["name"]) == (200, name)
        assert (await api.read(path))["name"] == name
        assert name in [row["name"] for row in (await api.read("webhooks"))["items"]]
    assert (await api.post(f"{path}/pause")).status_code == 200
    assert (await api.read(path))["paused_at"] is not None
    assert (await api.call("DELETE", path)).status_code == 204
    assert (await api.get(path)).status_code == 404


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_changes_are_answered_and_shown_beside_nonsense(database_url: str, nonsense: bytes) -> None:
    async with (
        nonsense_server(nonsense) as url,
        Container(settings(database_url, redis_url=url)) as parts,
        api_of(parts) as api,
    ):
        await changes_are_answered_and_shown(api)


async def test_changes_are_answered_and_shown_when_the_nonsense_begins(database_url: str, redis_url: str) -> None:
    garbler = Garbler(redis_url)
    async with (
        garbler.running(),
        Container(settings(database_url, redis_url=garbler.url)) as parts,
        api_of(parts) as api,
    ):
        await changes_are_answered_and_shown(api)
        await eventually(lambda: parts.cache.stats().trusted)
        garbler.nonsense = NONSENSE[0]
        await changes_are_answered_and_shown(api)


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_a_process_that_starts_beside_nonsense_feeds_its_sockets_and_closes_those_of_revoked_tokens(
    database_url: str, redis_url: str, nonsense: bytes, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.http.live.hub.DISCONNECTED_SNAPSHOT_S", 1.0)
    garbler = Garbler(redis_url)
    await stack.enter_async_context(garbler.running())
    garbler.nonsense = nonsense
    parts = await stack.enter_async_context(Container(settings(database_url, redis_url=garbler.url)))
    api = await stack.enter_async_context(served(parts))
    revoked, good = [signer(parts)(Role.VIEWER, name) for name in ("ada", "grace")]
    ends, _ = await stack.enter_async_context(watching(socket_of(api, revoked)))
    stays, _ = await stack.enter_async_context(watching(socket_of(api, good)))
    # One for the start, and one now and then in place of messages.
    await eventually(lambda: len(stays.of("snapshot")) > 1 and ends.of("snapshot"))
    await execute(parts, REVOKE, jti_of(revoked))
    await eventually(lambda: ends.closed)
    assert ends.closed == (4401, "invalid_token")
    assert stays.closed is None

    garbler.nonsense = None
    await eventually(lambda: parts.hub.status().connected)
    parts.feed.publish("alert_new", {"n": 1})
    await eventually(lambda: stays.of("alert_new"))
