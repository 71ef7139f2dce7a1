"""Misuse of the session cookie, each case against a server on a socket: REST, cached views, and the live feed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.settings.schema import Http
from tests import servers
from tests.integration.live_support import close_of
from tests.integration.support import API, Api, execute, served, settings

LISTED = "https://dash.example.com"


class Site(NamedTuple):
    api: Api
    parts: Container

    def token(self, **changes: Any) -> str:
        claims: dict[str, Any] = {"subject": "ada", "role": Role.ADMIN, "ttl_s": 300, "jti": "good", **changes}
        return issue(self.parts.ring, self.parts.token_policy, now=time.time(), **claims)

    @property
    def port(self) -> int:
        assert self.api.client.base_url.port is not None
        return self.api.client.base_url.port

    @property
    def own(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fill(self, text: str) -> str:
        good, tampered = self.token(), f"{self.token()[:-6]}AAAAAA"
        cookie = f"monitor_session_{self.port}"
        for word, meaning in {
            "<cookie>": cookie, "<good>": good, "<tampered>": tampered, "<revoked>": self.token(jti="revoked"),
            "<expired>": issue(
                self.parts.ring, self.parts.token_policy, subject="ada", role=Role.ADMIN, ttl_s=1,
                now=time.time() - 60, jti="old",
            ),
            "<publisher>": self.token(role=Role.PUBLISHER), "<oversize>": good + "A" * 5000, "<own>": self.own,
            "<port>": str(self.port),
        }.items():  # fmt: skip
            text = text.replace(word, meaning)
        return text

    def headers(self, listed: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, self.fill(value)) for name, value in listed]


@pytest.fixture(scope="module")
async def site(postgres: servers.Postgres) -> AsyncIterator[Site]:
    http = Http(rate_limit_per_s=1e6, rate_burst=1_000_000, cors_origins=(LISTED,))
    async with postgres.database() as dsn, Container(settings(dsn, http=http)) as parts:
        await execute(parts, "INSERT INTO revoked_tokens VALUES ('revoked', now(), now() + interval '1 day')")
        async with served(parts) as api:
            yield Site(api, parts)


COOKIE = ("Cookie", "<cookie>=<good>")
OWN = ("Origin", "<own>")
CONFIRMED = ("X-Monitor-Session", "1")
SAME = ("Sec-Fetch-Site", "same-origin")

READS: dict[str, tuple[list[tuple[str, str]], int]] = {
    "good": ([COOKIE], 200),
    "good, of our page": ([COOKIE, SAME], 200),
    "address typed": ([COOKIE, ("Sec-Fetch-Site", "none")], 200),
    "cross-site page": ([COOKIE, ("Sec-Fetch-Site", "cross-site")], 403),
    "page of another port": ([COOKIE, ("Sec-Fetch-Site", "same-site")], 403),
    "page of a listed origin": ([COOKIE, ("Origin", LISTED)], 403),
    "sandboxed page": ([COOKIE, ("Origin", "null")], 403),
    "tampered": ([("Cookie", "<cookie>=<tampered>")], 401),
    "revoked": ([("Cookie", "<cookie>=<revoked>")], 401),
    "expired": ([("Cookie", "<cookie>=<expired>")], 401),
    "publisher": ([("Cookie", "<cookie>=<publisher>")], 403),
    "oversize": ([("Cookie", "<cookie>=<oversize>")], 401),
    "quoted": ([("Cookie", '<cookie>="<good>"')], 401),
    "empty": ([("Cookie", "<cookie>=")], 401),
    "two cookies": ([("Cookie", "<cookie>=<good>; <cookie>=<good>")], 400),
    "two cookies, the bad one first": ([("Cookie", "<cookie>=a.b.c; <cookie>=<good>")], 400),
    "two headers": ([COOKIE, COOKIE], 400),
    "of another port": ([("Cookie", "monitor_session_1=<good>")], 401),
    "without a port": ([("Cookie", "monitor_session=<good>")], 401),
    "name of a bound one": ([("Cookie", "__Host-<cookie>=<good>")], 401),
    "name in capitals": ([("Cookie", "MONITOR_SESSION_<port>=<good>")], 401),
    "beside a bad header": ([COOKIE, ("Authorization", "Bearer a.b.c")], 401),
    "beside another scheme": ([COOKIE, ("Authorization", "Basic eA==")], 401),
}

CHANGES: dict[str, tuple[list[tuple[str, str]], int]] = {
    "good": ([COOKIE, OWN, SAME, CONFIRMED], 200),
    "good, over plain HTTP": ([COOKIE, OWN, CONFIRMED], 200),
    "form of another site": ([COOKIE, ("Origin", "https://evil.test"), ("Sec-Fetch-Site", "cross-site")], 403),
    "the same with our header": ([COOKIE, ("Origin", "https://evil.test"), CONFIRMED], 403),
    "page of another port": (
        [COOKIE, ("Origin", "http://127.0.0.1:1"), ("Sec-Fetch-Site", "same-site"), CONFIRMED],
        403,
    ),
    "page of a listed origin": ([COOKIE, ("Origin", LISTED), CONFIRMED], 403),
    "good, behind a proxy": ([COOKIE, ("Origin", "https://127.0.0.1:<port>"), CONFIRMED], 200),
    "sandboxed page": ([COOKIE, ("Origin", "null"), CONFIRMED], 403),
    "no word on where from": ([COOKIE, CONFIRMED], 403),
    "without our header": ([COOKIE, OWN, SAME], 403),
    "tampered": ([("Cookie", "<cookie>=<tampered>"), OWN, CONFIRMED], 401),
    "revoked": ([("Cookie", "<cookie>=<revoked>"), OWN, CONFIRMED], 401),
    "two cookies": ([("Cookie", "<cookie>=<good>; <cookie>=<good>"), OWN, CONFIRMED], 400),
}


@pytest.mark.attacks("sessions, reads over REST")
@pytest.mark.parametrize("case", READS)
@pytest.mark.parametrize("path", ["webhooks", "dashboard/overview"])
async def test_a_read(case: str, path: str, site: Site) -> None:
    headers, status = READS[case]
    # The view is hot: the fast path refuses what the full one does.
    for _ in range(2):
        assert (await site.api.get(path)).status_code == 200
    for _ in range(2):
        answer = await site.api.client.get(f"{API}/{path}", headers=site.headers(headers))
        assert answer.status_code == status, answer.text
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.attacks("sessions, changes over REST")
@pytest.mark.parametrize("case", CHANGES)
async def test_a_change(case: str, site: Site) -> None:
    headers, status = CHANGES[case]
    before = len((await site.api.read("audit-log"))["items"])
    sent = site.headers([*headers, ("Content-Type", "application/json")])
    answer = await site.api.client.post(f"{API}/tokens/revocations", headers=sent, content=f'{{"jti": "of: {case}"}}')
    assert answer.status_code == status, answer.text
    assert len((await site.api.read("audit-log"))["items"]) == before + (status == 200)


HANDSHAKES: dict[str, tuple[list[tuple[str, str]], int]] = {
    "good": ([COOKIE, OWN], 101),
    "good, of our page": ([COOKIE, OWN, SAME], 101),
    "wrong origin": ([COOKIE, ("Origin", "https://evil.test")], 403),
    "listed origin": ([COOKIE, ("Origin", LISTED)], 403),
    "another port": ([COOKIE, ("Origin", "http://127.0.0.1:1")], 403),
    "no origin": ([COOKIE], 403),
    "sandboxed page": ([COOKIE, ("Origin", "null")], 403),
    "tampered": ([("Cookie", "<cookie>=<tampered>"), OWN], 401),
    "revoked": ([("Cookie", "<cookie>=<revoked>"), OWN], 401),
    "expired": ([("Cookie", "<cookie>=<expired>"), OWN], 401),
    "publisher": ([("Cookie", "<cookie>=<publisher>"), OWN], 403),
    "oversize": ([("Cookie", "<cookie>=<oversize>"), OWN], 401),
    "two cookies": ([("Cookie", "<cookie>=<good>; <cookie>=<good>"), OWN], 400),
}


@pytest.mark.attacks("sessions, handshakes over WebSocket")
@pytest.mark.parametrize("case", HANDSHAKES)
async def test_a_handshake(case: str, site: Site) -> None:
    headers, status = HANDSHAKES[case]
    assert await _status(site, site.headers(headers)) == status


async def _status(site: Site, headers: list[tuple[str, str]]) -> int:
    try:
        async with _opening(site, headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def _opening(site: Site, headers: list[tuple[str, str]]) -> Any:
    address = f"ws://127.0.0.1:{site.port}/ws/dashboard"
    return connect(address, proxy=None, additional_headers=headers, subprotocols=[Subprotocol("monitor.v1")])


async def test_revocation_closes_the_socket_of_a_session(site: Site) -> None:
    held = ("Cookie", f"monitor_session_{site.port}={site.token(jti='soon')}")
    async with _opening(site, [held, ("Origin", site.own)]) as socket:
        await socket.recv()
        assert (await site.api.post("tokens/revocations", json={"jti": "soon"})).status_code == 200
        assert (await close_of(socket))[0] == 4401
    assert (await site.api.client.get(f"{API}/webhooks", headers=[held])).status_code == 401


async def test_no_answer_and_no_log_repeats_the_token_of_a_session(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for good in ("<good>", "<tampered>", "<oversize>"):
        sent = site.headers([("Cookie", f"<cookie>={good}"), OWN, CONFIRMED])
        token = site.fill(good)
        answers: list[httpx.Response] = [
            await site.api.client.get(f"{API}/dashboard", headers=sent),
            await site.api.client.get("/metrics", headers=sent),
            await site.api.client.post(f"{API}/webhooks", headers=sent, json={}),
            await site.api.client.get(f"{API}/nothing", headers=sent),
        ]
        assert await _status(site, sent) in {101, 401}
        said = "".join(answer.text + str(answer.headers) for answer in answers)
        logged = capsys.readouterr()
        for text in (said, logged.out, logged.err):
            assert token.split(".")[2][:20] not in text
            assert "monitor_session" not in text
