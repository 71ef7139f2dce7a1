"""Responses of cached views."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from litestar import Request, Response

from monitor.http.responses.conditional import Representation, view_response


class CachedViews(Protocol):
    """The views that are cached, by name; ``scope`` is everything that the answer depends on."""

    async def answer(self, name: str, **scope: Any) -> Representation: ...

    def text(self, name: str, **scope: Any) -> str: ...

    def peek(self, text: str) -> Representation | None: ...


async def cached_response(
    request: Request[Any, Any, Any], views: CachedViews, name: str, **scope: Any
) -> Response[Any]:
    """
    Respond with the view *name*, and let the fast path repeat it.

    Raises:
        MonitorError: what the view's query raises.
    """
    answer = await views.answer(name, **scope)
    if not answer.stale:
        request.scope["state"]["cached_view"] = views.text(name, **scope)
    return view_response(request, answer)


class _Versioned(msgspec.Struct):
    version: int


def versioned_response(request: Request[Any, Any, Any], answer: Representation) -> Response[Any]:
    """Respond with a resource that ``If-Match`` may guard: its tag holds its version."""
    return view_response(request, answer, msgspec.json.decode(answer.body, type=_Versioned).version)
