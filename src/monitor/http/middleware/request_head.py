"""Refuses requests for hosts that are not served here, and those with a header twice that may occur once."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from monitor.domain.errors import MonitorError
from monitor.http.requests.hosts import ServedHosts, check_single
from monitor.http.responses.headers import request_id_of
from monitor.http.responses.problems import raw_problem

PROBES = "/health/"
"""Load balancers and orchestrators request by address; these answers hold nothing to protect."""


class CheckHead:
    """Stands in front of everything that reads a header. Handshakes pass: these have their own refusals."""

    def __init__(self, app: ASGIApp, hosts: ServedHosts) -> None:
        self.app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            try:
                check_single(scope["headers"])
                if not scope["path"].startswith(PROBES):
                    self._hosts.check(scope["headers"])
            except MonitorError as error:
                status, headers, body = raw_problem(error, scope["path"], request_id_of(scope))
                headers.append((b"content-length", b"%d" % len(body)))
                await send({"type": "http.response.start", "status": status, "headers": headers})
                content = b"" if scope["method"] == "HEAD" else body
                await send({"type": "http.response.body", "body": content, "more_body": False})
                return
        await self.app(scope, receive, send)
