"""Routes of notifications: which webhooks are notified of alerts."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page_by
from monitor.domain.views.alerts import NotificationCoverage, NotificationDestinationView
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.vocab import Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, problems
from monitor.http.requests.headers import IdempotencyKey
from monitor.http.requests.query import Cursor, Limit
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected


class NotificationController(Controller):
    """Webhooks that are notified of alerts."""

    path = "/notifications"
    tags = ("notifications",)

    @get(
        "/destinations",
        summary="List the destinations of alerts",
        description="Webhooks that subscribe to `monitor.alert.raised`, newest first, with the alerts that they get,"
        " their health and when they were last told. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def list_destinations(
        self, services: Injected, request: AnyRequest, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response[Page[NotificationDestinationView]]:
        rows = await services.alert_details.destinations(after=decode_cursor(cursor), limit=limit + 1)
        return encoded_response(request, page_by(rows, limit, lambda row: row.webhook_id.bytes))

    @get(
        "/coverage",
        summary="Read whether critical alerts are told",
        description="`critical` is false while no enabled webhook subscribes to critical alerts. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def coverage(self, services: Injected, request: AnyRequest) -> Response[NotificationCoverage]:
        return encoded_response(request, NotificationCoverage(await services.alert_queries.critical_is_told()))

    @post(
        "/destinations/{webhook_id:uuid}/test",
        status_code=200,
        summary="Send a sample alert",
        description="Sends a signed `monitor.alert.raised` now, in the body format of the webhook, which says that it"
        " is a sample, and answers with how it went. A repeat while the first call with its `Idempotency-Key` is under"
        " way is refused (409). Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404, 409, 413, 422),
    )
    async def send_sample_alert(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        idempotency_key: IdempotencyKey = None,
    ) -> AttemptView:
        body = await request.body()
        return await services.measurer.ping(
            webhook_id, actor_of(request), key=idempotency_key, body=body, sample_alert=True
        )
