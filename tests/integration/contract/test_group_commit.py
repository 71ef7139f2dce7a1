"""Whatever requests come at once, each is answered and stored as if it had come alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monitor.adapters.postgres.repositories.events import PostgresEventLog
from monitor.domain.delivery.fan_out import NewDelivery, NewEvent
from monitor.domain.errors import IdempotencyMismatch, Invalid
from monitor.domain.ports.queries.resources import EventFilter
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.domain.services.publish import EventIn, Publisher, PublishResult
from tests import samples
from tests.fakes.postgres.repositories.events import FakeEventLog
from tests.integration.contract.world import World

POISON = b'"poison"'
PAYLOADS = (b"1", b"2", b"3", POISON)
REQUESTS = 60


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the database refuse an event, in the middle of the transaction that adds it."""
    log: Any
    for log in (FakeEventLog, PostgresEventLog):
        monkeypatch.setattr(log, "add", _refusing(log.add))


def _refusing(add: Any) -> Any:
    async def refusing(self: Any, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        await add(self, events, deliveries)
        if any(event.payload == POISON for event in events):
            raise DataRejected

    return refusing


@pytest.mark.parametrize("seed", range(4))
async def test_requests_at_once_are_answered_and_stored_as_one_by_one(world: World, seed: int) -> None:
    """
    Every unkeyed request is stored, but for what breaks a rule. Of those with one key, the good ones of one body have
    one answer, and those of another body are refused. What is stored is what was answered.
    """
    for _ in range(2):
        await world.add_webhook(event_types=("a.*",))
    dice = random.Random(seed)
    publisher = Publisher(world.unit_of_work, world.clock)
    requests = [
        (dice.choice(("a.b", "c", "not a type")), dice.choice(PAYLOADS), dice.choice((None, None, "k", "l", "m")))
        for _ in range(REQUESTS)
    ]
    found = await asyncio.gather(
        *(
            publisher.publish([EventIn(type=type_, payload=msgspec.Raw(payload))], samples.ACTOR, key=key, body=body)
            for type_, payload, key in requests
            for body in (type_.encode() + payload,)
        ),
        return_exceptions=True,
    )
    stored: dict[UUID, tuple[str, int]] = {}
    winners: dict[str, set[tuple[str, bytes, UUID]]] = {}
    for (type_, payload, key), result in zip(requests, found, strict=True):
        if isinstance(result, PublishResult):
            (event,) = result.events
            assert (event.type, event.deliveries) == (type_, 2 if type_ == "a.b" else 0)
            stored[event.id] = (event.type, event.deliveries)
            if key is not None:
                winners.setdefault(key, set()).add((type_, payload, event.id))
        else:
            expected = Invalid if type_ == "not a type" else DataRejected if payload == POISON else IdempotencyMismatch
            assert isinstance(result, expected) or (key is not None and isinstance(result, IdempotencyMismatch))
    assert all(len(one) == 1 for one in winners.values())
    assert await events_of(world) == stored


async def events_of(world: World) -> dict[UUID, tuple[str, int]]:
    page = await world.queries.events(EventFilter(), after=None, limit=2 * REQUESTS)
    return {event.id: (event.type, counted(event.deliveries)) for event in page.rows}


def counted(counts: object) -> int:
    assert isinstance(counts, msgspec.Struct)
    # The last member says whether these are all.
    return sum(msgspec.structs.astuple(counts)[:-1])
