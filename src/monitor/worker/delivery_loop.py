"""
The delivery loop of one worker.

::

    NOTIFY or 1 s poll ──► claim ──► stock ──► in flight ──► results ──► settle in batches
                             ▲                                                        │
                             └──────── room again for a webhook that had more ◄───────┘

Claim and settle take turns, since both lock the webhooks' lanes: a claim would skip what a settle of our own holds.
Meanwhile sending goes on with what is ready. Few large claims and settles cost far less than many small ones, so a busy
worker claims when half of its stock is used up and lets results gather; an idle one does either at once.

What waited in stock for over a second, since receivers are slow or this process slept, is checked before it is sent:
its webhook may be paused, changed or deleted, and its lease lost. After an outage that leases may not have survived,
these are renewed and results settled before the next claim.

A delivery in flight takes no task: its outcome calls back, is kept for the next settle, and the next one sets out.

Everything in memory may be lost at any time: leases run out and another worker starts over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import structlog

from monitor.domain.errors import Unavailable
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.wakeups import DueWebhooks, Wakeups
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.settle import SentDelivery, Settlement
from monitor.worker.attempt_log import LogAttempts
from monitor.worker.config import DeliveryConfig
from monitor.worker.results import Results
from monitor.worker.slots import Flight, Slots
from monitor.worker.stock import Pace, Stock
from monitor.worker.writer import ResultWriter, report

log = structlog.get_logger(__name__)

LACKING_S = 1.0
"""How long only quick webhooks are claimed for after this process lacked descriptors, ports or a name server."""

LOCKED_S = 0.05
"""How long to wait before a lane that another transaction has is tried again."""
LOCKED_WHILE_STOPPING_S = 5.0
"""How long a worker that stops waits for such a lane."""

REFILL_SLACK_S = 0.005
"""Added to the wait for a rate limit, so that the token is whole by the clock of the database."""


class DeliveryWorker:
    """Runs until :meth:`stop`, then drains. Every step is a method that a test can call."""

    def __init__(
        self,
        deliverer: Deliverer,
        wakeups: Wakeups,
        config: DeliveryConfig,
        *,
        log_attempts: LogAttempts,
        monotonic: Callable[[], float],
    ) -> None:
        self._deliverer = deliverer
        self._wakeups = wakeups
        self._config = config
        self._log_attempts = log_attempts
        self._monotonic = monotonic
        self._hints: set[UUID] = set()
        self._poll_all = True
        self._exhausted: set[UUID] = set()
        self._claimable = asyncio.Event()
        self._checkable = asyncio.Event()
        self._settleable = asyncio.Event()
        self._stopping = asyncio.Event()
        self._slots = Slots(config.concurrency)
        self._stock = Stock(monotonic, config.lease_s, self._slots.is_quick)
        # By lease, not by delivery: one with an expired lease may come back while its first attempt still hangs.
        self._in_flight: dict[tuple[UUID, int], Flight] = {}
        self._returned = asyncio.Event()
        self._results = Results()
        self._writer = ResultWriter(deliverer, self._results, config.settle_batch)
        self._lacking_until = 0.0
        self._is_database_away = False
        """Whether a step found it away since the last settle."""
        self._pace = Pace(config.ahead_s)
        self._turn = asyncio.Lock()
        self._renewed_at = monotonic()

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def held(self) -> int:
        """How many deliveries are leased by this worker and not settled."""
        return len(self._stock) + len(self._in_flight) + len(self._results) + len(self._results.kept)

    def stop(self) -> None:
        """Claim nothing more and drain."""
        self._stopping.set()
        self._claimable.set()

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the loops to run under supervision, beside :meth:`run`, by name."""
        return {
            "worker.listen": lambda: self._wakeups.listen(self.wake),
            "worker.poll": self._poll_loop,
            "worker.claim": self._claim_loop,
            "worker.check": self._check_loop,
            "worker.settle": self._settle_loop,
            "worker.renew": self._renew_loop,
        }

    async def run(self) -> None:
        """Return after :meth:`stop`, when what was in flight is finished, at most ``drain_s`` later."""
        try:
            await self._stopping.wait()
            await self._drain()
        finally:
            self._abandon()

    def wake(self, webhook_ids: DueWebhooks) -> None:
        """Note that webhooks have something due."""
        if webhook_ids is None:
            self._poll_all = True
        else:
            self._hints.update(webhook_ids)
        self._ask_for_more()

    async def claim(self) -> int:
        """Take what is due and start sending it; return how many deliveries that are."""
        async with self._turn:
            if self._monotonic() - self._renewed_at > self._config.lease_s / 2:
                # Leases may run out, or did: what is held here would be due for this claim.
                await self.renew()
                while self._results and await self._settle():
                    pass
            return await self._claim()

    async def _claim(self) -> int:
        free = self._room()
        if free <= 0:
            return 0
        hints = None if self._poll_all else self._hints
        self._hints, self._poll_all = set(), False
        if self._slots.is_full or self._is_lacking:
            hints = self._slots.defer(hints)
            if not hints:
                return 0
        try:
            claim = await self._deliverer.claim(hints, free, [delivery.id for delivery in self._held()])
        except BaseException:
            # Nothing was leased for certain; whatever was is due again when its lease runs out.
            self._poll_all = True
            raise
        self._stock.add(claim.deliveries, claim.at)
        self._start_ready()
        if len(claim.deliveries) >= free:
            # The worker was the limit, not the webhooks: look again at all as soon as there is room.
            self._poll_all = True
        self._exhausted |= claim.exhausted
        for webhook_id, wait_s in claim.refill_s.items():
            asyncio.get_running_loop().call_later(wait_s + REFILL_SLACK_S, self.wake, [webhook_id])
        return len(claim.deliveries)

    def _room(self) -> int:
        """Return how many deliveries to claim: what is free, and what lacks of the stock."""
        self._pace.measure(asyncio.get_running_loop().time())
        lacking = self._config.concurrency - len(self._in_flight) + self._pace.wanted - self._stocked()
        return min(lacking, self._config.backlog - self.held)

    @property
    def _is_lacking(self) -> bool:
        return asyncio.get_running_loop().time() < self._lacking_until

    def _stocked(self) -> int:
        return self._stock.quick if self._slots.is_full else len(self._stock)

    def _ask_for_more(self) -> None:
        if self._stocked() <= self._pace.wanted // 2 and (self._hints or self._poll_all):
            self._claimable.set()

    def _start_ready(self) -> None:
        while len(self._in_flight) < self._config.concurrency and not self._stopping.is_set():
            delivery = self._stock.take(others=not self._slots.is_full)
            if delivery is None:
                break
            self._start(delivery)
        if self._stock.stale:
            self._checkable.set()

    def _start(self, delivery: ClaimedDelivery) -> None:
        try:
            pending = self._deliverer.start(delivery, self._take)
        except Exception:
            # The lease runs out and counts as a crash, so a delivery that always fails here ends in quarantine.
            log.exception("send_failed", delivery_id=str(delivery.id), webhook_id=str(delivery.webhook_id))
            pending = None
        if pending is None:
            self._pace.sent += 1
        else:
            flight = Flight(delivery, pending, self._slots.begin(delivery), asyncio.get_running_loop().time())
            self._in_flight[delivery.id, delivery.fencing_token] = flight

    async def check(self) -> int:
        """Check what waited too long, and start sending what may be sent; return how many deliveries those are."""
        async with self._turn:
            stale = self._stock.stale
            if not stale or self._stopping.is_set():
                return 0
            result = await self._deliverer.check(stale)
            if self._stopping.is_set():
                # Stopping releases all.
                return 0
            undetermined = {delivery.id for delivery in result.undetermined}
            decided = [delivery for delivery in stale if delivery.id not in undetermined]
            self._stock.end_check(decided, result.sendable, result.at)
            self._start_ready()
            return len(result.sendable)

    async def settle(self) -> int:
        """Write what was sent; return how many attempts that are. Calls take turns."""
        async with self._turn:
            return await self._settle()

    async def _settle(self) -> int:
        released = await self._release_unmade()
        batch = self._writer.batch()
        if not batch:
            return released
        settlements = await self._writer.write(batch)
        self._is_database_away = False
        locked = [sent for _, settlement in settlements for sent in settlement.locked]
        self._results.end_batch(locked, asyncio.get_running_loop().time())
        if len(locked) == len(batch):
            return released
        freed = self._exhausted & {sent.delivery.webhook_id for sent in batch}
        self._exhausted -= freed
        self._hints |= freed
        self._ask_for_more()
        # Reported only now: what happens to a log line must not decide what happens to a result.
        left = {sent.attempt_id for sent in locked}
        for part, settlement in settlements:
            self._report([sent for sent in part if sent.attempt_id not in left], settlement)
        return len(batch) - len(locked) + released

    async def _release_unmade(self) -> int:
        unmade = [*self._results.unmade]
        if unmade:
            await self._deliverer.release([sent.delivery for sent in unmade], after_s=self._config.unmade_s)
            self._results.end_unmade(unmade, asyncio.get_running_loop().time())
            log.error("attempts_not_made", count=len(unmade), detail=unmade[0].outcome.error_detail)
        return len(unmade)

    async def settle_kept(self) -> int:
        """Try once more to write the results that failed for an unforeseen reason; return how many were written."""
        async with self._turn:
            written = await self._writer.write_kept()
        for part, settlement in written:
            self._report(part, settlement)
        return len(written)

    async def renew(self) -> None:
        """
        Extend the leases of everything held, as long as results are being settled.

        A worker that cannot settle lets its leases run out, so that another one takes over.
        """
        held, results = self._held(), len(self._results)
        stalled_s = asyncio.get_running_loop().time() - self._results.settled_at
        if results and stalled_s > self._config.lease_s:
            # After an outage it is none of this worker's: its results are written first, and renewal goes on.
            write = log.warning if self._is_database_away else log.error
            write("lease_renewal_stopped", unsettled=results, stalled_s=round(stalled_s, 1))
            return
        at = self._monotonic()
        if held:
            self._stock.remove(await self._deliverer.renew(held))
        self._renewed_at = at

    def _held(self) -> list[ClaimedDelivery]:
        attempts = [flight.delivery for flight in self._in_flight.values()]
        return [*self._stock, *attempts, *self._results.deliveries()]

    async def _claim_loop(self) -> None:
        while True:
            await self._claimable.wait()
            self._claimable.clear()
            if not self._stopping.is_set() and await self._unless_unavailable(self.claim):
                self._ask_for_more()

    async def _check_loop(self) -> None:
        while True:
            if not self._stock.stale:
                self._checkable.clear()
                await self._checkable.wait()
            if not await self._unless_unavailable(self.check):
                await asyncio.sleep(LOCKED_S)

    async def _settle_loop(self) -> None:
        while True:
            await self._settleable.wait()
            while self._results:
                if self._stock:
                    await asyncio.sleep(self._config.gather_s)
                if not await self._unless_unavailable(self.settle):
                    await asyncio.sleep(LOCKED_S)
            # Cleared last: a loop that failed in between finds the results when it is started again.
            self._settleable.clear()

    async def _poll_loop(self) -> None:
        while True:
            await asyncio.sleep(self._config.poll_s)
            self._slots.watch(self._in_flight.values(), asyncio.get_running_loop().time())
            self.wake(None)

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(self._config.renew_s)
            # Renewed first: what is written then needs its lease until then.
            while await self._unless_unavailable(self.renew) is None:
                pass
            if self._results.kept:
                await self._unless_unavailable(self.settle_kept)

    async def _unless_unavailable(self, step: Callable[[], Awaitable[int | None]]) -> int | None:
        """Run one step; an outage of the database delays the loop, and the result is ``None``."""
        try:
            return await step() or 0
        except Unavailable as error:
            self._is_database_away = True
            log.warning("database_unavailable", step=step.__name__, detail=error.detail)
        await asyncio.sleep(self._config.retry_s)
        return None

    def _take(self, sent: SentDelivery) -> None:
        now = asyncio.get_running_loop().time()
        made = self._results.add(sent, now)
        self._slots.end(self._in_flight.pop((sent.delivery.id, sent.delivery.fencing_token)), now, made=made)
        if not made:
            self._lacking_until = now + LACKING_S
        self._settleable.set()
        self._returned.set()
        self._pace.sent += 1
        self._start_ready()
        if not self._is_lacking and (deferred := self._slots.end_deferral()) != []:
            self.wake(deferred)
        self._ask_for_more()

    def _abandon(self) -> list[ClaimedDelivery]:
        """End what is in flight, and return it."""
        in_flight = [*self._in_flight.values()]
        self._in_flight.clear()
        for flight in in_flight:
            flight.pending.abandon()
        return [flight.delivery for flight in in_flight]

    async def _drain(self) -> None:
        log.info("draining", in_flight=len(self._in_flight), drain_s=self._config.drain_s)
        # What was not begun can be begun by another worker at once.
        unsent = self._stock.clear()
        await self._release(unsent)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_s):
                while self._in_flight:
                    self._returned.clear()
                    await self._returned.wait()
        unfinished = self._abandon()
        # What an outage keeps us from writing falls due again when its lease runs out.
        deadline = asyncio.get_running_loop().time() + LOCKED_WHILE_STOPPING_S
        while self._results:
            settled = await self._unless_unavailable(self.settle)
            if settled is None or asyncio.get_running_loop().time() > deadline:
                break
            if not settled:
                await asyncio.sleep(LOCKED_S)
        if self._results.kept:
            await self._unless_unavailable(self.settle_kept)
        # A claim that was under way may have brought something meanwhile.
        unfinished += self._stock.clear()
        await self._release(unfinished)
        log.info("drained", released=len(unsent) + len(unfinished))

    async def _release(self, deliveries: list[ClaimedDelivery]) -> None:
        async def release() -> None:
            await self._deliverer.release(deliveries)

        if deliveries:
            await self._unless_unavailable(release)

    def _report(self, batch: list[SentDelivery], settlement: Settlement) -> None:
        self._log_attempts(batch, set(settlement.lost))
        report(settlement)
