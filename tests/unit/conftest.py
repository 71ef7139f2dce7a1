"""Fixtures over the material in ``support``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from litestar.testing import TestClient

from monitor.auth.keys import KeyRing
from monitor.auth.tokens import TokenVerifier, issue
from monitor.domain.vocab import Role
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import Application
from tests.unit.http.support import NOW, POLICY, Keys, make_app


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(bytes(range(32)), Ed25519PrivateKey.generate(), generate_private_key(65537, 2048))


@pytest.fixture
def ring(keys: Keys) -> KeyRing:
    return KeyRing(keys.configured())


@pytest.fixture
def revoked() -> set[str]:
    return set()


@pytest.fixture
def verifier(ring: KeyRing, revoked: set[str]) -> TokenVerifier:
    return TokenVerifier(ring, POLICY, is_revoked=revoked.__contains__)


@pytest.fixture
def token(ring: KeyRing) -> Callable[..., str]:
    """Issue a good token that lives five minutes from ``NOW``."""

    def make(role: Role = Role.VIEWER, *, subject: str = "user-1", jti: str = "jti-1", ttl_s: float = 300) -> str:
        return issue(ring, POLICY, subject=subject, role=role, ttl_s=ttl_s, now=NOW, jti=jti)

    return make


@pytest.fixture
def app(verifier: TokenVerifier) -> Application:
    return make_app(verifier, LocalRateLimiter(per_s=0.4, burst=3, ticks_s=lambda: 0.0))


@pytest.fixture
def client(app: Application) -> Iterator[TestClient[Application]]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
