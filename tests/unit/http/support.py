"""Keys and a small application that carries the whole HTTP options."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from litestar import Litestar, Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.routes import HTTPRoute

from monitor.auth.keys import Key
from monitor.auth.tokens import TokenPolicy, TokenVerifier
from monitor.domain.errors import NotFound, Unavailable
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor
from monitor.domain.vocab import Actor, Role
from monitor.http.middleware.authentication import OPEN, actor_of, requires
from monitor.http.middleware.rate_limit import BATCH_BODY_BYTES, RateLimiter
from monitor.http.middleware.stack import Application, build_edge, litestar_options
from monitor.http.requests.query import Cursor, Limit

NOW = 1_800_000_000.0
POLICY = TokenPolicy(issuer="https://issuer.test", audience="monitor", max_lifetime_s=3600)


def pem(key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Keys(NamedTuple):
    """The key material behind the ring of the attack list."""

    hmac: bytes
    ed25519: Ed25519PrivateKey
    rsa: RSAPrivateKey

    def configured(self) -> list[Key]:
        return [
            Key("k1", "HS256", b64(self.hmac)),
            Key("k2", "RS256", pem(self.rsa)),
            Key("k3", "EdDSA", pem(self.ed25519)),
        ]

    def sign(self, header: dict[str, Any] | str, claims: dict[str, Any] | str, *, by: bytes | None = None) -> str:
        """Join and sign any header and claims, however wrong; by HMAC with *by*, or with key k1."""
        texts = (part if isinstance(part, str) else json.dumps(part) for part in (header, claims))
        content = ".".join(b64(text.encode()) for text in texts)
        return f"{content}.{b64(hmac.digest(self.hmac if by is None else by, content.encode(), hashlib.sha256))}"


class Order(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: int = 0
    labels: dict[str, str] = {}
    payload: msgspec.Raw = msgspec.Raw(b"null")
    lines: list[Order] = []


@get("/viewer/{id:uuid}", opt=requires(Role.VIEWER), sync_to_thread=False)
def viewer(id: FromPath[UUID], request: Request[Any, Any, Any]) -> Actor:  # noqa: A002 - the path's name
    return actor_of(request)


@get("/rows", opt=requires(Role.VIEWER), sync_to_thread=False)
def rows(limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> dict[str, Any]:
    return {"limit": limit, "after": decode_cursor(cursor)}


@get("/admin", opt=requires(Role.ADMIN), sync_to_thread=False)
def admin() -> str:
    return "ok"


@post("/orders", opt=OPEN, sync_to_thread=False)
def orders(data: JSONBody[Order]) -> msgspec.Raw:
    return data.payload


@post("/batch", opt=OPEN, request_max_body_size=BATCH_BODY_BYTES, sync_to_thread=False)
def batch(data: JSONBody[Order]) -> int:
    return len(data.name)


@get("/open", opt=OPEN, sync_to_thread=False)
def open_route() -> str:
    return "x" * 2000


@get("/forgotten", sync_to_thread=False)
def forgotten() -> str:
    return "never seen"


@get("/broken", opt=OPEN, sync_to_thread=False)
def broken() -> None:
    raise RuntimeError("password=hunter2")


@get("/missing", opt=OPEN, sync_to_thread=False)
def missing() -> None:
    raise NotFound("There is no such order.")


@get("/down", opt=OPEN, sync_to_thread=False)
def down() -> None:
    raise Unavailable("The database does not answer.", retry_after_s=2.2)


ROUTES = [viewer, rows, admin, orders, batch, open_route, forgotten, broken, missing, down]


def make_app(verifier: TokenVerifier, limiter: RateLimiter, *, https: bool = False) -> Application:
    """An application over ``ROUTES``; its clock stands at ``NOW``, request ids count up from ``made-1``."""
    litestar = Litestar(
        ROUTES, openapi_config=None, **litestar_options(verifier=verifier, now=lambda: NOW, limiter=limiter)
    )
    numbers, ticks = itertools.count(1), itertools.count()
    edge = build_edge(
        litestar,
        new_id=lambda: f"made-{next(numbers)}",
        ticks_s=lambda: float(next(ticks)),
        cors_origins=["https://dash.example.com"],
        https=https,
    )
    return Application(litestar, edge)


def undeclared_routes(app: Litestar) -> list[str]:
    """Return ``METHOD /path`` (``WS /path`` for sockets) of every route without a declared role."""
    missing = set()
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        for handler in handlers:
            methods = getattr(handler, "http_methods", {"WS"}) - {"OPTIONS"}
            declared = handler.opt.get("role", "none")
            if declared is not None and not isinstance(declared, Role):
                missing |= {f"{method} {route.path}" for method in methods}
    return sorted(missing)
