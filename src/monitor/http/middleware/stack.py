"""
The layers around the routes, assembled in one place.

From the outside in: ``Edge`` (request id, headers, log line), ``PublishFastPath`` for events, ``CheckHead`` (hosts,
repeated headers), ``Cors`` if any origin is listed, ``HeadRequests``, Litestar's routing, then per route
``Authenticate``, ``LimitRate``, ``LimitBodies``, ``Compress`` and the handler.
Errors of the layers per route become problems outside of these layers, inside ``Edge``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from litestar import Litestar
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from monitor.auth.tokens import TokenVerifier
from monitor.http.middleware.authentication import Authenticate
from monitor.http.middleware.body_budget import BodyBudget, LimitBodies
from monitor.http.middleware.compression import Compress
from monitor.http.middleware.cors import Cors
from monitor.http.middleware.edge import Edge, WriteLine
from monitor.http.middleware.head_requests import HeadRequests
from monitor.http.middleware.options_requests import OptionsRequests
from monitor.http.middleware.rate_limit import API_BODY_BYTES, LimitRate, RateLimiter
from monitor.http.middleware.request_head import CheckHead
from monitor.http.requests.body import JsonBody
from monitor.http.requests.hosts import ServedHosts
from monitor.http.responses.problems import exception_handlers


def litestar_options(
    *,
    verifier: TokenVerifier,
    now: Callable[[], float],
    limiter: RateLimiter,
    bodies: BodyBudget | None = None,
    https: bool = False,
) -> dict[str, Any]:
    """
    Return what every application of ours passes to Litestar: ``Litestar(routes, **litestar_options(…))``.

    Args:
        now: Unix seconds, against which tokens are checked.
        https: clients reach us over TLS, although it may end in front of us.
    """
    return {
        "middleware": [
            OptionsRequests,
            DefineMiddleware(Authenticate, verifier=verifier, now=now, https=https),
            DefineMiddleware(LimitRate, limiter=limiter),
            DefineMiddleware(LimitBodies, budget=bodies or BodyBudget()),
            Compress,
        ],
        "exception_handlers": exception_handlers(),
        "dto": JsonBody,
        "request_max_body_size": API_BODY_BYTES,
        # Litestar would set up the root logger and log exceptions a second time.
        "logging_config": None,
    }


class Application:
    """ASGI application: Litestar inside *layers*, which also cover what its routing refuses (404, 405)."""

    def __init__(self, litestar: Litestar, layers: ASGIApp) -> None:
        self.litestar = litestar
        self._layers = layers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._layers(scope, receive, send)


def build_edge(
    app: ASGIApp,
    *,
    new_id: Callable[[], str],
    ticks_s: Callable[[], float],
    cors_origins: Collection[str] = (),
    hosts: ServedHosts | None = None,
    https: bool = False,
    layer: Callable[[ASGIApp], ASGIApp] | None = None,
    observe: Callable[[str, str, int, float], None] | None = None,
    write_line: WriteLine | None = None,
) -> Edge:
    """
    Return :class:`Edge`, and inside of it :class:`CheckHead`, and :class:`Cors` if *cors_origins* are listed, around
    all of *app*.

    Args:
        layer: is put between the first two.
    """
    inner: ASGIApp = HeadRequests(app)
    if cors_origins:
        inner = Cors(inner, cors_origins)
    inner = CheckHead(inner, hosts or ServedHosts())
    if layer is not None:
        inner = layer(inner)
    return Edge(inner, new_id=new_id, ticks_s=ticks_s, https=https, observe=observe, write_line=write_line)
