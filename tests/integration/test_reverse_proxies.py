"""
Two servers behind nginx and behind HAProxy, by the files of ``deploy/``: what clients send and get through them.

The servers have the path prefix ``/monitor``, under which they answer as well as without it.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests import reverse_proxies, servers
from tests.integration.live_support import receive
from tests.integration.processes import Client, Running, production, run, running
from tests.integration.sender.support import certificate
from tests.integration.support import API, WITHIN_S, eventually

pytestmark = [
    pytest.mark.topology,
    pytest.mark.skipif(shutil.which("nginx") is None or shutil.which("haproxy") is None, reason="no nginx or HAProxy"),
]

Start = Callable[..., AbstractContextManager[None]]
KINDS: dict[str, Start] = {"nginx": reverse_proxies.nginx, "haproxy": reverse_proxies.haproxy}

SPOOFED = "127.0.0.1, 198.51.100.7"


class Pair(NamedTuple):
    """Two running servers, their ports, and a token for both."""

    servers: tuple[Running, Running]
    ports: tuple[int, int]
    admin: str


class Proxy(NamedTuple):
    """A running proxy in front of a pair."""

    port: int
    pem: str
    pair: Pair

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.pem)

    @property
    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.pair.admin}"}
        return httpx.AsyncClient(base_url=self.url, verify=self.tls, headers=headers, timeout=WITHIN_S)


@pytest.fixture(scope="module")
async def pair(
    postgres: servers.Postgres, own_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    folder, ports = tmp_path_factory.mktemp("pair"), (servers.free_port(), servers.free_port())
    proxied = {"HTTP__HSTS": "true", "HTTP__TRUSTED_PROXIES": "127.0.0.1", "HTTP__ROOT_PATH": "/monitor"}
    async with postgres.database() as dsn, AsyncExitStack() as stack:
        env = production(dsn, REDIS_URL=own_redis_url, **proxied)
        admin = (await run("token", "--role", "admin", "--subject", "ada", env=env)).out.strip()
        one, other = [
            await stack.enter_async_context(running("serve", "--port", str(port), env=env, log=folder / f"{port}.log"))
            for port in ports
        ]
        for port in ports:
            await eventually(Client(port, admin).ready, within_s=90)
        yield Pair((one, other), ports, admin)


@asynccontextmanager
async def in_front(kind: str, pair: Pair, folder: Path, **options: Any) -> AsyncIterator[Proxy]:
    _, pem = certificate(folder)
    port = servers.free_port()
    with KINDS[kind](folder, port=port, to=pair.ports, pem=pem, **options):
        await eventually(lambda: servers.accepts(port))
        yield Proxy(port, pem, pair)


@pytest.fixture(scope="module", params=KINDS)
async def proxy(
    request: pytest.FixtureRequest, pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Proxy]:
    async with in_front(request.param, pair, tmp_path_factory.mktemp(request.param)) as it:
        yield it


async def curl(proxy: Proxy, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--cacert", proxy.pem, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def edit(client: httpx.AsyncClient, gzip: bool) -> tuple[str, list[int]]:
    """Make a webhook, and use its entity tag to read and to edit; return the tag and the statuses."""
    created = await client.post(
        f"{API}/webhooks", json={"name": "n", "url": "http://127.0.0.1:9/", "description": "long " * 300}
    )
    assert created.status_code == 201, created.text
    where = created.headers["location"]
    assert where.startswith("/monitor/")
    coding = {"Accept-Encoding": "gzip" if gzip else "identity"}
    found = await client.get(where, headers=coding)
    assert ("content-encoding" in found.headers) is gzip
    tag = found.headers["etag"]
    statuses = [
        (await client.get(where, headers={**coding, "If-None-Match": tag})).status_code,
        (await client.patch(where, json={"name": "m"}, headers={**coding, "If-Match": tag})).status_code,
        (await client.patch(where, json={"name": "o"}, headers={**coding, "If-Match": tag})).status_code,
        (await client.get(where, headers={**coding, "If-None-Match": tag})).status_code,
    ]
    return tag, statuses


@pytest.mark.parametrize("gzip", [False, True])
async def test_entity_tags_serve_readers_and_writers(proxy: Proxy, gzip: bool) -> None:
    async with proxy.client as client:
        _, statuses = await edit(client, gzip)
    assert statuses == [304, 200, 412, 200]


@pytest.mark.parametrize("kind", KINDS)
async def test_entity_tags_made_weak_by_compression_at_the_proxy_serve_them_too(
    kind: str, pair: Pair, tmp_path: Path
) -> None:
    async with in_front(kind, pair, tmp_path, compresses=True) as proxy, proxy.client as client:
        tag, statuses = await edit(client, gzip=True)
    assert tag.startswith('W/"')
    assert statuses == [304, 200, 412, 200]


async def test_the_address_of_the_client_is_in_the_log_whatever_it_claims(proxy: Proxy) -> None:
    # It reaches the proxy from 127.0.0.1, which is trusted: what stands left of it is the next one to look at.
    async with proxy.client as client:
        answer = await client.get(f"{API}/webhooks", headers={"X-Forwarded-For": SPOOFED})
    assert answer.status_code == 200, answer.text
    line = await log_line(proxy.pair, answer.headers["x-request-id"])
    assert line["client"] == "198.51.100.7"


async def test_the_audit_log_states_the_address_of_the_client_whatever_it_claims(proxy: Proxy) -> None:
    async with proxy.client as client:
        hook = {"name": "n", "url": "http://127.0.0.1:9/hook"}
        made = await client.post(f"{API}/webhooks", json=hook, headers={"X-Forwarded-For": SPOOFED})
        assert made.status_code == 201, made.text
        rows = await client.get(f"{API}/audit-log", params={"target": f"webhook:{made.json()['id']}"})
    assert [row["client"] for row in rows.json()["items"]] == ["198.51.100.7"]


async def test_a_client_that_reaches_a_server_itself_is_seen_as_it_is(pair: Pair, tmp_path: Path) -> None:
    # As if 127.0.0.2 were no proxy: only 127.0.0.1 is trusted.
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{pair.ports[0]}") as client:
        answer = await client.get("/health/live", headers={"X-Forwarded-For": SPOOFED})
    assert (await log_line(pair, answer.headers["x-request-id"]))["client"] == "127.0.0.2"


async def log_line(pair: Pair, request_id: str) -> dict[str, Any]:
    def find() -> list[str]:
        return [line for server in pair.servers for line in server.output.splitlines() if f'"{request_id}"' in line]

    (line,) = await eventually(find)
    found: dict[str, Any] = json.loads(line)
    return found


async def test_a_batch_of_nearly_five_mebibytes_goes_through(proxy: Proxy) -> None:
    events = [{"type": "order.paid", "payload": {"text": "x" * 5_000}} for _ in range(1_000)]
    async with proxy.client as client:
        answer = await client.post(f"{API}/events", json={"events": events})
    assert answer.status_code == 202, answer.text


async def test_clients_speak_http_2_and_the_page_has_its_prefix(proxy: Proxy) -> None:
    out = await curl(proxy, "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"{proxy.url}/monitor/")
    assert out == "2 200"
    head = await curl(proxy, "--http2", "-I", f"{proxy.url}/monitor/health/ready")
    assert "strict-transport-security" in head
    listed = await curl(
        proxy,
        "--http2",
        "-H",
        f"Authorization: Bearer {proxy.pair.admin}",
        f"{proxy.url}/monitor{API}/webhooks?limit=1",
    )
    assert "items" in json.loads(listed)


@pytest.mark.parametrize("path", ["/ws/dashboard", "/monitor/ws/dashboard"])
async def test_the_live_feed_goes_through_to_our_own_page_on_any_port(proxy: Proxy, path: str) -> None:
    offers = [Subprotocol("monitor.v1"), Subprotocol(f"bearer.{proxy.pair.admin}")]
    address = f"wss://127.0.0.1:{proxy.port}{path}"
    own, other = (Origin(f"https://127.0.0.1:{port}") for port in (proxy.port, 1))
    async with connect(address, ssl=proxy.tls, proxy=None, origin=own, subprotocols=offers) as socket:
        assert socket.subprotocol == "monitor.v1"
        assert (await receive(socket))["type"] == "snapshot"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, ssl=proxy.tls, proxy=None, origin=other, subprotocols=offers):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("kind", KINDS)
async def test_requests_go_on_while_one_of_two_servers_is_away(kind: str, tmp_path: Path) -> None:
    async with upstream() as good:
        gone = servers.free_port()
        async with in_front(kind, Pair((), (gone, good.port), "token"), tmp_path) as proxy, proxy.client as client:  # type: ignore[arg-type]
            # Not sent yet, so that it may go to the other one.
            statuses = {(await client.request(method, "/")).status_code for method in ("GET", "POST") * 10}
    assert statuses == {200}
    assert good.asked == 20


@pytest.mark.parametrize("kind", KINDS)
async def test_what_may_have_been_carried_out_is_not_sent_twice(kind: str, tmp_path: Path) -> None:
    async with upstream() as good, upstream(breaks=True) as bad:
        pair = Pair((), (bad.port, good.port), "token")  # type: ignore[arg-type]
        async with in_front(kind, pair, tmp_path) as proxy, proxy.client as client:
            sent = 0
            while not bad.asked:
                answer = await client.post("/", content=b"{}")
                sent += 1
                assert sent < 50
            broken = answer
            assert good.asked + bad.asked == sent
            # A read is asked of the other.
            assert {(await client.get("/")).status_code for _ in range(10)} == {200}
    assert broken.status_code in {502, 503}
    assert broken.headers["retry-after"] == "1"
    assert broken.headers["content-type"] == "application/problem+json"
    assert broken.json()["type"] == "urn:monitor:problem:unknown_outcome"


@pytest.mark.parametrize("kind", KINDS)
async def test_without_any_server_the_answer_is_a_problem_that_says_when_to_try_again(
    kind: str, tmp_path: Path
) -> None:
    pair = Pair((), (servers.free_port(), servers.free_port()), "token")  # type: ignore[arg-type]
    async with in_front(kind, pair, tmp_path) as proxy, proxy.client as client:
        for _ in range(3):
            answer = await client.get("/")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
            assert answer.json()["status"] == 503


class Upstream:
    """A server that counts requests; one that *breaks* closes the connection once it has read one."""

    def __init__(self, *, breaks: bool) -> None:
        self._breaks = breaks
        self.asked = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                declared = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(declared[1]) if declared else 0)
                is_check = head.startswith(b"GET /health/ready")
                self.asked += not is_check
                if self._breaks and not is_check:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(*, breaks: bool = False) -> AsyncIterator[Upstream]:
    it = Upstream(breaks=breaks)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
