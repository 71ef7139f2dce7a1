"""
Conditional and compressed responses: entity tags, 304, gzip, ``Vary`` and the mark of a stale view.

The entity tag ``"<digest>"`` names the bytes of a response; that of a resource, ``"<version>.<hash8>"``, its version as
well. ``If-None-Match`` of a reader compares the whole tag, so that a change of health in the body is seen; ``If-Match``
of a writer compares the version alone, so that such a change does not refuse an edit (RFC 9110 sections 8.8 and 13.1).
A proxy that compresses makes the tag weak or appends its coding; the version in it is still that of the resource.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
from litestar import MediaType, Request, Response

from monitor.domain.digest import body_digest
from monitor.domain.errors import Malformed, StalePrecondition
from monitor.http.responses.headers import list_header

COMPRESS_FROM_BYTES = 1024
GZIP_LEVEL = 4
"""Above it, time grows faster than size shrinks."""

PRIVATE = {"cache-control": "private, no-cache"}
TAGS = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
"""The ``pattern`` of If-Match."""

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_VERSIONED = re.compile(r"([0-9]{1,18})\.[0-9a-f]{8}(?:-(?:gzip|br|deflate|zstd))?")
_WEIGHT = re.compile(r"\s*q\s*=\s*([01](?:\.\d*)?)\s*")


class Representation(Protocol):
    """An encoded view. ``stale`` marks the last good one while no new one can be had; ``digest`` names its bytes."""

    @property
    def body(self) -> bytes: ...
    @property
    def digest(self) -> str: ...
    @property
    def stale(self) -> bool: ...
    @property
    def age_s(self) -> float: ...

    def gzipped(self) -> bytes: ...


class AcceptedCodings(NamedTuple):
    """Whether gzip is acceptable and wanted no less than the body as it is, and whether that is acceptable."""

    gzip: bool
    identity: bool


class Selected(NamedTuple):
    """What a response sends of a body: status, headers, and the bytes."""

    status: int
    headers: dict[str, str]
    body: bytes


def select(
    body: bytes,
    accept_encoding: str,
    *,
    tag: str = "",
    if_none_match: str | None = None,
    gzipped: Callable[[], bytes] | None = None,
) -> Selected:
    """
    Choose between 304 and *body*, compressed if gzip is wanted and *body* is long, or not acceptable as it is.

    Every choice has ``Vary``, or a shared cache would hand it to clients that accept others.

    Args:
        tag: its entity tag; empty for none.
        gzipped: returns the compressed form where that is kept.
    """
    headers = {"etag": tag} if tag else {}
    headers["vary"] = "Accept-Encoding"
    if tag and not_modified(if_none_match, tag):
        return Selected(304, headers, b"")
    accepted = accepted_codings(accept_encoding)
    if accepted.gzip and (len(body) >= COMPRESS_FROM_BYTES or not accepted.identity):
        headers["content-encoding"] = "gzip"
        body = gzip.compress(body, GZIP_LEVEL, mtime=0) if gzipped is None else gzipped()
    return Selected(200, headers, body)


@lru_cache(maxsize=128)
def accepted_codings(header: str) -> AcceptedCodings:
    """
    Read *header*, an ``Accept-Encoding`` (RFC 9110 section 12.5.3). A weight that cannot be read counts as 0.

    Where neither coding is acceptable the body goes out as it is: section 12.1 allows that instead of 406, which would
    help no client.
    """
    weights = {}
    for item in header.lower().split(","):
        coding, separator, text = item.partition(";")
        match = _WEIGHT.fullmatch(text)
        weights[coding.strip().removeprefix("x-")] = (float(match[1]) if match else 0.0) if separator else 1.0
    others = weights.get("*")
    gzip_weight = weights.get("gzip", others or 0.0)
    # What the header does not list is acceptable as it is, after all that it lists.
    identity = weights.get("identity", others)
    return AcceptedCodings(gzip_weight > 0 and gzip_weight >= (identity or 0.0), identity is None or identity > 0)


def entity_tag(digest: str, version: int | None = None) -> str:
    """Return the quoted entity tag of the body with *digest*, which shows *version* of a resource."""
    return f'"{digest}"' if version is None else f'"{version}.{digest[:8]}"'


def not_modified(header: str | None, tag: str) -> bool:
    """
    Whether ``If-None-Match`` holds *tag*, compared weakly. An unreadable header counts as absent: the full response is
    always right.
    """
    if header is None:
        return False
    try:
        tags = _tags(header)
    except Malformed:
        return False
    return tags is None or any(f'"{opaque}"' == tag for opaque in tags)


def matches_version(header: str, version: int) -> bool:
    """
    Whether *header*, an ``If-Match``, names *version*. ``*`` names any.

    A weak tag does, too: RFC 9110 section 13.1.1 requires the strong comparison, since weak tags of different bytes may
    be equal; but the version is compared alone, and a proxy that compresses changes the bytes, not the version.

    Raises:
        Malformed: not a list of entity tags.
    """
    tags = _tags(header)
    if tags is None:
        return True
    versions = (_VERSIONED.fullmatch(opaque) for opaque in tags)
    return any(match is not None and int(match[1]) == version for match in versions)


def require_version(header: str | None, version: int) -> None:
    """
    Refuse a write based on another version than *version*. Without a header every version will do.

    Raises:
        StalePrecondition: the resource has changed since.
        Malformed: not a list of entity tags.
    """
    if header is not None and not matches_version(header, version):
        raise StalePrecondition("Read the resource again and repeat the change with its new ETag.")


def conditional_response(
    request: Request[Any, Any, Any],
    body: bytes,
    tag: str,
    *,
    gzipped: Callable[[], bytes] | None = None,
    media_type: str = MediaType.JSON,
    headers: Mapping[str, str] = PRIVATE,
) -> Response[Any]:
    """Respond with what :func:`select` chooses for *request*, and *headers*."""
    sent = request.scope["headers"]
    accepted, known = list_header(sent, b"accept-encoding") or "", list_header(sent, b"if-none-match")
    selected = select(body, accepted, tag=tag, if_none_match=known, gzipped=gzipped)
    return Response(
        selected.body, status_code=selected.status, media_type=media_type, headers={**headers, **selected.headers}
    )


def view_response(request: Request[Any, Any, Any], view: Representation, version: int | None = None) -> Response[Any]:
    """Respond with an encoded *view*. A stale one, a JSON object, gets ``stale`` and ``age_s``, and no tag."""
    if view.stale:
        return Response(view.body[:-1] + b',"stale":true,"age_s":%.1f}' % view.age_s, media_type=MediaType.JSON)
    return conditional_response(request, view.body, entity_tag(view.digest, version), gzipped=view.gzipped)


def encoded_response(request: Request[Any, Any, Any], view: Any, version: int | None = None) -> Response[Any]:
    """Encode *view*, which no cache holds, and respond with it."""
    body = msgspec.json.encode(view)
    return conditional_response(request, body, entity_tag(body_digest(body), version))


def _tags(header: str) -> list[str] | None:
    """Split a list of tags into their opaque parts, of strong and weak ones alike; ``None`` stands for ``*``."""
    text = header.strip(" \t")
    if text == "*":
        return None
    tags = []
    position = 0
    while True:
        match = _TAG.match(text, position)
        if match is None:
            raise Malformed('If-Match takes * or a list of entity tags such as "3.0a1b2c3d".')
        tags.append(match[1])
        if match.end() == len(text):
            return tags
        comma = re.compile(r"[ \t]*,[ \t]*").match(text, match.end())
        position = comma.end() if comma else len(text)
