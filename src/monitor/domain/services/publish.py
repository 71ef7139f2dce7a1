"""Accept events: store, fan out and keep the response for repeats, all in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.event_types import EVENT_TYPE, is_event_type, is_reserved
from monitor.domain.delivery.fan_out import REQUEST_MAX, NewEvent
from monitor.domain.delivery.order import ALERT_KEYS, OrderKey, is_alert_key
from monitor.domain.delivery.trace_context import read_traceparent
from monitor.domain.errors import FieldError, Invalid, Unavailable
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.idempotency import KeyedCall
from monitor.domain.ports.tracing import Tracing
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.fan_outs import RequestFanOut, add_requests, request_fan_outs
from monitor.domain.services.group_commit import GroupCommit
from monitor.domain.services.idempotency import store_responses, stored_responses
from monitor.domain.text import label_errors
from monitor.domain.vocab import Actor, FanOutState
from monitor.domain.webhooks.registration import MAX_LABELS, Labels

MAX_BATCH = REQUEST_MAX

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
"""Between these, every time exists in UTC whatever its offset."""


class EventIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event to deliver.

    ``payload`` is any JSON and is delivered byte for byte as it stands in the request. ``occurred_at`` defaults to
    the time of acceptance.
    """

    type: Annotated[str, Meta(extra_json_schema=EVENT_TYPE)]
    payload: msgspec.Raw
    labels: Annotated[Labels, Meta(extra_json_schema={"maxProperties": MAX_LABELS})] = {}
    occurred_at: datetime | None = None
    order_key: OrderKey | None = None


class Accepted(msgspec.Struct, frozen=True):
    """One stored event. ``deliveries`` is how many it has by now: all, if ``fan_out`` is ``done``."""

    id: UUID
    type: str
    deliveries: int
    fan_out: FanOutState = FanOutState.DONE


class PublishResult(msgspec.Struct, frozen=True):
    """In the order of the request."""

    events: list[Accepted]


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one request, 1 to 1,000. ``call`` has its Idempotency-Key."""

    events: Sequence[EventIn]
    call: KeyedCall | None = None
    traceparent: str | None = None

    @property
    def rows(self) -> int:
        return len(self.events)

    @property
    def size_bytes(self) -> int:
        return sum(len(memoryview(event.payload)) for event in self.events)

    @property
    def exclusive_key(self) -> tuple[str, str] | None:
        return None if self.call is None else (self.call.scope, self.call.key)


class Publisher:
    """Stores events with their deliveries; concurrent requests share a transaction. Safe to repeat with an
    Idempotency-Key."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock, tracing: Tracing | None = None) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._tracing = tracing
        self._group = GroupCommit[Publication, PublishResult](self._commit)

    async def publish(
        self,
        events: Sequence[EventIn],
        actor: Actor,
        *,
        key: str | None = None,
        body: bytes = b"",
        traceparent: str | None = None,
    ) -> PublishResult:
        """
        Accept *events*, 1 to 1,000. When this returns, all are committed.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.
            traceparent: as received; one that breaks the format is left out.

        Raises:
            Invalid: an event breaks a rule; nothing is stored.
            IdempotencyMismatch: *key* came with another body.
        """
        _check(events)
        call = None if key is None else KeyedCall(f"{actor.subject} events", key, body)
        received = read_traceparent(traceparent)
        if self._tracing is None:
            return await self._group.run(Publication(events=events, call=call, traceparent=received))
        with self._tracing.publish(received) as span:
            result = await self._group.run(Publication(events=events, call=call, traceparent=span.traceparent))
            span.published([event.id for event in result.events])
        return result

    async def _commit(self, publications: Sequence[Publication]) -> list[PublishResult | Exception]:
        """Commit *publications* in one transaction, or in halves if one makes it fail. Returns a result or an
        error for each of the first ones, at least one."""
        try:
            return await self._commit_together(publications)
        except Unavailable as error:
            return [error] * len(publications)
        except Exception as error:  # noqa: BLE001 - only its caller raises it
            if len(publications) == 1:
                return [error]
        half = len(publications) // 2
        first = await self._commit(publications[:half])
        # Those behind the first one that was left wait with it.
        return first if len(first) < half else [*first, *await self._commit(publications[half:])]

    async def _commit_together(self, publications: Sequence[Publication]) -> list[PublishResult | Exception]:
        async with self._unit_of_work() as uow:
            fan_outs = await request_fan_outs(uow, [self._new_events(one, uow.now) for one in publications])
            calls = [one.call for one in publications[: len(fan_outs)]]
            stored = await stored_responses(uow, calls, PublishResult)
            results: list[PublishResult | Exception] = [
                _result(fan_out) if response is None else response
                for fan_out, response in zip(fan_outs, stored, strict=True)
            ]
            new = [index for index, response in enumerate(stored) if response is None]
            if new:
                await add_requests(uow, [fan_outs[index] for index in new])
                await store_responses(uow, [(calls[index], results[index]) for index in new])
                await uow.commit()
        return results

    def _new_events(self, publication: Publication, now: datetime) -> list[NewEvent]:
        return [_stored(event, self._clock.new_id(), now, publication.traceparent) for event in publication.events]


def _stored(event: EventIn, id_: UUID, now: datetime, traceparent: str | None) -> NewEvent:
    return NewEvent(
        id=id_,
        type=event.type,
        payload=bytes(event.payload),
        labels=event.labels,
        occurred_at=event.occurred_at or now,
        order_key=event.order_key,
        traceparent=traceparent,
    )


def _result(fan_out: RequestFanOut) -> PublishResult:
    counts = fan_out.counts()
    if counts is None:
        return PublishResult([Accepted(event.id, event.type, 0, FanOutState.RUNNING) for event in fan_out.events])
    return PublishResult([Accepted(event.id, event.type, counts[event.id]) for event in fan_out.events])


def _check(events: Sequence[EventIn]) -> None:
    if not 1 <= len(events) <= MAX_BATCH:
        raise Invalid(f"Post 1 to {MAX_BATCH} events at once.", errors=(FieldError("/events", "Split the batch."),))
    errors = [error for i, event in enumerate(events) for error in _event_errors(event, f"/events/{i}")]
    if errors:
        raise Invalid("An event breaks a rule, so none was accepted; see errors.", errors=tuple(errors[:20]))


def _event_errors(event: EventIn, pointer: str) -> list[FieldError]:
    errors = []
    if not is_event_type(event.type):
        errors.append(
            FieldError(f"{pointer}/type", "Use segments of letters, digits, _ and -, joined by dots: order.paid.")
        )
    elif is_reserved(event.type):
        errors.append(FieldError(f"{pointer}/type", "Use another first segment: monitor.* are Monitor's own events."))
    if len(event.labels) > MAX_LABELS:
        errors.append(FieldError(f"{pointer}/labels", f"Use at most {MAX_LABELS} labels."))
    errors += label_errors(f"{pointer}/labels", event.labels)
    if is_alert_key(event.order_key):
        errors.append(FieldError(f"{pointer}/order_key", f"Use another key: {ALERT_KEYS}… are those of alerts."))
    if event.occurred_at is not None and not is_instant(event.occurred_at):
        errors.append(FieldError(f"{pointer}/occurred_at", "Give an RFC 3339 time with its offset."))
    return errors


def is_instant(at: datetime) -> bool:
    """Whether *at* has an offset and exists in UTC, so that it can be stored."""
    return at.tzinfo is not None and EARLIEST <= at <= LATEST
