"""Answers of cached views: ready bytes with their entity tag, marked when stale."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from litestar import MediaType, Request, Response

from monitor.domain.encoded import entity_tag
from monitor.http.responses.conditional import not_modified, tagged_response

_REVALIDATE = "private, no-cache"


class Answer(Protocol):
    """One encoded answer. ``stale`` marks the last good one while no new one can be had."""

    @property
    def body(self) -> bytes: ...
    @property
    def etag(self) -> str: ...
    @property
    def stale(self) -> bool: ...
    @property
    def age_s(self) -> float: ...

    def gzipped(self) -> bytes: ...


class CachedViews(Protocol):
    """The views that are cached, by name; ``scope`` is everything that an answer depends on."""

    async def answer(self, name: str, **scope: Any) -> Answer: ...

    def text(self, name: str, **scope: Any) -> str: ...

    def peek(self, text: str) -> Answer | None: ...


async def cached_response(
    request: Request[Any, Any, Any], views: CachedViews, name: str, **scope: Any
) -> Response[Any]:
    """
    Answer the view *name*. Only for routes that every viewer may call.

    Raises:
        MonitorError: what the view's query raises.
    """
    answer = await views.answer(name, **scope)
    if answer.stale:
        return Response(marked_stale(answer), media_type=MediaType.JSON)
    request.scope["state"]["cached_view"] = views.text(name, **scope)
    headers = {"etag": answer.etag, "cache-control": _REVALIDATE}
    if not_modified(request.headers.get("if-none-match"), answer.etag):
        return Response(b"", status_code=304, headers=headers)
    return Response(answer.body, media_type=MediaType.JSON, headers=headers)


def encoded_response(request: Request[Any, Any, Any], view: Any) -> Response[Any]:
    """Answer *view*, which no cache holds, with the entity tag that a cached one would have."""
    body = msgspec.json.encode(view)
    tag = entity_tag(body)
    headers = {"etag": tag, "cache-control": _REVALIDATE}
    if not_modified(request.headers.get("if-none-match"), tag):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, media_type=MediaType.JSON, headers=headers)


class _Versioned(msgspec.Struct):
    version: int


def versioned_response(request: Request[Any, Any, Any], answer: Answer) -> Response[Any]:
    """Answer a resource that ``If-Match`` may guard: its tag holds its version."""
    if answer.stale:
        return Response(marked_stale(answer), media_type=MediaType.JSON)
    version = msgspec.json.decode(answer.body, type=_Versioned).version
    return tagged_response(request, answer.body, version)


def marked_stale(answer: Answer) -> bytes:
    """Return the body, a JSON object, with ``stale`` and ``age_s`` added."""
    return answer.body[:-1] + b',"stale":true,"age_s":%.1f}' % answer.age_s
