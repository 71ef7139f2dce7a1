"""
Conditional and compressed responses: entity tags, 304, gzip, ``Vary`` and the mark of a stale view.

The entity tag ``"<digest>"`` names the bytes of a response; that of a resource, ``"<version>.<hash8>"``, its version as
well. ``If-None-Match`` of a reader compares the whole tag, so that a change of health in the body is seen; ``If-Match``
of a writer compares the version alone, so that such a change does not refuse an edit (RFC 9110 sections 8.8 and 13.1).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from litestar import MediaType, Request, Response

from monitor.domain.digest import body_digest
from monitor.domain.errors import Malformed, StalePrecondition

COMPRESS_FROM_BYTES = 1024
GZIP_LEVEL = 4
"""Above it, time grows faster than size shrinks."""

PRIVATE = {"cache-control": "private, no-cache"}
TAGS = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
"""The ``pattern`` of If-Match."""

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_VERSIONED = re.compile(r"([0-9]{1,18})\.[0-9a-f]{8}")
_WEIGHT_0 = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


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
    Choose between 304 and *body*, compressed if it is long and gzip acceptable.

    Args:
        tag: its entity tag; empty for none.
        gzipped: returns the compressed form where that is kept.
    """
    headers = {"etag": tag} if tag else {}
    is_long = len(body) >= COMPRESS_FROM_BYTES
    if is_long:
        headers["vary"] = "Accept-Encoding"
    if tag and not_modified(if_none_match, tag):
        return Selected(304, headers, b"")
    if is_long and accepts_gzip(accept_encoding):
        headers["content-encoding"] = "gzip"
        body = gzip.compress(body, GZIP_LEVEL, mtime=0) if gzipped is None else gzipped()
    return Selected(200, headers, body)


def accepts_gzip(header: str) -> bool:
    """Whether *header*, an ``Accept-Encoding``, gives gzip another weight than 0 (RFC 9110 section 12.5.3)."""
    accepted = {}
    for item in header.lower().split(","):
        coding, _, weight = item.partition(";")
        accepted[coding.strip().removeprefix("x-")] = _WEIGHT_0.fullmatch(weight) is None
    return accepted.get("gzip", accepted.get("*", False))


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
    return tags is None or any(f'"{opaque}"' == tag for _, opaque in tags)


def matches_version(header: str, version: int) -> bool:
    """
    Whether *header*, an ``If-Match``, names *version*. ``*`` names any; a weak tag none (RFC 9110 section 8.8.3.2).

    Raises:
        Malformed: not a list of entity tags.
    """
    tags = _tags(header)
    if tags is None:
        return True
    versions = (_VERSIONED.fullmatch(opaque) for weak, opaque in tags if not weak)
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
    sent = request.headers
    accepted, known = sent.get("accept-encoding", ""), sent.get("if-none-match")
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


def _tags(header: str) -> list[tuple[bool, str]] | None:
    """Split a list of tags into (weak, opaque) pairs; ``None`` stands for ``*``."""
    text = header.strip(" \t")
    if text == "*":
        return None
    tags = []
    position = 0
    while True:
        match = _TAG.match(text, position)
        if match is None:
            raise Malformed('If-Match takes * or a list of entity tags such as "3.0a1b2c3d".')
        tags.append((match[1] is not None, match[2]))
        if match.end() == len(text):
            return tags
        comma = re.compile(r"[ \t]*,[ \t]*").match(text, match.end())
        position = comma.end() if comma else len(text)
