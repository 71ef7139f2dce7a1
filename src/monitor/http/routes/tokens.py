"""Routes of tokens: those that are revoked."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from monitor.auth.tokens import NAME_MAX_CHARS
from monitor.domain.paging import DEFAULT_LIMIT, decode_position, page_by
from monitor.domain.views.tokens import Revocation, RevocationPosition, revocation_position
from monitor.domain.vocab import Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import READ, WRITE, problems
from monitor.http.requests.query import Cursor, Limit
from monitor.http.routes.services import AnyRequest, Injected


class RevokeToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token to revoke, by the ``jti`` of its payload."""

    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX_CHARS)]


class TokenController(Controller):
    """Tokens that are refused before they expire."""

    path = "/tokens"
    tags = ("tokens",)

    @get(
        "/revocations",
        summary="List revoked tokens",
        description="Newest first; those that would have expired by now are left out. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*READ),
    )
    async def list_revocations(
        self, services: Injected, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Page[Revocation]:
        after = decode_position(cursor, RevocationPosition)
        return page_by(await services.queries.revocations(after=after, limit=limit + 1), limit, revocation_position)

    @post(
        "/revocations",
        status_code=200,
        summary="Revoke a token",
        description="Every process refuses it, and closes its live feeds with 4401, within 5 seconds. Safe to repeat."
        " Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*WRITE),
    )
    async def revoke_token(self, services: Injected, request: AnyRequest, data: JSONBody[RevokeToken]) -> Revocation:
        return await services.tokens.revoke(data.jti, actor_of(request))
