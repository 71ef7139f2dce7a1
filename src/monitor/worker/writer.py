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

Written = list[tuple[list[SentDelivery], Settlement]]
"""What was settled together, with the settlement."""


class ResultWriter:
    """Both calls raise ``Unavailable``, and may then be repeated."""

    def __init__(self, deliverer: Deliverer, results: Results) -> None:
        self._deliverer = deliverer
        self._results = results

    async def write(self, batch: list[SentDelivery]) -> Written:
        """Settle *batch* together, or one by one if that fails; what fails alone is kept for later."""
        try:
            return [(batch, await self._deliverer.settle(batch))]
        except Unavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                log.exception("settle_failed", delivery_id=str(batch[0].delivery.id))
                # Of a value that is never taken the lease runs out; a delivery that never settles ends in quarantine.
                if not isinstance(error, DataRejected):
                    self._results.keep(batch[0], asyncio.get_running_loop().time())
                return []
            return [one for sent in batch for one in await self.write([sent])]

    async def write_kept(self) -> Written:
        """Try once more to settle the results that failed for an unforeseen reason."""
        written: Written = []
        for since, sent in [*self._results.kept.values()]:
            try:
                settlement = await self._deliverer.settle([sent])
            except Unavailable:
                raise
            except Exception as error:
                if isinstance(error, DataRejected) or asyncio.get_running_loop().time() - since > KEPT_S:
                    log.exception("result_dropped", delivery_id=str(sent.delivery.id))
                    del self._results.kept[sent.attempt_id]
                continue
            if not settlement.locked:
                del self._results.kept[sent.attempt_id]
                written.append(([sent], settlement))
        return written
