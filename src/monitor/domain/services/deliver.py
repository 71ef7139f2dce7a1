"""Deliver: claim and commit, send with no transaction open, settle in a second one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.domain.alerts.action_links import ActionLinks
from monitor.domain.delivery.answers import read_answer
from monitor.domain.delivery.lateness import as_sent
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.sender import PendingSend, WebhookSender
from monitor.domain.ports.tracing import Tracing
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.leases import DeliverConfig, DeliveryLeases
from monitor.domain.services.settle import SentDelivery, Settlement, settle
from monitor.domain.webhooks.chat_url import traced_url
from monitor.domain.webhooks.outbound import outbound_request
from monitor.domain.webhooks.signed_request import AsymmetricSigner


class Deliverer(DeliveryLeases):
    """The three steps of a delivery, for one worker: claim, start and settle."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        sender: WebhookSender,
        clock: Clock,
        sign_v1a: AsymmetricSigner,
        config: DeliverConfig,
        links: ActionLinks | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """*links* are added to what is sent about alerts. Without *tracing*, each ``traceparent`` goes on as it is."""
        super().__init__(unit_of_work, queries, clock, config)
        self._sender = sender
        self._sign_v1a = sign_v1a
        self._links = links
        self._tracing = tracing

    def start(self, delivery: ClaimedDelivery, on_sent: Callable[[SentDelivery], object]) -> PendingSend | None:
        """
        Make one attempt, and call *on_sent* once, after this has returned.

        Returns:
            ``None`` if nothing is sent, because the webhook is deleted.
        """
        cached = self._destinations.get(delivery.webhook_id)
        if cached is None:
            return None
        destination, secrets, version = cached.destination, cached.secrets, cached.version
        body_format = destination.body_format
        at, since = self._clock.now(), self._clock.monotonic()
        payload = delivery.payload
        if self._links is not None:
            payload = self._links.added_to(payload, delivery.event_type, delivery.event_id, delivery.webhook_id)
        payload = as_sent(delivery.event_type, payload, at)
        span = None
        if self._tracing is not None:
            span = self._tracing.attempt(delivery, traced_url(destination.url, body_format), at)
        request = outbound_request(
            destination,
            webhook_id=delivery.webhook_id,
            message_id=str(delivery.event_id),
            event_type=delivery.event_type,
            payload=payload,
            at=at,
            sign_v1a=self._sign_v1a,
            traceparent=delivery.traceparent if span is None else span.traceparent,
        )
        attempt_id = self._clock.new_id(at)

        def take(outcome: Outcome) -> None:
            outcome = read_answer(body_format, outcome)
            if span is not None:
                span.end(outcome)
            on_sent(SentDelivery(delivery, attempt_id, at, outcome, secrets, version))

        return self._sender.start(
            request,
            take,
            may_write=lambda: self._is_leased(delivery, since),
        )

    async def settle(self, batch: Sequence[SentDelivery]) -> Settlement:
        """Write *batch* in one transaction; see :func:`settle`. Safe to repeat."""
        async with self._unit_of_work() as uow:
            settlement = await settle(
                uow, batch, clock=self._clock, policy=self._config.policy, undecided_s=self._config.undecided_s
            )
            await uow.commit()
        return settlement
