"""Attempts without a delivery: reported by an outside sender, or pings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from monitor.domain.alerts.links import with_links
from monitor.domain.alerts.notification import sample_notification
from monitor.domain.delivery.answers import read_answer
from monitor.domain.delivery.lane import LanePolicy, accumulate, catch_up, lasting, record_attempt
from monitor.domain.delivery.lateness import as_sent
from monitor.domain.delivery.ping import PING_TYPE, ping_payload
from monitor.domain.delivery.reported import ReportedAttempt, columns_of
from monitor.domain.errors import Conflict, NotFound, UnreadableRow
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from monitor.domain.ports.sender import WebhookSender
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.idempotency import store_response, stored_response
from monitor.domain.services.settle import status_changes
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.vocab import Actor
from monitor.domain.webhooks.outbound import outbound_request
from monitor.domain.webhooks.secret_mask import SecretMask
from monitor.domain.webhooks.signed_request import AsymmetricSigner

LONGEST_PING = timedelta(minutes=1)
"""Twice the longest timeout of an attempt: a call of a process that died does not hold its Idempotency-Key longer."""


class Recorded(msgspec.Struct, frozen=True):
    """How many attempts were stored."""

    recorded: int


class _Ping(msgspec.Struct, frozen=True):
    """What is stored of a ping with an Idempotency-Key: when it began, and its attempt once it was made."""

    began_at: datetime
    attempt: AttemptView | None = None


class AttemptRecorder:
    """Records attempts without a delivery."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        sender: WebhookSender,
        clock: Clock,
        sign_v1a: AsymmetricSigner,
        policy: LanePolicy,
        page: str | None = None,
    ) -> None:
        """*page* is the URL of the page, to which the sample of a notification links."""
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._sender = sender
        self._clock = clock
        self._sign_v1a = sign_v1a
        self._policy = policy
        self._page = page

    async def report(
        self,
        webhook_id: UUID,
        reported: Sequence[ReportedAttempt],
        actor: Actor,
        *,
        key: str | None = None,
        body: bytes = b"",
    ) -> Recorded:
        """
        Store 1 to 1,000 attempts; these count for health and rollups like Monitor's own, but not for the breaker,
        and hold nothing back.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            Invalid: one breaks a rule; none is stored then.
            NotFound: there is no such webhook.
            IdempotencyMismatch: *key* came with another body.
        """
        scope, recorded = f"{actor.subject} attempts {webhook_id}", Recorded(len(reported))
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, Recorded):
                return done
            columns = columns_of(reported, uow.now)
            lane = (await uow.queue.lock_lanes([webhook_id])).get(webhook_id)
            if lane is None:
                # Its webhook shows whether there is none; else it is the lane that this version cannot read.
                await uow.webhooks.read(webhook_id)
                raise UnreadableRow("Another version of Monitor wrote the state of this webhook; nothing was stored.")
            if lane.deleted:
                raise NotFound("There is no webhook with this id.")
            ids = self._clock.new_ids([started_us // 1_000 for started_us in columns.started_us])
            await uow.attempts.add_reported(webhook_id, ids, columns)
            by_minute = columns.minutes()
            minutes = [MinuteRollup(webhook_id, at, rollup) for at, rollup in by_minute]
            await uow.attempts.add_minutes(minutes)
            if lane.uncounted:
                await uow.attempts.add_silenced(minutes)
            before, window = lane, self._policy.health.window
            ends_s = [ended_us / 1_000_000 for ended_us in columns.ended_us]
            made = [columns.made(n) for n in lasting(lane, columns.labels, ends_s, self._policy)]
            lane = catch_up(lane, made[:-window], self._policy)
            for outcome, at in made[-window:]:
                lane = record_attempt(lane, outcome, at, uow.now, self._policy)
            lane = msgspec.structs.replace(lane, breaker=before.breaker, throttled_until=before.throttled_until)
            lane = accumulate(before, lane, columns.tally(by_minute), uow.now)
            uow.record(*status_changes({webhook_id: before}, [lane], uow.now))
            await uow.queue.save_lanes([lane])
            await uow.audit.add(
                actor, "attempts.report", f"webhook:{webhook_id}", before=None, after={"recorded": recorded.recorded}
            )
            await store_response(uow, scope, key, recorded)
            await uow.commit()
        return recorded

    async def ping(
        self,
        webhook_id: UUID,
        actor: Actor,
        *,
        key: str | None = None,
        body: bytes = b"",
        sample_alert: bool = False,
    ) -> AttemptView:
        """
        Send a signed test message now, also to a paused or disabled webhook, and return the attempt.

        It is stored in the attempt log but counts neither for health nor for rollups.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.
            sample_alert: send a notification of an alert, marked as a sample, in place of a ping.

        Raises:
            NotFound: there is no such webhook.
            UnreadableRow: its secrets do not open.
            Conflict: the first call with *key* is under way.
            IdempotencyMismatch: *key* came with another body.
        """
        scope = f"{actor.subject} {'sample' if sample_alert else 'test'} {webhook_id}"
        if key is not None and (made := await self._begin_ping(webhook_id, scope, key, body)):
            return made
        _, record, at = await self.send_ping(webhook_id, sample_alert=sample_alert)
        view = attempt_view(record, at, with_exchange=True)
        async with self._unit_of_work() as uow:
            await uow.attempts.add([record])
            await uow.audit.add(
                actor, "webhook.test", f"webhook:{webhook_id}", before=None, after={"outcome": record.outcome.label}
            )
            await store_response(uow, scope, key, _Ping(at, view))
            await uow.commit()
        return view

    async def _begin_ping(self, webhook_id: UUID, scope: str, key: str, body: bytes) -> AttemptView | None:
        """Return the attempt of an earlier call, or store that one begins: no transaction is open while it is sent."""
        async with self._unit_of_work() as uow:
            earlier = await stored_response(uow, scope, key, body, _Ping)
            if earlier is None or (earlier.attempt is None and uow.now - earlier.began_at > LONGEST_PING):
                await uow.webhooks.read(webhook_id)
                await store_response(uow, scope, key, _Ping(uow.now))
                await uow.commit()
                return None
        if earlier.attempt is None:
            raise Conflict("The first call with this Idempotency-Key is under way; repeat in a moment.")
        return earlier.attempt

    async def send_ping(self, webhook_id: UUID, *, sample_alert: bool = False) -> tuple[int, AttemptRecord, datetime]:
        """
        Send a signed test message now and store nothing.

        Returns:
            The version of the webhook that it was sent with, the attempt to store, and when it began.

        Raises:
            NotFound: there is no such webhook.
            UnreadableRow: its secrets do not open.
        """
        found = (await self._queries.destinations([webhook_id])).get(webhook_id)
        if found is None:
            await self._queries.webhook(webhook_id)
            raise UnreadableRow(
                "The secrets or headers of this webhook cannot be opened here: MONITOR_SECRETS__KEYS lacks their key,"
                " or another version of Monitor wrote them."
            )
        version, destination = found
        at = self._clock.now()
        attempt_id = self._clock.new_id(at)
        type_, payload = PING_TYPE, ping_payload(webhook_id, attempt_id)
        if sample_alert:
            sample = sample_notification(self._clock.new_id(at), webhook_id, at)
            type_, payload = sample.type, with_links(sample.payload, self._page)
        payload = as_sent(type_, payload, at)
        outcome = await self._sender.send(
            outbound_request(
                destination,
                webhook_id=webhook_id,
                message_id=str(attempt_id),
                event_type=type_,
                payload=payload,
                at=at,
                sign_v1a=self._sign_v1a,
            )
        )
        outcome, exchange = SecretMask(destination).kept(read_answer(destination.body_format, outcome))
        record = AttemptRecord(
            id=attempt_id, webhook_id=webhook_id, outcome=outcome, kind="test", event_type=type_, exchange=exchange
        )
        return version, record, at


def attempt_view(record: AttemptRecord, at: datetime, *, with_exchange: bool = False) -> AttemptView:
    """Return the view of *record*, which started at *at*."""
    outcome = record.outcome
    return AttemptView(
        id=record.id,
        webhook_id=record.webhook_id,
        kind=record.kind,
        delivery_id=record.delivery_id,
        event_id=record.event_id,
        event_type=record.event_type,
        number=record.number,
        ok=outcome.ok,
        status_code=outcome.status_code,
        error=outcome.error,
        error_detail=outcome.error_detail,
        latency_ms=round(outcome.latency_ms, 3),
        phases=outcome.phases,
        response_body=outcome.response_body.decode(errors="replace") or None,
        at=at,
        exchange=record.exchange if with_exchange else msgspec.UNSET,
    )
