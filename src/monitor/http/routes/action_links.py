"""
The one-use links in messages. Open: the token in the path is the authority, so a forged request gains nothing.

Mail scanners and chat previews fetch links, so GET only shows the page; its form posts. Tokens stand in no log: the
access log has the template of the path.
"""

from __future__ import annotations

import math

from litestar import Response, Router, get, post
from litestar.params import FromPath

from monitor.domain.alerts.action_links import PATH
from monitor.domain.errors import TooManyRequests
from monitor.domain.services.action_links import UNKNOWN, LinkCommands, LinkView
from monitor.http.middleware.authentication import OPEN
from monitor.http.middleware.edge import client_address
from monitor.http.middleware.rate_limit import RateLimiter
from monitor.http.page.action_page import POLICY, action_page, status_code_of
from monitor.http.responses.headers import request_id_of
from monitor.http.routes.services import AnyRequest

ROUTE = "/{token:str}"


def action_link_routes(links: LinkCommands, limiter: RateLimiter) -> Router:
    """Return the routes of links; *limiter* bounds the uses of those about one alert, forged ones cost no query."""

    async def is_known(token: str) -> bool:
        link = links.read(token)
        if link is None:
            return False
        wait_s = limiter.check(f"link {link.alert_id}")
        if wait_s is not None:
            raise TooManyRequests(f"Wait {math.ceil(wait_s)} s before the next request.", retry_after_s=wait_s)
        return True

    @get(ROUTE, opt=OPEN, include_in_schema=False)
    async def ask(token: FromPath[str]) -> Response[bytes]:
        return _page(await links.look(token) if await is_known(token) else UNKNOWN, used=False)

    @post(ROUTE, opt=OPEN, include_in_schema=False)
    async def act(token: FromPath[str], request: AnyRequest) -> Response[bytes]:
        if not await is_known(token):
            return _page(UNKNOWN, used=True)
        scope = request.scope
        return _page(await links.act(token, request_id=request_id_of(scope), client=client_address(scope)), used=True)

    return Router(f"/{PATH}", route_handlers=[ask, act])


def _page(view: LinkView, *, used: bool) -> Response[bytes]:
    headers = {"content-security-policy": POLICY, "x-robots-tag": "noindex"}
    return Response(
        action_page(view), status_code=status_code_of(view, used=used), media_type="text/html", headers=headers
    )
