"""Probes and metrics of a process that serves nothing else, as a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar, MediaType, Response, get
from litestar.types import ASGIApp

from monitor.domain.errors import Unavailable
from monitor.http.middleware.edge import WriteLine
from monitor.http.middleware.stack import build_edge
from monitor.http.requests.hosts import ServedHosts
from monitor.http.responses.headers import list_header
from monitor.http.responses.problems import exception_handlers
from monitor.http.routes.prometheus import Exposition, negotiated
from monitor.http.routes.services import AnyRequest
from monitor.http.routes.system import live


def build(
    exposition: Exposition,
    readiness: Callable[[], Awaitable[list[str]]],
    *,
    new_id: Callable[[], str],
    ticks_s: Callable[[], float],
    hosts: ServedHosts | None = None,
    write_line: WriteLine | None = None,
) -> ASGIApp:
    """
    Return an application with ``/health/live``, ``/health/ready`` and ``/metrics``, open to all that reach its port.

    Args:
        readiness: returns what keeps the process from working, one line each.
        ticks_s: monotonic seconds, for durations.
    """

    @get("/health/ready")
    async def ready() -> dict[str, str]:
        if missing := await readiness():
            raise Unavailable(" ".join(missing))
        return {"status": "ready"}

    @get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False)
    def metrics(request: AnyRequest) -> Response[bytes]:
        media_type = negotiated(list_header(request.scope["headers"], b"accept") or "")
        headers: dict[str, Any] = {"content-type": media_type, "vary": "Accept"}
        return Response(exposition.render(None, media_type), headers=headers)

    litestar = Litestar(
        [live, ready, metrics],
        exception_handlers=exception_handlers(),
        openapi_config=None,
        logging_config=None,
    )
    return build_edge(
        litestar,
        new_id=new_id,
        ticks_s=ticks_s,
        hosts=hosts,
        observe=exposition.observe_request,
        write_line=write_line,
    )
