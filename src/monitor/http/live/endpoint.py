"""The route of the live feed: handshake, then one socket until it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any

import structlog
from litestar import asgi
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from monitor.auth.tokens import Principal, TokenVerifier
from monitor.domain.errors import Forbidden, Malformed, MissingToken, MonitorError, Unauthenticated
from monitor.domain.live import Position, Session, SocketGrant
from monitor.domain.live.session import Auth
from monitor.domain.vocab import Role
from monitor.http.live.close_codes import CloseCode
from monitor.http.live.frame_transport import EXTENSION, AsgiFrameTransport, FrameTransport
from monitor.http.live.handshake import PROTOCOL, check_origin, requested_position, subprotocol_token
from monitor.http.live.hub import Hub
from monitor.http.live.socket import Socket
from monitor.http.middleware.authentication import bearer_token, requires
from monitor.http.requests.hosts import Origin, ServedHosts, check_single, known_origins, parse_origin
from monitor.http.requests.session_cookie import check_own_page, is_https, session_token
from monitor.http.responses.headers import API_HEADERS, incoming_request_id
from monitor.http.responses.problems import UpgradeRequired, raw_problem

PATH = "/ws/dashboard"

FIRST_FRAME_S = 0.1
"""How long a new client may take to send its first frame before it gets a snapshot of everything."""

log = structlog.get_logger(__name__)


class LiveEndpoint:
    """
    An ASGI application.

    Args:
        now: Unix seconds, against which tokens are checked.
        allowed_origins: pages that may connect besides our own.
        hosts: the hosts by which clients may reach us; all by default.
        https: clients reach us over TLS, although it may end in front of us.
    """

    def __init__(
        self,
        hub: Hub,
        verifier: TokenVerifier,
        *,
        now: Callable[[], float],
        new_id: Callable[[], str],
        allowed_origins: Collection[str] = (),
        hosts: ServedHosts | None = None,
        https: bool = False,
    ) -> None:
        self._hub = hub
        self._verifier = verifier
        self._now = now
        self._new_id = new_id
        self._allowed_origins = known_origins(allowed_origins)
        self._hosts = hosts or ServedHosts()
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.WEBSOCKET:
            # RFC 9110 section 15.5.22.
            raise UpgradeRequired("Connect by WebSocket.")
        request_id = incoming_request_id(scope["headers"]) or self._new_id()
        await receive()
        try:
            grant, position = self._authorize(scope)
            self._hub.reserve(grant)
        except MonitorError as error:
            self._hub.refused[error.slug] += 1
            log.info("live_refused", problem=error.slug, request_id=request_id)
            await _refuse(scope, send, error, request_id)
            return
        socket = None
        try:
            await send(_acceptance(scope, request_id))
            transport = _transport_of(scope)
            socket = Socket(transport, Session(grant), self._now())
            log.info("live_opened", subject=grant.subject, request_id=request_id)
            self._hub.add(socket)
            await self._serve(socket, position, receive, send)
        except Exception:
            # Not passed on: the framework would close with a reason of its own and without a log line.
            log.exception("live_failed", request_id=request_id)
            if socket is not None:
                socket.end(CloseCode.INTERNAL, "internal error")
        finally:
            self._hub.release(grant.subject, socket)

    def _authorize(self, scope: Any) -> tuple[SocketGrant, Position | None]:
        """Raises: MonitorError: the handshake is refused, see :mod:`monitor.http.live.handshake`."""
        headers = scope["headers"]
        check_single(headers)
        self._hosts.check(headers)
        position = requested_position(scope["query_string"].decode("latin-1"))
        offered = subprotocol_token(_subprotocols(scope))
        origin = next(iter(_header_values(headers, b"origin")), None)
        check_origin(origin, self._allowed_origins, self._own_origin(scope))
        principal = self._verifier.verify(self._token(scope, offered), self._now())
        if not principal.role.includes(Role.VIEWER):
            raise Forbidden(f"This needs the role viewer; the token has {principal.role.value}.")
        if self._now() >= principal.expires_at:
            # No leeway: the socket would be closed at once.
            raise Unauthenticated("The token has expired.")
        return _grant_for(principal), position

    def _token(self, scope: Any, offered: str | None) -> str:
        """
        Return the one token: of the header, a subprotocol, or else the cookie of a browser.

        Raises:
            Malformed: there are two.
            Unauthenticated: there is none.
            Forbidden: a page that is not our own comes with a cookie.
        """
        headers = scope["headers"]
        if offered is None and not _header_values(headers, b"authorization"):
            secure = is_https(scope["scheme"], https=self._https)
            token = session_token(headers, secure=secure)
            if token is not None:
                check_own_page(headers, secure=secure, required=True)
                return token
        return _token(headers, offered)

    def _own_origin(self, scope: Any) -> Origin | None:
        scheme = "https" if is_https(scope["scheme"], https=self._https) else "http"
        return parse_origin(f"{scheme}://{''.join(_header_values(scope['headers'], b'host'))}")

    async def _serve(self, socket: Socket, position: Position | None, receive: Receive, send: Send) -> None:
        loop, tasks = asyncio.get_running_loop(), []
        if isinstance(socket.transport, AsgiFrameTransport):
            tasks.append(loop.create_task(socket.transport.pump(send), name="live-pump"))
        start = loop.call_later(FIRST_FRAME_S if position is None else 0.0, self._hub.begin, socket, position)
        try:
            while (event := await receive())["type"] == "websocket.receive":
                if self._handle_text(socket, event.get("text")):
                    start.cancel()
        finally:
            start.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _handle_text(self, socket: Socket, text: str | None) -> bool:
        """Handle the frame of a client; return whether it chose where to begin."""
        if not socket.is_open:
            return False
        try:
            frame = socket.session.read_frame(text, self._now())
            if isinstance(frame, Auth):
                socket.session.renew_token(_grant_for(self._verifier.verify(frame.token, self._now())))
                return False
            self._hub.handle(socket, frame)
        except MonitorError as error:
            self._hub.report_error(socket, error)
            return False
        return True


def live_route(endpoint: LiveEndpoint) -> ASGIRouteHandler:
    """Return the route, which declares its role like every other; the endpoint itself enforces it."""

    @asgi(PATH, opt={**requires(Role.VIEWER), "socket": True}, copy_scope=False)
    async def dashboard_feed(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(scope, receive, send)

    return dashboard_feed


def _grant_for(principal: Principal) -> SocketGrant:
    return SocketGrant(principal.subject, principal.role, principal.jti, principal.expires_at, principal.key_id)


def _token(headers: Iterable[tuple[bytes, bytes]], offered: str | None) -> str:
    """Return the one token. Raises ``Malformed`` if there are two, ``Unauthenticated`` if there is none."""
    if offered is None:
        return bearer_token(headers)
    if _header_values(headers, b"authorization"):
        raise Malformed("Send the token in the header or in the subprotocol, not in both.")
    if not offered:
        raise MissingToken("Put a token behind the prefix bearer.")
    return offered


def _subprotocols(scope: Any) -> list[str]:
    # Some servers pass one empty string for none.
    return [offer for offer in scope.get("subprotocols") or () if offer]


def _header_values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _transport_of(scope: Any) -> FrameTransport:
    transport: FrameTransport | None = scope.get("extensions", {}).get(EXTENSION)
    return AsgiFrameTransport() if transport is None else transport


def _acceptance(scope: Any, request_id: str) -> Any:
    chosen = PROTOCOL if _subprotocols(scope) else None
    return {"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-request-id", request_id.encode())]}


async def _refuse(scope: Any, send: Send, error: MonitorError, request_id: str) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        # Such a server answers 403 to every refusal.
        await send({"type": "websocket.close", "code": 1008, "reason": error.slug})
        return
    status, headers, body = raw_problem(error, scope["path"], request_id)
    headers += [*API_HEADERS, (b"x-request-id", request_id.encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
