"""What the documentation says an operation may answer."""

from __future__ import annotations

from collections.abc import Mapping

from litestar.openapi.datastructures import ResponseSpec

from monitor.domain.vocab import Role
from monitor.http.responses.problems import MEDIA_TYPE, TYPE_PREFIX, Problem, ProblemField

_PROBLEMS: Mapping[int, tuple[str, str, str]] = {
    400: ("malformed", "The request cannot be read", "The request, or one of its parameters, cannot be read."),
    401: ("missing_token", "A valid token is needed", "Send a token: Authorization: Bearer <token>."),
    403: ("insufficient_scope", "The token does not allow this", "This needs the role {role}; the token has {less}."),
    404: ("not_found", "The resource does not exist", "There is no {noun} with this id."),
    409: ("conflict", "The current state does not allow this", "The {noun} is in a state that does not allow this."),
    412: ("stale", "The resource has changed since it was read", "Read the resource again and repeat the change."),
    413: ("too_large", "The request body is too large", "Send at most {limit_kib} KiB."),
    415: ("unsupported_media_type", "The content type is not supported", "Send application/json, in UTF-8."),
    422: ("invalid", "The request breaks a rule", "A value breaks a rule; see errors."),
    429: ("too_many_requests", "Too many requests", "Wait 1 s before the next request."),
    503: ("unavailable", "A dependency is not available", "The database is not reachable; try again."),
}

_EXAMPLE_ID = "5f0c8a3be1d24c6799b000000000001a"
_WRONG_MEMBER = ProblemField("/name", "Expected `str` of length >= 1")

READ = (400, 401, 403, 429, 503)
WRITE = (*READ, 413, 415, 422)

NOT_MODIFIED = {
    304: ResponseSpec(None, generate_examples=False, description="The copy named by If-None-Match is current")
}
"""Added to the ``responses`` of a route that answers with an ETag."""


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the ``responses`` of a route: a problem for each status."""
    return {
        status: ResponseSpec(Problem, generate_examples=False, description=_PROBLEMS[status][1], media_type=MEDIA_TYPE)
        for status in sorted(set(statuses))
    }


def example_problem(status: int, *, role: Role | None, instance: str, noun: str, limit_bytes: int) -> Problem:
    """
    Return what a route would answer with *status*.

    Args:
        role: what the route needs; ``None`` if it is open.
        noun: what its address names.
        limit_bytes: its largest body.
    """
    slug, title, detail = _PROBLEMS[status]
    needed = role or Role.VIEWER
    # Somebody who may do less: only publishers may not read.
    less = Role.PUBLISHER if needed is Role.VIEWER else Role.VIEWER
    return Problem(
        type=TYPE_PREFIX + slug,
        title=title,
        status=status,
        detail=detail.format(role=needed.value, less=less.value, noun=noun, limit_kib=limit_bytes // 1024),
        instance=instance,
        request_id=_EXAMPLE_ID,
        errors=[_WRONG_MEMBER] if status == 422 else [],
    )
