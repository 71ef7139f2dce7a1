"""An identity provider on a real socket: what is fetched from it, and who may call the API with its tokens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from websockets.asyncio.client import connect

from monitor.adapters.egress.jwks import LIMIT_BYTES, HttpKeySource
from monitor.adapters.egress.tls import tls_context
from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from tests.integration.live_support import close_of, receive
from tests.integration.processes import environment, production, run
from tests.integration.sender.support import certificate
from tests.integration.support import JWT_KEY, eventually, served, settings
from tests.servers import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RSA = generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()


class Provider:
    """Publishes ``keys``, unless ``handle`` is changed."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.requests: list[web.Request] = []
        self.handle: Handler = self.publish
        self.url = ""

    async def publish(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": self.keys})

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handle(request)


@asynccontextmanager
async def serving(tls: Any = None) -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/jwks", provider.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    provider.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/jwks"
    try:
        yield provider
    finally:
        await runner.cleanup()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serving() as provider:
        yield provider


def jwk(key: Any, kid: str) -> dict[str, Any]:
    kind = OKPAlgorithm if isinstance(key, Ed25519PrivateKey) else RSAAlgorithm
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid}


def token(key: Any, kid: str, *, role: str = "viewer") -> str:
    now = int(time.time())
    claims = {
        "iss": "monitor",
        "aud": "monitor",
        "sub": "ada",
        "role": role,
        "jti": f"j{kid}",
        "iat": now,
        "exp": now + 60,
    }
    alg = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "RS256"
    return jwt.encode(claims, key, algorithm=alg, headers={"kid": kid})


async def trouble(source: HttpKeySource) -> str:
    with pytest.raises(Unavailable) as caught:
        await source()
    return caught.value.detail


# Fetching --------------------------------------------------------------------------------------------------------


async def test_the_answer_is_fetched_plainly_and_past_proxies(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, dead)
    monkeypatch.delenv("no_proxy", raising=False)
    provider.keys = [jwk(RSA, "r")]
    assert json.loads(await HttpKeySource(provider.url)()) == {"keys": provider.keys}
    (request,) = provider.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers


async def test_an_answer_that_is_too_long_is_cut_off(provider: Provider) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    provider.handle = endless
    assert await trouble(HttpKeySource(provider.url)) == f"answered more than {LIMIT_BYTES} bytes"

    async def just_fits(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * LIMIT_BYTES)

    provider.handle = just_fits
    assert len(await HttpKeySource(provider.url)()) == LIMIT_BYTES


async def test_an_answer_that_drips_is_given_up_in_time(provider: Provider) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    provider.handle = drip
    started = time.monotonic()
    assert await trouble(HttpKeySource(provider.url, timeout_s=0.3)) == "no complete answer within 0.3 s"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("status", [204, 302, 307, 404, 500])
async def test_only_a_200_will_do_and_no_redirect_is_followed(status: int, provider: Provider) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": provider.url})

    provider.handle = answer
    assert (await trouble(HttpKeySource(provider.url))).startswith(f"answered {status};")
    assert len(provider.requests) == 1


async def test_a_certificate_must_be_one_that_is_trusted(tmp_path: Any) -> None:
    server_tls, ca_file = certificate(tmp_path)
    async with serving(server_tls) as provider:
        assert await trouble(HttpKeySource(provider.url)) == "the certificate was refused"
        assert json.loads(await HttpKeySource(provider.url, tls=tls_context(ca_file=ca_file))()) == {"keys": []}


async def test_a_provider_that_is_not_there_is_told_without_its_address() -> None:
    said = await trouble(HttpKeySource(f"http://127.0.0.1:{free_port()}/jwks?key=hunter2"))
    assert said == "no answer could be had (ConnectionRefusedError)"


# Serving ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_parts(database_url: str, jwks_url: str, *, keys: bool = True) -> AsyncIterator[Container]:
    sound = settings(database_url)
    jwt_settings = msgspec.structs.replace(sound.jwt, jwks_url=jwks_url, keys=sound.jwt.keys if keys else ())
    async with Container(msgspec.structs.replace(sound, jwt=jwt_settings)) as parts:
        yield parts


async def test_tokens_of_the_provider_are_taken_from_the_first_request_on_and_keys_rotate(
    database_url: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.auth.jwks.APART_S", 0.05)
    provider.keys = [jwk(RSA, "r"), jwk(ED25519, "test")]
    async with open_parts(database_url, provider.url) as parts, served(parts) as api:

        async def status(token: str) -> int:
            answer = await api.get("webhooks", role=None, headers={"Authorization": f"Bearer {token}"})
            return answer.status_code

        assert await status(token(RSA, "r")) == 200
        # The kid of a configured key stays that key's own.
        assert await status(token(ED25519, "test")) == 401
        assert (await api.get("webhooks")).status_code == 200
        provider.keys = [jwk(ED25519, "e")]

        async def is_taken() -> bool:
            return await status(token(ED25519, "e")) == 200

        await eventually(is_taken)
        assert await status(token(RSA, "r")) == 401


async def test_a_key_that_the_provider_takes_away_closes_the_feeds_of_its_tokens(
    database_url: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.auth.jwks.APART_S", 0.05)
    monkeypatch.setattr("monitor.auth.jwks.REFRESH_S", 0.1)
    provider.keys = [jwk(RSA, "r"), jwk(ED25519, "e")]
    async with open_parts(database_url, provider.url, keys=False) as parts, served(parts) as api:
        url = str(api.client.base_url.copy_with(scheme="ws", path="/ws/dashboard"))

        def feed(key: Any, kid: str) -> Any:
            return connect(url, additional_headers={"Authorization": f"Bearer {token(key, kid)}"}, proxy=None)

        async with feed(RSA, "r") as ended, feed(ED25519, "e") as other:
            await receive(ended)
            await receive(other)
            provider.keys = [jwk(ED25519, "e")]
            assert await close_of(ended) == (4401, "invalid_token")
            assert parts.hub.count == 1


async def test_a_server_without_keys_of_its_own_lives_on_the_provider_s(database_url: str, provider: Provider) -> None:
    provider.keys = [jwk(RSA, "r")]
    async with open_parts(database_url, provider.url, keys=False) as parts, served(parts) as api:
        answer = await api.get("webhooks", role=None, headers={"Authorization": f"Bearer {token(RSA, 'r')}"})
        assert answer.status_code == 200


async def test_a_provider_that_is_away_does_not_keep_a_server_from_starting(database_url: str) -> None:
    url = f"http://127.0.0.1:{free_port()}/jwks"
    async with open_parts(database_url, url) as parts, served(parts) as api:
        assert (await api.get("webhooks")).status_code == 200


# Commands --------------------------------------------------------------------------------------------------------


def alone(database_url: str, **changes: str) -> dict[str, str]:
    """The environment of a process that has no token keys of its own."""
    env = {**production(database_url), **environment(**changes)}
    del env["MONITOR_JWT__KEYS"]
    return env


@pytest.mark.processes
async def test_the_token_command_says_that_the_provider_s_keys_do_not_sign() -> None:
    env = alone("postgresql://127.0.0.1/x", JWT__JWKS_URL="https://login.example.com/jwks")
    refused = await run("token", "--role", "viewer", "--subject", "ada", env=env)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "monitor token: the keys of MONITOR_JWT__JWKS_URL verify tokens and cannot sign them; get the token from the"
        " identity provider, or set MONITOR_JWT__KEYS as well.\n"
    )
    keys = json.dumps([{"kid": "test", "alg": "HS256", "key": JWT_KEY}])
    made = await run("token", "--role", "viewer", "--subject", "ada", env={**env, "MONITOR_JWT__KEYS": keys})
    assert (made.code, len(made.out.split("."))) == (0, 3)


@pytest.mark.processes
async def test_doctor_looks_at_the_provider(database_url: str, provider: Provider) -> None:
    env = alone(database_url, JWT__JWKS_URL=provider.url)

    async def finding() -> tuple[str, str]:
        rows = json.loads((await run("doctor", "--json", env=env)).out)
        assert [row["state"] for row in rows if row["check"] == "keys"] == ["ok"]
        (row,) = [row for row in rows if row["check"] == "jwks"]
        return row["state"], row["text"]

    state, text = await finding()
    assert (state, "publishes no RS256 or EdDSA key" in text) == ("error", True)
    provider.keys = [jwk(RSA, "r"), {**jwk(ED25519, "e"), "use": "enc"}]
    assert await finding() == ("ok", "MONITOR_JWT__JWKS_URL publishes 'r'; 'e' is not used: its use is not sig")
    provider.handle = not_found
    state, text = await finding()
    assert (state, "answered 404" in text) == ("error", True)
    provider.handle = page
    state, text = await finding()
    assert (state, "not a JSON Web Key Set" in text) == ("error", True)


async def not_found(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=404)


async def page(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>", content_type="text/html")
