"""Uses of the one-use links in messages: what a link would do, and doing it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from monitor.domain.alerts import Alert, AlertState, SilenceSpec
from monitor.domain.alerts.action_links import SILENCE_S, ActionLink, ActionLinks, LinkAction, link_digest
from monitor.domain.alerts.links import alert_link
from monitor.domain.errors import NotFound, UnreadableRow
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.repositories.used_links import UsedLink
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.alerts import Acknowledgement, AlertCommands
from monitor.domain.services.silences import SilenceCommands
from monitor.domain.vocab import Actor


class LinkStatus(StrEnum):
    """What became of a link: it can be used, it was used now or before, or it does nothing any more."""

    READY = "ready"
    DONE = "done"
    USED = "used"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class LinkView(msgspec.Struct, frozen=True):
    """
    A link as the page shows it.

    Attributes:
        title: the sentence of the alert.
        by, at: who used the link, or acknowledged or resolved the alert, and when.
        until: the end of the silence that the link made.
        page: URL of the alert.
    """

    status: LinkStatus
    action: LinkAction | None = None
    title: str = ""
    by: str | None = None
    at: datetime | None = None
    until: datetime | None = None
    page: str | None = None


UNKNOWN = LinkView(LinkStatus.UNKNOWN)


class LinkCommands:
    """What links do. Whoever has one may do what it says, once, without a token of the API."""

    def __init__(
        self, unit_of_work: UnitOfWorkFactory, alerts: AlertCommands, silences: SilenceCommands, links: ActionLinks
    ) -> None:
        self._unit_of_work = unit_of_work
        self._alerts = alerts
        self._silences = silences
        self._links = links

    def read(self, token: str) -> ActionLink | None:
        """Return the content of *token*; ``None`` if it was not made here. Reads nothing that is stored."""
        return self._links.read(token)

    async def look(self, token: str) -> LinkView:
        """Return what a use of *token* would do. Changes nothing."""
        return await self._view(token, None)

    async def act(self, token: str, *, request_id: str | None, client: str | None) -> LinkView:
        """Act on *token*, unless it was used, has expired, or there is nothing left to do. Safe to repeat."""
        return await self._view(token, Actor("link", request_id=request_id, client=client))

    async def _view(self, token: str, actor: Actor | None) -> LinkView:
        link = self._links.read(token)
        if link is None:
            return UNKNOWN
        view = await self._use(link, link_digest(token), actor)
        page = None if view is UNKNOWN else alert_link(self._links.page, link.alert_id)
        return msgspec.structs.replace(view, page=page)

    async def _use(self, link: ActionLink, digest: bytes, actor: Actor | None) -> LinkView:
        """Use *link* as *actor*, named after its destination; only look at it without one."""
        async with self._unit_of_work() as uow:
            try:
                # Locks the alert, so that of two uses at once the second one finds the first.
                alert = await uow.alerts.get(link.alert_id)
                destination = await uow.webhooks.read(link.destination_id)
            except (NotFound, UnreadableRow):
                return UNKNOWN
            done = await _done(uow, link, digest, alert)
            if done is not None or actor is None:
                return done or LinkView(LinkStatus.READY, link.action, alert.title)
            by = f"link of {destination.name}"
            until = await self._act(uow, link, alert, msgspec.structs.replace(actor, subject=by))
            await uow.used_links.add(UsedLink(digest, uow.now, by, link.expires_at))
            await uow.commit()
        return LinkView(LinkStatus.DONE, link.action, alert.title, by, uow.now, until)

    async def _act(self, uow: UnitOfWork, link: ActionLink, alert: Alert, actor: Actor) -> datetime | None:
        """Acknowledge or silence *alert*; return until when, for a silence."""
        if link.action is LinkAction.ACKNOWLEDGE:
            await self._alerts.acknowledge_within(uow, alert.id, Acknowledgement(), actor)
            return None
        until = uow.now + timedelta(seconds=SILENCE_S[link.action])
        about = None if alert.webhook_id == SYSTEM_ID else alert.webhook_id
        reason = f"By a link in a message: {alert.title}"[:500]
        spec = SilenceSpec(reason=reason, ends_at=until, webhook_id=about, kind=alert.kind)
        await self._silences.create_within(uow, spec, actor)
        return until


async def _done(uow: UnitOfWork, link: ActionLink, digest: bytes, alert: Alert) -> LinkView | None:
    """Return why there is nothing left to do; ``None`` if there is."""
    if (used := await uow.used_links.get(digest)) is not None:
        return LinkView(LinkStatus.USED, link.action, alert.title, used.used_by, used.used_at)
    if link.expires_at <= uow.now:
        return LinkView(LinkStatus.EXPIRED, link.action, alert.title, at=link.expires_at)
    if not alert.is_open:
        return LinkView(LinkStatus.RESOLVED, link.action, alert.title, alert.resolved_by, alert.resolved_at)
    if link.action is LinkAction.ACKNOWLEDGE and _is_acknowledged(alert, uow.now):
        return LinkView(LinkStatus.ACKNOWLEDGED, link.action, alert.title, alert.acknowledged_by, alert.acknowledged_at)
    return None


def _is_acknowledged(alert: Alert, now: datetime) -> bool:
    expired = alert.ack_expires_at is not None and alert.ack_expires_at <= now
    return alert.state is AlertState.ACKNOWLEDGED and not expired
