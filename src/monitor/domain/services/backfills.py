"""Backfills: counted by a request, made chunk by chunk by a job."""

from __future__ import annotations

from monitor.domain.delivery.backfill import EXAMINED_MAX, id_range, matching, numbered
from monitor.domain.delivery.job import BackfillParameters, Chunk, Job
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_floor
from monitor.domain.ports.unit_of_work import UnitOfWork
from monitor.domain.webhooks.missed import subscription_of

COUNT_CHUNK = 2_000
"""Events that one statement of a count looks at."""


async def count_missing(uow: UnitOfWork, chosen: BackfillParameters, *, deliveries_kept_s: float) -> int:
    """
    Count the deliveries that a backfill would make, among the first :data:`EXAMINED_MAX` events. Locks nothing.

    Raises:
        NotFound: there is no such webhook.
    """
    webhook = await uow.webhooks.read(chosen.webhook_id)
    after, _ = id_range(chosen, uow.now, deliveries_kept_s)
    # Up to the end of the range: a chunk looks at the newest ones later, and the page asks about them now.
    before = id_floor(chosen.to_at)
    found = 0
    for _ in range(EXAMINED_MAX // COUNT_CHUNK):
        page = await uow.backfills.examine(webhook.event_types, after=after, before=before, limit=COUNT_CHUNK)
        matched = matching(page.events, [subscription_of(webhook)])
        found += len(matched) - len(await uow.backfills.existing(matched))
        if page.last is None:
            break
        after = page.last
    return found


async def backfill_chunk(
    uow: UnitOfWork, job: Job, chosen: BackfillParameters, *, deliveries_kept_s: float, limit: int, per_s: float
) -> Chunk:
    """
    Make the deliveries of the next *limit* events, due one after the other at *per_s*.

    A chunk ends before an event with a fan-out yet to reach the webhook; the job goes on when it has.
    """
    try:
        # Locks the lane, so that two backfills and a resend take turns, and no claim sees a part.
        webhook = await uow.webhooks.get(chosen.webhook_id)
    except NotFound:
        return Chunk(0, job.cursor, more=False)
    now = await uow.queue.clock()
    lower, before = id_range(chosen, now, deliveries_kept_s)
    after = lower if job.cursor is None else max(job.cursor, lower)
    page = await uow.backfills.examine(webhook.event_types, after=after, before=before, limit=limit)
    # After the events: a fan-out that is done by now has made its deliveries, and those are seen next.
    unreached = await uow.backfills.first_unreached(webhook)
    events = [event for event in page.events if unreached is None or event.id < unreached]
    matched = matching(events, [subscription_of(webhook)])
    existing = await uow.backfills.existing(matched)
    missing = [one for one in matched if (one.event_id, one.webhook_id) not in existing]
    if missing:
        # Each chunk follows the one before at the same pace, however fast the chunks are made.
        ahead_s = max(job.done / per_s - (now - job.created_at).total_seconds(), 0.0)
        waits_s = [ahead_s + i / per_s for i in range(len(missing))]
        await uow.backfills.add(numbered(missing, job.id, now, job.done), waits_s)
    ids = [event.id for event in events]
    is_held_up = len(events) < len(page.events)
    if page.last is not None and not is_held_up:
        return Chunk(len(missing), page.last, more=True)
    # What is not old enough yet is looked at later.
    is_over = before == id_floor(chosen.to_at) and not is_held_up
    return Chunk(len(missing), ids[-1] if ids else job.cursor, more=not is_over)
