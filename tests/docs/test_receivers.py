"""The receivers that the documentation offers take what Monitor signs, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.adapters.key_factory import encode_public_key, sign_v1a
from monitor.domain.webhooks.signatures import encode_secret, sign_v1, signed_content
from tests import servers
from tests.docs.documents import ROOT, blocks

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
BODY = b'{"order":  1, "name": "\xc3\xa9"}'
FILES = {block.file: block.text for block in blocks(ROOT / "docs" / "API_DOCUMENTATION.md") if block.file}

RECEIVERS = [
    ("receiver.py", "v1"),
    ("receiver.mjs", "v1"),
    ("receiver.mjs", "v1a"),
    ("receiver_library.py", "v1"),
    ("receiver_library.mjs", "v1"),
    ("receiver_v1a.py", "v1a"),
]


class Target:
    """A running receiver and the key that it was given."""

    def __init__(self, url: str, scheme: str) -> None:
        self.url = url
        self.scheme = scheme

    def signature(self, key: bytes, timestamp_s: int, message_id: str = "m1", body: bytes = BODY) -> str:
        content = signed_content(message_id, timestamp_s, body)
        return sign_v1(key, content) if self.scheme == "v1" else sign_v1a(key, content)

    def answers(self, signature: str, timestamp_s: int | str, message_id: str = "m1", body: bytes = BODY) -> int:
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature,
        }
        return httpx.post(self.url, content=body, headers=headers, timeout=20).status_code


@pytest.fixture(params=RECEIVERS, ids=lambda param: f"{param[0]}-{param[1]}")
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    name, scheme = request.param
    interpreter = sys.executable
    if name.endswith(".mjs"):
        interpreter = shutil.which("node") or pytest.skip("there is no Node.js")
    if name == "receiver_library.mjs":
        (tmp_path / "node_modules").symlink_to(request.getfixturevalue("node_modules"))
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    secret = encode_secret(KEY) if scheme == "v1" else encode_public_key(KEY)
    port = servers.free_port()
    process = subprocess.Popen(
        [interpreter, name, str(port)], cwd=tmp_path, env=os.environ | {"SECRET": secret}, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while not servers.accepts(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Target(f"http://127.0.0.1:{port}/", scheme)
    finally:
        process.terminate()
        process.wait()


def test_a_receiver_takes_what_is_genuine_and_nothing_else(target: Target) -> None:
    now = int(time.time())
    good = target.signature(KEY, now)
    assert target.answers(good, now) == 204
    # While a secret is rotated, either signature will do.
    assert target.answers(f"{target.signature(OTHER, now)} {good}", now) == 204
    assert target.answers(f"v9,AAAA {good}", now) == 204

    assert target.answers(good, now, body=BODY + b" ") == 401
    assert target.answers(good, now, message_id="m2") == 401
    assert target.answers(good, now - 1) == 401
    assert target.answers(target.signature(OTHER, now), now) == 401
    assert target.answers(good[:-8] + "AAAAAAA=", now) == 401
    for bad in ("", "v1,", "v1a,", "v1", "v1,AAAA", "v1a,AAAA", good.partition(",")[2]):
        assert target.answers(bad, now) == 401, bad


def test_a_receiver_refuses_what_is_old_or_without_a_time(target: Target) -> None:
    now = int(time.time())
    for timestamp_s in (now - 400, now + 400):
        assert target.answers(target.signature(KEY, timestamp_s), timestamp_s) == 401
    for text in ("", "soon", "-1"):
        assert target.answers(target.signature(KEY, now), text) == 401
    assert httpx.post(target.url, content=BODY, timeout=20).status_code == 401


def test_both_schemes_are_what_the_documentation_says_they_are() -> None:
    content = b"m1.1700000000." + BODY
    assert signed_content("m1", 1_700_000_000, BODY) == content
    assert sign_v1(KEY, content) == "v1," + base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    version, _, signature = sign_v1a(KEY, content).partition(",")
    assert version == "v1a"
    Ed25519PrivateKey.from_private_bytes(KEY).public_key().verify(base64.b64decode(signature), content)
