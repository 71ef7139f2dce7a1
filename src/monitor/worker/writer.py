"""Writes results, so that one that the database refuses does not hold the others back."""

from __future__ import annotations

import asyncio

import structlog

from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.settle import SentDelivery, Settlement
from monitor.worker.results import Results

log = structlog.get_logger(__name__)

KEPT_S = 600.0
"""How long a result is kept that cannot be written for an unforeseen reason."""

GROWS_AFTER = 8
"""Batches after which a limit that was reduced is doubled again."""

Written = list[tuple[list[SentDelivery], Settlement]]
"""What was settled together, with the settlement."""


class ResultWriter:
    """
    Both calls raise ``Unavailable``, and may then be repeated.

    Args:
        most: results of one batch. Fewer are settled at once while the database takes too long for more.
    """

    def __init__(self, deliverer: Deliverer, results: Results, most: int) -> None:
        self._deliverer = deliverer
        self._results = results
        self._most = self._limit = most
        self._written = 0

    def batch(self) -> list[SentDelivery]:
        """Return what to write next."""
        return self._results.batch(self._limit)

    async def write(self, batch: list[SentDelivery]) -> Written:
        """
        Settle *batch* together, or one by one if that fails; what fails alone is kept for later.

        If it takes too long, the next batches are half as large, and these results come last: what can be written is.
        """
        try:
            settlement = await self._deliverer.settle(batch)
        except Unavailable as error:
            if error.took_too_long:
                self._reduce(batch)
            raise
        except Exception as error:
            if len(batch) == 1:
                log.exception("settle_failed", delivery_id=str(batch[0].delivery.id))
                # Of a value that is never taken the lease runs out; a delivery that never settles ends in quarantine.
                if not isinstance(error, DataRejected):
                    self._results.keep(batch[0], asyncio.get_running_loop().time())
                return []
            return [one for sent in batch for one in await self.write([sent])]
        self._grow()
        return [(batch, settlement)]

    def _reduce(self, batch: list[SentDelivery]) -> None:
        self._written = 0
        if len(batch) > 1:
            self._limit = max(len(batch) // 2, 1)
            self._results.postpone_batch()
        else:
            # The one that held the others up, or the database takes too long for anything.
            self._limit = self._most
            self._results.keep_batch(asyncio.get_running_loop().time())
        log.warning("settle_took_too_long", results=len(batch), next=self._limit)

    def _grow(self) -> None:
        self._written += 1
        if self._limit < self._most and self._written >= GROWS_AFTER:
            self._limit, self._written = min(self._limit * 2, self._most), 0

    async def write_kept(self) -> Written:
        """Try once more to settle the results that failed for an unforeseen reason."""
        written: Written = []
        for since, sent in [*self._results.kept.values()]:
            try:
                settlement = await self._deliverer.settle([sent])
            except Unavailable as error:
                if not error.took_too_long:
                    raise
                self._results.keep_longer(sent)
                return written
            except Exception as error:
                if isinstance(error, DataRejected) or asyncio.get_running_loop().time() - since > KEPT_S:
                    log.exception("result_dropped", delivery_id=str(sent.delivery.id))
                    del self._results.kept[sent.attempt_id]
                continue
            if not settlement.locked:
                del self._results.kept[sent.attempt_id]
                written.append(([sent], settlement))
        return written


def report(settlement: Settlement) -> None:
    """Log what a settlement could not decide, and which webhooks it disabled."""
    for delivery_id, error in settlement.undecided.items():
        log.error("delivery_undecided", delivery_id=str(delivery_id), exc_info=error)
    for webhook_id, reason in settlement.disabled.items():
        log.warning("webhook_disabled", webhook_id=str(webhook_id), reason=reason)
