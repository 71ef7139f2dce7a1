"""The token and header rows of the attack list, each against a running application."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from litestar.testing import TestClient

from monitor.domain.errors import Malformed
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import bearer_token
from monitor.http.middleware.stack import Application
from monitor.http.responses.problems import TYPE_PREFIX
from tests.unit.http.support import NOW, Keys, b64, public_pem, undeclared_routes

CASES: dict[str, Any] = json.loads((Path(__file__).parents[3] / "cases" / "jwt.json").read_text())
ROUTE = "/viewer/00000000-0000-7000-8000-000000000000"

MUTATIONS: dict[str, Callable[[str], str]] = {
    "strip_signature": lambda token: token[: token.rindex(".") + 1],
    "two_parts": lambda token: token[: token.rindex(".")],
    "five_parts": lambda token: token + ".x.y",
    "pad": lambda token: token + "=",
}


def stamp(value: Any, now: float) -> Any:
    """Resolve the list's ``$now``, ``$repeat`` and ``$nested_lists`` notations."""
    match value:
        case {"$now": offset}:
            seconds = int(now + offset) * value.get("$mul", 1)
            return str(seconds) if value.get("$as") == "str" else seconds
        case {"$repeat": text, "$n": times}:
            return text * times
        case {"$nested_lists": depth}:
            return "[" * depth + "]" * depth
        case dict():
            return {name: stamp(member, now) for name, member in value.items()}
        case _:
            return value


def restamp(payload: str, now: float) -> str:
    """Move the recorded Unix seconds of a raw payload to *now*."""
    recorded = [int(digits) for digits in re.findall(r"\d{10}", payload)]
    return re.sub(r"\d{10}", lambda m: str(int(m[0]) - min(recorded) + int(now)), payload)


def forge(build: dict[str, Any], keys: Keys, now: float = NOW) -> str:
    header = build.get("raw_header") or build["header"]
    claims = stamp(build.get("raw_payload") or build["claims"], now)
    if isinstance(claims, str):
        claims = restamp(claims, now)
    if build["key"] == "ed25519":
        return jwt.encode(claims, keys.ed25519, algorithm="EdDSA", headers=header)
    secret = {
        "k1": keys.hmac,
        "attacker": b"\x09" * 32,
        "empty": b"",
        None: b"",
        "k3_public_pem": public_pem(keys.ed25519).encode(),
    }[build["key"]]
    token = keys.sign(header, claims, by=secret)
    if build["key"] is None:
        token = MUTATIONS["strip_signature"](token)
    return MUTATIONS.get(build.get("mutate", ""), str)(token)


def assert_as_expected(response: Any, expect: dict[str, Any]) -> None:
    assert response.status_code == expect["status"]
    if expect["status"] != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["www-authenticate"] == expect["www_authenticate"]
        assert response.json()["type"] == TYPE_PREFIX + expect["problem_type"]


@pytest.mark.parametrize("case", CASES["rest_tokens"], ids=lambda case: f"{case['id']} {case['name']}")
def test_a_token_of_the_attack_list_is_judged_as_listed(
    case: dict[str, Any], client: TestClient[Application], keys: Keys, revoked: set[str]
) -> None:
    revoked.add("revoked-1")
    token = forge(case["build"], keys)
    # Twice: what was refused must not be remembered as good.
    for _ in range(2):
        assert_as_expected(client.get(ROUTE, headers={"Authorization": f"Bearer {token}"}), case["expect"])


@pytest.mark.parametrize("case", CASES["transport"], ids=lambda case: f"{case['id']} {case['name']}")
def test_a_header_of_the_attack_list_is_judged_as_listed(
    case: dict[str, Any], client: TestClient[Application], token: Callable[..., str]
) -> None:
    words = {"<good>": token(), "<good admin>": token(Role.ADMIN, jti="jti-2")}
    sent = {}
    for name, template in case["send"].items():
        value = template
        for word, meaning in words.items():
            value = value.replace(word, meaning)
        sent[name] = value.encode("latin-1")
    assert_as_expected(client.get(ROUTE, headers=sent), case["expect"])


@pytest.mark.parametrize("headers", [[("Authorization", "Basic dXNlcjpwYXNz")], [("X-Access-Token", "t")]])
def test_credentials_of_another_kind_count_as_none(
    headers: list[tuple[str, str]], client: TestClient[Application]
) -> None:
    response = client.get(ROUTE, headers=dict(headers))
    assert_as_expected(response, {"status": 401, "problem_type": "missing_token", "www_authenticate": "Bearer"})


def test_two_authorization_headers_are_refused_even_if_both_are_good(token: Callable[..., str]) -> None:
    header = (b"authorization", f"Bearer {token()}".encode())
    with pytest.raises(Malformed, match="not several"):
        bearer_token([header, header])


def test_a_token_in_the_query_is_no_credential(client: TestClient[Application], token: Callable[..., str]) -> None:
    assert client.get(f"{ROUTE}?access_token={token()}").json()["type"] == TYPE_PREFIX + "missing_token"


def test_the_scheme_is_read_in_any_case(client: TestClient[Application], token: Callable[..., str]) -> None:
    assert client.get(ROUTE, headers={"Authorization": f"bEARER {token()}"}).status_code == 200


def test_a_lesser_role_is_refused_and_a_greater_one_admitted(
    client: TestClient[Application], token: Callable[..., str]
) -> None:
    refused = client.get("/admin", headers={"Authorization": f"Bearer {token(Role.OPERATOR)}"})
    assert_as_expected(
        refused,
        {
            "status": 403,
            "problem_type": "insufficient_scope",
            "www_authenticate": 'Bearer error="insufficient_scope"',
        },
    )
    assert client.get(ROUTE, headers={"Authorization": f"Bearer {token(Role.ADMIN)}"}).status_code == 200


def test_a_handler_learns_who_acts(client: TestClient[Application], token: Callable[..., str]) -> None:
    response = client.get(ROUTE, headers={"Authorization": f"Bearer {token()}", "X-Request-ID": "r-7"})
    assert response.json() == {"subject": "user-1", "role": "viewer", "request_id": "r-7", "client": None}


def test_a_route_without_a_declared_role_is_listed_and_refused_to_all(
    app: Application, client: TestClient[Application], token: Callable[..., str]
) -> None:
    assert undeclared_routes(app.litestar) == ["GET /forgotten"]
    assert client.get("/forgotten", headers={"Authorization": f"Bearer {token(Role.ADMIN)}"}).status_code == 403


def test_a_token_that_is_not_base64url_costs_a_401(client: TestClient[Application]) -> None:
    for token in ("a.b.c", "AB.AB.AB", f"{b64(b'{}')}.{b64(b'{}')}.", "..", "é.é.é"):
        sent = {b"Authorization": b"Bearer " + token.encode()}
        assert client.get(ROUTE, headers=sent).status_code == 401
