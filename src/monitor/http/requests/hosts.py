"""Host names and origins: compared without case, by their effective port, and with IDNs in their ASCII form."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from monitor.domain.errors import Malformed
from monitor.http.responses.headers import Headers
from monitor.http.responses.problems import Misdirected

EVERY_HOST = "*"
LOOPBACK_NAMES = ("localhost", "*.localhost", "127.0.0.1", "[::1]")
"""The names of a process that listens on loopback alone (RFC 6761 section 6.3)."""

SINGLE_HEADERS = frozenset(
    {b"authorization", b"content-length", b"content-type", b"host", b"idempotency-key", b"if-match", b"origin"}
)
"""Headers that a request may hold once. ``If-Match`` could be a list in several lines, which no client needs."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]\\,]+)(?::([0-9]{1,5}))?")
_CACHED_HOSTS = 256


class Origin(NamedTuple):
    """Scheme, host and effective port (RFC 6454 section 4)."""

    scheme: str
    host: str
    port: int


def host_name(name: str) -> str:
    """
    Return the one spelling of *name*: lower case, an IDN in its ASCII form, an address as RFC 5952 writes it, no final
    dot. Browsers send nothing else; settings may hold more. A name that is no IDN stays as it is, and matches nothing.
    """
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        plain = name.removesuffix(".").lower()
        try:
            return plain if plain.isascii() else plain.encode("idna").decode("ascii")
        except UnicodeError:
            return plain
    return f"[{address}]" if address.version == 6 else str(address)


def parse_origin(text: str) -> Origin | None:
    """Return the origin of *text*, such as ``https://dash.example.com``; ``None`` for ``null`` and all else."""
    scheme, _, authority = text.partition("://")
    port = _DEFAULT_PORTS.get(scheme.lower())
    match = _AUTHORITY.fullmatch(authority)
    if port is None or match is None:
        return None
    return Origin(scheme.lower(), host_name(match[1]), int(match[2] or port))


def known_origins(texts: Iterable[str]) -> frozenset[Origin]:
    """Return the origins of *texts*, settings that were checked before."""
    return frozenset(origin for origin in map(parse_origin, texts) if origin is not None)


class ServedHosts:
    """
    The hosts by which clients may reach this process.

    A page whose name was made to resolve to this machine (DNS rebinding) is of one origin with it; its requests carry a
    ``Host`` that is none of ours.

    Args:
        names: exact, or ``*.example.com`` for all below, without ports. Without any, or with ``*``, all are served.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._is_open = not names or EVERY_HOST in names
        self._names = frozenset(host_name(name) for name in names if not name.startswith("*."))
        self._endings = tuple("." + host_name(name[2:]) for name in names if name.startswith("*."))
        self.serves = lru_cache(maxsize=_CACHED_HOSTS)(self._serves)

    def check(self, headers: Headers) -> None:
        """
        Raises:
            Misdirected: the request is for another host, or names none.
        """
        if not self._is_open and not self.serves(next((value for name, value in headers if name == b"host"), b"")):
            raise Misdirected("This host is not served here; MONITOR_HTTP__ALLOWED_HOSTS lists those that are.")

    def _serves(self, host: bytes) -> bool:
        """Whether *host*, the value of a ``Host``, is served."""
        if self._is_open:
            return True
        match = _AUTHORITY.fullmatch(host.decode("latin-1"))
        if match is None:
            return False
        name = host_name(match[1])
        return name in self._names or name.endswith(self._endings)


def check_single(headers: Headers) -> None:
    """
    Raises:
        Malformed: a header that may occur once is there twice. Layers that read different ones would disagree.
    """
    seen = set()
    for name, _ in headers:
        if name in SINGLE_HEADERS:
            if name in seen:
                raise Malformed(f"Send one {name.decode().title()} header, not several.")
            seen.add(name)
