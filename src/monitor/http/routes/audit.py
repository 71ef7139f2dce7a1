"""The audit log: every mutating call but that of events, which are their own record."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page_of
from monitor.domain.ports.queries.resources import AuditFilter
from monitor.domain.views.audit import AuditView
from monitor.domain.vocab import Page, Role
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import READ, problems
from monitor.http.requests.query import NO_NUL, Cursor, From, Limit, To, time_range
from monitor.http.routes.services import Injected


class AuditController(Controller):
    """The audit log."""

    path = "/audit-log"
    tags = ("audit",)

    @get(
        summary="List changes",
        description="Every mutating call, newest first, without secrets; events are their own record. Tokens that"
        " `monitor token` issued or revoked are among them. A page looks at 10,000 rows at most: with conditions that"
        " few rows meet, it may be short or empty and still have a `next_cursor`. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*READ, 422),
    )
    async def audit_log(
        self,
        services: Injected,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        subject: Annotated[
            str | None, QueryParameter(max_length=256, pattern=NO_NUL, description="Only by this subject.")
        ] = None,
        action: Annotated[
            str | None,
            QueryParameter(
                max_length=64,
                pattern=r"^[a-z_]+(\.[a-z_]+|\.\*)?$",
                description="Only this action, or those with this prefix: `webhook.*`.",
            ),
        ] = None,
        target: Annotated[
            str | None,
            QueryParameter(max_length=256, pattern=NO_NUL, description="Only with this target: `webhook:<id>`."),
        ] = None,
        from_at: From = None,
        to_at: To = None,
    ) -> Page[AuditView]:
        where = AuditFilter(subject, action, target, *time_range(from_at, to_at))
        look = await services.queries.audit_log(where, after=decode_cursor(cursor), limit=limit + 1)
        return page_of(look, limit)
