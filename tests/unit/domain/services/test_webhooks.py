"""What people do to webhooks and deliveries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.lane import Lane
from monitor.domain.errors import Conflict, IdempotencyMismatch, Invalid, NotFound, StalePrecondition, UrlRefused
from monitor.domain.events import WebhookCreated, WebhookDeleted, WebhookStatusChanged, WebhookUpdated
from monitor.domain.monitoring.health import Health
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.webhooks import MAX_SECRETS, WebhookCommands
from monitor.domain.vocab import DeliveryState, HealthStatus, SignatureScheme
from monitor.domain.webhooks.registration import WebhookSpec
from monitor.domain.webhooks.signatures import encode_secret
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries

SPEC = WebhookSpec(name="Orders", url="https://Orders.example/hook", headers={"X-Team": "blue"})


class FakeSigning:
    """Keys that can be told apart: the first is all ones."""

    def __init__(self) -> None:
        self._made = 0

    def new_key(self, scheme: SignatureScheme) -> tuple[bytes, str]:
        self._made += 1
        return bytes([self._made]) * 32, f"secret-{scheme}-{self._made}"

    def shown(self, scheme: SignatureScheme, key: bytes) -> str:
        return f"shown-{scheme}-{len(key)}"


def canonical(url: str) -> str:
    if "internal" in url:
        raise UrlRefused("This address is not public.", reason="ip_not_public")
    return url.lower()


def any_version(_version: int) -> None:
    """Accept whatever is stored."""


def stale(version: int) -> None:
    raise StalePrecondition(f"It is at version {version}.")


def as_spec(patched: object) -> WebhookSpec:
    return msgspec.convert(patched, WebhookSpec)


@pytest.fixture
def registry(unit_of_work: UnitOfWorkFactory, queries: FakeQueries, clock: FakeClock) -> WebhookCommands:
    return WebhookCommands(unit_of_work, queries, clock, FakeSigning(), canonical)


@pytest.fixture
async def webhook_id(registry: WebhookCommands, database: FakeDatabase) -> UUID:
    """A webhook whose creation is not in the audit log."""
    created = (await registry.create(SPEC, samples.ACTOR)).id
    database.tables.audit.clear()
    return created


@pytest.fixture
def actions(database: FakeDatabase) -> Callable[[], list[str]]:
    return lambda: [row.action for row in database.tables.audit.values()]


# ------------------------------------------------------------------------------------------------------------- webhooks


async def test_every_change_of_a_webhook_is_a_fact(registry: WebhookCommands, database: FakeDatabase) -> None:
    webhook_id = (await registry.create(SPEC, samples.ACTOR)).id
    await registry.patch(webhook_id, {"name": "New"}, samples.ACTOR, require=any_version, read=as_spec)
    await registry.pause(webhook_id, samples.ACTOR)
    await registry.resume(webhook_id, samples.ACTOR)
    await registry.rotate_secret(webhook_id, samples.ACTOR)
    await registry.remove(webhook_id, samples.ACTOR, require=any_version)
    assert database.domain_events == [
        WebhookCreated(webhook_id),
        *[WebhookUpdated(webhook_id)] * 4,
        WebhookDeleted(webhook_id),
    ]


async def test_a_new_webhook_shows_its_secret_once(
    registry: WebhookCommands, queries: FakeQueries, actions: Callable[[], list[str]], database: FakeDatabase
) -> None:
    view = await registry.create(SPEC, samples.ACTOR)
    assert view.secret == "secret-v1-1"
    assert view.url == "https://orders.example/hook"
    again = await queries.webhook(view.id)
    assert again.secret is msgspec.UNSET
    assert actions() == ["webhook.create"]
    assert b"secret" not in msgspec.json.encode(list(database.tables.audit.values()))
    assert b"blue" not in msgspec.json.encode(list(database.tables.audit.values()))


async def test_a_repeated_creation_answers_the_same_webhook_with_its_secret(
    registry: WebhookCommands, database: FakeDatabase
) -> None:
    first = await registry.create(SPEC, samples.ACTOR, key="k", body=b"one")
    assert await registry.create(SPEC, samples.ACTOR, key="k", body=b"one") == first
    assert len(database.tables.webhooks) == 1
    with pytest.raises(IdempotencyMismatch):
        await registry.create(SPEC, samples.ACTOR, key="k", body=b"two")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"event_types": ["?"]}, Invalid),
        ({"url": "https://internal/"}, UrlRefused),
        ({"headers": {"X": "***"}}, Invalid),
    ],
)
async def test_a_bad_description_creates_nothing(
    registry: WebhookCommands, database: FakeDatabase, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await registry.create(replace(SPEC, **changes), samples.ACTOR)
    assert database.tables.webhooks == {}


async def test_a_replacement_keeps_masked_headers_and_moves_the_version(
    registry: WebhookCommands, database: FakeDatabase, webhook_id: UUID
) -> None:
    wanted = replace(SPEC, name="Refunds", headers={"X-Team": "***", "X-Env": "test"})
    view = await registry.replace(webhook_id, wanted, samples.ACTOR, require=any_version)
    assert (view.name, view.version) == ("Refunds", 2)
    assert database.tables.webhooks[webhook_id].headers == {"X-Team": "blue", "X-Env": "test"}
    [row] = database.tables.audit.values()
    assert row.action == "webhook.update"
    assert row.before is not None
    assert row.after is not None
    assert (row.before["name"], row.after["name"]) == ("Orders", "Refunds")


CHAT = "https://hooks.slack.com/services/T0/B0/abcdefghijklmnopqrstuvwx"


@pytest.mark.parametrize(
    ("changes", "hidden"),
    [
        ({"url": CHAT.replace("abc", "xyz")}, ["url"]),
        ({"headers": {"X-Team": "green"}}, ["headers"]),
        ({"url": CHAT.replace("abc", "xyz"), "headers": {"X-Team": "green"}}, ["url", "headers"]),
        ({"url": "https://example.com/x", "headers": {"X-Team": None}}, None),
        ({"name": "Refunds"}, None),
        ({"headers": {"X-Env": "test"}}, None),
    ],
)
async def test_the_audit_row_names_changes_that_masks_hide(
    registry: WebhookCommands, database: FakeDatabase, changes: dict[str, Any], hidden: list[str] | None
) -> None:
    created = await registry.create(replace(SPEC, url=CHAT), samples.ACTOR)
    database.tables.audit.clear()
    await registry.patch(created.id, changes, samples.ACTOR, require=any_version, read=as_spec)
    [row] = database.tables.audit.values()
    assert row.before is not None
    assert row.after is not None
    assert "hidden_changes" not in row.before
    assert row.after.get("hidden_changes") == hidden
    assert "xyz" not in str(row)


async def test_a_patch_changes_what_it_names(registry: WebhookCommands, webhook_id: UUID) -> None:
    view = await registry.patch(
        webhook_id, {"labels": {"team": "blue"}}, samples.ACTOR, require=any_version, read=as_spec
    )
    assert (view.name, view.labels, list(view.headers)) == ("Orders", {"team": "blue"}, ["X-Team"])
    with pytest.raises(msgspec.ValidationError):
        await registry.patch(webhook_id, {"timeout_s": 31}, samples.ACTOR, require=any_version, read=as_spec)


async def test_a_stale_change_changes_nothing(
    registry: WebhookCommands, webhook_id: UUID, queries: FakeQueries, actions: Callable[[], list[str]]
) -> None:
    before = await queries.webhook(webhook_id)
    for call in (
        registry.replace(webhook_id, SPEC, samples.ACTOR, require=stale),
        registry.patch(webhook_id, {"name": "x"}, samples.ACTOR, require=stale, read=as_spec),
        registry.remove(webhook_id, samples.ACTOR, require=stale),
    ):
        with pytest.raises(StalePrecondition):
            await call
    assert await queries.webhook(webhook_id) == before
    assert actions() == []


async def test_the_signature_scheme_of_a_webhook_is_fixed(registry: WebhookCommands, webhook_id: UUID) -> None:
    with pytest.raises(Conflict):
        await registry.patch(webhook_id, {"signature": "v1a"}, samples.ACTOR, require=any_version, read=as_spec)


async def test_a_webhook_enabled_again_gets_five_new_days_and_a_closed_circuit(
    registry: WebhookCommands, webhook_id: UUID, database: FakeDatabase
) -> None:
    shut = Breaker(BreakerState.OPEN, START + timedelta(minutes=10), 9)
    failing = Lane(webhook_id=webhook_id, failing_since=START - timedelta(days=6), recent=("503",), breaker=shut)
    database.tables.lanes[webhook_id] = failing
    await registry.patch(webhook_id, {"enabled": False}, samples.ACTOR, require=any_version, read=as_spec)
    assert database.tables.lanes[webhook_id].failing_since == failing.failing_since
    await registry.patch(webhook_id, {"enabled": True}, samples.ACTOR, require=any_version, read=as_spec)
    lane = database.tables.lanes[webhook_id]
    assert (lane.failing_since, lane.recent, lane.breaker) == (None, ("503",), Breaker())
    # What waited meanwhile is released at a bounded rate.
    assert lane.resumed_at == lane.release_at == START


async def test_a_webhook_with_another_url_starts_with_a_closed_breaker_and_no_health(
    registry: WebhookCommands, webhook_id: UUID, database: FakeDatabase
) -> None:
    shut = Breaker(BreakerState.OPEN, START + timedelta(minutes=10), 9)
    health = Health(HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: HTTP 503.", 0.9, START)
    failing = Lane(webhook_id=webhook_id, failing_since=START, recent=("503",) * 5, breaker=shut, health=health)
    database.tables.lanes[webhook_id] = failing
    database.domain_events.clear()
    await registry.patch(webhook_id, {"name": "Bills"}, samples.ACTOR, require=any_version, read=as_spec)
    assert database.tables.lanes[webhook_id] == failing
    changes = {"url": "https://new.example/hook", "headers": {"X-Team": "green"}}
    await registry.patch(webhook_id, changes, samples.ACTOR, require=any_version, read=as_spec)
    lane = database.tables.lanes[webhook_id]
    assert (lane.failing_since, lane.recent, lane.breaker) == (None, (), Breaker())
    assert (lane.health.status, lane.health.changed_at) == (HealthStatus.UNKNOWN, START)
    assert lane.evaluate_at == START
    changed = [event for event in database.domain_events if isinstance(event, WebhookStatusChanged)]
    assert [event.status for event in changed] == [HealthStatus.UNKNOWN]


async def test_a_removed_webhook_is_gone(
    registry: WebhookCommands,
    webhook_id: UUID,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    await samples.add_deliveries(unit_of_work, clock, webhook_id, 2)
    await registry.remove(webhook_id, samples.ACTOR, require=any_version)
    [row] = database.tables.audit.values()
    assert (row.action, row.after) == ("webhook.delete", {"cancelled_deliveries": 2})
    with pytest.raises(NotFound):
        await registry.remove(webhook_id, samples.ACTOR, require=any_version)


async def test_a_rotated_secret_leaves_the_old_one_its_overlap(
    registry: WebhookCommands, webhook_id: UUID, queries: FakeQueries, clock: FakeClock
) -> None:
    view = await registry.rotate_secret(webhook_id, samples.ACTOR)
    assert view.secret == "secret-v1-2"
    assert view.previous_expires_at == clock.now() + timedelta(days=1)

    async def live_keys() -> list[int]:
        _, destination = (await queries.destinations([webhook_id]))[webhook_id]
        return [key[0] for key in destination.keys]

    assert await live_keys() == [2, 1]
    clock.advance(86_400)
    assert await live_keys() == [2]


async def test_a_secret_of_ones_own_signs_and_five_are_the_most(registry: WebhookCommands, webhook_id: UUID) -> None:
    own = encode_secret(bytes(24))
    for _ in range(MAX_SECRETS - 1):
        rotated = await registry.rotate_secret(webhook_id, samples.ACTOR, overlap_s=3600, own_secret=own)
        assert rotated.secret == "shown-v1-24"
    with pytest.raises(Conflict):
        await registry.rotate_secret(webhook_id, samples.ACTOR, overlap_s=3600)
    await registry.rotate_secret(webhook_id, samples.ACTOR, overlap_s=0)


async def test_pausing_holds_and_resuming_releases_at_a_bounded_rate(
    registry: WebhookCommands,
    webhook_id: UUID,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    actions: Callable[[], list[str]],
) -> None:
    assert (await registry.resume(webhook_id, samples.ACTOR)).paused_at is None
    assert actions() == []
    assert (await registry.pause(webhook_id, samples.ACTOR)).paused_at == START
    await samples.add_deliveries(unit_of_work, clock, webhook_id, 3)
    assert (await registry.resume(webhook_id, samples.ACTOR)).paused_at is None
    lane = database.tables.lanes[webhook_id]
    assert (lane.resumed_at, lane.release_at) == (START, START)
    assert {d.due_at for d in database.tables.deliveries.values()} == {START}
    assert actions() == ["webhook.pause", "webhook.resume"]


# ----------------------------------------------------------------------------------------------------------- deliveries


@pytest.fixture
async def delivery_id(unit_of_work: UnitOfWorkFactory, clock: FakeClock, webhook_id: UUID) -> UUID:
    [made] = await samples.add_deliveries(unit_of_work, clock, webhook_id)
    return made


async def finish(unit_of_work: UnitOfWorkFactory, delivery_id: UUID, state: DeliveryState) -> None:
    async with unit_of_work() as uow:
        await uow.queue.finish([Finish(delivery_id, state)])
        await uow.commit()


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.QUARANTINED])
async def test_a_delivery_that_ended_badly_can_be_retried(
    registry: WebhookCommands,
    unit_of_work: UnitOfWorkFactory,
    delivery_id: UUID,
    state: DeliveryState,
    database: FakeDatabase,
) -> None:
    await finish(unit_of_work, delivery_id, state)
    view = await registry.retry_delivery(delivery_id, samples.ACTOR)
    assert (view.state, view.due_at) == (DeliveryState.PENDING, START)
    [row] = database.tables.audit.values()
    assert (row.action, row.target, row.before) == ("delivery.retry", f"delivery:{delivery_id}", {"state": state})


async def test_a_delivery_whose_event_was_dropped_cannot_be_retried(
    registry: WebhookCommands, unit_of_work: UnitOfWorkFactory, delivery_id: UUID, database: FakeDatabase
) -> None:
    await finish(unit_of_work, delivery_id, DeliveryState.FAILED)
    database.tables.events.clear()
    with pytest.raises(Conflict, match="retention"):
        await registry.retry_delivery(delivery_id, samples.ACTOR)


@pytest.mark.parametrize(
    ("patch", "due"),
    [
        ({"headers": {"X-Team": "red"}}, True),
        ({"headers": {"X-Other": "blue"}}, True),
        ({"headers": {"X-Team": "***"}, "name": "Other"}, False),
        (None, True),
    ],
)
async def test_other_headers_or_secrets_are_tried_at_once_where_the_former_were_refused(
    registry: WebhookCommands, database: FakeDatabase, webhook_id: UUID, patch: dict[str, object] | None, due: bool
) -> None:
    refused = Breaker(BreakerState.OPEN, START + timedelta(minutes=9), 4, cause="401", cause_at=START)
    database.tables.lanes[webhook_id] = msgspec.structs.replace(database.tables.lanes[webhook_id], breaker=refused)
    if patch is None:
        await registry.rotate_secret(webhook_id, samples.ACTOR)
    else:
        await registry.patch(webhook_id, patch, samples.ACTOR, require=any_version, read=as_spec)
    tried = msgspec.structs.replace(refused, until=START, trips=1)
    assert database.tables.lanes[webhook_id].breaker == (tried if due else refused)


async def test_a_retry_makes_the_probe_of_an_open_breaker_due(
    registry: WebhookCommands, webhook_id: UUID, delivery_id: UUID, database: FakeDatabase
) -> None:
    lane = database.tables.lanes[webhook_id]
    until = START + timedelta(minutes=10)
    database.tables.lanes[webhook_id] = msgspec.structs.replace(lane, breaker=Breaker(BreakerState.OPEN, until, 4))
    view = await registry.retry_delivery(delivery_id, samples.ACTOR)
    assert view.held is None
    assert database.tables.lanes[webhook_id].breaker == Breaker(BreakerState.OPEN, START, 4)


async def test_a_delivered_delivery_is_neither_retried_nor_cancelled(
    registry: WebhookCommands, unit_of_work: UnitOfWorkFactory, delivery_id: UUID
) -> None:
    await finish(unit_of_work, delivery_id, DeliveryState.DELIVERED)
    for call in (registry.retry_delivery, registry.cancel_delivery):
        with pytest.raises(Conflict):
            await call(delivery_id, samples.ACTOR)


async def test_a_delivery_of_a_removed_webhook_cannot_be_retried(
    registry: WebhookCommands, webhook_id: UUID, delivery_id: UUID
) -> None:
    await registry.remove(webhook_id, samples.ACTOR, require=any_version)
    with pytest.raises(NotFound):
        await registry.retry_delivery(delivery_id, samples.ACTOR)


async def test_cancelling_is_safe_to_repeat(
    registry: WebhookCommands, delivery_id: UUID, actions: Callable[[], list[str]]
) -> None:
    for _ in range(2):
        assert (await registry.cancel_delivery(delivery_id, samples.ACTOR)).state is DeliveryState.CANCELLED
    assert actions() == ["delivery.cancel"]
