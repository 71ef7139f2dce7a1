"""The session of a browser: started by a token, read, and ended."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.http.requests.session_cookie import MAX_TOKEN_BYTES
from monitor.settings.schema import Http
from tests.integration.support import API, Api, api_of, assert_problem, settings

OWN = "http://monitor.test"
LONG = "\u4e2d" * 255
"""Each character is six in JSON, and eight in base64url."""


def cookie_of(text: str) -> str:
    return text.partition(";")[0]


async def test_a_token_starts_a_session_that_is_read_and_ended(api: Api) -> None:
    started = await api.post("session", role=Role.OPERATOR, subject="grace", headers={"Origin": OWN})
    assert (started.status_code, started.headers["cache-control"]) == (200, "no-store")
    view, set_ = started.json(), started.headers["set-cookie"]
    assert (view["subject"], view["role"]) == ("grace", "operator")
    left_s = (datetime.fromisoformat(view["expires_at"]) - datetime.now(UTC)).total_seconds()
    attributes = re.fullmatch(r"monitor_session=[\w.-]+; Path=/; Max-Age=(\d+); HttpOnly; SameSite=Strict", set_)
    assert attributes is not None
    assert abs(int(attributes[1]) - left_s) < 60
    held = {"Cookie": cookie_of(set_)}
    assert (await api.get("session", role=None, headers=held)).json() == view
    page = {**held, "Origin": OWN, "X-Monitor-Session": "1"}
    assert (await api.post("webhooks/none/pause", role=None, headers=page)).status_code == 404
    ended = await api.call("DELETE", "session", role=None, headers=page)
    assert (ended.status_code, ended.headers["set-cookie"]) == (
        204,
        "monitor_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
    )


async def test_over_tls_the_cookie_is_bound_to_the_host(parts: Container) -> None:
    async with Container(settings(parts.database.dsn, http=Http(hsts=True))) as own, api_of(own) as api:
        started = await api.post("session", headers={"Origin": "https://monitor.test"})
        set_ = started.headers["set-cookie"]
        assert set_.startswith("__Host-monitor_session=")
        assert set_.endswith("; HttpOnly; SameSite=Strict; Secure")
        assert (await api.get("session", role=None, headers={"Cookie": cookie_of(set_)})).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "same-site"}])
async def test_another_page_starts_no_session(headers: dict[str, str], api: Api) -> None:
    refused = await api.post("session", headers=headers)
    assert_problem(refused, 403, "insufficient_scope")
    assert "set-cookie" not in refused.headers


async def test_a_session_is_started_by_a_header_alone(api: Api) -> None:
    held = cookie_of((await api.post("session")).headers["set-cookie"])
    page = {"Cookie": held, "Origin": OWN, "X-Monitor-Session": "1"}
    assert_problem(await api.post("session", role=None, headers=page), 401, "missing_token")


async def test_a_publisher_has_no_session(api: Api) -> None:
    assert_problem(await api.post("session", role=Role.PUBLISHER), 403)


async def test_a_token_too_long_for_a_cookie_starts_no_session(api: Api, parts: Container) -> None:
    def token(jti: str) -> str:
        return issue(parts.ring, parts.token_policy, subject=LONG, role=Role.VIEWER, ttl_s=60, now=time.time(), jti=jti)

    longest = next(made for n in range(255, 0, -1) if len(made := token(LONG[:n])) <= parts.token_policy.max_bytes)
    assert len(longest) > MAX_TOKEN_BYTES
    sent = {"headers": {"Authorization": f"Bearer {longest}"}}
    assert (await api.get("session", **sent)).status_code == 200
    assert_problem(await api.post("session", **sent), 400, "malformed")


async def test_a_listed_origin_gets_no_credentials(parts: Container) -> None:
    listed = "https://dash.example.com"
    async with Container(settings(parts.database.dsn, http=Http(cors_origins=(listed,)))) as own, api_of(own) as api:
        preflight = await api.client.options(
            f"{API}/session", headers={"Origin": listed, "Access-Control-Request-Method": "POST"}
        )
        assert "x-monitor-session" not in preflight.headers["access-control-allow-headers"].lower()
        for answer in (preflight, await api.get("session", headers={"Origin": listed})):
            assert answer.headers["access-control-allow-origin"] == listed
            assert "access-control-allow-credentials" not in answer.headers
