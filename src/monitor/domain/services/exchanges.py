"""One attempt with all that is known of what it sent and was answered."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.alerts.action_links import ActionLinks, without_tokens
from monitor.domain.delivery.exchange import RequestBody
from monitor.domain.delivery.ping import ping_payload
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.vocab import BodyFormat, SigningSecret
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.sent import sent_body, signing_secret, without_key
from monitor.domain.webhooks.signed_request import AsymmetricSigner


class ExchangeReader:
    """Reads single attempts."""

    def __init__(self, queries: Queries, sign_v1a: AsymmetricSigner, links: ActionLinks | None = None) -> None:
        """*links* were added to what was sent about alerts; users see these without their tokens."""
        self._queries = queries
        self._sign_v1a = sign_v1a
        self._links = links

    async def attempt(self, webhook_id: UUID, attempt_id: UUID) -> AttemptView:
        """
        Return an attempt with its exchange, its body and which secret signed it, also of a deleted webhook.

        Raises:
            NotFound: the webhook has no such attempt.
        """
        view = await self._queries.attempt(webhook_id, attempt_id)
        _, destination = (await self._queries.destinations([webhook_id])).get(webhook_id, (0, None))
        body = await self._body(view, destination)
        secret = self._secret(view, body, destination)
        if body is not None:
            body = msgspec.structs.replace(body, base64=without_tokens(body.base64))
        if body is not None and destination is not None:
            body = without_key(body, destination.routing_key)
        return msgspec.structs.replace(view, request_body=body, signature_valid_with=secret)

    async def _body(self, view: AttemptView, destination: Destination | None) -> RequestBody | None:
        if view.kind == "test":
            payload: bytes | None = ping_payload(view.webhook_id, view.id)
        elif view.kind == "delivery" and view.event_id is not None:
            payload = await self._queries.payload(view.event_id)
        else:
            return None
        if payload is None:
            return None
        body_format = BodyFormat.STANDARD if destination is None else destination.body_format
        key = "" if destination is None else destination.routing_key
        event_type, exchange = view.event_type or "", view.exchange or None
        if self._links is not None and view.event_id is not None:
            for variant in self._links.variants(payload, event_type, view.event_id, view.webhook_id):
                body = sent_body(event_type, variant, body_format, exchange, view.at, key)
                if not body.rebuilt:
                    return body
        return sent_body(event_type, payload, body_format, exchange, view.at, key)

    def _secret(
        self, view: AttemptView, body: RequestBody | None, destination: Destination | None
    ) -> SigningSecret | None:
        if body is None or body.rebuilt or destination is None or not view.exchange:
            return None
        return signing_secret(view.exchange, body.base64, destination.keys, destination.signature, self._sign_v1a)
