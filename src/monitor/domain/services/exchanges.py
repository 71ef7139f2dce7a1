"""One attempt with all that is known of what it sent and was answered."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.delivery.exchange import RequestBody
from monitor.domain.delivery.ping import ping_payload
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.vocab import BodyFormat, SigningSecret
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.sent import sent_body, signing_secret
from monitor.domain.webhooks.signed_request import AsymmetricSigner


class ExchangeReader:
    """Reads single attempts."""

    def __init__(self, queries: Queries, sign_v1a: AsymmetricSigner) -> None:
        self._queries = queries
        self._sign_v1a = sign_v1a

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
        return sent_body(view.event_type or "", payload, body_format, view.exchange or None)

    def _secret(
        self, view: AttemptView, body: RequestBody | None, destination: Destination | None
    ) -> SigningSecret | None:
        if body is None or body.rebuilt or destination is None or not view.exchange:
            return None
        return signing_secret(view.exchange, body.base64, destination.keys, destination.signature, self._sign_v1a)
