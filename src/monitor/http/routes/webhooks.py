"""Routes of webhooks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from monitor.domain.delivery.reported import OLDEST, ReportedAttempt
from monitor.domain.digest import body_digest
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.ports.queries.resources import AttemptFilter, WebhookFilter
from monitor.domain.services.attempts import Recorded
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.views.metrics import MetricsView
from monitor.domain.views.webhooks import SecretView, WebhookView, below_admin
from monitor.domain.vocab import HealthStatus, Page, Role
from monitor.domain.webhooks.registration import NewWebhookSpec, OwnSecret, WebhookChangeSpec
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.middleware.rate_limit import BATCH_BODY_BYTES
from monitor.http.openapi.document import PATCHES
from monitor.http.openapi.responses import NOT_MODIFIED, READ, WRITE, problems
from monitor.http.requests.body import MergePatch, convert
from monitor.http.requests.headers import IdempotencyKey, IfMatch
from monitor.http.requests.query import (
    NO_NUL,
    AttemptError,
    Cursor,
    From,
    Limit,
    To,
    check_conditions,
    time_range,
)
from monitor.http.responses.cached import cached_response, is_admin, versioned_response
from monitor.http.responses.conditional import encoded_response, entity_tag, require_version
from monitor.http.routes.services import AnyRequest, Injected

MAX_POINTS = 1500
OPEN_TO_REPORTS = OLDEST + timedelta(hours=1)
"""Attempts may be reported this late; a range that ends before changes no more."""

MINUTE_S = 60


class RotateSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old secret signs too, in seconds, at most 7 days; and a ``secret`` to take instead of a new one."""

    overlap_s: Annotated[float, msgspec.Meta(ge=0, le=7 * 86_400)] = 86_400.0
    secret: OwnSecret | None = None


class AttemptReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attempts that an outside sender made, 1 to 1,000."""

    attempts: Annotated[list[ReportedAttempt], msgspec.Meta(min_length=1, max_length=1000)]


class WebhookController(Controller):
    """Destinations: create them, change them, see their health."""

    path = "/webhooks"
    tags = ("webhooks",)

    @get(
        summary="List webhooks",
        description="Newest first, each with its health and how the last hour went. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def list_webhooks(
        self,
        services: Injected,
        request: AnyRequest,
        status: Annotated[HealthStatus | None, QueryParameter(description="Only this health.")] = None,
        enabled: Annotated[bool | None, QueryParameter(description="Only enabled, or only disabled ones.")] = None,
        event_type: Annotated[
            str | None,
            QueryParameter(max_length=128, pattern=NO_NUL, description="Only those that get events of this type."),
        ] = None,
        label: Annotated[
            str | None,
            QueryParameter(
                max_length=321, pattern=NO_NUL, description="Only those with a label: `name` or `name=value`."
            ),
        ] = None,
        q: Annotated[
            str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Part of name, URL or description.")
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[WebhookView]]:
        where = WebhookFilter(status, enabled, event_type, label, q)
        if where == WebhookFilter() and cursor is None and limit == DEFAULT_LIMIT:
            return await cached_response(request, services.views, "webhooks", by_role=True)
        rows = await services.queries.webhooks(where, after=decode_cursor(cursor), limit=limit + 1)
        return encoded_response(request, page([_shown(request, row) for row in rows], limit))

    @post(
        summary="Create a webhook",
        description="The answer holds the signing secret, this once. `secret` brings one along. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*WRITE),
    )
    async def create_webhook(
        self,
        services: Injected,
        request: AnyRequest,
        data: JSONBody[NewWebhookSpec],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[WebhookView]:
        view = await services.registry.create(data, actor_of(request), key=idempotency_key, body=await request.body())
        headers = {"location": f"/api/v1/webhooks/{view.id}", "etag": _etag(view)}
        return Response(view, status_code=201, headers=headers)

    @get(
        "/{webhook_id:uuid}",
        summary="Read a webhook",
        description="With its health and the reason for it. Below the role admin the URL of a chat service ends after"
        " its origin. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_webhook(
        self, services: Injected, request: AnyRequest, webhook_id: FromPath[UUID]
    ) -> Response[WebhookView]:
        answer = await services.views.answer("webhook", webhook_id=webhook_id, admin=is_admin(request))
        return versioned_response(request, answer)

    @put(
        "/{webhook_id:uuid}",
        summary="Replace a webhook",
        description="What is left out goes back to its default. A header value of `***` keeps the stored one."
        " `backfill` beside `enabled` delivers the events that found the webhook disabled. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*WRITE, 404, 409, 412),
    )
    async def replace_webhook(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        data: JSONBody[WebhookChangeSpec],
        if_match: IfMatch = None,
    ) -> Response[WebhookView]:
        view = await services.registry.replace(
            webhook_id, data, actor_of(request), require=lambda version: require_version(if_match, version)
        )
        return _tagged(view)

    @patch(
        "/{webhook_id:uuid}",
        summary="Change a webhook",
        description="JSON merge patch (RFC 7396): null puts a member back to its default. `backfill` beside `enabled`"
        " delivers the events that found the webhook disabled; `backfill_job` names the job. Role: admin.",
        opt={**requires(Role.ADMIN), PATCHES: WebhookChangeSpec},
        responses=problems(*WRITE, 404, 409, 412),
    )
    async def patch_webhook(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        data: MergePatch[dict[str, Any]],
        if_match: IfMatch = None,
    ) -> Response[WebhookView]:
        view = await services.registry.patch(
            webhook_id,
            data,
            actor_of(request),
            require=lambda version: require_version(if_match, version),
            read=lambda patched: convert(patched, WebhookChangeSpec),
        )
        return _tagged(view)

    @delete(
        "/{webhook_id:uuid}",
        summary="Delete a webhook",
        description="Waiting deliveries are cancelled; history stays until retention. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*READ, 404, 412),
    )
    async def delete_webhook(
        self, services: Injected, request: AnyRequest, webhook_id: FromPath[UUID], if_match: IfMatch = None
    ) -> None:
        await services.registry.remove(
            webhook_id, actor_of(request), require=lambda version: require_version(if_match, version)
        )

    @post(
        "/{webhook_id:uuid}/rotate-secret",
        status_code=200,
        summary="Rotate the signing secret",
        description="Answers the new secret, this once; the old one signs too for `overlap_s`. At most 5 secrets sign"
        " at once. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*WRITE, 404, 409),
    )
    async def rotate_secret(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        data: JSONBody[RotateSecret | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> SecretView:
        wanted = data or RotateSecret()
        return await services.registry.rotate_secret(
            webhook_id,
            actor_of(request),
            overlap_s=wanted.overlap_s,
            own_secret=wanted.secret,
            key=idempotency_key,
            body=await request.body(),
        )

    @post(
        "/{webhook_id:uuid}/test",
        status_code=200,
        summary="Send a test message",
        description="Sends a signed `monitor.ping` now and answers with how it went. A repeat while the first call with"
        " its `Idempotency-Key` is under way is refused (409). Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404, 409, 413, 422),
    )
    async def test_webhook(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        idempotency_key: IdempotencyKey = None,
    ) -> AttemptView:
        return await services.measurer.ping(
            webhook_id, actor_of(request), key=idempotency_key, body=await request.body()
        )

    @post(
        "/{webhook_id:uuid}/pause",
        status_code=200,
        summary="Hold deliveries",
        description="They are kept, none is lost. Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404),
    )
    async def pause_webhook(
        self, services: Injected, request: AnyRequest, webhook_id: FromPath[UUID]
    ) -> Response[WebhookView]:
        return _tagged(_shown(request, await services.registry.pause(webhook_id, actor_of(request))))

    @post(
        "/{webhook_id:uuid}/resume",
        status_code=200,
        summary="Release held deliveries",
        description="At a bounded rate. Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404),
    )
    async def resume_webhook(
        self, services: Injected, request: AnyRequest, webhook_id: FromPath[UUID]
    ) -> Response[WebhookView]:
        return _tagged(_shown(request, await services.registry.resume(webhook_id, actor_of(request))))

    @get(
        "/{webhook_id:uuid}/attempts",
        summary="List attempts",
        description="Newest first, of a deleted webhook too. `error` takes a kind (`timeout`) or a status code (`503`)."
        " Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404, 422),
    )
    async def list_attempts(
        self,
        services: Injected,
        webhook_id: FromPath[UUID],
        ok: Annotated[bool | None, QueryParameter(description="Only successes, or only failures.")] = None,
        error: AttemptError = None,
        from_at: From = None,
        to_at: To = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[AttemptView]:
        where = AttemptFilter(ok, error, *time_range(from_at, to_at))
        check_conditions(attempt_error=error)
        rows = await services.queries.attempts(webhook_id, where, after=decode_cursor(cursor), limit=limit + 1)
        return page(rows, limit)

    @get(
        "/{webhook_id:uuid}/attempts/{attempt_id:uuid}",
        summary="Get an attempt",
        description="With what was sent and answered, header by header, the body byte for byte, and which secret of the"
        " webhook signed it; secrets are masked. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404),
    )
    async def get_attempt(
        self, services: Injected, webhook_id: FromPath[UUID], attempt_id: FromPath[UUID]
    ) -> AttemptView:
        return await services.exchanges.attempt(webhook_id, attempt_id)

    @post(
        "/{webhook_id:uuid}/attempts",
        status_code=202,
        summary="Report attempts",
        description="For teams with a sender of their own: up to 1,000 attempts, monitored like ours. Role: publisher.",
        opt=requires(Role.PUBLISHER),
        request_max_body_size=BATCH_BODY_BYTES,
        responses=problems(*WRITE, 404),
    )
    async def report_attempts(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        data: JSONBody[AttemptReport],
        idempotency_key: IdempotencyKey = None,
    ) -> Recorded:
        return await services.measurer.report(
            webhook_id, data.attempts, actor_of(request), key=idempotency_key, body=await request.body()
        )

    @get(
        "/{webhook_id:uuid}/metrics",
        summary="Read metrics",
        description="A series of attempts, failures and latency percentiles of successful attempts, of a deleted"
        " webhook too; the last hour by minute unless told otherwise. Steps of whole hours or days widen the range to"
        " whole hours or days, UTC. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404, 422) | NOT_MODIFIED,
    )
    async def get_metrics(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        from_at: From = None,
        to_at: To = None,
        step: Annotated[
            int, QueryParameter(ge=MINUTE_S, le=7 * 86_400, multiple_of=MINUTE_S, description="Seconds per point.")
        ] = MINUTE_S,
    ) -> Response[MetricsView]:
        start, end = await _window(services, *time_range(from_at, to_at), step)
        if end <= await services.queries.now() - OPEN_TO_REPORTS:
            scope: dict[str, Any] = {"webhook_id": webhook_id, "from_at": start, "to_at": end, "step_s": step}
            return await cached_response(request, services.views, "metrics_closed", **scope)
        return encoded_response(request, await services.queries.metrics(webhook_id, start, end, step))


async def _window(
    services: Injected, from_at: datetime | None, to_at: datetime | None, step: int
) -> tuple[datetime, datetime]:
    end = to_at or (await services.queries.now()).replace(second=0, microsecond=0) + timedelta(minutes=1)
    start = from_at or end - timedelta(hours=1)
    if not start < end or (end - start).total_seconds() / step > MAX_POINTS:
        raise Invalid(
            "The range does not fit.",
            errors=(FieldError("/query/from", f"Let from lie before to, at most {MAX_POINTS} steps; or raise step."),),
        )
    return start, end


def _shown(request: AnyRequest, view: WebhookView) -> WebhookView:
    return view if is_admin(request) else below_admin(view)


def _etag(view: WebhookView) -> str:
    """Return the tag of *view* as it is read later, without what only this answer holds of the change."""
    read = msgspec.structs.replace(view, backfill_job=msgspec.UNSET)
    return entity_tag(body_digest(msgspec.json.encode(read)), view.version)


def _tagged(view: WebhookView) -> Response[WebhookView]:
    return Response(view, headers={"etag": _etag(view)})
