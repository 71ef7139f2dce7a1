"""
The API reference: the OpenAPI document, and a page to read it and to try it. Both are open.

The page is Swagger UI, served from here like the dashboard: no request goes to another host, and its content policy
forbids inline scripts.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server, Tag
from litestar.types import Method

from monitor import __version__
from monitor.domain.errors import NotFound
from monitor.http.middleware.authentication import OPEN
from monitor.http.openapi.document import complete
from monitor.http.page.assets import (
    REVALIDATE,
    Asset,
    asset_of,
    asset_response,
    asset_routes,
    load_assets,
)

REFERENCE = Path(__file__).with_name("reference")
STORED = (Path(__file__).with_name("openapi.json"), Path(__file__).parents[4] / "docs" / "openapi.json")
"""The document as ``monitor openapi`` prints it: inside an installed package, and in a checkout."""

PATH = "/schema"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI styles elements in place and draws from ``data:``; scripts come from files of ours alone."""

_NO_POLICY = "default-src 'none'; frame-ancestors 'none'"

_DESCRIPTION = """\
Delivers webhooks and watches them.

Send a token: `Authorization: Bearer <token>`. Each operation names the role it needs: `viewer` < `operator` < `admin`;
`publisher` may post events and attempts alone, `admin` may too. Browsers may send the cookie of a session instead.

Errors are problems (RFC 9457). Lists come in pages: pass `next_cursor` as `cursor`. Times are RFC 3339, in UTC.
"""

_TAGS = {
    "webhooks": "Destinations: create them, change them, watch how they do.",
    "events": "Post an event once, and every webhook that subscribed gets it.",
    "deliveries": "One event for one webhook, and how far it got.",
    "alerts": "Conditions that need attention, and silences that hold back their notifications.",
    "notifications": "Which webhooks are told of alerts, and whether any is.",
    "dashboard": "What an operator sees first; the last good answer, with `stale` and `age_s`, if there is no new one.",
    "audit": "Every mutating call but `POST /events`, whose events are their own record: subject, action, before and"
    " after.",
    "tokens": "Tokens that are refused before they expire.",
    "session": "The session of a browser: a token in a cookie that no script can read.",
    "system": "Probes and metrics.",
}


def document(app: Litestar) -> bytes:
    """Return the OpenAPI document of *app* as JSON."""
    return msgspec.json.encode(complete(app))


def openapi_config(root_path: str = "", *, stored: bool = True) -> OpenAPIConfig:
    """
    Return what ``Litestar(openapi_config=…)`` needs to serve the document.

    Args:
        stored: the routes are those of the document that was built with the package, so that it can be served.
    """
    return OpenAPIConfig(
        title="Monitor",
        version=__version__,
        description=_DESCRIPTION,
        servers=[Server(url=root_path or "/")],
        operation_id_creator=_operation_id,
        tags=[Tag(name, description) for name, description in _TAGS.items()],
        # Litestar's handlers below this path serve neither the completed document nor problems.
        openapi_router=Router(
            PATH,
            route_handlers=[],
            opt=OPEN,
            include_in_schema=False,
            before_request=_Document(root_path or "/", stored=stored).answer,
        ),
        render_plugins=[JsonRenderPlugin()],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}],
    )


def reference_routes(root_path: str = "") -> list[HTTPRouteHandler]:
    """Return the routes of the page."""
    return asset_routes(load_assets(REFERENCE, under=PATH, root_path=root_path, policy=POLICY), f"{PATH}/swagger")


class _Document:
    """
    The document, read at the first request, beside the event loop.

    To generate it takes seconds and tens of megabytes, so that is done when the package is built, and here only where
    the routes are others.
    """

    def __init__(self, url: str, *, stored: bool) -> None:
        self._url = url
        self._stored = stored
        self._asset: Asset | None = None

    async def answer(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        if request.scope["path"].rstrip("/") not in {PATH, f"{PATH}/openapi.json"}:
            raise NotFound("There is nothing at this address.")
        if self._asset is None:
            self._asset = await asyncio.to_thread(self._made, request.app)
        return asset_response(request, self._asset, REVALIDATE, _NO_POLICY)

    def _made(self, app: Litestar) -> Asset:
        stored = self._read() if self._stored else None
        asset = asset_of(document(app) if stored is None else stored, "application/json")
        # Compressed here as well, beside the event loop.
        _ = asset.gzipped()
        return asset

    def _read(self) -> bytes | None:
        path = next(filter(Path.is_file, STORED), None)
        if path is None:
            return None
        return msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), "servers": [{"url": self._url}]})


def _operation_id(handler: HTTPRouteHandler, _method: Method, _path: list[Any]) -> str:
    return handler.handler_name.rpartition(".")[2]
