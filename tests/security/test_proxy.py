"""The nginx of the deployment checklist in front of a server; the other port of its upstream is closed."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.settings.schema import Http
from tests import servers
from tests.integration.live_support import receive
from tests.integration.sender.support import certificate
from tests.integration.support import API, eventually, served, settings
from tests.reverse_proxies import nginx


class Proxy(NamedTuple):
    """A running nginx: its port, a context that trusts it, and tokens for the server behind it."""

    port: int
    tls: ssl.SSLContext
    admin: str
    viewer: str

    @property
    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.admin}"}
        return httpx.AsyncClient(base_url=f"https://127.0.0.1:{self.port}", verify=self.tls, headers=headers)


@pytest.fixture(scope="module")
async def proxy(postgres: servers.Postgres) -> AsyncIterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="monitor-nginx-", dir="/tmp") as directory:
        folder, port = Path(directory), servers.free_port()
        _, pem = certificate(folder)
        async with (
            postgres.database() as dsn,
            Container(settings(dsn, http=Http(hsts=True))) as parts,
            served(parts) as api,
        ):
            to_port = api.client.base_url.port
            assert to_port is not None
            with nginx(folder, port=port, to=(to_port, servers.free_port()), pem=pem):
                await eventually(lambda: servers.accepts(port))
                tls = ssl.create_default_context(cafile=pem)
                yield Proxy(port, tls, api._sign(Role.ADMIN, "ada"), api._sign(Role.VIEWER, "bob"))


async def test_rest_goes_through(proxy: Proxy) -> None:
    async with proxy.client as client:
        created = await client.post(f"{API}/webhooks", json={"name": "n", "url": "http://127.0.0.1:9/"})
        assert created.status_code == 201, created.text
        where = created.headers["location"]
        found = await client.get(where)
        assert found.json()["name"] == "n"
        assert "strict-transport-security" in found.headers
        assert (await client.get(where, headers={"If-None-Match": found.headers["etag"]})).status_code == 304
        changed = await client.patch(where, json={"name": "m"}, headers={"If-Match": found.headers["etag"]})
        assert changed.status_code == 200, changed.text


async def test_a_large_batch_goes_through(proxy: Proxy) -> None:
    events = [{"type": "order.paid", "payload": {"text": "x" * 4_500}} for _ in range(1_000)]
    async with proxy.client as client:
        answer = await client.post(f"{API}/events", json={"events": events}, timeout=60)
    assert answer.status_code == 202, answer.text


async def test_answers_arrive_compressed(proxy: Proxy) -> None:
    async with proxy.client as client:
        answer = await client.get("/schema/openapi.json", headers={"Accept-Encoding": "gzip"})
        plain = await client.get("/schema/openapi.json", headers={"Accept-Encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert answer.json() == plain.json()


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_the_live_feed_goes_through_to_our_own_page_on_any_port(proxy: Proxy, compression: str | None) -> None:
    offers = [Subprotocol("monitor.v1"), Subprotocol(f"bearer.{proxy.viewer}")]
    address = f"wss://127.0.0.1:{proxy.port}/ws/dashboard"
    own, other = (Origin(f"https://127.0.0.1:{port}") for port in (proxy.port, 1))
    async with connect(
        address, ssl=proxy.tls, proxy=None, origin=own, subprotocols=offers, compression=compression
    ) as socket:
        assert socket.subprotocol == "monitor.v1"
        assert (await receive(socket))["type"] == "snapshot"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, ssl=proxy.tls, proxy=None, origin=other, subprotocols=offers):
            pass
    assert refused.value.response.status_code == 403
