"""The socket rows of the attack list: handshakes, the route, sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from litestar import Litestar
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import TestClient

from monitor.auth.tokens import TokenVerifier
from monitor.domain.live.session import MAX_FRAMES
from monitor.domain.vocab import Role
from monitor.http.live import LiveEndpoint, live_route
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import Application, build_edge, litestar_options
from monitor.http.requests.hosts import ServedHosts
from tests.unit.http.live.live_support import (
    ORIGIN,
    OWN,
    Client,
    FakeFrameTransport,
    World,
    connected,
    endpoint_of,
    handshake,
)
from tests.unit.http.middleware.test_authentication import CASES, forge
from tests.unit.http.support import NOW, Keys, undeclared_routes
from tests.waiting import until

TOKENS = {case["name"]: case for case in CASES["rest_tokens"]}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def endpoint(world: World, verifier: TokenVerifier) -> LiveEndpoint:
    return endpoint_of(world, verifier)


def case(id_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in CASES["ws_handshake"] + CASES["ws_session"] if row["id"] == id_)
    return found


def problem_of(client: Client) -> dict[str, Any]:
    (body,) = (message["body"] for message in client.sent if message["type"] == "websocket.http.response.body")
    problem: dict[str, Any] = json.loads(body)
    return problem


# The handshake ---------------------------------------------------------------------------------------------------


SIMPLE = [row for row in CASES["ws_handshake"] if "subprotocols" in row["send"]]


@pytest.mark.parametrize("case", SIMPLE, ids=lambda case: f"{case['id']} {case['name']}")
async def test_a_handshake_of_the_attack_list_is_judged_as_listed(
    case: dict[str, Any], endpoint: LiveEndpoint, token: Callable[..., str], keys: Keys
) -> None:
    words = {
        "<good>": token(),
        "<good admin>": token(Role.ADMIN, jti="jti-2"),
        "<alg none>": forge(TOKENS["alg none"]["build"], keys) if "alg none" in TOKENS else "e30.e30.",
        "<aud other>": token()[:-4] + "AAAA",
    }

    def filled(text: str) -> str:
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        return text

    sent = case["send"]
    cookies = ((b"cookie", filled(sent["cookie"]).encode()),) if "cookie" in sent else ()
    offers = tuple(filled(offer) for offer in sent["subprotocols"])
    scope = handshake(offers=offers, origin=sent["origin"], headers=cookies, transport=FakeFrameTransport())
    async with connected(endpoint, scope) as client:
        assert client.status == case["expect"]["http"]
        assert client.sent[0].get("subprotocol") == case["expect"].get("selected_subprotocol")
    assert not any(secret in str(client.sent) for secret in words.values())


async def test_the_sixth_socket_of_one_user_is_refused_and_the_first_five_stay(
    endpoint: LiveEndpoint, token: Callable[..., str], world: World
) -> None:
    row = case("W24")
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(endpoint, handshake(token(), transport=FakeFrameTransport())))
            for _ in range(row["send"]["repeat"])
        ]
        assert [client.status for client in clients] == [101] * 5 + [row["expect"]["http"]]
        assert world.hub.count == 5
        assert (b"retry-after", b"5") in clients[5].sent[0]["headers"]
    assert (world.hub.count, world.hub.status().per_user) == (0, {})


async def test_nobody_gets_in_while_the_process_stops(
    endpoint: LiveEndpoint, token: Callable[..., str], world: World
) -> None:
    world.hub.drain()
    async with connected(endpoint, handshake(token(), transport=FakeFrameTransport())) as client:
        assert client.status == case("W28")["expect"]["http"]
    assert world.hub.refused == {"unavailable": 1}


async def test_a_refusal_is_a_problem_with_an_id_and_the_usual_headers(endpoint: LiveEndpoint) -> None:
    scope = handshake(headers=((b"x-request-id", b"r-7"),))
    async with connected(endpoint, scope) as client:
        pass
    headers = dict(client.sent[0]["headers"])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"www-authenticate"] == b"Bearer"
    assert (headers[b"x-request-id"], headers[b"x-content-type-options"]) == (b"r-7", b"nosniff")
    problem = problem_of(client)
    assert (problem["status"], problem["instance"], problem["request_id"]) == (401, "/ws/dashboard", "r-7")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"query": "token=x"}, 400),
        ({"query": "epoch=e&seq=1"}, 101),
        ({"offers": ("monitor.v1",)}, 101),
        ({"offers": ("chat",)}, 400),
        ({"offers": ("monitor.v1", "bearer.x")}, 400),
        ({"origin": f"https://{OWN}"}, 101),
        ({"origin": f"https://{OWN.upper()}:443"}, 101),
        ({"origin": f"http://{OWN}"}, 403),
        ({"origin": f"https://{OWN}:8443"}, 403),
        ({"origin": f"https://{OWN}", "headers": ((b"origin", f"https://{OWN}".encode()),)}, 400),
        ({"headers": ((b"authorization", b"Bearer x"),)}, 400),
        ({"origin": "null"}, 403),
    ],
)
async def test_a_handshake_with_the_token_in_the_header(
    options: dict[str, Any], status: int, endpoint: LiveEndpoint, token: Callable[..., str]
) -> None:
    async with connected(endpoint, handshake(token(), transport=FakeFrameTransport(), **options)) as client:
        assert client.status == status


async def test_a_handshake_for_another_host_is_misdirected(
    world: World, verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    for names, status in (([OWN], 101), (["other.test"], 421)):
        endpoint = endpoint_of(world, verifier, hosts=ServedHosts(names))
        async with connected(endpoint, handshake(token(), transport=FakeFrameTransport())) as client:
            assert client.status == status
    assert world.hub.refused == {"misdirected": 1}


async def test_an_empty_token_behind_the_prefix_is_none(endpoint: LiveEndpoint) -> None:
    async with connected(endpoint, handshake(offers=("monitor.v1", "bearer."))) as client:
        assert problem_of(client)["type"].endswith("missing_token")


async def test_where_tls_ends_in_front_of_us_our_own_pages_are_secure_ones(
    world: World, verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    endpoint = endpoint_of(world, verifier, https=True)
    scope = handshake(token(), origin=f"https://{OWN}", transport=FakeFrameTransport()) | {"scheme": "ws"}
    async with connected(endpoint, scope) as client:
        assert client.status == 101


async def test_a_token_within_the_leeway_opens_no_socket(
    endpoint: LiveEndpoint, token: Callable[..., str], world: World
) -> None:
    nearly = token(ttl_s=60)
    world.now = NOW + 65
    async with connected(endpoint, handshake(nearly)) as client:
        assert client.status == 401


async def test_a_publisher_does_not_watch(endpoint: LiveEndpoint, token: Callable[..., str]) -> None:
    async with connected(endpoint, handshake(token(Role.PUBLISHER))) as client:
        assert client.status == 403


async def test_a_server_that_cannot_answer_a_handshake_closes_it(endpoint: LiveEndpoint) -> None:
    client = Client(endpoint, handshake() | {"extensions": None})
    await client.run()
    assert client.sent == [{"type": "websocket.close", "code": 1008, "reason": "missing_token"}]


# The route -------------------------------------------------------------------------------------------------------


@pytest.fixture
def app(endpoint: LiveEndpoint, verifier: TokenVerifier) -> Application:
    limiter = LocalRateLimiter(per_s=1, burst=5, ticks_s=lambda: 0.0)
    options = litestar_options(verifier=verifier, now=lambda: NOW, limiter=limiter)
    litestar = Litestar([live_route(endpoint)], openapi_config=None, **options)
    return Application(litestar, build_edge(litestar, new_id=lambda: "made", ticks_s=lambda: 0.0))


def test_the_route_declares_its_role(app: Application) -> None:
    assert undeclared_routes(app.litestar) == []
    (route,) = app.litestar.routes
    assert route.route_handler.opt["role"] is Role.VIEWER  # type: ignore[union-attr]


def test_a_plain_request_is_told_to_upgrade(client: TestClient[Application]) -> None:
    answer = client.get("/ws/dashboard")
    assert answer.status_code in case("W26")["expect"]["http"]
    assert (answer.headers["upgrade"], answer.headers["x-request-id"]) == ("websocket", "made")
    assert answer.json()["type"] == "urn:monitor:problem:upgrade_required"


def test_on_any_asgi_server_the_feed_works_through_the_application(
    client: TestClient[Application], token: Callable[..., str], world: World
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    with client.websocket_connect("/ws/dashboard", headers=headers) as socket:
        socket.send_text("{")
        assert socket.receive_json()["code"] == "malformed"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert (closed.value.code, closed.value.detail) == (4400, "malformed")


# A session -------------------------------------------------------------------------------------------------------


@pytest.fixture
def transport() -> FakeFrameTransport:
    return FakeFrameTransport()


@pytest.fixture
async def talking(
    endpoint: LiveEndpoint, token: Callable[..., str], transport: FakeFrameTransport
) -> AsyncIterator[Client]:
    """A client on *transport* that has its snapshot."""
    async with connected(endpoint, handshake(token(), transport=transport)) as client:
        yield client


async def test_a_newer_token_moves_the_end(
    talking: Client, transport: FakeFrameTransport, token: Callable[..., str], world: World
) -> None:
    world.now = NOW + 200
    talking.say({"type": "auth", "token": token(jti="jti-2", ttl_s=400)})
    (socket,) = world.hub._sockets
    await until(lambda: socket.session.grant.jti == "jti-2")
    world.now = NOW + 399
    await world.hub.tick(1)
    assert transport.ended is None
    world.now = NOW + 400
    await world.hub.tick(2)
    assert transport.ended == (4401, "invalid_token")


async def test_a_renewal_as_another_user_is_refused(
    talking: Client, transport: FakeFrameTransport, token: Callable[..., str]
) -> None:
    talking.say({"type": "auth", "token": token(subject="user-2")})
    await until(lambda: transport.ended)
    assert transport.ended == (case("W31")["expect"]["close"], "insufficient_scope")


async def test_a_renewal_with_more_rights_is_refused(
    talking: Client, transport: FakeFrameTransport, token: Callable[..., str]
) -> None:
    talking.say({"type": "auth", "token": token(Role.ADMIN)})
    await until(lambda: transport.ended)
    assert transport.ended == (4403, "insufficient_scope")


async def test_a_renewal_with_a_bad_token_is_refused_without_a_word_of_it(
    talking: Client, transport: FakeFrameTransport
) -> None:
    talking.say({"type": "auth", "token": "a.secret.b"})
    await until(lambda: transport.ended)
    assert transport.ended == (case("W33")["expect"]["close"], "invalid_token")
    assert [frame["code"] for frame in transport.written if frame["type"] == "error"] == ["invalid_token"]
    assert "secret" not in str(transport.written)


async def test_an_unknown_type_is_answered_and_tolerated(talking: Client, transport: FakeFrameTransport) -> None:
    row = case("W39")
    talking.say(row["send"]["text"])
    await until(lambda: transport.messages)
    assert {name: transport.written[0][name] for name in row["expect"]["reply"]} == row["expect"]["reply"]
    assert (transport.ended is None) == row["expect"]["stays_open"]


async def test_a_flood_closes(talking: Client, transport: FakeFrameTransport) -> None:
    for _ in range(MAX_FRAMES + 1):
        talking.say({"type": "noise"})
    await until(lambda: transport.ended)
    assert transport.ended == (case("W41")["expect"]["close"], "too_many_requests")
    talking.say({"type": "noise"})


async def test_a_client_that_says_where_it_was_gets_no_snapshot(
    talking: Client, transport: FakeFrameTransport, world: World
) -> None:
    await world.tell(1, 2, 3)
    talking.say({"type": "resume", "epoch": world.stream.epoch, "seq": 1})
    await until(lambda: transport.messages)
    assert transport.seen == [("alert_new", 2), ("alert_new", 3)]


async def test_a_client_that_says_nothing_gets_a_snapshot_soon(
    talking: Client, transport: FakeFrameTransport, world: World
) -> None:
    async with asyncio.timeout(20):
        while not transport.messages:
            await world.hub.send_snapshots()
            await asyncio.sleep(0.01)
    assert transport.seen == [("snapshot", 0)]


async def test_a_fault_of_ours_closes_the_socket_without_a_word_of_it(
    talking: Client, transport: FakeFrameTransport, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(world.hub, "handle", broken)
    talking.say({"type": "subscribe"})
    await until(lambda: transport.ended)
    assert transport.ended == (1011, "internal error")
    await until(lambda: world.hub.count == 0)


def test_the_page_of_the_list_is_the_one_that_is_allowed() -> None:
    allowed = [row["send"]["origin"] for row in CASES["ws_handshake"] if row["expect"]["http"] == 101]
    assert {origin.lower() for origin in allowed} == {ORIGIN}


# The session of a browser ----------------------------------------------------------------------------------------


def by_cookie(value: str, origin: str | None, *more: tuple[bytes, bytes]) -> dict[str, Any]:
    cookies = ((b"cookie", f"__Host-monitor_session={value}".encode()), *more)
    return handshake(offers=("monitor.v1",), origin=origin, headers=cookies, transport=FakeFrameTransport())


async def test_our_own_page_opens_a_socket_by_cookie(endpoint: LiveEndpoint, token: Callable[..., str]) -> None:
    async with connected(endpoint, by_cookie(token(), f"https://{OWN}")) as client:
        assert client.status == 101


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.test", f"http://{OWN}", f"https://{OWN}:8443", "null", None])
async def test_no_other_page_opens_one_by_cookie(
    origin: str | None, endpoint: LiveEndpoint, token: Callable[..., str], world: World
) -> None:
    async with connected(endpoint, by_cookie(token(), origin)) as client:
        assert client.status == 403
    assert world.hub.refused == {"insufficient_scope": 1}


async def test_a_page_of_another_port_opens_none_by_cookie(endpoint: LiveEndpoint, token: Callable[..., str]) -> None:
    scope = by_cookie(token(), f"https://{OWN}", (b"sec-fetch-site", b"same-site"))
    async with connected(endpoint, scope) as client:
        assert client.status == 403


async def test_two_cookies_or_a_bad_one_open_none(
    endpoint: LiveEndpoint, token: Callable[..., str], revoked: set[str]
) -> None:
    second = (b"cookie", f"__Host-monitor_session={token()}".encode())
    async with connected(endpoint, by_cookie(token(), f"https://{OWN}", second)) as client:
        assert client.status == 400
    revoked.add("gone")
    for bad in ("a.b.c", token(jti="gone")):
        async with connected(endpoint, by_cookie(bad, f"https://{OWN}")) as client:
            assert client.status == 401


async def test_a_token_that_is_offered_counts_and_not_the_cookie(
    endpoint: LiveEndpoint, token: Callable[..., str]
) -> None:
    scope = by_cookie(token(), ORIGIN) | {"subprotocols": ["monitor.v1", f"bearer.{token()}"]}
    async with connected(endpoint, scope) as client:
        assert client.status == 101
    async with connected(endpoint, scope | {"subprotocols": ["monitor.v1", "bearer.a.b.c"]}) as client:
        assert client.status == 401
