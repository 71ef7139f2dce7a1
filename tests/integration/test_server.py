"""What a connection may send before anybody knows who it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time

import psutil
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.http.server.http_protocol import BoundedHttp
from tests.integration.support import API, Api, eventually, signer

HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
OWN = {"date", "x-request-id"}
"""Headers that no two answers share."""


async def talk(api: Api, *parts: bytes) -> bytes:
    """Send *parts* as far as they are taken, and return all that is answered until the server hangs up."""
    reader, writer = await asyncio.open_connection(api.client.base_url.host, api.client.base_url.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return await reader.read()
    finally:
        writer.close()


def problem(answer: bytes) -> tuple[int, str]:
    """Return status and type of the problem that *answer* is."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    members = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % members["status"])
    return members["status"], members["type"].rpartition(":")[2]


@pytest.mark.parametrize(
    "line", [b"X-A: " + b"a" * 5_000_000, b"X-A: a\r\n" * 600_000], ids=["one header", "many headers"]
)
async def test_a_head_that_does_not_end_is_not_kept(server: Api, line: bytes) -> None:
    pieces = [line[i : i + 65_536] for i in range(0, len(line), 65_536)]
    try:
        answer = await talk(server, HEAD, *pieces)
    except ConnectionError:
        # Reset while we were still sending: the answer may be lost with it, the connection is gone all the same.
        return
    assert not answer or problem(answer) == (431, "head_too_large")


async def test_a_head_that_is_a_little_too_long_is_told_so(server: Api) -> None:
    answer = await talk(server, HEAD, b"X-A: " + b"a" * (BoundedHttp.head_bytes + 1))
    assert problem(answer) == (431, "head_too_large")


@pytest.mark.parametrize(
    "twice", [b"Host: x", b"Content-Length: 0", b"Authorization: Bearer x", b"Origin: http://x", b"Idempotency-Key: a"]
)
async def test_a_single_header_sent_twice_is_a_problem(twice: bytes, server: Api) -> None:
    lines = b"\r\n".join((b"POST /api/v1/events HTTP/1.1", b"Connection: close", twice, twice))
    host = b"" if twice.startswith(b"Host") else b"\r\nHost: x"
    answer = await talk(server, lines + host + b"\r\n\r\n")
    assert problem(answer) == (400, "malformed")
    assert b"x-content-type-options: nosniff" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
        HEAD + b"\r\n" + b"GET /health/live HTTP/1.1\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "half a second head"],
)
async def test_a_request_that_never_ends_is_hung_up_on(
    server: Api, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHttp, "head_s", 0.2)
    monkeypatch.setattr(BoundedHttp, "request_s", 0.4)
    answer = await talk(server, sent)
    assert b"200 OK" in answer if sent.startswith(HEAD + b"\r\n") else b"200 OK" not in answer


async def test_a_client_that_reads_no_answer_is_hung_up_on(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "head_s", 0.2)
    monkeypatch.setattr(BoundedHttp, "request_s", 0.4)
    address = (server.client.base_url.host, server.client.base_url.port)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        own = client.getsockname()
        # More than the kernel takes for both ends.
        client.sendall(b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)

        def is_kept() -> bool:
            return any(c.raddr == own for c in psutil.Process().net_connections("tcp"))

        await eventually(is_kept)
        await eventually(lambda: not is_kept())


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x/@y\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_problem(server: Api, sent: bytes) -> None:
    assert problem(await talk(server, sent)) == (400, "malformed")


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n", b"GET / HTTP/1.1\r\nHost:\r\n", b"GET / HTTP/1.0\r\n"]
)
async def test_a_host_may_be_any_and_an_old_client_needs_none(server: Api, head: bytes) -> None:
    assert (await talk(server, head + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


CHUNKED = b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "around",
    [b"0\r\n" + b"X-A: a\r\n" * 600_000, b"0\r\nX-A: " + b"a" * 5_000_000, b"1;" + b"a" * 5_000_000],
    ids=["many trailers", "one trailer", "an extension"],
)
async def test_what_lies_around_a_body_is_not_kept(server: Api, around: bytes) -> None:
    pieces = [around[i : i + 65_536] for i in range(0, len(around), 65_536)]
    before = time.monotonic()
    with contextlib.suppress(ConnectionError):
        await talk(server, CHUNKED, *pieces)
    # Far sooner than a request that never ends is hung up on.
    assert time.monotonic() - before < BoundedHttp.request_s / 2


async def test_a_trailer_is_no_header(server: Api, parts: Container) -> None:
    token = signer(parts)(Role.ADMIN, "trailer").encode()
    answer = await talk(
        server,
        b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nAuthorization: Bearer " + token + b"\r\n\r\n",
    )
    assert problem(answer) == (401, "missing_token")


async def test_a_long_body_is_no_part_of_the_next_head(server: Api) -> None:
    body = b'{"type":"order.paid","payload":"' + b"x" * 150_000 + b'"}'
    post = b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    answer = await talk(server, post + b"GET /health/live HTTP/1.1\r\nHost: x\r\n", b"Connection: close\r\n\r\n")
    assert b"HTTP/1.1 401 " in answer
    assert b"HTTP/1.1 200 OK" in answer


async def test_an_answer_is_never_taken_for_that_to_another_request(server: Api) -> None:
    ready = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    # Not answered yet when the second one is found to be no request; a client would take what comes for the first.
    assert not (await talk(server, ready + b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
    # Answered already, before the rest of it is found to be none.
    reader, writer = await asyncio.open_connection(server.client.base_url.host, server.client.base_url.port)
    writer.write(CHUNKED)
    assert problem(await reader.readuntil(b"}")) == (401, "missing_token")
    writer.write(b"nonsense\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_requests_sent_far_ahead_of_their_answers_are_not_kept(server: Api) -> None:
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = await talk(server, live * (BoundedHttp.max_pipelined - 1) + last)
    assert answers.count(b"HTTP/1.1 200 OK") == BoundedHttp.max_pipelined
    with contextlib.suppress(ConnectionError):
        assert (await talk(server, live * 5_000 + last)).count(b"HTTP/1.1 ") < 1_000


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/", None, 200),
        ("/health/live", None, 200),
        ("webhooks?limit=1", Role.VIEWER, 200),
        ("dashboard/overview", Role.VIEWER, 200),
        ("dashboard/overview", None, 401),
        ("dashboard/overview", Role.PUBLISHER, 403),
        ("nothing", None, 404),
    ],
)
async def test_head_is_answered_as_get_without_a_body(
    server: Api, path: str, role: Role | None, status: int, parts: Container
) -> None:
    headers = {"Accept-Encoding": "identity"}
    if role is not None:
        headers["Authorization"] = f"Bearer {signer(parts)(role, 'ada')}"
    url = path if path.startswith("/") else f"{API}/{path}"
    for _ in range(2):
        # Twice, since the second GET may be answered from memory.
        got, head = [await server.client.request(method, url, headers=headers) for method in ("GET", "HEAD")]
        assert (got.status_code, head.status_code, head.content) == (status, status, b"")
        assert got.content
        same = [{name: value for name, value in answer.headers.items() if name not in OWN} for answer in (got, head)]
        assert same[0] == same[1]


async def test_head_where_there_is_no_get_is_refused(server: Api) -> None:
    answer = await server.client.head(f"{API}/alerts/ack")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "OPTIONS, POST", b"")


HANDSHAKE = (
    b"GET /ws/dashboard HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "rest",
    [
        b"X-A: " + b"a" * 9_000 + b"\r\n\r\n",
        b"".join(b"X-%d: a\r\n" % i for i in range(200)) + b"\r\n",
        b"Content-Length: 2\r\n\r\nab",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ],
    ids=["long header", "many headers", "body", "chunked body"],
)
async def test_a_handshake_that_cannot_be_read_is_refused_and_not_kept(server: Api, rest: bytes) -> None:
    assert problem(await talk(server, HANDSHAKE + rest)) == (400, "malformed")


async def test_an_honest_connection_is_kept(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "head_s", 0.1)
    for _ in range(3):
        assert (await server.get("/health/live", role=None)).status_code == 200
    body = json.dumps({"type": "order.paid", "payload": "x" * 300_000})
    answer = await server.post("events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
