"""The live feed on real sockets: what clients of a running server see."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from monitor.auth.keys import Key
from monitor.domain.vocab import Role
from tests.integration.live_support import LiveServer, close_of, flood_a_slow_reader, live_server, receive, watching
from tests.integration.support import JWT_KEY, eventually

NEW_KEY, THIRD_KEY = (base64.urlsafe_b64encode(bytes(range(n, n + 32))).decode() for n in (65, 100))


@pytest.fixture
async def live() -> AsyncIterator[LiveServer]:
    async with live_server() as server:
        yield server


async def refusal(opening: Any) -> httpx.Response:
    """Return the answer to a handshake that must fail."""
    with pytest.raises(InvalidStatus) as failed:
        async with opening:
            pass
    response = failed.value.response
    return httpx.Response(
        response.status_code, headers=list(response.headers.raw_items()), content=bytes(response.body)
    )


async def test_a_browser_gets_our_protocol_back_and_never_its_token(live: LiveServer) -> None:
    async with live.browse("monitor.v1", f"bearer.{live.token()}") as socket:
        assert socket.subprotocol == "monitor.v1"
        assert (await receive(socket))["type"] == "snapshot"


async def test_a_refusal_comes_before_the_handshake_with_a_true_status_and_a_problem(live: LiveServer) -> None:
    good = live.token()
    for opening, status, slug in [
        (live.connect(""), 401, "missing_token"),
        (live.connect("nonsense"), 401, "invalid_token"),
        (live.connect(good, query=f"?token={good}"), 400, "malformed"),
        (live.browse(f"bearer.{good}"), 400, "malformed"),
        (live.browse("monitor.v1", f"bearer.{good}", "bearer.x"), 400, "malformed"),
        (live.browse("monitor.v1", f"bearer.{good}", origin="https://evil.test"), 403, "insufficient_scope"),
        (live.connect(live.token(role=Role.PUBLISHER)), 403, "insufficient_scope"),
    ]:
        answer = await refusal(opening)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:monitor:problem:{slug}")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert good not in answer.text
    assert live.hub.refused == {"missing_token": 1, "invalid_token": 1, "malformed": 3, "insufficient_scope": 2}


@pytest.mark.parametrize(
    ("repeated", "status"),
    [
        (b"Origin: http://127.0.0.1", b"400"),
        (b"Authorization: Bearer x", b"400"),
        (b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"400"),
        (b"Sec-WebSocket-Version: 12", b"400"),
    ],
)
async def test_a_header_sent_twice_is_a_problem_with_our_headers(
    repeated: bytes, status: bytes, live: LiveServer
) -> None:
    head = (
        b"GET /ws/dashboard HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    extra = b"" if repeated.startswith(b"Sec-") else repeated + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    try:
        writer.write(head + extra + repeated + b"\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(65_536), 20)
    finally:
        writer.close()
    lines, _, body = answer.partition(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 " + status)
    assert b"content-type: application/problem+json" in lines.lower()
    assert b"x-content-type-options: nosniff" in lines.lower()
    assert b"cache-control: no-store" in lines.lower()
    assert json.loads(body)["type"] == "urn:monitor:problem:malformed"


async def test_a_page_of_our_own_needs_no_listing(live: LiveServer) -> None:
    offers = ("monitor.v1", f"bearer.{live.token()}")
    async with live.browse(*offers, origin=f"http://127.0.0.1:{live.port}") as socket:
        assert (await receive(socket))["type"] == "snapshot"


async def test_a_plain_request_is_told_to_upgrade(live: LiveServer) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{live.port}/ws/dashboard")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json()["type"] == "urn:monitor:problem:upgrade_required"


async def test_one_user_holds_five_sockets_and_another_is_not_in_the_way(live: LiveServer) -> None:
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(live.connect()) for _ in range(5)]
        answer = await refusal(live.connect())
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        async with live.connect(live.token("bob")) as other:
            assert (await receive(other))["type"] == "snapshot"
        for socket in held:
            assert (await receive(socket))["type"] == "snapshot"
        await held[0].close()
        await eventually(lambda: live.hub.count == 4)
        async with live.connect() as next_one:
            assert (await receive(next_one))["type"] == "snapshot"
    await eventually(lambda: live.hub.count == 0)
    assert live.hub.status().per_user == {}


async def test_first_a_snapshot_then_every_message_once_and_in_order(live: LiveServer) -> None:
    async with watching(live.connect()) as (viewer, _):
        await eventually(lambda: viewer.frames)
        for i in range(200):
            live.feed.publish("alert_new", {"i": i})
        await eventually(lambda: len(viewer.frames) == 201)
    assert [frame["seq"] for frame in viewer.frames] == list(range(201))
    assert [frame["data"] for frame in viewer.of("alert_new")] == [{"i": i} for i in range(200)]
    assert {frame["epoch"] for frame in viewer.frames} == {live.feed.stream.epoch}
    assert set(viewer.frames[-1]) == {"type", "epoch", "seq", "at", "data"}


async def test_a_client_that_comes_back_gets_exactly_what_it_missed(live: LiveServer) -> None:
    async with watching(live.connect()) as (viewer, _):
        await eventually(lambda: viewer.frames)
        live.feed.publish("alert_new", {"i": 1})
        await eventually(lambda: len(viewer.frames) == 2)
    for i in (2, 3):
        live.feed.publish("alert_new", {"i": i})
    await eventually(lambda: live.feed.stream.seq == 3)
    async with live.connect(query=viewer.query) as socket:
        assert [(await receive(socket))["seq"] for _ in range(2)] == [2, 3]
    async with live.connect() as socket:
        await socket.send(json.dumps({"type": "resume", "epoch": viewer.frames[-1]["epoch"], "seq": 2}))
        assert (await receive(socket))["seq"] == 3
    async with live.connect(query="?epoch=other&seq=2") as socket:
        assert (await receive(socket))["type"] == "snapshot"


async def test_metrics_go_out_once_a_second_and_only_the_newest(live: LiveServer) -> None:
    async with watching(live.connect()) as (viewer, _):
        await eventually(lambda: viewer.frames)
        for i in range(1000):
            live.hub.set_metrics(b"%d" % i)
        await eventually(lambda: viewer.of("metrics_update"))
        live.feed.publish("alert_new", {})
        await eventually(lambda: viewer.of("alert_new"))
        assert [frame["data"] for frame in viewer.of("metrics_update")] == [999]


async def test_a_subscriber_gets_a_snapshot_and_then_only_what_it_asked_for(live: LiveServer) -> None:
    mine, other = UUID(int=1), UUID(int=2)
    async with watching(live.connect()) as (viewer, socket):
        await socket.send(json.dumps({"type": "subscribe", "topics": ["alerts"], "webhooks": [str(mine)]}))
        await eventually(lambda: viewer.frames)
        for webhook in (mine, other):
            live.feed.publish("alert_new", {}, webhook)
            live.feed.publish("anomaly_opened", {}, webhook)
        live.feed.publish("alert_updated", {})
        await eventually(lambda: viewer.of("alert_updated"))
    assert [(frame["type"], frame["seq"]) for frame in viewer.frames] == [
        ("snapshot", 0),
        ("alert_new", 1),
        ("alert_updated", 5),
    ]


async def test_a_token_that_runs_out_closes_and_no_frame_comes_after(live: LiveServer) -> None:
    async with live.connect(live.token(ttl_s=2)) as socket:
        assert await close_of(socket) == (4401, "invalid_token")


async def test_a_newer_token_keeps_the_socket_open(live: LiveServer) -> None:
    async with live.connect(live.token(ttl_s=2)) as socket:
        await socket.send(json.dumps({"type": "auth", "token": live.token(ttl_s=300)}))
        await receive(socket)
        (held,) = live.hub._sockets
        await eventually(lambda: held.session.grant.expires_at - held.since > 100)
    await eventually(lambda: live.hub.count == 0)
    assert live.hub.closed == {"client": 1}


@pytest.mark.parametrize("kid", ["test", "other"])
async def test_a_key_that_is_taken_away_closes_the_sockets_of_its_tokens_alone(live: LiveServer, kid: str) -> None:
    """Also if another key takes over its kid."""
    old, new = Key("test", "HS256", JWT_KEY), Key("new", "HS256", NEW_KEY)
    async with live.connect() as ended:
        await receive(ended)
        live.ring.replace([new, old])
        async with live.connect() as other:
            await receive(other)
            live.ring.replace([new, Key(kid, "HS256", THIRD_KEY)])
            assert await close_of(ended) == (4401, "invalid_token")
            live.state["told"] = 1
            live.feed.publish("alert_new", {"n": 1})
            assert (await receive(other))["data"] == {"n": 1}


async def test_a_revoked_token_closes_its_sockets_alone(live: LiveServer) -> None:
    async with live.connect(live.token(jti="gone")) as revoked, live.connect() as other:
        await receive(other)
        live.revoked.add("gone")
        assert await close_of(revoked) == (4401, "invalid_token")
        live.feed.publish("alert_new", {})
        assert (await receive(other))["type"] == "alert_new"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (lambda live: {"type": "auth", "token": live.token("bob")}, 4403),
        (lambda live: {"type": "auth", "token": live.token(role=Role.ADMIN)}, 4403),
        (lambda live: {"type": "auth", "token": "a.b.c"}, 4401),
        (lambda live: {"type": "auth"}, 4400),
        (lambda live: "not json", 4400),
        (lambda live: "x" * 16_385, 1009),
        (lambda live: b"binary", 4400),
    ],
)
async def test_a_bad_frame_is_answered_by_its_close_code(live: LiveServer, sent: Any, code: int) -> None:
    message = sent(live)
    async with live.connect() as socket:
        await receive(socket)
        await socket.send(json.dumps(message) if isinstance(message, dict) else message)
        closed, reason = await close_of(socket)
    assert closed == code
    assert len(reason.encode()) <= 123
    assert "eyJ" not in reason


async def test_an_unknown_type_is_answered_and_the_socket_stays_open(live: LiveServer) -> None:
    async with live.connect() as socket:
        await receive(socket)
        await socket.send('{"type":"drop_tables"}')
        answer = await receive(socket)
        assert (answer["type"], answer["code"]) == ("error", "unknown_type")
        live.feed.publish("alert_new", {})
        assert (await receive(socket))["type"] == "alert_new"


async def test_a_flood_of_frames_is_cut_off(live: LiveServer) -> None:
    async with live.connect() as socket:
        for _ in range(101):
            await socket.send('{"type":"noise"}')
        assert await close_of(socket) == (4429, "too_many_requests")


async def test_invalid_text_closes_as_the_protocol_says(live: LiveServer) -> None:
    async with live.connect() as socket:
        await receive(socket)
        await socket.send(b"\xff", text=True)
        assert (await close_of(socket))[0] == 1007


async def test_a_reader_that_does_not_read_is_closed_and_slows_nobody(live: LiveServer) -> None:
    code, reason, received = await flood_a_slow_reader(live)
    assert (code, reason) == (1013, "too slow")
    assert received == list(range(1, len(received) + 1))


async def test_before_it_stops_a_server_refuses_and_sends_everybody_away(live: LiveServer) -> None:
    async with live.connect() as socket:
        await receive(socket)
        live.hub.drain()
        assert await close_of(socket) == (1012, "restarting")
    answer = await refusal(live.connect())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:monitor:problem:unavailable")


async def test_a_server_that_stops_says_so(live: LiveServer) -> None:
    async with live.connect() as socket:
        await receive(socket)
        live.server.stop()
        assert (await close_of(socket))[0] == 1012


async def test_a_message_is_not_lost_between_snapshot_and_first_frame(live: LiveServer) -> None:
    """Clients connect while messages flow; each sees the rest of the sequence from its snapshot on."""
    async with AsyncExitStack() as stack:
        viewers = []
        for i in range(20):
            opening = live.connect(live.token(f"user-{i}"))
            viewers.append((await stack.enter_async_context(watching(opening)))[0])
            for _ in range(5):
                live.feed.publish("alert_new", {})
            await asyncio.sleep(0)
        await eventually(lambda: all(v.frames and v.frames[-1]["seq"] == 100 for v in viewers))
        for viewer in viewers:
            first = viewer.frames[0]["seq"]
            assert [frame["seq"] for frame in viewer.frames] == list(range(first, 101))
