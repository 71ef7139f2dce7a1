"""Requests that the session cookie authenticates, through the layers of every application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, get, post
from litestar.testing import TestClient

from monitor.auth.tokens import TokenVerifier
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import requires
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import litestar_options
from tests.unit.http.support import NOW

OWN = "http://testserver.local"
PAGE = {"Origin": OWN, "X-Monitor-Session": "1"}


@get("/who", opt=requires(Role.VIEWER), sync_to_thread=False)
def who(request: Request[Any, Any, Any]) -> str:
    subject: str = request.user.subject
    return subject


@post("/change", opt=requires(Role.OPERATOR), status_code=200, sync_to_thread=False)
def change() -> str:
    return "changed"


Call = Callable[..., httpx.Response]


@pytest.fixture
def call(verifier: TokenVerifier) -> Iterator[Call]:
    limiter = LocalRateLimiter(per_s=1, burst=1000, ticks_s=lambda: 0.0)
    options = litestar_options(verifier=verifier, now=lambda: NOW, limiter=limiter)
    with TestClient(Litestar([who, change], openapi_config=None, **options)) as client:

        def call(method: str, path: str, *cookies: str, **headers: str) -> httpx.Response:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if cookies:
                sent["Cookie"] = "; ".join(f"monitor_session={value}" for value in cookies)
            return client.request(method, path, headers=sent)

        yield call


def test_the_cookie_stands_in_for_the_header(call: Call, token: Callable[..., str]) -> None:
    assert call("GET", "/who", token(subject="ada")).text == "ada"
    assert call("GET", "/who").json()["type"] == "urn:monitor:problem:missing_token"


def test_with_a_header_the_cookie_is_ignored(call: Call, token: Callable[..., str]) -> None:
    bob = token(subject="bob", jti="b")
    assert call("GET", "/who", token(subject="ada"), Authorization=f"Bearer {bob}").text == "bob"
    # A bad header is not made good by a cookie, and needs no page.
    assert call("GET", "/who", token(), Authorization="Bearer a.b.c").status_code == 401
    assert call("GET", "/who", token(), Authorization="Basic eA==").json()["type"].endswith("missing_token")
    operator = f"Bearer {token(Role.OPERATOR)}"
    assert call("POST", "/change", token(), Authorization=operator, Origin="https://evil.test").status_code == 200


def test_a_change_needs_our_own_page_and_its_header(call: Call, token: Callable[..., str]) -> None:
    operator = token(Role.OPERATOR)
    assert call("POST", "/change", operator, **PAGE).status_code == 200
    for headers in ({}, {"Origin": OWN}, {"X-Monitor-Session": "1"}, {**PAGE, "Origin": "https://evil.test"}):
        refused = call("POST", "/change", operator, **headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:monitor:problem:insufficient_scope")


def test_the_role_of_the_cookie_counts(call: Call, token: Callable[..., str]) -> None:
    assert call("POST", "/change", token(), **PAGE).status_code == 403


def test_two_cookies_are_refused(call: Call, token: Callable[..., str]) -> None:
    assert call("GET", "/who", token(), token()).status_code == 400


def test_revocation_and_expiry_end_the_session(call: Call, token: Callable[..., str], revoked: set[str]) -> None:
    assert call("GET", "/who", token()).status_code == 200
    revoked.add("jti-1")
    refused = call("GET", "/who", token())
    assert (refused.status_code, refused.json()["detail"]) == (401, "The token has been revoked.")
    assert call("GET", "/who", token(jti="old", ttl_s=1)).status_code == 200


def test_a_tampered_or_oversized_cookie_is_refused(call: Call, token: Callable[..., str]) -> None:
    good = token()
    for bad in (good[:-4] + "AAAA", f'"{good}"', good + "x" * 5000, "a.b.c", " "):
        assert call("GET", "/who", bad).status_code == 401
