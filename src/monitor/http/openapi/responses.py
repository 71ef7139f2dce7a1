"""The responses that the documentation lists for an operation."""

from __future__ import annotations

from collections.abc import Mapping

from litestar.openapi.datastructures import ResponseSpec

from monitor.domain import errors
from monitor.domain.errors import MonitorError
from monitor.domain.vocab import Role
from monitor.http.responses.problems import MEDIA_TYPE, TYPE_PREFIX, UNEXPECTED, Problem, ProblemField, status_of

_DETAILS: Mapping[type[MonitorError], str] = {
    errors.Malformed: "The request, or one of its parameters, cannot be read.",
    errors.MissingToken: "Send a token: Authorization: Bearer <token>.",
    errors.Forbidden: "This needs the role {role}; the token has {less}.",
    errors.NotFound: "There is no {noun} with this id.",
    errors.Conflict: "The {noun} is in a state that does not allow this.",
    errors.StalePrecondition: "Read the resource again and repeat the change.",
    errors.TooLarge: "Send at most {limit_kib} KiB.",
    errors.UnsupportedMedia: "Send application/json, in UTF-8.",
    errors.Invalid: "A value breaks a rule; see errors.",
    errors.TooManyRequests: "Wait 1 s before the next request.",
    MonitorError: UNEXPECTED.detail,
    errors.Unavailable: "The database is not reachable; try again.",
}
_ERRORS = {status_of(error): error for error in _DETAILS}

_EXAMPLE_ID = "5f0c8a3be1d24c6799b000000000001a"
_WRONG_MEMBER = ProblemField("/name", "Must be text of at least 1 character")

READ = (400, 401, 403, 429, 503)
WRITE = (*READ, 413, 415, 422)

MEDIA_TYPES = "media_types"
"""The ``opt`` of a route that answers text: its media types."""

NOT_MODIFIED = {
    304: ResponseSpec(None, generate_examples=False, description="The copy named by If-None-Match is current")
}
"""Added to the ``responses`` of a route with an ETag."""


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the ``responses`` of a route: a problem for each status."""
    return {
        status: ResponseSpec(Problem, generate_examples=False, description=_ERRORS[status].title, media_type=MEDIA_TYPE)
        for status in sorted(set(statuses))
    }


def example_problem(status: int, *, role: Role | None, instance: str, noun: str, limit_bytes: int) -> Problem:
    """
    Return the problem of a route with *status*.

    Args:
        role: what the route needs; ``None`` if it is open.
        noun: what its address names.
        limit_bytes: its largest body.
    """
    error = _ERRORS[status]
    needed = role or Role.VIEWER
    # A token that may do less: only publishers may not read.
    less = Role.PUBLISHER if needed is Role.VIEWER else Role.VIEWER
    return Problem(
        type=TYPE_PREFIX + error.slug,
        title=error.title,
        status=status,
        detail=_DETAILS[error].format(role=needed.value, less=less.value, noun=noun, limit_kib=limit_bytes // 1024),
        instance=instance,
        request_id=_EXAMPLE_ID,
        errors=[_WRONG_MEMBER] if status == 422 else [],
    )
