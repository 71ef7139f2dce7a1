"""What every ``WebhookRepository`` must do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import NotFound
from monitor.domain.vocab import DeliveryState, HealthStatus, Reenable, SignatureScheme
from monitor.domain.webhooks.disabled import Disabled
from monitor.domain.webhooks.webhook import MASK
from tests import samples
from tests.integration.contract.world import World


async def test_a_webhook_comes_back_as_it_was_stored(world: World) -> None:
    made = await world.add_webhook(
        description="All paid orders",
        event_types=("order.paid", "order.*"),
        labels={"team": "blue"},
        timeout_s=7.5,
        retry=RetryPolicy((0.0, 1.5), 0.1),
        max_concurrency=3,
        rate_limit=RateLimit(2.5, 4),
        ordered=True,
        signature=SignatureScheme.V1A,
    )
    async with world.unit_of_work() as uow:
        assert await uow.webhooks.get(made.id) == replace(made, header_names=("X-Team",))


async def test_an_unknown_webhook_is_not_found(world: World) -> None:
    id_ = world.clock.new_id()
    async with world.unit_of_work() as uow:
        for call in (
            uow.webhooks.get(id_),
            uow.webhooks.save(samples.webhook(world.clock, id=id_), None),
            uow.webhooks.remove(id_),
            uow.webhooks.rotate_secret(id_, samples.KEY, overlap_s=0),
            uow.webhooks.set_paused(id_, True),
        ):
            with pytest.raises(NotFound):
                await call
    with pytest.raises(NotFound):
        await world.queries.webhook(id_)


async def test_a_new_webhook_has_an_unknown_health_and_hides_its_header_values(world: World) -> None:
    view = await world.queries.webhook((await world.add_webhook()).id)
    assert view.health.status is HealthStatus.UNKNOWN
    assert view.headers == {"X-Team": MASK}


async def test_saving_replaces_what_a_person_configured(world: World) -> None:
    made = await world.add_webhook()
    wanted = replace(made, name="Refunds", rate_limit=RateLimit(1.0), version=2, header_names=("X-Team",))
    async with world.unit_of_work() as uow:
        await uow.webhooks.save(wanted, None)
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.webhooks.get(made.id) == wanted


async def test_saving_headers_keeps_the_values_given_as_none_and_drops_the_rest(world: World) -> None:
    made = await world.add_webhook()
    for headers, stored in (
        ({"X-Team": None, "X-Env": "test"}, {"X-Team": "blue", "X-Env": "test"}),
        ({"X-Env": None}, {"X-Env": "test"}),
        (None, {"X-Env": "test"}),
        ({}, {}),
    ):
        async with world.unit_of_work() as uow:
            await uow.webhooks.save(made, headers)
            await uow.commit()
        _, destination = (await world.queries.destinations([made.id]))[made.id]
        assert dict(destination.headers) == stored


async def test_a_destination_holds_what_sending_needs(world: World) -> None:
    made = await world.add_webhook(timeout_s=3.0)
    version, destination = (await world.queries.destinations([made.id, world.clock.new_id()]))[made.id]
    assert version == made.version
    assert (destination.url, destination.timeout_s) == (made.url, 3.0)
    assert (destination.signature, destination.keys) == (SignatureScheme.V1, (samples.KEY,))


async def test_a_rotated_secret_signs_beside_the_old_one_until_the_overlap_ends(world: World) -> None:
    made = await world.add_webhook()
    newer, newest = b"n" * 32, b"m" * 32
    async with world.unit_of_work() as uow:
        assert await uow.webhooks.count_secrets(made.id) == 1
        expires_at = await uow.webhooks.rotate_secret(made.id, newer, overlap_s=3600)
        assert expires_at == uow.now + timedelta(hours=1)
        await uow.commit()
    version, destination = (await world.queries.destinations([made.id]))[made.id]
    assert (version, destination.keys) == (2, (newer, samples.KEY))
    async with world.unit_of_work() as uow:
        assert await uow.webhooks.rotate_secret(made.id, newest, overlap_s=0) is None
        await uow.commit()
    version, destination = (await world.queries.destinations([made.id]))[made.id]
    assert (version, destination.keys) == (3, (newest,))


async def test_a_removed_webhook_is_gone_and_what_waited_is_cancelled(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    waiting = await world.add_deliveries(made.id, 2)
    untouched = await world.add_deliveries(other.id)
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(made.id)
        assert (await uow.queue.cancel_waiting(made.id, after=None, limit=10)).rows == 2
        await uow.commit()
    with pytest.raises(NotFound):
        await world.queries.webhook(made.id)
    assert await world.states(waiting + untouched) == [
        DeliveryState.CANCELLED,
        DeliveryState.CANCELLED,
        DeliveryState.PENDING,
    ]
    assert await world.queries.destinations([made.id]) == {}
    async with world.unit_of_work() as uow:
        assert (await uow.queue.lock_lanes([made.id]))[made.id].deleted
        subscriptions = await uow.events.subscriptions(["order.paid"], limit=10)
        assert [s.webhook_id for s in subscriptions or []] == [other.id]


async def test_disabling_keeps_its_first_reason(world: World) -> None:
    made = await world.add_webhook()
    for reason, is_first in (("It is gone.", True), ("It is still gone.", False)):
        async with world.unit_of_work() as uow:
            assert await uow.webhooks.disable(made.id, reason) is is_first
            assert not await uow.webhooks.disable(world.clock.new_id(), reason)
            await uow.commit()
    view = await world.queries.webhook(made.id)
    assert (view.enabled, view.disabled_reason, view.version) == (False, "It is gone.", 2)


async def test_probes_are_due_only_of_what_was_disabled_with_the_choice_and_in_their_order(world: World) -> None:
    made = [await world.add_webhook(reenable=Reenable.PROBE) for _ in range(4)]
    never, by_user = await world.add_webhook(), await world.add_webhook(reenable=Reenable.PROBE, enabled=False)
    async with world.unit_of_work() as uow:
        for webhook in (*made, never, by_user):
            await uow.webhooks.disable(webhook.id, "It is gone.")
        await uow.commit()
        disabled_at = uow.now
    view = await world.queries.webhook(made[0].id)
    assert view.disabled == Disabled(
        "It is gone.", disabled_at, disabled_at + timedelta(days=30), disabled_at + timedelta(minutes=10)
    )
    assert view.version == 2
    async with world.unit_of_work() as uow:
        assert await uow.webhooks.due_probes(10) == {}
        for n, webhook in enumerate(made):
            await uow.webhooks.schedule_probe(webhook.id, uow.now - timedelta(minutes=n), n)
        await uow.webhooks.remove(made[3].id)
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert list((await uow.webhooks.due_probes(10)).items()) == [(made[2].id, 2), (made[1].id, 1), (made[0].id, 0)]
        assert list(await uow.webhooks.due_probes(1)) == [made[2].id]
        stored = await uow.webhooks.get(made[1].id)
    assert (stored.reenable, stored.disabled_at, stored.probes, stored.version) == (
        Reenable.PROBE,
        disabled_at,
        1,
        2,
    )


async def test_pausing_and_resuming_are_safe_to_repeat(world: World) -> None:
    made = await world.add_webhook()
    versions = []
    for paused in (True, True, False, False):
        async with world.unit_of_work() as uow:
            await uow.webhooks.set_paused(made.id, paused)
            await uow.commit()
        view = await world.queries.webhook(made.id)
        assert (view.paused_at is not None) == paused
        versions.append(view.version)
    assert versions == [2, 2, 3, 3]
