"""
The cookie of a signed-in browser, and which requests it may authenticate.

Its value is the token itself, so expiry, revocation and keys are checked as for a bearer token, and no state is kept.
A browser sends it with every request to this host, from whichever page, so the requesting page is checked as well: by
``Sec-Fetch-Site`` and ``Origin``, which no script can set, and for a request that changes something by
:data:`CONFIRMATION`, which a page of another origin can only send after a preflight that is never granted.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.domain.errors import Forbidden, Malformed, Unauthenticated
from monitor.http.requests.hosts import Origin, parse_origin
from monitor.http.responses.headers import Headers

CONFIRMATION = b"x-monitor-session"
"""A header that a request by cookie needs if it may change something; its value means nothing."""

MAX_TOKEN_BYTES = 4000
"""Browsers drop a cookie if its name and value are longer than 4,096 bytes."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_NAME = "monitor_session"
_OWN_SITE = frozenset({b"same-origin", b"none"})
"""``none`` is a person who typed the address (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)."""


def is_https(scope_scheme: str, *, https: bool) -> bool:
    """Whether clients reach us over TLS, which may end in front of us (*https*)."""
    return https or scope_scheme in {"https", "wss"}


def cookie_name(headers: Headers, *, secure: bool) -> str:
    """
    Return the name of the cookie for the host of this request.

    Cookies do not keep ports apart, so the name does: two processes on one machine would sign each other out. With
    ``__Host-`` a browser takes it over TLS alone, for this very host (RFC 6265bis section 4.1.3.2).
    """
    origin = _own_origin(headers, secure=secure)
    port = "" if origin is None or origin.port in {80, 443} else f"_{origin.port}"
    return f"{'__Host-' if secure else ''}{_NAME}{port}"


def session_token(headers: Headers, *, secure: bool) -> str | None:
    """
    Return the token of the session cookie, ``None`` if there is no such cookie.

    Raises:
        Malformed: there are several; which one a proxy or the browser means cannot be determined.
        Unauthenticated: it is empty, or no ASCII.
    """
    lines = [value for name, value in headers if name == b"cookie"]
    if not lines:
        return None
    wanted = cookie_name(headers, secure=secure)
    found = [value for name, value in _pairs(lines) if name == wanted]
    if len(found) > 1:
        raise Malformed("Send one session cookie, not several.")
    if not found:
        return None
    if not found[0] or not found[0].isascii():
        raise Unauthenticated("The session cookie does not hold a token.")
    return found[0]


def check_own_page(headers: Headers, *, secure: bool, required: bool = False) -> None:
    """
    Check that no page of another origin makes this request; another port is another origin, though the same site.

    Args:
        required: refuse also a request that does not state where it comes from; no browser sends such a one where it
            matters, but for GET and HEAD.

    Raises:
        Forbidden: it comes from elsewhere.
    """
    origin = _single(headers, b"origin")
    site = _single(headers, b"sec-fetch-site")
    if origin is not None:
        sent = parse_origin(origin.decode("latin-1"))
        # A proxy may end TLS without our knowing; an https page cannot call us over plain http itself (mixed content).
        own = {_own_origin(headers, secure=True), _own_origin(headers, secure=secure)}
        if sent is None or sent not in own:
            raise Forbidden("Pages of this origin may not use the session of this browser.")
    if site is not None and site not in _OWN_SITE:
        raise Forbidden("Pages of another origin may not use the session of this browser.")
    if required and origin is None and site != b"same-origin":
        raise Forbidden("The request does not say which page makes it; send a token instead.")


def check_cookie_use(method: str, headers: Headers, *, secure: bool) -> None:
    """
    Check a request that the session cookie authenticates.

    Raises:
        Forbidden: another page makes it, or it may change something and lacks :data:`CONFIRMATION`.
    """
    is_safe = method in SAFE_METHODS
    check_own_page(headers, secure=secure, required=not is_safe)
    if not is_safe and _single(headers, CONFIRMATION) is None:
        raise Forbidden("A change by session cookie needs the header X-Monitor-Session.")


def set_cookie(headers: Headers, token: str, *, secure: bool, max_age_s: int) -> str:
    """Return the ``Set-Cookie`` that starts a session with *token*; ``max_age_s=0`` ends it."""
    attributes = f"Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return f"{cookie_name(headers, secure=secure)}={token}; {attributes}"


def _own_origin(headers: Headers, *, secure: bool) -> Origin | None:
    host = _single(headers, b"host") or b""
    return parse_origin(f"{'https' if secure else 'http'}://{host.decode('latin-1')}")


def _pairs(lines: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    """Yield names and values of cookies (RFC 6265 section 5.4); HTTP/2 splits these over several lines."""
    for line in lines:
        for pair in line.decode("latin-1").split(";"):
            name, is_pair, value = pair.partition("=")
            if is_pair:
                yield name.strip(" \t"), value.strip(" \t")


def _single(headers: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)
