"""The handshakes and sessions of jwt.json, each on a socket of its own server."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from monitor.auth.tokens import TokenPolicy, issue
from monitor.domain.vocab import Role
from tests.integration.live_support import LiveServer, close_of, flood_a_slow_reader, live_server, receive
from tests.security.lists import id_of, read

LIST: dict[str, Any] = read("jwt.json")


@pytest.fixture
async def live() -> AsyncIterator[LiveServer]:
    async with live_server() as server:
        yield server


async def status_of(opening: Any) -> tuple[int, str | None]:
    """Return the status of a handshake and the subprotocol that the server chose."""
    try:
        async with opening as socket:
            return 101, socket.subprotocol
    except InvalidStatus as refused:
        return refused.response.status_code, None


def words(live: LiveServer) -> dict[str, str]:
    """Return the tokens that the list names."""
    other = issue(
        live.ring, TokenPolicy("monitor", "other"), subject="ada", role=Role.VIEWER, ttl_s=300, now=time.time(), jti="o"
    )
    return {
        "<good>": live.token(),
        "<good admin>": live.token(role=Role.ADMIN),
        "<good, other sub>": live.token("bob"),
        "<bad>": "a.b.c",
        "<alg none>": "eyJhbGciOiJub25lIn0." + live.token().split(".")[1] + ".",
        "<aud other>": other,
    }


def filled(text: str, live: LiveServer) -> str:
    for word, meaning in words(live).items():
        text = text.replace(word, meaning)
    return text


@pytest.mark.attacks("jwt.json, handshakes, over WebSocket")
@pytest.mark.parametrize("case", LIST["ws_handshake"], ids=id_of)
async def test_a_handshake(case: dict[str, Any], live: LiveServer) -> None:
    sent, expect = case["send"], case["expect"]
    if "repeat" in sent:
        async with AsyncExitStack() as stack:
            for _ in range(sent["repeat"] - 1):
                await stack.enter_async_context(live.connect())
            assert (await status_of(live.connect()))[0] == expect["http"]
            assert live.hub.count == sent["repeat"] - 1
    elif "method" in sent:
        async with httpx.AsyncClient() as client:
            answer = await client.request(sent["method"], f"http://127.0.0.1:{live.port}/ws/dashboard")
        assert answer.status_code in expect["http"]
    elif "during" in sent:
        live.hub.drain()
        assert (await status_of(live.connect()))[0] == expect["http"]
    else:
        headers = {"Cookie": filled(sent["cookie"], live)} if "cookie" in sent else {}
        offers = [filled(offer, live) for offer in sent["subprotocols"]]
        opening = live.browse(*offers, origin=sent["origin"], additional_headers=headers)
        assert await status_of(opening) == (expect["http"], expect.get("selected_subprotocol"))


@pytest.mark.attacks("jwt.json, sessions, over WebSocket")
@pytest.mark.parametrize("case", LIST["ws_session"], ids=id_of)
async def test_a_session(case: dict[str, Any], live: LiveServer) -> None:
    sent, expect = case["send"], case["expect"]
    if "reads_bytes_per_s" in sent:
        assert (await flood_a_slow_reader(live))[0] == expect["close"]
        return
    token = live.token(ttl_s=sent["token_ttl_s"]) if "token_ttl_s" in sent else live.token()
    async with live.connect(token) as socket:
        await receive(socket)
        began = time.monotonic()
        await _act(socket, sent, live)
        if "reply" in expect:
            answer = await receive(socket)
            assert {name: answer[name] for name in expect["reply"]} == expect["reply"]
            live.feed.publish("alert_new", {})
            assert (await receive(socket))["type"] == "alert_new"
            return
        assert (await close_of(socket))[0] == expect["close"]
        if "within_s" in expect:
            # Time to spare for a machine that has other things to do.
            assert time.monotonic() - began < sent.get("token_ttl_s", 0) + expect["within_s"] + 10


async def _act(socket: ClientConnection, sent: dict[str, Any], live: LiveServer) -> None:
    if "msg" in sent:
        await socket.send(filled(json.dumps(sent["msg"]), live))
    elif "text_bytes" in sent:
        await socket.send("x" * sent["text_bytes"])
    elif "raw_text" in sent:
        await socket.send(bytes.fromhex(sent["raw_text"]), text=True)
    elif "text" in sent:
        await socket.send(sent["text"])
    elif "messages_per_s" in sent:
        # More than a minute's worth at once; the rest would meet a closed socket.
        for _ in range(101):
            await socket.send('{"type":"noise"}')
    elif "signal" in sent:
        live.server.stop()
