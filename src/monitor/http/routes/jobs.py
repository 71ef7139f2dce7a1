"""Routes of jobs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import FromPath, QueryParameter

from monitor.domain.delivery.job import JobState, JobView
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.vocab import Page, Role
from monitor.http.middleware.authentication import actor_of, requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, problems
from monitor.http.requests.query import Cursor, Limit
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected


class JobController(Controller):
    """Work over many rows, done in chunks: replays, and the cancellations of a deletion."""

    path = "/jobs"
    tags = ("deliveries",)

    @get(
        summary="List jobs",
        description="Newest first, each with its progress. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def list_jobs(
        self,
        services: Injected,
        request: AnyRequest,
        state_: Annotated[JobState | None, QueryParameter(name="state", description="Only in this state.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[JobView]]:
        rows = await services.jobs.list(state=state_, after=decode_cursor(cursor), limit=limit + 1)
        return encoded_response(request, page(rows, limit))

    @get(
        "/{job_id:uuid}",
        summary="Read a job",
        description="With its progress. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ, 404) | NOT_MODIFIED,
    )
    async def get_job(self, services: Injected, request: AnyRequest, job_id: FromPath[UUID]) -> Response[JobView]:
        return encoded_response(request, await services.jobs.show(job_id))

    @post(
        "/{job_id:uuid}/cancel",
        status_code=200,
        summary="Cancel a job",
        description="It ends after its present chunk; what it did stays done. Refused for the job of a deletion."
        " Safe to repeat. Role: operator.",
        opt=requires(Role.OPERATOR),
        responses=problems(*READ, 404, 409),
    )
    async def cancel_job(self, services: Injected, request: AnyRequest, job_id: FromPath[UUID]) -> JobView:
        return await services.jobs.cancel(job_id, actor_of(request))
