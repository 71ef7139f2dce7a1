"""A worker of the machine of totals, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.webhooks.registration import WebhookSpec
from tests import samples
from tests.integration.contract.world import World
from tests.unit.world.totals_journal import Pair

LEASE_S = 30.0


class Worker:
    """A deliverer and its sender: each request is answered at once, by the status of its webhook."""

    def __init__(
        self, name: str, world: World, unit_of_work: UnitOfWorkFactory, answer: Callable[[Pair], Outcome]
    ) -> None:
        self._answer = answer
        self.results: list[SentDelivery] = []
        self.deliverer = Deliverer(
            unit_of_work,
            world.queries,
            self,
            world.clock,
            lambda _key, _content: "v1a,x",
            DeliverConfig(name, lease_s=LEASE_S),
        )

    def start(
        self,
        request: OutboundRequest,  # noqa: ARG002 - the machine chooses outcomes by the delivery
        on_outcome: Callable[[Outcome], object],
        **_options: object,
    ) -> Worker:
        self._on_outcome = on_outcome
        return self

    async def send(self, request: OutboundRequest) -> Outcome:
        raise NotImplementedError(request)

    def abandon(self) -> None:
        """Nothing is under way: answers come at once."""

    async def work(self, limit: int) -> int:
        """Claim and send; the results are yet to be settled."""
        claimed = (await self.deliverer.claim(None, limit)).deliveries
        for delivery in claimed:
            if self.deliverer.start(delivery, self.results.append) is not None:
                self._on_outcome(self._answer(Pair(delivery.webhook_id, delivery.event_id)))
        return len(claimed)

    async def settle(self) -> None:
        await self.deliverer.settle(self.results)
        self.results.clear()


async def patch(commands: WebhookCommands, webhook_id: UUID, changes: dict[str, Any]) -> None:
    await commands.patch(
        webhook_id,
        changes,
        samples.ACTOR,
        require=lambda _version: None,
        read=lambda patched: msgspec.convert(patched, WebhookSpec),
    )
