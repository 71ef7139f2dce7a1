"""
The delivery loop of one worker.

::

    NOTIFY or 1 s poll ──► claim ──► ready ──► one task per delivery ──► outbox of results ──► settle in batches
                             ▲                                                                   │
                             └──────────────── room again for a webhook that had more ◄──────────┘

Claim and settle take turns, since both lock the webhooks' lanes: a claim would skip what a settle of our own holds.
Meanwhile sending goes on with what is ready. Few large claims and settles cost far less than many small ones, so a busy
worker claims when half of its stock is used up and lets results gather; an idle one does either at once.

Everything in memory may be lost at any time: leases run out and another worker starts over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from uuid import UUID

import msgspec
import structlog

from monitor.domain.errors import Unavailable
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.wakeups import Wakeups, Woken
from monitor.domain.services.deliver import Deliverer, SentDelivery, Settlement

log = structlog.get_logger(__name__)

LogAttempts = Callable[[Sequence[SentDelivery], Collection[UUID]], None]
"""Takes a batch and which deliveries of it were lost to another worker; writes one line per attempt."""

REFILL_SLACK_S = 0.005
"""So that a rate limit's token is whole when the database is asked for it."""


class DeliveryConfig(msgspec.Struct, frozen=True):
    """``concurrency`` attempts run at once; ``backlog`` bounds all that is leased: them, and what waits to be sent or
    settled. Of the latter, a claim brings what the worker will send in the next ``ahead_s``. Results of a busy worker
    gather for ``gather_s``. Times are seconds."""

    concurrency: int = 100
    backlog: int = 1000
    settle_batch: int = 500
    ahead_s: float = 0.25
    gather_s: float = 0.02
    poll_s: float = 1.0
    renew_s: float = 10.0
    drain_s: float = 25.0
    retry_s: float = 0.5


class DeliveryWorker:
    """Runs until :meth:`stop`, then drains. Every step is a method that a test can call."""

    def __init__(
        self,
        deliverer: Deliverer,
        wakeups: Wakeups,
        config: DeliveryConfig,
        *,
        log_attempts: LogAttempts | None = None,
        on_settled: Callable[[list[SentDelivery], Settlement], None] | None = None,
    ) -> None:
        self._deliverer = deliverer
        self._wakeups = wakeups
        self._config = config
        self._log_attempts = log_attempts or log_through_structlog
        self._on_settled = on_settled
        self._hints: set[UUID] = set()
        self._poll_all = True
        self._waiting_room: set[UUID] = set()
        self._claimable = asyncio.Event()
        self._settleable = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ready: deque[ClaimedDelivery] = deque()
        # By lease, not by delivery: one whose lease ran out may come back while its first attempt still hangs.
        self._in_flight: dict[tuple[UUID, int], tuple[ClaimedDelivery, asyncio.Task[None]]] = {}
        self._sent: deque[SentDelivery] = deque()
        self._settling: list[SentDelivery] = []
        self._stock = 0
        self._stock_from = 0.0
        self._sent_since = 0
        self._turn = asyncio.Lock()

    @property
    def held(self) -> int:
        """How many deliveries are leased by this worker and not settled."""
        return len(self._ready) + len(self._in_flight) + len(self._sent) + len(self._settling)

    def stop(self) -> None:
        """Claim nothing more and drain."""
        self._stopping.set()
        self._claimable.set()

    async def run(self) -> None:
        """Deliver until :meth:`stop`; then finish what is in flight for at most ``drain_s`` and release the rest."""
        loops = [
            asyncio.create_task(self._wakeups.listen(self.wake), name="listen"),
            asyncio.create_task(self._poll(), name="poll"),
            asyncio.create_task(self._every(self._config.renew_s, self.renew), name="renew"),
            asyncio.create_task(self._settle_loop(), name="settle"),
        ]
        try:
            await self._claim_loop()
            await self._drain()
        finally:
            tasks = [*loops, *(task for _, task in self._in_flight.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, webhook_ids: Woken) -> None:
        """Note that webhooks have something due."""
        if webhook_ids is None:
            self._poll_all = True
        else:
            self._hints.update(webhook_ids)
        self._ask_for_more()

    async def claim(self) -> int:
        """Take what is due and start sending it; return how many deliveries that are."""
        async with self._turn:
            return await self._claim()

    async def _claim(self) -> int:
        free = self._room()
        if free <= 0:
            return 0
        hints = None if self._poll_all else self._hints
        self._hints, self._poll_all = set(), False
        try:
            claim = await self._deliverer.claim(hints, free)
        except BaseException:
            # Nothing was leased for certain; whatever was is due again when its lease runs out.
            self._poll_all = True
            raise
        self._ready.extend(claim.deliveries)
        self._start_ready()
        if len(claim.deliveries) >= free:
            # The worker was the limit, not the webhooks: look again at all of them as soon as there is room.
            self._poll_all = True
        self._waiting_room |= claim.exhausted
        for webhook_id, wait_s in claim.refill_s.items():
            asyncio.get_running_loop().call_later(wait_s + REFILL_SLACK_S, self.wake, [webhook_id])
        return len(claim.deliveries)

    def _room(self) -> int:
        """Return how many deliveries to claim: what is free, and what lacks of the stock."""
        self._measure_pace()
        free = self._config.concurrency - len(self._in_flight)
        return min(free + self._stock - len(self._ready), self._config.backlog - self.held)

    def _measure_pace(self) -> None:
        """Let the stock follow what was sent lately, so that a worker whose receivers hang leases nothing ahead."""
        now = asyncio.get_running_loop().time()
        elapsed_s = now - self._stock_from
        if elapsed_s >= self._config.ahead_s:
            self._stock = int(self._sent_since * self._config.ahead_s / elapsed_s)
            self._stock_from, self._sent_since = now, 0

    def _ask_for_more(self) -> None:
        if len(self._ready) <= self._stock // 2 and (self._hints or self._poll_all):
            self._claimable.set()

    def _start_ready(self) -> None:
        while self._ready and len(self._in_flight) < self._config.concurrency and not self._stopping.is_set():
            delivery = self._ready.popleft()
            task = asyncio.create_task(self._send(delivery))
            self._in_flight[delivery.id, delivery.fencing_token] = (delivery, task)

    async def settle(self) -> int:
        """Write what was sent; return how many attempts that are. Calls take turns."""
        async with self._turn:
            while self._sent and len(self._settling) < self._config.settle_batch:
                self._settling.append(self._sent.popleft())
            if not self._settling:
                return 0
            batch = self._settling
            await self._write(batch)
            self._settling = []
        freed = self._waiting_room & {sent.delivery.webhook_id for sent in batch}
        self._waiting_room -= freed
        self._hints |= freed
        self._ask_for_more()
        return len(batch)

    async def _write(self, batch: list[SentDelivery]) -> None:
        try:
            self._report(batch, await self._deliverer.settle(batch))
        except Unavailable:
            raise
        except Exception:
            if len(batch) == 1:
                # Its lease runs out and it is tried again; one that never settles ends in quarantine.
                log.exception("settle_failed", delivery_id=str(batch[0].delivery.id))
                return
            # One row that the database refuses must not hold the others back.
            for sent in batch:
                await self._write([sent])

    async def renew(self) -> None:
        """Extend the leases of everything held."""
        held = [*self._ready, *(delivery for delivery, _ in self._in_flight.values())]
        held += [sent.delivery for sent in (*self._sent, *self._settling)]
        if held:
            await self._deliverer.renew(held)

    async def _claim_loop(self) -> None:
        while not self._stopping.is_set():
            await self._claimable.wait()
            self._claimable.clear()
            if self._stopping.is_set():
                return
            if await self._guarded(self.claim):
                self._ask_for_more()

    async def _settle_loop(self) -> None:
        while True:
            await self._settleable.wait()
            self._settleable.clear()
            while self._sent or self._settling:
                if self._ready:
                    await asyncio.sleep(self._config.gather_s)
                await self._guarded(self.settle)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._config.poll_s)
            self.wake(None)

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._guarded(step)

    async def _guarded(self, step: Callable[[], Awaitable[int | None]]) -> int:
        """Run one step; an outage or a bug delays the loop and never ends it."""
        try:
            return await step() or 0
        except Unavailable as error:
            log.warning("database_unavailable", step=step.__name__, detail=error.detail)
        except Exception:
            log.exception("worker_step_failed", step=step.__name__)
        await asyncio.sleep(self._config.retry_s)
        return 0

    async def _send(self, delivery: ClaimedDelivery) -> None:
        try:
            sent = await self._deliverer.send(delivery)
            if sent is not None:
                self._sent.append(sent)
                self._settleable.set()
        except Exception:
            # The lease runs out and counts as a crash, so a delivery that always fails here ends in quarantine.
            log.exception("send_failed", delivery_id=str(delivery.id), webhook_id=str(delivery.webhook_id))
        finally:
            del self._in_flight[delivery.id, delivery.fencing_token]
            self._sent_since += 1
            self._start_ready()
            self._ask_for_more()

    async def _drain(self) -> None:
        log.info("draining", in_flight=len(self._in_flight), drain_s=self._config.drain_s)
        # What was not begun can be begun by another worker at once.
        unsent, self._ready = [*self._ready], deque()
        await self._release(unsent)
        if tasks := [task for _, task in self._in_flight.values()]:
            await asyncio.wait(tasks, timeout=self._config.drain_s)
        unfinished = [delivery for delivery, _ in self._in_flight.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What an outage keeps us from writing falls due again when its lease runs out.
        while (self._sent or self._settling) and await self._guarded(self.settle):
            pass
        await self._release(unfinished)
        log.info("drained", released=len(unsent) + len(unfinished))

    async def _release(self, deliveries: list[ClaimedDelivery]) -> None:
        async def release() -> None:
            await self._deliverer.release(deliveries)

        if deliveries:
            await self._guarded(release)

    def _report(self, batch: list[SentDelivery], settlement: Settlement) -> None:
        self._log_attempts(batch, set(settlement.lost))
        for delivery_id, error in settlement.undecided.items():
            log.error("delivery_undecided", delivery_id=str(delivery_id), exc_info=error)
        for webhook_id, reason in settlement.disabled.items():
            log.warning("webhook_disabled", webhook_id=str(webhook_id), reason=reason)
        if self._on_settled is not None:
            self._on_settled(batch, settlement)


def log_through_structlog(batch: Sequence[SentDelivery], lost: Collection[UUID]) -> None:
    """Log attempts through the general logger."""
    for sent in batch:
        log.info(
            "attempt",
            delivery_id=str(sent.delivery.id),
            webhook_id=str(sent.delivery.webhook_id),
            event_id=str(sent.delivery.event_id),
            number=sent.delivery.attempts + 1,
            outcome=sent.outcome.label,
            ms=round(sent.outcome.latency_ms, 1),
            settled=sent.delivery.id not in lost,
        )
