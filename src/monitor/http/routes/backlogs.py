"""Routes of backlogs: what waits for a webhook is sent now."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller, post
from litestar.params import FromPath

from monitor.domain.services.backlogs import SendNowView
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import READ, problems
from monitor.http.routes.services import AnyRequest, Injected


class BacklogController(Controller):
    """What waits for a webhook."""

    tags = ("webhooks",)

    @post(
        "/webhooks/{webhook_id:uuid}/send-now",
        status_code=200,
        summary="Send what waits now",
        description="Once a receiver works again. An open breaker admits its probe at once, and what waits for a later"
        " attempt falls due, 50 a second, each with its whole retry schedule; beyond the first 100, a job does that."
        " Limits, order and the pause of a 429 hold as before. Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404, 409),
    )
    async def send_now(self, services: Injected, request: AnyRequest, webhook_id: FromPath[UUID]) -> SendNowView:
        return await services.backlogs.send_now(webhook_id, actor_of(request))
