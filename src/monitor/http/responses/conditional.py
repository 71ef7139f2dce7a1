"""
Entity tags: ``"<version>.<hash8>"`` names a resource's version and the bytes of this answer.

A reader's ``If-None-Match`` compares the whole tag, so that a change of health in the body is seen; a writer's
``If-Match`` compares the version alone, so that such a change does not refuse an edit (RFC 9110 sections 8.8 and 13.1).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from litestar import MediaType, Request, Response

from monitor.domain.errors import Malformed, StalePrecondition

TAGS = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
"""The ``pattern`` of If-Match."""

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_OURS = re.compile(r"([0-9]{1,18})\.[0-9a-f]{8}")


def etag(version: int, body: bytes) -> str:
    """Return the quoted entity tag of *body*, the answer that shows *version* of a resource."""
    return f'"{version}.{hashlib.blake2b(body, digest_size=4).hexdigest()}"'


def matches_version(header: str, version: int) -> bool:
    """
    Whether *header*, an ``If-Match``, names *version*. ``*`` names any; a weak tag none (RFC 9110 section 8.8.3.2).

    Raises:
        Malformed: not a list of entity tags.
    """
    tags = _tags(header)
    if tags is None:
        return True
    ours = (_OURS.fullmatch(opaque) for weak, opaque in tags if not weak)
    return any(match is not None and int(match[1]) == version for match in ours)


def require_version(header: str | None, version: int) -> None:
    """
    Refuse a write based on another version than *version*. Without a header every version will do.

    Raises:
        StalePrecondition: the resource has moved on.
        Malformed: not a list of entity tags.
    """
    if header is not None and not matches_version(header, version):
        raise StalePrecondition("Read the resource again and repeat the change with its new ETag.")


def not_modified(header: str | None, tag: str) -> bool:
    """
    Whether ``If-None-Match`` holds *tag*, compared weakly. An unreadable header counts as absent: the full answer is
    always right.
    """
    if header is None:
        return False
    try:
        tags = _tags(header)
    except Malformed:
        return False
    return tags is None or any(f'"{opaque}"' == tag for _, opaque in tags)


def tagged_response(request: Request[Any, Any, Any], body: bytes, version: int) -> Response[Any]:
    """Answer a read with the encoded JSON *body* and its tag, or with 304 and no body."""
    tag = etag(version, body)
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if not_modified(request.headers.get("if-none-match"), tag):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, media_type=MediaType.JSON, headers=headers)


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
