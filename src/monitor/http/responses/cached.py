"""Responses of cached views."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from litestar import Request, Response

from monitor.domain.vocab import Role
from monitor.http.responses.conditional import Representation, view_response


class CachedViews(Protocol):
    """The views that are cached, by name; ``scope`` is everything that the answer depends on."""

    async def answer(self, name: str, **scope: Any) -> Representation: ...

    def text(self, name: str, **scope: Any) -> str: ...

    def peek(self, text: str) -> Representation | None: ...


async def cached_response(
    request: Request[Any, Any, Any], views: CachedViews, name: str, *, by_role: bool = False, **scope: Any
) -> Response[Any]:
    """
    Respond with the view *name*, and let the fast path repeat it.

    Args:
        by_role: it depends on ``admin`` as well, which is whether the caller has that role.

    Raises:
        MonitorError: what the view's query raises.
    """
    below_admin, as_admin = ({**scope, "admin": False}, {**scope, "admin": True}) if by_role else (scope, scope)
    answer = await views.answer(name, **(as_admin if by_role and is_admin(request) else below_admin))
    if not answer.stale:
        request.scope["state"]["cached_view"] = (views.text(name, **below_admin), views.text(name, **as_admin))
    return view_response(request, answer)


def is_admin(request: Request[Any, Any, Any]) -> bool:
    """Whether the caller of a route that is not open has the role admin."""
    return bool(request.user.role.includes(Role.ADMIN))


class _Versioned(msgspec.Struct):
    version: int


def versioned_response(request: Request[Any, Any, Any], answer: Representation) -> Response[Any]:
    """Respond with a resource that ``If-Match`` may guard: its tag holds its version."""
    return view_response(request, answer, msgspec.json.decode(answer.body, type=_Versioned).version)
