"""Silences: mutes of notifications, with matchers and a time."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from monitor.domain.alerts.silences import SilenceSpec
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.views.alerts import SilencePreview, SilenceView
from monitor.domain.vocab import Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, WRITE, problems
from monitor.http.requests.headers import IdempotencyKey
from monitor.http.requests.query import Cursor, Limit
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected


class SilenceController(Controller):
    """Notifications held back, for a while and for a reason."""

    path = "/silences"
    tags = ("alerts",)

    @get(
        summary="List silences",
        description="Newest first, ended ones too unless `active` is given. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def list_silences(
        self,
        services: Injected,
        request: AnyRequest,
        active: Annotated[bool | None, QueryParameter(description="Only active, or only ended ones.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[SilenceView]]:
        rows = await services.alert_queries.silences(active=active, after=decode_cursor(cursor), limit=limit + 1)
        return encoded_response(request, page(rows, limit))

    @post(
        summary="Silence alerts",
        description="Alerts that match are raised and shown, marked `silenced`, but not told to subscribers; one that"
        " is still open when the silence ends is told then. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE),
    )
    async def create_silence(
        self,
        services: Injected,
        request: AnyRequest,
        data: JSONBody[SilenceSpec],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[SilenceView]:
        view = await services.triage.silence(data, actor_of(request), key=idempotency_key, body=await request.body())
        return Response(view, status_code=201, headers={"location": f"/api/v1/silences/{view.id}"})

    @post(
        "/preview",
        status_code=200,
        summary="Preview a silence",
        description="What it would match now; nothing is stored. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE),
    )
    async def preview_silence(self, services: Injected, data: JSONBody[SilenceSpec]) -> SilencePreview:
        return await services.triage.preview(data)

    @get(
        "/{silence_id:uuid}",
        summary="Read a silence",
        description="Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_silence(
        self, services: Injected, request: AnyRequest, silence_id: FromPath[UUID]
    ) -> Response[SilenceView]:
        return encoded_response(request, await services.alert_queries.silence(silence_id))

    @delete(
        "/{silence_id:uuid}",
        summary="End a silence",
        description="It stays in the list as ended. Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404),
    )
    async def end_silence(self, services: Injected, request: AnyRequest, silence_id: FromPath[UUID]) -> None:
        await services.triage.end_silence(silence_id, actor_of(request))
