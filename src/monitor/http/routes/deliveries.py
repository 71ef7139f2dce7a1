"""Routes of deliveries."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter

from monitor.domain.delivery.bulk import BulkCount, BulkSpec
from monitor.domain.delivery.job import JobView
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page_of
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.vocab import DeliveryState, Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, WRITE, problems
from monitor.http.requests.headers import IdempotencyKey
from monitor.http.requests.query import (
    NO_NUL,
    Cursor,
    EventType,
    From,
    LastError,
    Limit,
    StatusCode,
    To,
    check_conditions,
    time_range,
)
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected

COUNTED = {200: ResponseSpec(BulkCount, generate_examples=False, description="What a dry run counted")}


class DeliveryController(Controller):
    """One event for one webhook, and how far it got."""

    path = "/deliveries"
    tags = ("deliveries",)

    @get(
        summary="List deliveries",
        description="Newest first; `from` and `to` are times of acceptance. A page is shorter than `limit` if there are"
        " few that match among many: go on while there is a `next_cursor`. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 422),
    )
    async def list_deliveries(
        self,
        services: Injected,
        webhook_id: Annotated[UUID | None, QueryParameter(description="Only of this webhook.")] = None,
        state_: Annotated[DeliveryState | None, QueryParameter(name="state", description="Only in this state.")] = None,
        event_id: Annotated[UUID | None, QueryParameter(description="Only of this event.")] = None,
        error: LastError = None,
        from_at: From = None,
        to_at: To = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        id_: Annotated[UUID | None, QueryParameter(name="id", description="Only this delivery.")] = None,
        status_code: StatusCode = None,
        event_type: EventType = None,
        label: Annotated[
            str | None,
            QueryParameter(
                max_length=257,
                pattern=NO_NUL,
                description="Only of webhooks with this label: its name, or `name=value`.",
            ),
        ] = None,
    ) -> Page[DeliveryView]:
        start, end = time_range(from_at, to_at)
        where = DeliveryFilter(webhook_id, state_, event_id, error, start, end, id_, status_code, event_type, label)
        check_conditions(error=error, event_type=("event_type", event_type))
        return page_of(await services.queries.deliveries(where, after=decode_cursor(cursor), limit=limit + 1), limit)

    @post(
        "/bulk",
        status_code=202,
        summary="Change many deliveries",
        description="Retries, cancels or resends all deliveries that match `filter`, whose members are those of"
        " `GET /deliveries`, and `ids` of up to 1,000 deliveries; `dry_run` only counts. An empty filter is refused"
        " without `all`. The answer is a job; follow it at its `Location`. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE) | COUNTED,
    )
    async def bulk_deliveries(
        self,
        services: Injected,
        request: AnyRequest,
        data: JSONBody[BulkSpec],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[JobView | BulkCount]:
        view = await services.bulk.start(data, actor_of(request), key=idempotency_key, body=await request.body())
        if isinstance(view, BulkCount):
            return Response(view, status_code=200)
        return Response(view, status_code=202, headers={"location": f"/api/v1/jobs/{view.id}"})

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
