"""What the documentation says an operation may answer."""

from __future__ import annotations

from collections.abc import Mapping

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from monitor.http.problems import MEDIA_TYPE, TYPE_PREFIX, Problem

_PROBLEMS: Mapping[int, tuple[str, str, str]] = {
    400: ("malformed", "The request cannot be read", "The body is not valid JSON."),
    401: ("missing_token", "A valid token is needed", "Send a token: Authorization: Bearer <token>."),
    403: ("insufficient_scope", "This token may not do that", "This needs the role admin; the token has viewer."),
    404: ("not_found", "There is no such thing", "There is no webhook with this id."),
    409: ("conflict", "The current state does not allow that", "This delivery was delivered."),
    412: ("stale", "The resource has changed since it was read", "Read the resource again and repeat the change."),
    413: ("too_large", "The request body is too large", "Send at most 256 KiB."),
    415: ("unsupported_media_type", "The content type is not supported", "Send application/json."),
    422: ("invalid", "The request breaks a rule", "The webhook breaks a rule; see errors."),
    429: ("too_many_requests", "Too many requests", "Wait 1 s before the next request."),
    503: ("unavailable", "A part of the service is not reachable", "The database is not reachable; try again."),
}

READ = (400, 401, 403, 429, 503)
WRITE = (*READ, 413, 415, 422)

NOT_MODIFIED = {
    304: ResponseSpec(None, generate_examples=False, description="The copy named by If-None-Match is current")
}
"""Added to the ``responses`` of a route that answers with an ETag."""


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the ``responses`` of a route: one problem with an example for each status."""
    return {status: _spec(status) for status in sorted(set(statuses))}


def _spec(status: int) -> ResponseSpec:
    slug, title, detail = _PROBLEMS[status]
    example = {"type": TYPE_PREFIX + slug, "title": title, "status": status, "detail": detail}
    return ResponseSpec(
        data_container=Problem,
        generate_examples=False,
        description=title,
        media_type=MEDIA_TYPE,
        examples=[Example(summary=title, value=example)],
    )
