"""Routes of a webhook's history: its uptime, and the annotations of its charts."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from litestar import Controller, Response, get
from litestar.params import FromPath

from monitor.domain.errors import FieldError, Invalid
from monitor.domain.views.history import AnnotationsView, UptimeView
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, problems
from monitor.http.requests.query import From, To, time_range
from monitor.http.responses.cached import cached_response
from monitor.http.routes.services import AnyRequest, Injected


class WebhookHistoryController(Controller):
    """How a webhook did over days and months, and what changed meanwhile."""

    path = "/webhooks/{webhook_id:uuid}"
    tags = ("webhooks",)
    opt = requires(Role.VIEWER)

    @get(
        "/uptime",
        summary="Read uptime",
        description="The last 72 hours and 90 days, UTC, each with attempts, failures and a status, and success ratios"
        " of 24 hours, 7, 30 and 90 days; of a deleted webhook too. Role: viewer.",
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_uptime(
        self, services: Injected, request: AnyRequest, webhook_id: FromPath[UUID]
    ) -> Response[UptimeView]:
        return await cached_response(request, services.views, "uptime", webhook_id=webhook_id)

    @get(
        "/annotations",
        summary="List annotations",
        description="What changed from `from` to `to`, the last 24 hours unless told otherwise: edits, pauses,"
        " disabling and enabling, new secrets, and alerts that were raised, escalated, acknowledged or resolved. Newest"
        " first, at most 200, with who and what but no values. Role: viewer.",
        responses=problems(*READ, 404, 422),
    )
    async def list_annotations(
        self, services: Injected, webhook_id: FromPath[UUID], from_at: From = None, to_at: To = None
    ) -> AnnotationsView:
        start, end = time_range(from_at, to_at)
        end = end or await services.queries.now() + timedelta(seconds=1)
        start = start or end - timedelta(days=1)
        if not start < end:
            raise Invalid("The range is empty.", errors=(FieldError("/query/from", "Let from lie before to."),))
        return await services.queries.annotations(webhook_id, start, end)
