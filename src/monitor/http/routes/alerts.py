"""Routes of alerts and silences."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from monitor.domain.alerts.alert import AlertKind, AlertState
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, decode_position, page, page_by
from monitor.domain.ports.queries.alerts import AlertFilter, WorstFirst
from monitor.domain.services.alerts import (
    Acknowledgement,
    AlertComment,
    AlertNote,
    BulkAcknowledgement,
    BulkAcknowledgementResult,
)
from monitor.domain.views.alerts import AlertStatsView, AlertView
from monitor.domain.vocab import Page, Role, Severity
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, WRITE, problems
from monitor.http.requests.headers import IdempotencyKey
from monitor.http.requests.query import Cursor, From, Limit, To, time_range
from monitor.http.responses.cached import cached_response
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected

MAX_DAYS = 365

StateFilter = Literal["pending", "acknowledged", "resolved", "open", "all"]
STATES: dict[str, tuple[AlertState, ...]] = {
    "open": (AlertState.PENDING, AlertState.ACKNOWLEDGED),
    "all": (),
    **{state.value: (state,) for state in AlertState},
}

AlertSort = Literal["newest", "worst"]
OPEN_ONLY = FieldError("/query/sort", "Only open alerts are sorted by severity: choose state=open.")

PENDING = AlertFilter(STATES["pending"])
"""The filter of the cached list."""


class AlertController(Controller):
    """Conditions that need attention."""

    path = "/alerts"
    tags = ("alerts",)

    @get(
        summary="List alerts",
        description="Newest first; those that are pending unless told otherwise. `open` means pending or acknowledged;"
        " `from` and `to` are times of raising. With `sort=worst` open ones come by severity, the most severe first,"
        " then newest first. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 422) | NOT_MODIFIED,
    )
    async def list_alerts(
        self,
        services: Injected,
        request: AnyRequest,
        state_: Annotated[
            StateFilter, QueryParameter(name="state", description="Only in this state, or `open`, or `all`.")
        ] = "pending",
        severity: Annotated[Severity | None, QueryParameter(description="Only of this severity.")] = None,
        kind: Annotated[AlertKind | None, QueryParameter(description="Only of this kind.")] = None,
        webhook_id: Annotated[UUID | None, QueryParameter(description="Only about this webhook.")] = None,
        from_at: From = None,
        to_at: To = None,
        sort: Annotated[
            AlertSort, QueryParameter(description="`newest` first, or the `worst`, which open alerts alone take.")
        ] = "newest",
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[AlertView]]:
        where = AlertFilter(STATES[state_], severity, kind, webhook_id, *time_range(from_at, to_at))
        if sort == "worst":
            if state_ not in ("open", "pending", "acknowledged"):
                raise Invalid("The query breaks a rule; see errors.", errors=(OPEN_ONLY,))
            after = decode_position(cursor, WorstFirst)
            worst = await services.alert_queries.worst_alerts(where, after=after, limit=limit + 1)
            return encoded_response(request, page_by(worst, limit, _place))
        if where == PENDING and cursor is None and limit == DEFAULT_LIMIT:
            return await cached_response(request, services.views, "alerts")
        rows = await services.alert_queries.alerts(where, after=decode_cursor(cursor), limit=limit + 1)
        return encoded_response(request, page(rows, limit))

    @get(
        "/{alert_id:uuid}",
        summary="Read an alert",
        description="With its history and who was told, the evidence that raised it beside the figures of `now`, and"
        " the last failed attempt in its time. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_alert(self, services: Injected, request: AnyRequest, alert_id: FromPath[UUID]) -> Response[AlertView]:
        view = await services.alert_details.alert(alert_id)
        return encoded_response(request, view, view.version)

    @post(
        "/{alert_id:uuid}/ack",
        status_code=200,
        summary="Acknowledge an alert",
        description="The first wins; a repeat, by anybody, answers the same. It ends when the alert is resolved or gets"
        " more severe, or at `expires_at`. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE, 404, 409),
    )
    async def acknowledge_alert(
        self,
        services: Injected,
        request: AnyRequest,
        alert_id: FromPath[UUID],
        data: JSONBody[Acknowledgement | None] = None,
    ) -> AlertView:
        return await services.triage.acknowledge(alert_id, data or Acknowledgement(), actor_of(request))

    @post(
        "/{alert_id:uuid}/unack",
        status_code=200,
        summary="Take an acknowledgement back",
        description="The alert is pending again, and subscribers are notified. Safe to repeat; a resolved alert has no"
        " acknowledgement to take back. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE, 404, 409),
    )
    async def unacknowledge_alert(
        self, services: Injected, request: AnyRequest, alert_id: FromPath[UUID], data: JSONBody[AlertNote | None] = None
    ) -> AlertView:
        return await services.triage.unacknowledge(alert_id, data or AlertNote(), actor_of(request))

    @post(
        "/{alert_id:uuid}/comments",
        status_code=201,
        summary="Comment on an alert",
        description="Adds a line to its history, in any state; nobody is notified. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE, 404, 409),
    )
    async def comment_on_alert(
        self,
        services: Injected,
        request: AnyRequest,
        alert_id: FromPath[UUID],
        data: JSONBody[AlertComment],
        idempotency_key: IdempotencyKey = None,
    ) -> AlertView:
        body = await request.body()
        return await services.triage.comment(alert_id, data, actor_of(request), key=idempotency_key, body=body)

    @post(
        "/{alert_id:uuid}/resolve",
        status_code=200,
        summary="Resolve an alert",
        description="What holds all the while stays quiet for a day; what comes back is raised again. Safe to repeat."
        " Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE, 404, 409),
    )
    async def resolve_alert(
        self, services: Injected, request: AnyRequest, alert_id: FromPath[UUID], data: JSONBody[AlertNote | None] = None
    ) -> AlertView:
        return await services.triage.resolve(alert_id, data or AlertNote(), actor_of(request))

    @post(
        "/ack",
        status_code=200,
        summary="Acknowledge many alerts",
        description="Up to 200 at once; what cannot be acknowledged is skipped, with the reason. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE),
    )
    async def acknowledge_alerts(
        self, services: Injected, request: AnyRequest, data: JSONBody[BulkAcknowledgement]
    ) -> BulkAcknowledgementResult:
        return await services.triage.acknowledge_many(data, actor_of(request))

    @get(
        "/stats/summary",
        summary="Read alert statistics",
        description="Counts by state, severity and kind, a series per day, and the times to acknowledge and to resolve"
        " of alerts raised in the last `days` days. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def stats(
        self,
        services: Injected,
        request: AnyRequest,
        days: Annotated[int, QueryParameter(ge=1, le=MAX_DAYS, description="Days back, today included.")] = 30,
    ) -> Response[AlertStatsView]:
        return await cached_response(request, services.views, "alert_stats", days=days)


def _place(alert: AlertView) -> bytes:
    return msgspec.msgpack.encode(WorstFirst(alert.severity, alert.id))
