"""Routes of deliveries."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import FromPath, QueryParameter

from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.ports.queries.resources import DeliveryFilter
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.vocab import DeliveryState, ErrorKind, Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, problems
from monitor.http.requests.query import Cursor, From, Limit, To, time_range
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected


class DeliveryController(Controller):
    """One event for one webhook, and how far it got."""

    path = "/deliveries"
    tags = ("deliveries",)

    @get(
        summary="List deliveries",
        description="Newest first; `from` and `to` are times of acceptance. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 422),
    )
    async def list_deliveries(
        self,
        services: Injected,
        webhook_id: Annotated[UUID | None, QueryParameter(description="Only of this webhook.")] = None,
        state_: Annotated[DeliveryState | None, QueryParameter(name="state", description="Only in this state.")] = None,
        event_id: Annotated[UUID | None, QueryParameter(description="Only of this event.")] = None,
        error: Annotated[ErrorKind | None, QueryParameter(description="Only whose last attempt failed so.")] = None,
        from_at: From = None,
        to_at: To = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[DeliveryView]:
        where = DeliveryFilter(webhook_id, state_, event_id, error, *time_range(from_at, to_at))
        return page(await services.queries.deliveries(where, after=decode_cursor(cursor), limit=limit + 1), limit)

    @get(
        "/{delivery_id:uuid}",
        summary="Read a delivery",
        description="With its attempts. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_delivery(
        self, services: Injected, request: AnyRequest, delivery_id: FromPath[UUID]
    ) -> Response[DeliveryView]:
        view = await services.queries.delivery(delivery_id)
        return encoded_response(request, view)

    @post(
        "/{delivery_id:uuid}/retry",
        status_code=200,
        summary="Retry a delivery now",
        description="Also one that failed, was cancelled or quarantined. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404, 409),
    )
    async def retry_delivery(
        self, services: Injected, request: AnyRequest, delivery_id: FromPath[UUID]
    ) -> DeliveryView:
        return await services.registry.retry_delivery(delivery_id, actor_of(request))

    @post(
        "/{delivery_id:uuid}/cancel",
        status_code=200,
        summary="Cancel a delivery",
        description="It is not tried again. Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404, 409),
    )
    async def cancel_delivery(
        self, services: Injected, request: AnyRequest, delivery_id: FromPath[UUID]
    ) -> DeliveryView:
        return await services.registry.cancel_delivery(delivery_id, actor_of(request))
