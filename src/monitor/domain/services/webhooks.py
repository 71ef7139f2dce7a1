"""Commands on webhooks and their deliveries. Each writes one audit row in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.domain.alerts.evaluation import NormalBand
from monitor.domain.anomaly.model import Signal
from monitor.domain.delivery.held import held_webhook
from monitor.domain.delivery.job import CancellationParameters, StepAsideParameters, new_job
from monitor.domain.delivery.lane import Lane, probe_now, reopen, resume, start_over, try_again
from monitor.domain.delivery.replay import ReplaySource
from monitor.domain.delivery.retention import EVENTS_KEPT_S
from monitor.domain.errors import Conflict
from monitor.domain.events import LaneChanged, WebhookCreated, WebhookDeleted, WebhookUpdated
from monitor.domain.monitoring.health import UNKNOWN_HEALTH
from monitor.domain.monitoring.metrics import DAY_S
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.key_factory import KeyFactory
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.idempotency import read_back, store_response, stored_response
from monitor.domain.services.jobs import CHUNK
from monitor.domain.services.settle import status_changes
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.views.webhooks import SecretView, WebhookView, view_of
from monitor.domain.vocab import Actor, DeliveryState, SignatureScheme
from monitor.domain.webhooks.chat_url import shown_url
from monitor.domain.webhooks.disabled import without_probes
from monitor.domain.webhooks.missed import since_disabled
from monitor.domain.webhooks.registration import (
    NewWebhookSpec,
    WebhookSpec,
    check,
    check_backfill,
    check_origin,
    merge_patch,
    reconfigure,
    register,
    spec_of,
    stored_headers,
)
from monitor.domain.webhooks.signatures import check_public_half, decode_secret
from monitor.domain.webhooks.webhook import Webhook

MAX_SECRETS = 5
"""Secrets of a webhook that sign at the same time: each adds 50 to 100 bytes to the header of every attempt."""


class WebhookCommands:
    """Commands on webhooks and deliveries."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        clock: Clock,
        key_factory: KeyFactory,
        canonical_url: Callable[[str], str],
        *,
        events_kept_s: float = EVENTS_KEPT_S,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._clock = clock
        self._key_factory = key_factory
        self._canonical_url = canonical_url
        self._events_kept_s = events_kept_s

    async def create(
        self, spec: NewWebhookSpec | WebhookSpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> WebhookView:
        """
        Register a webhook; only this response, which is that of what was written, holds its secret.

        Raises:
            Invalid: the request breaks a rule.
            UrlRefused: the URL is not allowed.
            IdempotencyMismatch: *key* came with another body.
        """
        check(spec)
        url = self._canonical_url(spec.url)
        secret, shown = self._key(spec.signature, spec.secret if isinstance(spec, NewWebhookSpec) else None)
        scope = f"{actor.subject} webhooks"
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, WebhookView):
                return done
            webhook = register(spec, self._clock.new_id(), url, uow.now)
            await uow.webhooks.add(webhook, spec.headers, secret)
            await uow.audit.add(actor, "webhook.create", _target(webhook.id), before=None, after=_shown(webhook))
            uow.record(WebhookCreated(webhook.id))
            signals: dict[str, str] = dict.fromkeys(Signal, "learning")
            view = view_of(webhook, UNKNOWN_HEALTH, signals=signals, normal=NormalBand(), secret=shown)
            await store_response(uow, scope, key, view)
            await uow.commit()
        return view

    def _key(self, scheme: SignatureScheme, own_secret: str | None) -> tuple[bytes, str]:
        """Return a signing key and what is shown of it: of *own_secret*, or a new one. Raises ``Invalid``."""
        if own_secret is None:
            return self._key_factory.new_key(scheme)
        key = decode_secret(own_secret, scheme)
        shown = self._key_factory.shown(scheme, key)
        check_public_half(key, shown, scheme)
        return key, shown

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

        def patched(old: Webhook) -> WebhookSpec:
            return read(merge_patch(spec_of(old), without_probes(old, changes)))

        return await self._change(webhook_id, patched, actor, require)

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
            check(spec, old)
            _keep_scheme(old, spec)
            is_backfilled = check_backfill(spec, old)
            url = self._canonical_url(spec.url)
            check_origin(spec, old.url, url)
            new = reconfigure(old, spec, url, uow.now)
            headers = stored_headers(spec)
            await uow.webhooks.save(new, headers)
            if new.url != old.url:
                await _change_lane(uow, webhook_id, lambda lane: start_over(lane, uow.now))
            elif new.enabled and not old.enabled:
                await _change_lane(uow, webhook_id, reopen)
            elif headers != dict.fromkeys(old.header_names):
                await _change_lane(uow, webhook_id, lambda lane: try_again(lane, uow.now))
            if new.enabled and not old.enabled:
                # What waited meanwhile, as after a pause.
                await _change_lane(uow, webhook_id, lambda lane: resume(lane, uow.now))
                await uow.queue.wake([webhook_id])
            was = (old.ordered, old.skip_after)
            if new.ordered is not False and new.skip_after is not None and (new.ordered, new.skip_after) != was:
                # What is stuck now is the reason for the change, and its next attempt may be a day away.
                first = await uow.queue.step_aside(webhook_id, after=None, limit=CHUNK)
                if first.more:
                    parameters = StepAsideParameters(webhook_id=webhook_id)
                    job = new_job(self._clock.new_id(), parameters, created_by=actor.subject, now=uow.now, first=first)
                    await uow.jobs.add(job)
            after = _shown(new) | _hidden_changes(old, new, headers)
            await uow.audit.add(actor, "webhook.update", _target(webhook_id), before=_shown(old), after=after)
            job_id = await self._backfill(uow, old, actor) if is_backfilled else msgspec.UNSET
            uow.record(WebhookUpdated(webhook_id))
            written = await self._written(uow, new)
            await uow.commit()
        return replace(await read_back(self._queries.webhook(webhook_id), written), backfill_job=job_id)

    async def _backfill(self, uow: UnitOfWork, webhook: Webhook, actor: Actor) -> UUID:
        """Start a backfill of what found *webhook*, which is being enabled, disabled; return the job."""
        parameters = since_disabled(webhook, uow.now)
        job = new_job(self._clock.new_id(), parameters, created_by=actor.subject, now=uow.now)
        await uow.jobs.add(job)
        after = {"source": ReplaySource.EVENTS, "from": parameters.from_at, "to": parameters.to_at}
        await uow.audit.add(actor, "webhook.replay", _target(webhook.id), before=None, after=msgspec.to_builtins(after))
        return job.id

    async def remove(self, webhook_id: UUID, actor: Actor, *, require: Callable[[int], None]) -> None:
        """
        Delete a webhook and cancel its pending deliveries, the first ones at once and the others by a job; its history
        stays. Raises ``NotFound``.
        """
        async with self._unit_of_work() as uow:
            old = await uow.webhooks.get(webhook_id)
            require(old.version)
            await uow.webhooks.remove(webhook_id)
            first = await uow.queue.cancel_waiting(webhook_id, after=None, limit=CHUNK)
            after: dict[str, Any] = {"cancelled_deliveries": first.rows}
            if first.more:
                parameters = CancellationParameters(webhook_id=webhook_id)
                job = new_job(self._clock.new_id(), parameters, created_by=actor.subject, now=uow.now, first=first)
                await uow.jobs.add(job)
                after["job"] = str(job.id)
            await uow.audit.add(actor, "webhook.delete", _target(webhook_id), before=_shown(old), after=after)
            uow.record(WebhookDeleted(webhook_id))
            await uow.commit()

    async def rotate_secret(
        self,
        webhook_id: UUID,
        actor: Actor,
        *,
        overlap_s: float = DAY_S,
        own_secret: str | None = None,
        key: str | None = None,
        body: bytes = b"",
    ) -> SecretView:
        """
        Replace the secret by *own_secret* or a new one, returned only here; the old one signs too for *overlap_s*.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            NotFound.
            Invalid: *own_secret* has not the form of Standard Webhooks.
            Conflict: ``MAX_SECRETS`` would be exceeded.
            IdempotencyMismatch: *key* came with another body.
        """
        scope = f"{actor.subject} secrets {webhook_id}"
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, SecretView):
                return done
            webhook = await uow.webhooks.get(webhook_id)
            secret, shown = self._key(webhook.signature, own_secret)
            if overlap_s and await uow.webhooks.count_secrets(webhook_id) >= MAX_SECRETS:
                raise Conflict(f"{MAX_SECRETS} secrets sign already; wait until one expires, or set overlap_s to 0.")
            expires_at = await uow.webhooks.rotate_secret(webhook_id, secret, overlap_s=overlap_s)
            await _change_lane(uow, webhook_id, lambda lane: try_again(lane, uow.now))
            after = {"previous_expires_at": expires_at}
            await uow.audit.add(actor, "webhook.rotate_secret", _target(webhook_id), before=None, after=after)
            uow.record(WebhookUpdated(webhook_id))
            view = SecretView(shown, expires_at)
            await store_response(uow, scope, key, view)
            await uow.commit()
        return view

    async def pause(self, webhook_id: UUID, actor: Actor) -> WebhookView:
        """Hold the deliveries of a webhook; none is lost. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            await uow.webhooks.set_paused(webhook_id, True)
            await uow.audit.add(actor, "webhook.pause", _target(webhook_id), before=None, after=None)
            uow.record(WebhookUpdated(webhook_id))
            written = await self._written(uow, await uow.webhooks.get(webhook_id))
            await uow.commit()
        return await read_back(self._queries.webhook(webhook_id), written)

    async def resume(self, webhook_id: UUID, actor: Actor) -> WebhookView:
        """Release the held deliveries, ``RELEASE_PER_S`` a second. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            webhook = await uow.webhooks.get(webhook_id)
            if webhook.paused_at is not None:
                await uow.webhooks.set_paused(webhook_id, False)
                lanes = await uow.queue.lock_lanes([webhook_id])
                await uow.queue.save_lanes([resume(lane, uow.now) for lane in lanes.values()])
                await uow.queue.wake([webhook_id])
                await uow.audit.add(actor, "webhook.resume", _target(webhook_id), before=None, after=None)
                uow.record(WebhookUpdated(webhook_id))
                written = await self._written(uow, await uow.webhooks.get(webhook_id))
                await uow.commit()
                return await read_back(self._queries.webhook(webhook_id), written)
        return await self._queries.webhook(webhook_id)

    async def retry_delivery(self, delivery_id: UUID, actor: Actor) -> DeliveryView:
        """
        Make a delivery due now and next in line, also one that failed or was cancelled. An open breaker admits it as
        its probe.

        Raises:
            NotFound.
            Conflict: it was delivered; replay the event instead. Or its event is past retention.
        """
        before = await self._queries.delivery(delivery_id)
        async with self._unit_of_work() as uow:
            state, webhook_id = await uow.queue.get(delivery_id)
            if state is DeliveryState.DELIVERED:
                raise Conflict("This delivery was delivered; there is nothing to retry.")
            await uow.webhooks.get(webhook_id)
            if not await uow.queue.has_event(delivery_id):
                raise Conflict("The event of this delivery is past its retention; there is nothing left to send.")
            await uow.queue.requeue(delivery_id)
            await _change_lane(uow, webhook_id, lambda lane: probe_now(lane, uow.now))
            await self._audit_delivery(uow, actor, "delivery.retry", delivery_id, state)
            uow.record(LaneChanged(webhook_id))
            await uow.commit()
        written = replace(before, state=DeliveryState.PENDING, due_at=uow.now, finished_at=None)
        return await read_back(self._queries.delivery(delivery_id), written)

    async def cancel_delivery(self, delivery_id: UUID, actor: Actor) -> DeliveryView:
        """Cancel a pending delivery; an attempt that is under way goes on. Safe to repeat.

        Raises:
            NotFound.
            Conflict: it is finished.
        """
        before = await self._queries.delivery(delivery_id)
        async with self._unit_of_work() as uow:
            state, _ = await uow.queue.get(delivery_id)
            if state not in (DeliveryState.PENDING, DeliveryState.CANCELLED):
                raise Conflict(f"This delivery is {state}; only a pending one can be cancelled.")
            if state is DeliveryState.PENDING:
                await uow.queue.finish([Finish(delivery_id, DeliveryState.CANCELLED)])
                await self._audit_delivery(uow, actor, "delivery.cancel", delivery_id, state)
                await uow.commit()
        written = replace(before, state=DeliveryState.CANCELLED, due_at=None, finished_at=uow.now)
        return await read_back(self._queries.delivery(delivery_id), written)

    async def _written(self, uow: UnitOfWork, webhook: Webhook) -> WebhookView:
        """Return the view of *webhook* as it is about to be committed."""
        lane = (await uow.queue.lock_lanes([webhook.id])).get(webhook.id, Lane(webhook_id=webhook.id))
        held = held_webhook(lane, enabled=webhook.enabled, paused=webhook.paused_at is not None, now=uow.now)
        return view_of(webhook, lane.health, events_kept_s=self._events_kept_s, held=held)

    @staticmethod
    async def _audit_delivery(
        uow: UnitOfWork, actor: Actor, action: str, delivery_id: UUID, state: DeliveryState
    ) -> None:
        await uow.audit.add(actor, action, f"delivery:{delivery_id}", before={"state": state}, after=None)


async def _change_lane(uow: UnitOfWork, webhook_id: UUID, change: Callable[[Lane], Lane]) -> None:
    lanes = await uow.queue.lock_lanes([webhook_id])
    changed = [change(lane) for lane in lanes.values()]
    await uow.queue.save_lanes(changed)
    uow.record(*status_changes(lanes, changed, uow.now))


def _keep_scheme(old: Webhook, spec: WebhookSpec) -> None:
    if spec.signature is not old.signature:
        raise Conflict("The signature scheme of a webhook is fixed, since its keys are; create a new webhook instead.")


def _target(webhook_id: UUID) -> str:
    return f"webhook:{webhook_id}"


def _shown(webhook: Webhook) -> dict[str, Any]:
    url = shown_url(webhook.url, webhook.body_format)
    shown: dict[str, Any] = msgspec.to_builtins(replace(webhook, url=url))
    return shown


def _hidden_changes(old: Webhook, new: Webhook, headers: Mapping[str, str | None]) -> dict[str, Any]:
    """Return ``hidden_changes``, the members that changed although shown alike, if there are any."""
    hidden = []
    if new.url != old.url and _shown(new)["url"] == _shown(old)["url"]:
        hidden.append("url")
    if any(value is not None and name in old.header_names for name, value in headers.items()):
        hidden.append("headers")
    return {"hidden_changes": hidden} if hidden else {}
