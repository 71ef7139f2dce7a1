"""A webhook's URL, read and judged once, and what is the same in every request to it."""

from __future__ import annotations

import re

from monitor import __version__
from monitor.adapters.egress.guard import DEFAULT_PORTS, EgressPolicy, parse_target
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import UrlRefused

USER_AGENT = f"Monitor/{__version__}"
TEMPLATES_KEPT = 8
"""A webhook's header names change seldom; more than one set serves a URL that several webhooks share."""

_NOT_IN_HEADER_NAME = re.compile(r"[^A-Za-z0-9!#$%&'*+.^_`|~-]")
_NOT_IN_HEADER_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Destination:
    """
    Attributes:
        key: what connections to it may be shared by: scheme, host (which is the name that TLS verifies), port and rule.
        fixed_headers: the headers that this sender adds to those of a request.
    """

    __slots__ = ("_start", "_templates", "fixed_headers", "key", "target")

    def __init__(self, url: str, policy: EgressPolicy) -> None:
        """Raises ``UrlRefused``."""
        self.target = target = parse_target(url, policy)
        self.key = (target.scheme, target.host, target.port, target.allowed_only)
        host = f"[{target.host}]" if ":" in target.host else target.host
        self.fixed_headers = (
            ("Host", host if target.port == DEFAULT_PORTS[target.scheme] else f"{host}:{target.port}"),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
        )
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.fixed_headers])
        self._start = f"POST {target.path_query} HTTP/1.1\r\n{lines}".replace("%", "%%")
        self._templates: dict[tuple[str, ...], str] = {}

    def head(self, request: OutboundRequest) -> bytes:
        """Return the bytes in front of the body. Raises ``UrlRefused`` for a header that would not stay one."""
        names, values = zip(*request.headers, strict=True) if request.headers else ((), ())
        template = self._templates.get(names) or self._template(names)
        joined = "".join(values)
        # Both rules forbid single characters, so all values are searched at one go; what is printable needs no search.
        if not joined.isprintable() and _NOT_IN_HEADER_VALUE.search(joined):
            raise _forbidden()
        try:
            return (template % (*values, len(request.body))).encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair.
            raise _forbidden() from None

    def _template(self, names: tuple[str, ...]) -> str:
        if not all(names) or _NOT_IN_HEADER_NAME.search("".join(names)):
            raise _forbidden()
        if len(self._templates) >= TEMPLATES_KEPT:
            self._templates.clear()
        lines = "".join([f"{name.replace('%', '%%')}: %s\r\n" for name in names])
        template = self._templates[names] = f"{self._start}{lines}Content-Length: %d\r\n\r\n"
        return template


def _forbidden() -> UrlRefused:
    return UrlRefused("a header holds characters that HTTP forbids", reason="header")
