"""Routes of events."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from monitor.domain.delivery.event_types import FILTER_TYPE
from monitor.domain.delivery.selection import STATUS_CODES
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page_of
from monitor.domain.ports.queries.resources import EventFilter
from monitor.domain.services.publish import Accepted, EventIn, PublishResult
from monitor.domain.services.resends import ResendSpec, ResendView
from monitor.domain.views.deliveries import EventView
from monitor.domain.vocab import DeliveryState, Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.middleware.rate_limit import BATCH_BODY_BYTES
from monitor.http.openapi.document import DOCUMENTED_AS
from monitor.http.openapi.responses import NOT_MODIFIED, READ, WRITE, problems
from monitor.http.requests.events import EventBatch, PublishRequest, publish
from monitor.http.requests.headers import IdempotencyKey, Traceparent
from monitor.http.requests.query import NO_NUL, Cursor, From, Limit, To, check_conditions, time_range
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected


class EventController(Controller):
    """Posted once, and delivered to every webhook that subscribed."""

    path = "/events"
    tags = ("events",)

    @post(
        status_code=202,
        summary="Publish events",
        description="One event, or up to 1,000 as `events`. 202 is a promise: the events and their deliveries are"
        " committed. The payload is delivered byte for byte. Role: publisher.",
        opt={**requires(Role.PUBLISHER), DOCUMENTED_AS: (EventIn, EventBatch)},
        request_max_body_size=BATCH_BODY_BYTES,
        responses=problems(*WRITE),
    )
    async def publish(
        self,
        services: Injected,
        request: AnyRequest,
        data: JSONBody[PublishRequest],
        idempotency_key: IdempotencyKey = None,
        traceparent: Traceparent = None,
    ) -> Accepted | PublishResult:
        return await publish(
            services.publisher,
            data,
            actor_of(request),
            key=idempotency_key,
            body=await request.body(),
            traceparent=traceparent,
        )

    @get(
        summary="List events",
        description="Newest first, without payloads, with the states of the first 500 deliveries of each. A page is"
        " shorter than `limit` if there are few that match among many: go on while there is a `next_cursor`. `state`"
        " and `status_code` are those of one delivery. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 422),
    )
    async def list_events(
        self,
        services: Injected,
        type_: Annotated[
            str | None,
            QueryParameter(
                name="type",
                max_length=128,
                schema_extra=FILTER_TYPE,
                description="Only of this type, or of types with this prefix: `order.*`.",
            ),
        ] = None,
        from_at: From = None,
        to_at: To = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        id_: Annotated[UUID | None, QueryParameter(name="id", description="Only this event.")] = None,
        status_code: Annotated[
            int | None,
            QueryParameter(
                ge=STATUS_CODES[0],
                le=STATUS_CODES[1],
                description="Only with a delivery whose last attempt was answered so.",
            ),
        ] = None,
        label: Annotated[
            str | None,
            QueryParameter(
                max_length=257, pattern=NO_NUL, description="Only with this label: its name, or `name=value`."
            ),
        ] = None,
        state_: Annotated[
            DeliveryState | None, QueryParameter(name="state", description="Only with a delivery in this state.")
        ] = None,
        order_key: Annotated[
            str | None,
            QueryParameter(min_length=1, max_length=256, pattern=NO_NUL, description="Only with this order key."),
        ] = None,
        q: Annotated[
            str | None,
            QueryParameter(
                min_length=1,
                max_length=200,
                pattern=NO_NUL,
                description="Only with this text in the payload as posted: same case, same escapes. Payloads over"
                " 64 KiB are not searched.",
            ),
        ] = None,
    ) -> Page[EventView]:
        check_conditions(event_type=("type", type_))
        start, end = time_range(from_at, to_at)
        where = EventFilter(type_, label, status_code, id_, start, end, state_, order_key, q)
        return page_of(await services.queries.events(where, after=decode_cursor(cursor), limit=limit + 1), limit)

    @get(
        "/{event_id:uuid}",
        summary="Read an event",
        description="With its payload and how many deliveries are in which state. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_event(self, services: Injected, request: AnyRequest, event_id: FromPath[UUID]) -> Response[EventView]:
        view = await services.queries.event(event_id)
        return encoded_response(request, view)

    @post(
        "/{event_id:uuid}/resend",
        status_code=202,
        summary="Send an event again",
        description="To all webhooks that match it now, or to `webhook_ids`. Finished deliveries are sent again,"
        " pending ones stay as they are, missing ones are made; `webhook-id` stays the same. If more than 1,000"
        " webhooks match its type, a job does it, at `Location`. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE, 404, 409),
    )
    async def resend_event(
        self,
        services: Injected,
        request: AnyRequest,
        event_id: FromPath[UUID],
        data: JSONBody[ResendSpec | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[ResendView]:
        view = await services.resender.resend(
            event_id, data or ResendSpec(), actor_of(request), key=idempotency_key, body=await request.body()
        )
        return Response(view, headers=None if view.job is None else {"location": f"/api/v1/jobs/{view.job}"})
