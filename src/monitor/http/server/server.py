"""The server: uvicorn with our protocols and limits, stopped by its command."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import uvicorn

from monitor.http.server.http_protocol import BoundedHttp
from monitor.http.server.websocket_protocol import LiveProtocol

MAX_MESSAGE_BYTES = 16_384
DRAIN_S = 10


class Server(uvicorn.Server):
    """
    A server that leaves signals to its command: uvicorn's own handler would kill the process again at its end.

    Args:
        on_stop: called before the port is closed, so that open sockets are sent to another process in time.
        bounds: attributes of :class:`BoundedHttp` that differ from its own.
        trusted_proxies: networks of peers whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` replace the address and
            the scheme of a request. uvicorn would read those of any peer on loopback, and ``FORWARDED_ALLOW_IPS``.
        options: of ``uvicorn.Config``.
    """

    def __init__(
        self,
        app: Any,
        on_stop: Callable[[], None] = lambda: None,
        *,
        bounds: Mapping[str, float] = MappingProxyType({}),
        trusted_proxies: Collection[str] = (),
        **options: Any,
    ) -> None:
        ours: dict[str, Any] = {
            # It would print query strings.
            "access_log": False,
            "log_config": None,
            "http": type("Http", (BoundedHttp,), dict(bounds)),
            "ws": LiveProtocol,
            "ws_max_size": MAX_MESSAGE_BYTES,
            "ws_per_message_deflate": False,
            "server_header": False,
            "proxy_headers": bool(trusted_proxies),
            "forwarded_allow_ips": list(trusted_proxies),
            "timeout_graceful_shutdown": DRAIN_S,
        }
        super().__init__(uvicorn.Config(app, **(ours | options)))
        self._on_stop = on_stop

    def stop(self) -> None:
        self._on_stop()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # A port in use would end the process from here, together with all that runs beside the server.
        try:
            await super().startup(sockets)
        except SystemExit:
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
