"""The tokens, headers and calls of jwt.json, each against a server on a socket, over REST and over WebSocket."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.settings.schema import Jwt, JwtKey
from tests import servers
from tests.integration.support import API, Api, execute, served, settings
from tests.security.lists import id_of, read
from tests.unit.http.middleware.test_authentication import forge
from tests.unit.http.support import Keys

LIST: dict[str, Any] = read("jwt.json")
POLICY: dict[str, Any] = LIST["policy"]
GOOD: dict[str, Any] = next(case["build"] for case in LIST["rest_tokens"] if case["expect"]["status"] == 200)
SUBPROTOCOL = re.compile(r"[\w.-]+", re.ASCII)
"""What a browser can send as one."""


class Site(NamedTuple):
    """A server, and the keys that it accepts."""

    api: Api
    keys: Keys

    def token(self, **claims: Any) -> str:
        return forge({**GOOD, "claims": {**GOOD["claims"], **claims}}, self.keys, time.time())


@pytest.fixture(scope="module")
async def site(postgres: servers.Postgres) -> AsyncIterator[Site]:
    keys = Keys(os.urandom(32), Ed25519PrivateKey.generate(), rsa.generate_private_key(65_537, 2048))
    jwt = Jwt(
        keys=tuple(JwtKey(key.kid, key.alg, key.key) for key in keys.configured()),
        issuer=POLICY["issuer"],
        audience=POLICY["audience"],
        max_lifetime_s=POLICY["max_lifetime_s"],
    )
    async with postgres.database() as dsn, Container(settings(dsn, jwt=jwt)) as parts:
        await execute(parts, "INSERT INTO revoked_tokens VALUES ('revoked-1', now(), now() + interval '1 day')")
        async with served(parts) as api:
            yield Site(api, keys)


HEAD_BYTES = 64 * 1024
"""A longer head is refused before anything in it is read."""


def check(answer: httpx.Response, expect: dict[str, Any]) -> None:
    assert answer.status_code == expect["status"], answer.text
    if "problem_type" in expect:
        assert answer.json()["type"] == f"urn:monitor:problem:{expect['problem_type']}"
        assert answer.headers["www-authenticate"] == expect["www_authenticate"]


@pytest.mark.attacks("jwt.json, tokens, over REST")
@pytest.mark.parametrize("case", LIST["rest_tokens"], ids=id_of)
async def test_a_token_over_rest(case: dict[str, Any], site: Site) -> None:
    token = forge(case["build"], site.keys, time.time())
    expect = {"status": 431} if len(token) > HEAD_BYTES else case["expect"]
    # Twice: what was refused must not be remembered as good.
    for _ in range(2):
        check(await site.api.client.get(f"{API}/webhooks", headers={"Authorization": f"Bearer {token}"}), expect)


@pytest.mark.attacks("jwt.json, tokens, over WebSocket")
@pytest.mark.parametrize("case", LIST["rest_tokens"], ids=id_of)
async def test_a_token_over_websocket(case: dict[str, Any], site: Site) -> None:
    token = forge(case["build"], site.keys, time.time())
    ways: list[dict[str, Any]] = [{"additional_headers": {"Authorization": f"Bearer {token}"}}]
    if SUBPROTOCOL.fullmatch(token):
        ways.append({"subprotocols": [Subprotocol("monitor.v1"), Subprotocol(f"bearer.{token}")]})
    expected = 101 if case["expect"]["status"] == 200 else case["expect"]["status"]
    if expected == 101 and case["build"]["claims"]["exp"]["$now"] <= 0:
        # The leeway is not for sockets (W29): this one would be closed at once.
        expected = 401
    if len(token) > HEAD_BYTES:
        expected = 431
    for way in ways:
        assert await _status(site, way) == expected


async def _status(site: Site, options: dict[str, Any]) -> int:
    address = f"ws://127.0.0.1:{site.api.client.base_url.port}/ws/dashboard"
    try:
        async with connect(address, proxy=None, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.attacks("jwt.json, headers, over REST")
@pytest.mark.parametrize("case", LIST["transport"], ids=id_of)
async def test_a_header_over_rest(case: dict[str, Any], site: Site) -> None:
    words = {"<good>": site.token(), "<good admin>": site.token(role="admin", jti="jti-2")}
    headers = []
    for name, value in case["send"].items():
        for word, meaning in words.items():
            value = value.replace(word, meaning)  # noqa: PLW2901
        headers.append((name.encode(), value.encode("latin-1")))
    check(await site.api.client.get(f"{API}/webhooks", headers=headers), case["expect"])


@pytest.mark.attacks("jwt.json, roles, over REST")
@pytest.mark.parametrize("case", LIST["authz"], ids=id_of)
async def test_a_call_over_rest(case: dict[str, Any], site: Site) -> None:
    sent, id_ = case["send"], "00000000-0000-7000-8000-000000000000"
    admin = {"Authorization": f"Bearer {site.token(role='admin')}"}
    body = {"name": "n", "url": "http://127.0.0.1:9/"}
    expected = {case["expect"]["status"]}
    if "/webhooks/{id}" in sent["path"]:
        id_ = (await site.api.client.post(f"{API}/webhooks", json=body, headers=admin)).json()["id"]
    elif "/alerts/{id}" in sent["path"] and 200 in expected:
        # Admitted, and then there is no such alert.
        expected = {404}
    headers = {} if sent["role"] is None else {"Authorization": f"Bearer {site.token(role=Role(sent['role']))}"}
    options: dict[str, Any] = {"json": {} if "/ack" in sent["path"] else body} if sent["method"] != "GET" else {}
    if sent["method"] == "DELETE":
        options = {}
    path = sent["path"].replace("{id}", id_)
    answer = await site.api.client.request(sent["method"], path, headers=headers, **options)
    assert answer.status_code in expected, answer.text
