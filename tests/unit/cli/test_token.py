"""`monitor token` for scripts."""

from __future__ import annotations

import base64
import json
import os

import jwt
import pytest

from monitor import cli

KEYS = json.dumps([{"kid": "a", "alg": "HS256", "key": base64.urlsafe_b64encode(os.urandom(32)).decode()}])


def test_a_token_is_printed_alone_or_described(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITOR_JWT__KEYS", KEYS)
    # Of those who call a server: no settings of one.
    monkeypatch.setenv("MONITOR_URL", "https://monitor.example.com")
    monkeypatch.setenv("MONITOR_TOKEN", "x")
    arguments = ["token", "--role", "viewer", "--subject", "ci", "--ttl", "1h"]
    assert cli.main(arguments) == 0
    (alone,) = capsys.readouterr().out.split()
    assert cli.main([*arguments, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    claims = jwt.decode(described["token"], options={"verify_signature": False})
    assert (described["jti"], described["subject"], described["role"]) == (claims["jti"], "ci", "viewer")
    assert described["expires_at"].endswith("Z")
    assert jwt.decode(alone, options={"verify_signature": False})["jti"] != claims["jti"]
