"""Attempts without a delivery: reported by an outside sender, or pings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.alerts.links import with_links
from monitor.domain.alerts.notification import sample_notification
from monitor.domain.anomaly.tally import tally_of
from monitor.domain.delivery.answers import read_answer
from monitor.domain.delivery.lane import LanePolicy, accumulate, attempt_end, catch_up, record_attempt
from monitor.domain.delivery.lateness import as_sent
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.ping import PING_TYPE, ping_payload
from monitor.domain.errors import Conflict, FieldError, Invalid, NotFound, UnreadableRow
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.ports.sender import WebhookSender
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.idempotency import store_response, stored_response
from monitor.domain.services.settle import minute_rollups, status_changes
from monitor.domain.text import LINE, text_errors
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.vocab import Actor, ErrorKind
from monitor.domain.webhooks.outbound import outbound_request
from monitor.domain.webhooks.secret_mask import SecretMask
from monitor.domain.webhooks.signed_request import AsymmetricSigner

MAX_REPORTED = 1000
OLDEST = timedelta(days=1)
NEWEST = timedelta(minutes=5)
"""How far a reported time may lie behind and ahead of the database's."""

LONGEST_PING = timedelta(minutes=1)
"""Twice the longest timeout of an attempt: a call whose process died does not hold its Idempotency-Key longer."""


class ReportedAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attempt that an outside sender made. Give ``status_code`` if an answer came, else ``error``: one of
    ``dns``, ``connect``, ``tls``, ``timeout``, ``reset``, ``protocol`` or ``other``."""

    delivered_at: datetime
    latency_ms: Annotated[float, Meta(ge=0, le=86_400_000)]
    status_code: Annotated[int, Meta(ge=100, le=999)] | None = None
    error: ErrorKind | None = None
    event_id: UUID | None = None
    event_type: Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema=LINE)] | None = None


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
        Store 1 to 1,000 attempts; they count for health and rollups like Monitor's own, but not for the breaker,
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
            _check(reported, uow.now)
            lane = (await uow.queue.lock_lanes([webhook_id])).get(webhook_id)
            if lane is None:
                # Its webhook says whether there is none; else it is the lane that this version cannot read.
                await uow.webhooks.read(webhook_id)
                raise UnreadableRow("Another version of Monitor wrote the state of this webhook; nothing was stored.")
            if lane.deleted:
                raise NotFound("There is no webhook with this id.")
            # A reported time may lie ahead of the clock: stored as it is, all attempts until then would end before it.
            ended = sorted(
                (attempt_end(attempt.delivered_at, attempt.latency_ms, uow.now), n)
                for n, attempt in enumerate(reported)
            )
            pairs = [(reported[n], _outcome(reported[n])) for _, n in ended]
            await uow.attempts.add(
                [
                    AttemptRecord(
                        id=self._clock.new_id(attempt.delivered_at),
                        webhook_id=webhook_id,
                        outcome=outcome,
                        kind="reported",
                        event_id=attempt.event_id,
                        event_type=attempt.event_type,
                    )
                    for attempt, outcome in pairs
                ]
            )
            minutes = minute_rollups((webhook_id, a.delivered_at, o) for a, o in pairs)
            await uow.attempts.add_minutes(minutes)
            if lane.uncounted:
                await uow.attempts.add_silenced(minutes)
            before = lane
            made = [(outcome, at) for (_, outcome), (at, _) in zip(pairs, ended, strict=True)]
            window = self._policy.health.window
            lane = catch_up(lane, made[:-window], self._policy)
            for outcome, at in made[-window:]:
                lane = record_attempt(lane, outcome, at, uow.now, self._policy)
            tally = tally_of((outcome.ok, outcome.latency_ms) for outcome, _ in made if not outcome.throttled)
            lane = msgspec.structs.replace(lane, breaker=before.breaker, throttled_until=before.throttled_until)
            lane = accumulate(before, lane, tally, uow.now)
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
            sample_alert: send a notification of an alert, which says that it is a sample, in place of a ping.

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


def _outcome(attempt: ReportedAttempt) -> Outcome:
    failed = attempt.status_code is not None and not 200 <= attempt.status_code < 300
    error = attempt.error if attempt.error is not None else (ErrorKind.STATUS if failed else None)
    return Outcome(latency_ms=attempt.latency_ms, status_code=attempt.status_code, error=error)


def _check(reported: Sequence[ReportedAttempt], now: datetime) -> None:
    if not 1 <= len(reported) <= MAX_REPORTED:
        raise Invalid(
            f"Report 1 to {MAX_REPORTED} attempts at once.", errors=(FieldError("/attempts", "Split the report."),)
        )
    errors: list[FieldError] = []
    for i, attempt in enumerate(reported):
        if (attempt.status_code is None) == (attempt.error is None):
            errors.append(FieldError(f"/attempts/{i}", "Give either status_code or error."))
        errors += text_errors(f"/attempts/{i}/event_type", attempt.event_type)
        at = attempt.delivered_at
        if at.tzinfo is None or not now - OLDEST <= at <= now + NEWEST:
            errors.append(
                FieldError(f"/attempts/{i}/delivered_at", "Give an RFC 3339 time with offset, at most a day old.")
            )
    if errors:
        raise Invalid("An attempt breaks a rule, so none was stored; see errors.", errors=tuple(errors[:20]))
