"""Where a server listens, and the link by which a browser on this machine reaches it."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from monitor.cli.common import CommandError

_REMEDIES = {
    errno.EADDRINUSE: "; stop what listens there, or choose another --port",
    errno.EADDRNOTAVAIL: "; choose an address of this machine as --host",
    errno.EACCES: "; choose a --port from 1024",
}


def listen(host: str, port: int) -> list[socket.socket]:
    """
    Take *port* on every address of *host* that this machine has; no host, or ``::``, means all of both families.

    Raises:
        CommandError: that cannot be.
    """
    host = host.strip("[]")
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(
            None if _is_everything(host) else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            try:
                sockets.append(_listener(family, address))
            except OSError as error:
                # `localhost` has an address of IPv6 also where nothing else has.
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except (OSError, UnicodeError) as error:
        for taken in sockets:
            taken.close()
        problem = getattr(error, "strerror", None) or str(error)
        remedy = _REMEDIES.get(getattr(error, "errno", None) or 0, "")
        raise CommandError(f"cannot listen on {authority(host, port)}: {problem}{remedy}.") from None
    return sockets


def _listener(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        # Two processes can bind one port; only one can listen.
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def authority(host: str, port: int) -> str:
    """Return *host* and *port* as written in a URL."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def bound_addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Return the IP addresses that *sockets* are bound to."""
    return [listener.getsockname()[0].partition("%")[0] for listener in sockets]


def link_authority(host: str, port: int, sockets: Sequence[socket.socket]) -> str:
    """
    Return what a URL needs to reach *sockets*, which listen on *host*.

    It is *host* itself, unless that means every address of the machine: no browser opens such an address, so it is
    loopback then.
    """
    addresses = [ipaddress.ip_address(address) for address in bound_addresses(sockets)]
    if not any(address.is_unspecified for address in addresses):
        return authority(host, port)
    return authority("127.0.0.1" if any(address.version == 4 for address in addresses) else "::1", port)


def _is_everything(host: str) -> bool:
    """Whether *host* means every address of both families: nothing, or the unspecified one of IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return not host
    return address.version == 6 and address.is_unspecified
