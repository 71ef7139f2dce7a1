"""
The server's HTTP protocol: uvicorn's ``httptools``, with limits that uvicorn does not have.

uvicorn keeps a request head or trailers of any size in memory and waits without end for the rest of a request: both
need no token, so one host could take all memory or all sockets. It also treats trailers as headers, accepts requests
for two hosts, and responds to an unreadable request ahead of responses that are still due. Errors before there is a
request are problems, too.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from monitor.domain.errors import Malformed, MonitorError, Unavailable
from monitor.http.middleware.edge import FULL_RESPONSE
from monitor.http.responses.headers import API_HEADERS
from monitor.http.responses.problems import HeadTooLarge, RequestTimeout, raw_problem


def write_full_response(cycle: RequestResponseCycle, head: bytes, body: bytes, status: int = 200) -> bool:
    """
    Write a complete response at once: *head* begins with its first header, *body* is as long as it declares.

    ASGI's two messages are checked header by header and written separately, which costs more than everything else about
    a response from memory.

    Returns:
        ``False`` if nothing was written, since this connection needs ASGI's messages: it closes after this response, or
        its buffer is full.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive:
        return False
    defaults = b"".join(b"%b: %b\r\n" % header for header in cycle.default_headers)
    cycle.transport.write(b"".join((STATUS_LINE[status], defaults, head, body)))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True


_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""The characters of a ``Host`` (RFC 9110 section 7.2), which may be empty."""


def refusal(error: MonitorError) -> bytes:
    """Return a complete problem response, after which the connection is closed."""
    status, headers, body = raw_problem(error, "", None)
    fields = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close"), *API_HEADERS]
    return b"".join([STATUS_LINE[status], *(b"%b: %b\r\n" % field for field in fields), b"\r\n", body])


class BoundedHttp(HttpToolsProtocol):
    """
    Attributes:
        head_bytes: the largest request line and headers, and the most that may lie around a body: sizes of its chunks,
            trailers. One read of the socket, 256 KiB, may come on top.
        max_pipelined: how many requests one connection may send ahead of their responses. One read holds thousands.
        head_s: how long a head may take, counted from the connection or from its first byte.
        body_bytes_per_s: the least rate of a body between two looks, each half of ``head_s`` apart.
        max_connections: how many connections the process holds, WebSockets included.
        request_s: how long head and body together may take, and how long a client may read nothing of its responses.
    """

    head_bytes = 65_536
    max_pipelined = 100
    head_s = 10.0
    request_s = 60.0
    body_bytes_per_s = 4096
    max_connections = 10_000

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._received = 0
        self._in_head = True
        self._has_progress = False
        self._since: float | None = self.loop.time()
        self._unread = 0
        self._unread_since = 0.0
        self._body_bytes = 0
        self._body_seen = False
        self._looked_at = self.loop.time()
        # One timer for the whole connection, not one for each request: requests are many, and late ones are few.
        self._timer = self.loop.call_later(self.head_s, self._check_timeouts)
        if len(self.connections) > self.max_connections:
            self._refuse(Unavailable(f"This process holds its {self.max_connections:,} connections; try again."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_progress = False
        super().data_received(data)
        # What came before a complete head or a piece of body in the same read has been counted, or was short.
        if self._since is None or self._has_progress:
            return
        self._received += len(data)
        if self._received > self.head_bytes and not self.transport.is_closing():
            self._refuse(HeadTooLarge("Send fewer or shorter headers."))

    def on_message_begin(self) -> None:
        self._received = 0
        self._in_head = True
        self._body_seen = False
        self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.max_pipelined:
            raise ValueError("too many requests are waiting for their responses")
        self._check_host()
        self._received = 0
        self._in_head = False
        self._has_progress = True
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.cycle is not None:
            # The request has not begun to run: its task starts when this callback has returned.
            extensions: dict[str, Any] = {FULL_RESPONSE: partial(write_full_response, self.cycle)}
            self.cycle.scope["extensions"] = extensions
            # Trailers are no headers (RFC 9110 section 6.5.1), and uvicorn would append these without bound.
            self.headers = deque(maxlen=0)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        self._received = 0
        self._body_bytes += len(body)
        self._has_progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._since = None
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._timer.cancel()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Malformed(msg))

    def _check_host(self) -> None:
        """
        Raises:
            ValueError: not exactly one valid host (RFC 9112 section 3.2); the parser then rejects the request.
        """
        hosts = [value for name, value in self.headers if name == b"host"]
        version = self.parser.get_http_version()
        # HTTP/1.0 has no required Host.
        is_clear = len(hosts) == 1 if version == "1.1" else version == "1.0" and len(hosts) < 2
        if not is_clear or (hosts and not _HOST.fullmatch(hosts[0])):
            raise ValueError("HTTP/1.1 names one host")

    def _check_timeouts(self) -> None:
        waited_s = 0.0 if self._since is None else self.loop.time() - self._since
        if waited_s >= (self.head_s if self._in_head else self.request_s):
            self.transport.close()
        elif self._is_slow():
            self._refuse(RequestTimeout("Send the body without pauses."))
        elif self._is_unread():
            # Closing would wait for the client to take the rest.
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(self.head_s / 2, self._check_timeouts)

    def _is_slow(self) -> bool:
        """Whether less of a body came since the last look than the least rate requires, although it was read."""
        now, came = self.loop.time(), self._body_bytes
        asked = self.body_bytes_per_s * (now - self._looked_at)
        is_body = self._since is not None and not self._in_head and not self.flow.read_paused
        # A body is judged from its second look on: before the first, it was not there all the time.
        is_slow = is_body and self._body_seen and came < asked
        self._body_seen, self._looked_at, self._body_bytes = is_body, now, 0
        return is_slow

    def _is_unread(self) -> bool:
        """Whether the client has read nothing of what is buffered for it for too long."""
        unread, now = self.transport.get_write_buffer_size(), self.loop.time()
        if not unread or unread != self._unread:
            self._unread, self._unread_since = unread, now
        return now - self._unread_since >= self.request_s

    def _refuse(self, error: MonitorError) -> None:
        """Close, after a problem response unless that would be taken for the response to another request."""
        if self._is_next_in_line():
            self.transport.write(refusal(error))
        self.transport.close()

    def _is_next_in_line(self) -> bool:
        """Whether the request being read has no response yet, and all requests before it have theirs."""
        cycle = self.cycle
        if cycle is None:
            return True
        if self._since is None or self._in_head:
            return cycle.response_complete
        return not self.pipeline and not cycle.response_started
