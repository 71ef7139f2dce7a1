"""Headers of every response: security, request id, ``Allow``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from litestar.types import Scope

from monitor.log import masked

Headers = Iterable[tuple[bytes, bytes]]
"""In the form of ASGI; names are in lower case."""

API_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Set unless the response sets its own: a page, for example, has its own content policy."""

HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id_of(scope: Scope) -> str | None:
    """Return the id that the response carries in ``X-Request-ID``; ``None`` outside of ``Edge``."""
    request_id: str | None = scope["state"].get("request_id") if "state" in scope else None
    return request_id


def incoming_request_id(headers: Headers) -> str | None:
    """
    Return the caller's ``X-Request-ID`` if it may go into a log: 1 to 128 of ``[A-Za-z0-9._-]``, and nothing that looks
    like a secret.
    """
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _REQUEST_ID.fullmatch(value) and masked(text) == text else None
    return None


def list_header(headers: Headers, wanted: bytes) -> str | None:
    """Return the header *wanted*, a list that may come in several lines (RFC 9110 section 5.3)."""
    lines = [value.decode("latin-1") for name, value in headers if name == wanted]
    return ", ".join(lines) if lines else None


def with_head(methods: AbstractSet[str]) -> list[str]:
    """Return *methods*, and HEAD where there is GET, in the order of an ``Allow`` header."""
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return *headers* in the form of ASGI."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]
