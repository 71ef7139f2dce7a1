"""Secrets of a destination in what is kept of its attempts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import quote

import msgspec

from monitor.domain.delivery.exchange import Exchange, HeaderField, StoredExchange, response_text
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES, Outcome
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.webhook import MASK

LEAST_CHARS = 4
"""Shorter values hide nothing, and would be found in every answer."""
LEAST_PART_CHARS = 8
"""A part of a value, such as the token behind ``Bearer``, is a secret of its own from this length."""


class SecretMask:
    """
    Replaces the secrets of one destination by ``***``: its header values and signing keys.

    Receivers echo what they were sent, also escaped for JSON or a URL, and cut off where the kept body ends.
    """

    def __init__(self, destination: Destination) -> None:
        self._names = frozenset(name.lower() for name, _ in destination.headers)
        self._secrets = sorted({form for secret in _secrets(destination) for form in _forms(secret)}, key=len)[::-1]
        self._find = re.compile("|".join(map(re.escape, self._secrets)) or "(?!)")

    def mask(self, text: str, *, is_cut: bool = False) -> str:
        """
        Return *text* without secrets.

        Args:
            is_cut: the text goes on; the beginning of a secret at its end is masked, too.
        """
        masked = self._find.sub(MASK, text)
        return self._mask_end(masked) if is_cut else masked

    def kept(self, outcome: Outcome) -> tuple[Outcome, StoredExchange | None]:
        """Return what is stored of *outcome*: the body as masked UTF-8 text, and the exchange apart."""
        exchange, body = outcome.exchange, outcome.response_body
        headers = () if exchange is None else exchange.response_headers
        is_cut = len(body) >= RESPONSE_BODY_BYTES
        if body:
            text = self.mask(response_text(body, headers, is_cut=is_cut), is_cut=is_cut)
            outcome = msgspec.structs.replace(outcome, response_body=text.encode(errors="replace"))
        return outcome, None if exchange is None else self._stored(exchange)

    def _stored(self, exchange: Exchange) -> StoredExchange:
        body = exchange.request.body
        return StoredExchange(
            exchange.method,
            exchange.request.url,
            tuple(
                HeaderField(name, MASK if name.lower() in self._names else value)
                for name, value in exchange.request_headers
            ),
            len(body),
            sha256(body).hexdigest(),
            tuple(HeaderField(name, self.mask(value)) for name, value in exchange.response_headers),
            exchange.note,
        )

    def _mask_end(self, text: str) -> str:
        for secret in self._secrets:
            for length in range(min(len(secret) - 1, len(text)), LEAST_CHARS - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + MASK
        return text


def _secrets(destination: Destination) -> Iterator[str]:
    for _, value in destination.headers:
        yield value
        yield from (part for part in value.split() if len(part) >= LEAST_PART_CHARS)
    for key in destination.keys:
        yield base64.b64encode(key).decode()


def _forms(secret: str) -> Iterator[str]:
    """Yield how an answer may spell *secret*."""
    if len(secret) >= LEAST_CHARS:
        yield secret
        for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
            yield escaped
            yield escaped.replace("/", "\\/")
        yield quote(secret, safe="")
