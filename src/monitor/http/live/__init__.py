"""The live feed at ``/ws/dashboard``: handshake, sockets, fan-out."""

from monitor.http.live.endpoint import LiveEndpoint, live_route
from monitor.http.live.hub import Hub, HubStatus, SocketStatus

__all__ = ["Hub", "HubStatus", "LiveEndpoint", "SocketStatus", "live_route"]
