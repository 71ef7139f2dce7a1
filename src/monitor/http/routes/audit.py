"""The audit log: every mutating call but that of events, which are their own record."""

from __future__ import annotations

from litestar import Controller, get

from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.views.audit import AuditView
from monitor.domain.vocab import Page, Role
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import READ, problems
from monitor.http.requests.query import Cursor, Limit
from monitor.http.routes.services import Injected


class AuditController(Controller):
    """The audit log."""

    path = "/audit-log"
    tags = ("audit",)

    @get(
        summary="List changes",
        description="Every mutating call, newest first, without secrets; events are their own record. Tokens that"
        " `monitor token` issued or revoked are among them. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*READ),
    )
    async def audit_log(
        self, services: Injected, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Page[AuditView]:
        return page(await services.queries.audit_log(after=decode_cursor(cursor), limit=limit + 1), limit)
