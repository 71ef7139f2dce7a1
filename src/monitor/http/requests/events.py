"""What a request publishes: one event, or a batch."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from monitor.domain.delivery.order import OrderKey
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.services.publish import MAX_BATCH, Accepted, EventIn, Publisher, PublishResult
from monitor.domain.vocab import Actor
from monitor.domain.webhooks.registration import Labels


class EventBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """1 to 1,000 events: all are accepted, or none."""

    events: Annotated[list[EventIn], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class PublishRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The members of an :class:`EventIn`, or those of an :class:`EventBatch`: msgspec reads no union of the two."""

    type: str | UnsetType = UNSET
    payload: msgspec.Raw | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    occurred_at: datetime | UnsetType | None = UNSET
    order_key: OrderKey | UnsetType | None = UNSET
    events: Annotated[list[EventIn], msgspec.Meta(min_length=1, max_length=MAX_BATCH)] | UnsetType = UNSET

    def single(self) -> EventIn | None:
        """Return the one event, or ``None`` for a batch. Raises ``Invalid`` if it is both or neither."""
        if self.events is not UNSET:
            single = (self.type, self.payload, self.labels, self.occurred_at, self.order_key)
            if any(member is not UNSET for member in single):
                raise Invalid("Give one event or a list of events, not both.")
            return None
        if self.type is UNSET or self.payload is UNSET:
            name = "type" if self.type is UNSET else "payload"
            raise Invalid(f"The event lacks {name}.", errors=(FieldError(f"/{name}", "Give it."),))
        return EventIn(
            type=self.type,
            payload=self.payload,
            labels=self.labels or {},
            occurred_at=self.occurred_at or None,
            order_key=self.order_key or None,
        )


async def publish(
    publisher: Publisher,
    request: PublishRequest,
    actor: Actor,
    *,
    key: str | None,
    body: bytes,
    traceparent: str | None,
) -> Accepted | PublishResult:
    """Publish what *request* holds, decoded from *body*. Raises what :meth:`Publisher.publish` raises."""
    single = request.single()
    events = [single] if single is not None else request.events or []
    answer = await publisher.publish(events, actor, key=key, body=body, traceparent=traceparent)
    return answer if single is None else answer.events[0]
