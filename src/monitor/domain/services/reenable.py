"""Reenable: signed pings to webhooks that Monitor disabled, by choice; a 2xx enables the webhook again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.lane import reopen, resume
from monitor.domain.errors import NotFound, Unavailable
from monitor.domain.events import WebhookUpdated
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.vocab import SYSTEM
from monitor.domain.webhooks.disabled import enabled_by_probe, is_probed, probe_after

BATCH = 20
"""Pings at once."""


class ReenableProbes:
    """
    The periodic job of probes. Any number of processes may run it: a probe is taken by one, since taking it sets the
    time of the next, which lies far behind the longest ping.
    """

    def __init__(
        self, unit_of_work: UnitOfWorkFactory, recorder: AttemptRecorder, on_enabled: Callable[[UUID], object]
    ) -> None:
        self._unit_of_work = unit_of_work
        self._recorder = recorder
        self._on_enabled = on_enabled

    async def run(self) -> None:
        """
        Send all probes that are due.

        Raises:
            Unavailable: the database is away; the probes that were taken are due again later.
            ExceptionGroup: probes that failed for another reason than their receiver. All others were made.
        """
        sent = BATCH
        while sent == BATCH:
            sent = await self.step()

    async def step(self) -> int:
        """Send up to :data:`BATCH` probes that are due; return how many. Raises as :meth:`run`."""
        async with self._unit_of_work() as uow:
            due = await uow.webhooks.due_probes(BATCH)
            for webhook_id, probes in due.items():
                await uow.webhooks.schedule_probe(webhook_id, probe_after(probes + 1, uow.now), probes + 1)
            await uow.commit()
        pings = await asyncio.gather(*map(self._recorder.send_ping, due), return_exceptions=True)
        failed: list[Exception] = []
        # One after the other: all at once would take all connections from the settling of deliveries.
        for webhook_id, ping in zip(due, pings, strict=True):
            try:
                await self._store(webhook_id, ping)
            except NotFound:
                # Deleted meanwhile.
                continue
            except Exception as error:  # noqa: BLE001 - one that fails must not stop the others
                failed.append(error)
        if unavailable := next((error for error in failed if isinstance(error, Unavailable)), None):
            raise unavailable
        if failed:
            raise ExceptionGroup("Some probes could not be made; their next ones are due later.", failed)
        return len(due)

    async def _store(self, webhook_id: UUID, ping: tuple[int, AttemptRecord, datetime] | BaseException) -> None:
        if isinstance(ping, BaseException):
            raise ping
        version, record, _ = ping
        async with self._unit_of_work() as uow:
            await uow.attempts.add([record])
            is_enabled = record.outcome.ok and await _enable(uow, webhook_id, version)
            await uow.commit()
        if is_enabled:
            self._on_enabled(webhook_id)


async def _enable(uow: UnitOfWork, webhook_id: UUID, version: int) -> bool:
    """Enable a webhook unless it changed since *version*, which the probe was sent with. Raises ``NotFound``."""
    old = await uow.webhooks.get(webhook_id)
    if not is_probed(old) or old.version != version:
        return False
    new = enabled_by_probe(old, uow.now)
    await uow.webhooks.save(new, None)
    lanes = await uow.queue.lock_lanes([webhook_id])
    # What waited meanwhile is released as after a pause.
    released = [resume(reopen(lane), uow.now) for lane in lanes.values()]
    await uow.queue.save_lanes([msgspec.structs.replace(lane, evaluate_at=uow.now) for lane in released])
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    await uow.audit.add(SYSTEM, "webhook.enable", f"webhook:{webhook_id}", before=before, after=after)
    uow.record(WebhookUpdated(webhook_id))
    return True
