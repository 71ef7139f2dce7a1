"""
Every error that the product raises on purpose::

    MonitorError
    ├── Malformed            400  the input cannot be read
    ├── Unauthenticated      401  a bad token
    │   └── MissingToken          no token at all
    ├── Forbidden            403  the token may not do this
    ├── NotFound             404
    ├── Conflict             409  the resource is in another state
    │   └── Raced                 another transaction was first; nothing was changed, so repeat the call
    ├── StalePrecondition    412  If-Match names an old version
    ├── TooLarge             413
    ├── UnsupportedMedia     415
    ├── Invalid              422  readable, but against a rule
    │   ├── UrlRefused            the URL is not allowed
    │   └── IdempotencyMismatch   same key, other body
    ├── TooManyRequests      429
    ├── Unavailable          503  a dependency is down; nothing was changed, so try again
    │   └── UnknownOutcome        the answer to a commit was lost; it may have been made
    └── UnreadableRow        503  another version wrote it, or its key is not here; another process may read it

``slug`` names the problem type, ``title`` is fixed, ``detail`` is safe to show to a client.
The HTTP status in the drawing is assigned in ``monitor.http.responses.problems``; nothing here depends on HTTP.
"""

from __future__ import annotations

from typing import ClassVar


class MonitorError(Exception):
    """Base of the tree above. Raise a leaf, never this."""

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class FieldError:
    """One wrong member of a request: ``pointer`` is a JSON Pointer (RFC 6901), ``detail`` describes what to change."""

    __slots__ = ("detail", "pointer")

    def __init__(self, pointer: str, detail: str) -> None:
        self.pointer = pointer
        self.detail = detail


class Malformed(MonitorError):
    slug = "malformed"
    title = "The request cannot be read"


class Unauthenticated(MonitorError):
    """``code`` is the RFC 6750 error code; ``None`` when no credentials were sent at all."""

    slug = "invalid_token"
    title = "A valid token is needed"

    def __init__(self, detail: str, *, code: str | None = "invalid_token") -> None:
        super().__init__(detail)
        self.code = code


class MissingToken(Unauthenticated):
    slug = "missing_token"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, code=None)


class Forbidden(MonitorError):
    slug = "insufficient_scope"
    title = "The token does not allow this"


class NotFound(MonitorError):
    slug = "not_found"
    title = "The resource does not exist"


class Conflict(MonitorError):
    slug = "conflict"
    title = "The current state does not allow this"


class Raced(Conflict):
    slug = "raced"


class StalePrecondition(MonitorError):
    slug = "stale"
    title = "The resource has changed since it was read"


class TooLarge(MonitorError):
    slug = "too_large"
    title = "The request body is too large"


class UnsupportedMedia(MonitorError):
    slug = "unsupported_media_type"
    title = "The content type is not supported"


class Invalid(MonitorError):
    slug = "invalid"
    title = "The request breaks a rule"


class UrlRefused(Invalid):
    """``reason`` is the egress guard's machine-readable verdict, for example ``ip_not_public``."""

    slug = "url_refused"
    title = "The URL is not allowed"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, errors=(FieldError("/url", detail),))
        self.reason = reason


class IdempotencyMismatch(Invalid):
    slug = "idempotency_mismatch"
    title = "The Idempotency-Key was used with another body"


class TooManyRequests(MonitorError):
    slug = "too_many_requests"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(MonitorError):
    """``took_too_long``: it was given up after a time limit, so that less at once may succeed."""

    slug = "unavailable"
    title = "A dependency is not available"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0, took_too_long: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.took_too_long = took_too_long


class UnreadableRow(MonitorError):
    """Unlike an outage, it is about one row, which is left as it is."""

    slug = "row_unreadable"
    title = "This version cannot read the resource"
    retry_after_s: ClassVar[float] = 30.0
    """Upgrades take minutes; behind a load balancer the next request may reach a process that can."""


class UnknownOutcome(Unavailable):
    slug = "unknown_outcome"
    title = "The outcome is not known"
