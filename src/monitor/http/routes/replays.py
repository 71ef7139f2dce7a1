"""Routes of replays."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody

from monitor.domain.delivery.replay import ReplayCount, ReplaySpec, ReplayView
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, WRITE, problems
from monitor.http.requests.headers import IdempotencyKey
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected

COUNTED = {200: ResponseSpec(ReplayCount, generate_examples=False, description="What a dry run counted")}


class ReplayController(Controller):
    """Deliveries that are sent again."""

    tags = ("deliveries",)

    @post(
        "/webhooks/{webhook_id:uuid}/replay",
        status_code=202,
        summary="Replay deliveries",
        description="Sends again what was accepted in a time range and ended in one of `states`, at a bounded rate;"
        " `dry_run` only counts. The answer is a job; follow it at its `Location`. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*WRITE, 404) | COUNTED,
    )
    async def replay(
        self,
        services: Injected,
        request: AnyRequest,
        webhook_id: FromPath[UUID],
        data: JSONBody[ReplaySpec],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[ReplayView | ReplayCount]:
        view = await services.replayer.start(
            webhook_id, data, actor_of(request), key=idempotency_key, body=await request.body()
        )
        if isinstance(view, ReplayCount):
            return Response(view, status_code=200)
        return Response(view, status_code=202, headers={"location": f"/api/v1/replays/{view.id}"})

    @get(
        "/replays/{replay_id:uuid}",
        summary="Read a replay",
        description="With its progress. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_replay(
        self, services: Injected, request: AnyRequest, replay_id: FromPath[UUID]
    ) -> Response[ReplayView]:
        return encoded_response(request, await services.replayer.show(replay_id))
