"""Commands on webhooks and their deliveries. Each writes one audit row in the same transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.delivery.lane import probe_now, reopen
from monitor.domain.errors import Conflict
from monitor.domain.events import WebhookCreated, WebhookDeleted, WebhookUpdated
from monitor.domain.monitoring.metrics import DAY_S
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.key_factory import KeyFactory
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.views.webhooks import SecretView, WebhookView
from monitor.domain.vocab import Actor, DeliveryState
from monitor.domain.webhooks.registration import (
    WebhookSpec,
    check,
    merge_patch,
    reconfigure,
    register,
    spec_of,
    stored_headers,
)
from monitor.domain.webhooks.webhook import Webhook

RESUME_PER_S = 50.0
"""Deliveries a second that a resumed webhook gets of those that were held."""


class _Created(msgspec.Struct, frozen=True):
    """Stored response to the creation of a webhook with an Idempotency-Key."""

    id: UUID
    secret: str


class WebhookCommands:
    """Commands on webhooks and deliveries."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        clock: Clock,
        key_factory: KeyFactory,
        canonical_url: Callable[[str], str],
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._clock = clock
        self._key_factory = key_factory
        self._canonical_url = canonical_url

    async def create(
        self, spec: WebhookSpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> WebhookView:
        """
        Register a webhook; only this response holds its secret.

        Raises:
            Invalid: the request breaks a rule.
            UrlRefused: the URL may not be delivered to.
            IdempotencyMismatch: *key* came with another body.
        """
        check(spec)
        url = self._canonical_url(spec.url)
        secret, shown = self._key_factory.new_key(spec.signature)
        scope = f"{actor.subject} webhooks"
        async with self._unit_of_work() as uow:
            if key is not None and (done := await uow.idempotency.begin(scope, key, body)) is not None:
                return await self._created(msgspec.json.decode(done, type=_Created))
            webhook = register(spec, self._clock.new_id(), url, uow.now)
            await uow.webhooks.add(webhook, spec.headers, secret)
            await uow.audit.add(actor, "webhook.create", _target(webhook.id), before=None, after=_shown(webhook))
            uow.record(WebhookCreated(webhook.id))
            created = _Created(webhook.id, shown)
            if key is not None:
                await uow.idempotency.finish(scope, key, msgspec.json.encode(created))
            await uow.commit()
        return await self._created(created)

    async def _created(self, created: _Created) -> WebhookView:
        return msgspec.structs.replace(await self._queries.webhook(created.id), secret=created.secret)

    async def replace(
        self, webhook_id: UUID, spec: WebhookSpec, actor: Actor, *, require: Callable[[int], None]
    ) -> WebhookView:
        """
        Replace the configuration of a webhook.

        Args:
            require: raises unless the stored version meets the precondition.

        Raises:
            NotFound, Invalid, UrlRefused.
            StalePrecondition: by *require*.
        """
        return await self._change(webhook_id, lambda _: spec, actor, require)

    async def patch(
        self,
        webhook_id: UUID,
        changes: dict[str, Any],
        actor: Actor,
        *,
        require: Callable[[int], None],
        read: Callable[[Any], WebhookSpec],
    ) -> WebhookView:
        """
        Apply a JSON merge patch (RFC 7396). Raises as :meth:`replace`.

        Args:
            read: decodes the patched request with its rules. Raises ``Invalid``.
        """
        return await self._change(webhook_id, lambda old: read(merge_patch(spec_of(old), changes)), actor, require)

    async def _change(
        self,
        webhook_id: UUID,
        wanted: Callable[[Webhook], WebhookSpec],
        actor: Actor,
        require: Callable[[int], None],
    ) -> WebhookView:
        async with self._unit_of_work() as uow:
            old = await uow.webhooks.get(webhook_id)
            require(old.version)
            spec = wanted(old)
            check(spec, known_headers=old.header_names)
            _keep_scheme(old, spec)
            new = reconfigure(old, spec, self._canonical_url(spec.url), uow.now)
            await uow.webhooks.save(new, stored_headers(spec))
            if new.enabled and not old.enabled:
                lanes = await uow.queue.lock_lanes([webhook_id])
                await uow.queue.save_lanes([reopen(lane) for lane in lanes.values()])
            await uow.audit.add(actor, "webhook.update", _target(webhook_id), before=_shown(old), after=_shown(new))
            uow.record(WebhookUpdated(webhook_id))
            await uow.commit()
        return await self._queries.webhook(webhook_id)

    async def remove(self, webhook_id: UUID, actor: Actor, *, require: Callable[[int], None]) -> None:
        """Delete a webhook and cancel its pending deliveries; its history stays. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            old = await uow.webhooks.get(webhook_id)
            require(old.version)
            await uow.webhooks.remove(webhook_id)
            after = {"cancelled_deliveries": await uow.queue.cancel_all(webhook_id)}
            await uow.audit.add(actor, "webhook.delete", _target(webhook_id), before=_shown(old), after=after)
            uow.record(WebhookDeleted(webhook_id))
            await uow.commit()

    async def rotate_secret(self, webhook_id: UUID, actor: Actor, *, overlap_s: float = DAY_S) -> SecretView:
        """Make a new secret, returned only here; the old one signs too for *overlap_s*. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            webhook = await uow.webhooks.get(webhook_id)
            secret, shown = self._key_factory.new_key(webhook.signature)
            expires_at = await uow.webhooks.rotate_secret(webhook_id, secret, overlap_s=overlap_s)
            after = {"previous_expires_at": expires_at}
            await uow.audit.add(actor, "webhook.rotate_secret", _target(webhook_id), before=None, after=after)
            uow.record(WebhookUpdated(webhook_id))
            await uow.commit()
        return SecretView(shown, expires_at)

    async def pause(self, webhook_id: UUID, actor: Actor) -> WebhookView:
        """Hold the deliveries of a webhook; none is lost. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            await uow.webhooks.set_paused(webhook_id, True)
            await uow.audit.add(actor, "webhook.pause", _target(webhook_id), before=None, after=None)
            uow.record(WebhookUpdated(webhook_id))
            await uow.commit()
        return await self._queries.webhook(webhook_id)

    async def resume(self, webhook_id: UUID, actor: Actor) -> WebhookView:
        """Make the held deliveries due, at ``RESUME_PER_S``. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            webhook = await uow.webhooks.get(webhook_id)
            if webhook.paused_at is not None:
                await uow.webhooks.set_paused(webhook_id, False)
                released = await uow.queue.reschedule(webhook_id, per_s=RESUME_PER_S)
                after = {"released_deliveries": released}
                await uow.audit.add(actor, "webhook.resume", _target(webhook_id), before=None, after=after)
                uow.record(WebhookUpdated(webhook_id))
                await uow.commit()
        return await self._queries.webhook(webhook_id)

    async def retry_delivery(self, delivery_id: UUID, actor: Actor) -> DeliveryView:
        """
        Make a delivery due now and next in line, also one that failed or was cancelled. An open breaker admits it as
        its probe.

        Raises:
            NotFound.
            Conflict: it was delivered; replay the event instead. Or its event is past retention.
        """
        async with self._unit_of_work() as uow:
            state, webhook_id = await uow.queue.get(delivery_id)
            if state is DeliveryState.DELIVERED:
                raise Conflict("This delivery was delivered; there is nothing to retry.")
            await uow.webhooks.get(webhook_id)
            if not await uow.queue.has_event(delivery_id):
                raise Conflict("The event of this delivery is past its retention; there is nothing left to send.")
            await uow.queue.requeue(delivery_id)
            lanes = await uow.queue.lock_lanes([webhook_id])
            await uow.queue.save_lanes([probe_now(lane, uow.now) for lane in lanes.values()])
            await self._audit_delivery(uow, actor, "delivery.retry", delivery_id, state)
            await uow.commit()
        return await self._queries.delivery(delivery_id)

    async def cancel_delivery(self, delivery_id: UUID, actor: Actor) -> DeliveryView:
        """Cancel a pending delivery; an attempt that is under way goes on. Safe to repeat.

        Raises:
            NotFound.
            Conflict: it is finished.
        """
        async with self._unit_of_work() as uow:
            state, _ = await uow.queue.get(delivery_id)
            if state not in (DeliveryState.PENDING, DeliveryState.CANCELLED):
                raise Conflict(f"This delivery is {state}; only a pending one can be cancelled.")
            if state is DeliveryState.PENDING:
                await uow.queue.finish([Finish(delivery_id, DeliveryState.CANCELLED)])
                await self._audit_delivery(uow, actor, "delivery.cancel", delivery_id, state)
                await uow.commit()
        return await self._queries.delivery(delivery_id)

    @staticmethod
    async def _audit_delivery(
        uow: UnitOfWork, actor: Actor, action: str, delivery_id: UUID, state: DeliveryState
    ) -> None:
        await uow.audit.add(actor, action, f"delivery:{delivery_id}", before={"state": state}, after=None)


def _keep_scheme(old: Webhook, spec: WebhookSpec) -> None:
    if spec.signature is not old.signature:
        raise Conflict("The signature scheme of a webhook is fixed, since its keys are; create a new webhook instead.")


def _target(webhook_id: UUID) -> str:
    return f"webhook:{webhook_id}"


def _shown(webhook: Webhook) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(webhook)
    return shown
