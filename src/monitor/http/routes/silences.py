"""Silences: mutes of notifications, with matchers and a time."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from monitor.domain.alerts.silences import SilenceSpec, SilenceState
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.views.silences import SilencePreview, SilenceView
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
        description="Newest first, ended ones too unless `active` or `state` is given. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def list_silences(
        self,
        services: Injected,
        request: AnyRequest,
        active: Annotated[
            bool | None, QueryParameter(description="Without ended ones (scheduled ones too), or only ended ones.")
        ] = None,
        state_: Annotated[SilenceState | None, QueryParameter(name="state", description="Only in this state.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[SilenceView]]:
        rows = await services.alert_queries.silences(
            active=active, state=state_, after=decode_cursor(cursor), limit=limit + 1
        )
        return encoded_response(request, page(rows, limit))

    @post(
        summary="Silence alerts",
        description="Alerts that match are raised and shown, marked `silenced`, but not told to subscribers; one that"
        " is still open when the silence ends is told then. What happens inside is not learned, nor counted in uptime"
        " and statistics. Role: operator.",
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
        view = await services.silencer.create(data, actor_of(request), key=idempotency_key, body=await request.body())
        return Response(view, status_code=201, headers={"location": f"/api/v1/silences/{view.id}"})

    @post(
        "/preview",
        status_code=200,
        summary="Preview a silence",
        description="When it would be active, in UTC and local time, and what it would match now; nothing is stored."
        " Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE),
    )
    async def preview_silence(self, services: Injected, data: JSONBody[SilenceSpec]) -> SilencePreview:
        return await services.silencer.preview(data)

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
        description="All of its occurrences; it stays in the list as ended. Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404),
    )
    async def end_silence(self, services: Injected, request: AnyRequest, silence_id: FromPath[UUID]) -> None:
        await services.silencer.end(silence_id, actor_of(request))

    @post(
        "/{silence_id:uuid}/end-occurrence",
        status_code=200,
        summary="End the occurrence of a silence",
        description="The one that is active now; the next ones stay. One that does not repeat is ended. Safe to repeat:"
        " nothing is changed while none is active. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404),
    )
    async def end_occurrence(self, services: Injected, request: AnyRequest, silence_id: FromPath[UUID]) -> SilenceView:
        return await services.silencer.end_occurrence(silence_id, actor_of(request))
