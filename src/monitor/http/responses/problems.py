"""
Every error response is an RFC 9457 problem (``application/problem+json``).

``type`` is ``urn:monitor:problem:<slug>``: a name, not an address. Slug and title are those of the ``MonitorError``;
errors of the framework get one from the table below. What a client reads is written here or in the domain: neither the
query string nor a driver's or framework's own text is ever passed on.
"""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.types import ExceptionHandlersMap

from monitor.domain import errors
from monitor.domain.errors import FieldError, MonitorError
from monitor.http.responses.allowed_values import REFUSED, allowed_values, refusal
from monitor.http.responses.headers import encoded, request_id_of, with_head
from monitor.http.responses.plain_words import in_plain_words

TYPE_PREFIX = "urn:monitor:problem:"
MEDIA_TYPE = "application/problem+json"


class MethodNotAllowed(MonitorError):
    slug = "method_not_allowed"
    title = "The method is not allowed"


class RequestTimeout(MonitorError):
    slug = "request_timeout"
    title = "The request took too long"


class Misdirected(MonitorError):
    slug = "misdirected"
    title = "The host is not served here"


class UpgradeRequired(MonitorError):
    slug = "upgrade_required"
    title = "Another protocol is needed"


class HeadTooLarge(MonitorError):
    slug = "head_too_large"
    title = "The request head is too large"


STATUS_OF: dict[type[MonitorError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    errors.Conflict: 409,
    errors.StalePrecondition: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    Misdirected: 421,
    errors.Invalid: 422,
    UpgradeRequired: 426,
    errors.TooManyRequests: 429,
    HeadTooLarge: 431,
    errors.Unavailable: 503,
    errors.UnreadableRow: 503,
}
"""Subclasses inherit the row of their parent."""

_FRAMEWORK: dict[int, MonitorError] = {
    400: errors.Malformed("The request, or one of its parameters, cannot be read."),
    401: errors.Unauthenticated("A valid token is needed."),
    403: errors.Forbidden("The token may not do this."),
    404: errors.NotFound("There is nothing at this address."),
    405: MethodNotAllowed("See the Allow header for the methods of this address."),
    413: errors.TooLarge("Send a smaller body."),
    415: errors.UnsupportedMedia("Send application/json."),
    503: errors.Unavailable("Try again in a moment."),
}
UNEXPECTED = MonitorError("The error has been logged with the request id.")

_DISCONNECTED = "client disconnected prematurely"
_ENUM = "Invalid enum value "
_WRONG_TYPE = "Expected `"
_log = structlog.get_logger()


class ProblemField(msgspec.Struct, frozen=True):
    """One wrong member. ``pointer`` is a JSON Pointer into the body, or ``/query/…``, ``/path/…``, ``/header/…``,
    ``/cookie/…`` for a parameter."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as clients see it. ``instance`` is the path of the request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None = None
    errors: list[ProblemField] = []


def status_of(error: type[MonitorError]) -> int:
    """Return the HTTP status of an error class; 500 for one without a row."""
    return next((STATUS_OF[cls] for cls in error.__mro__ if cls in STATUS_OF), 500)


def monitor_error_response(request: Request[Any, Any, Any], exc: MonitorError) -> Response[Problem]:
    """Respond to an error raised on purpose."""
    if status_of(type(exc)) == HTTPStatus.INTERNAL_SERVER_ERROR:
        return unexpected_error_response(request, exc)
    return _response(request, exc, _headers_of(exc))


def http_exception_response(request: Request[Any, Any, Any], exc: HTTPException) -> Response[Problem]:
    """Respond to an error of the framework: unknown path, wrong method, bad parameter, body too large."""
    status = exc.status_code
    if isinstance(exc, InternalServerException) and exc.detail == _DISCONNECTED:
        # Litestar answers 500 when a client disconnects before the end of its body, which is no fault of ours.
        status = HTTPStatus.BAD_REQUEST
    error = _FRAMEWORK.get(status)
    if error is None:
        return unexpected_error_response(request, exc)
    headers = {}
    if isinstance(error, MethodNotAllowed) and exc.headers:
        headers["allow"] = ", ".join(with_head(set(exc.headers["allow"].split(", "))))
    if isinstance(exc, ValidationException):
        error = errors.Malformed(error.detail, errors=_parameter_errors(request, exc))
    return _response(request, error, headers)


def unexpected_error_response(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    """Log an unforeseen error once, and respond with 500 and no detail of it."""
    _log.error("unexpected_error", request_id=request_id_of(request.scope), exc_info=exc)
    return _response(request, UNEXPECTED, {})


def raw_problem(exc: MonitorError, path: str, request_id: str | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body for a response outside the framework, such as a refused handshake."""
    problem = _problem(exc, path, request_id)
    headers = encoded({"content-type": MEDIA_TYPE, **_headers_of(exc)})
    return problem.status, headers, msgspec.json.encode(problem)


def raw_error(exc: Exception, path: str, request_id: str | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return what :func:`raw_problem` does, of any error; one that is unforeseen is logged, as in a route."""
    if isinstance(exc, MonitorError) and status_of(type(exc)) != HTTPStatus.INTERNAL_SERVER_ERROR:
        return raw_problem(exc, path, request_id)
    _log.error("unexpected_error", request_id=request_id, exc_info=exc)
    return raw_problem(UNEXPECTED, path, request_id)


def exception_handlers() -> ExceptionHandlersMap:
    """Return the handlers for ``Litestar(exception_handlers=…)``."""
    return {
        MonitorError: monitor_error_response,
        HTTPException: http_exception_response,
        Exception: unexpected_error_response,
    }


def field_error(exc: msgspec.ValidationError, type_: Any) -> FieldError:
    """Turn msgspec's "… - at `$.a[0].b`" into a pointer ``/a/0/b``; *type_* is what was decoded.

    A missing or unknown member becomes the last segment. msgspec does not give the key of a mapping (``[...]``), so the
    pointer ends at the mapping.
    """
    text, _, path = str(exc).partition(" - at `")
    segments = []
    is_key = path.startswith("key` in ")
    if not is_key:
        member = re.search(r"(?:missing required|unknown) field `(.*)`", text)
        segments = [member[1]] if member else []
    else:
        path = path.removeprefix("key` in `")
    steps = [name or index for name, index in re.findall(r"\.([^.\[`]+)|\[([^\]]*)\]", path)]
    for step in reversed(steps):
        segments = [] if step == "..." else [step, *segments]
    pointer = "".join("/" + segment.replace("~", "~0").replace("/", "~1") for segment in segments)
    if text.startswith(_ENUM) or (text.startswith(_WRONG_TYPE) and allowed_values(type_, steps, is_key=is_key)):
        return FieldError(pointer, refusal(type_, steps, is_key=is_key))
    return FieldError(pointer, in_plain_words(text))


def _parameter_errors(request: Request[Any, Any, Any], exc: ValidationException) -> tuple[FieldError, ...]:
    extra = exc.extra if isinstance(exc.extra, list) else []
    return tuple(_parameter_error(request, row) for row in extra if isinstance(row, dict))


def _parameter_error(request: Request[Any, Any, Any], row: dict[str, Any]) -> FieldError:
    source, key = row.get("source", "query"), str(row.get("key", ""))
    if key == "data":
        # The framework's name for a body that is not there.
        return FieldError("", "The body is empty; send JSON.")
    # An argument that would hide a name of Python's or the framework's ends in an underscore; its parameter does not.
    pointer = f"/{getattr(source, 'value', source)}/{key.rstrip('_')}"
    message = str(row.get("message", "cannot be read"))
    if message.startswith(_ENUM):
        # It repeats the value, and with it a part of the query string.
        parameter = request.route_handler.parsed_fn_signature.parameters.get(key)
        message = REFUSED if parameter is None else refusal(parameter.annotation)
    return FieldError(pointer, in_plain_words(message))


def _headers_of(exc: MonitorError) -> dict[str, str]:
    if isinstance(exc, errors.Unauthenticated):
        return {"www-authenticate": f'Bearer error="{exc.code}"' if exc.code else "Bearer"}
    if isinstance(exc, errors.Forbidden):
        return {"www-authenticate": 'Bearer error="insufficient_scope"'}
    if isinstance(exc, errors.TooManyRequests | errors.Unavailable | errors.UnreadableRow):
        return {"retry-after": str(max(1, math.ceil(exc.retry_after_s)))}
    return {"upgrade": "websocket"} if isinstance(exc, UpgradeRequired) else {}


def _response(request: Request[Any, Any, Any], error: MonitorError, headers: dict[str, str]) -> Response[Problem]:
    problem = _problem(error, request.scope["path"], request_id_of(request.scope))
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _problem(error: MonitorError, path: str, request_id: str | None) -> Problem:
    return Problem(
        type=TYPE_PREFIX + error.slug,
        title=error.title,
        status=status_of(type(error)),
        detail=error.detail,
        instance=quote(path),
        request_id=request_id,
        errors=[ProblemField(field.pointer, field.detail) for field in error.errors],
    )
