"""Secrets of a destination in what is kept of its attempts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase

import msgspec

from monitor.domain.delivery.exchange import Exchange, HeaderField, StoredExchange, response_text
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES, Outcome
from monitor.domain.webhooks.chat_url import is_chat_url, secret_parts, shown_url
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.escapes import LAYERS, without_escapes
from monitor.domain.webhooks.webhook import MASK

LEAST_CHARS = 4
"""Shorter values hide nothing, and would be found in every answer."""
LEAST_PART_CHARS = 8
"""A part of a value, such as the token behind ``Bearer``, is a secret of its own from this length."""

MOST_PARTS = 8
"""Of one value; the last one holds the rest."""

_LINK_TOKEN = re.compile(r"((?:(?<![A-Za-z0-9])|(?<=%2[fF]))act(?:\\?/|%2[fF]))[A-Za-z0-9_-]{60,72}")
"""Token of a one-use link in a message, also one with its end cut off, if little of it is missing."""
LEAST_TOKEN_CHARS = 60
"""No shorter text holds one."""

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

_ANSWERED_SECRETS = frozenset({"authentication-info", "authorization", "cookie", "proxy-authorization"})
_COOKIES = frozenset({"set-cookie", "set-cookie2"})
"""Response headers with values that are secrets of the receiver; of a cookie the name is none."""

Span = tuple[int, int]
"""Where a part of a text begins and ends."""


class SecretMask:
    """
    Replaces the secrets of one destination by ``***``: its header values and signing keys, and the URL of a chat
    service.

    Receivers echo what was sent, in capitals, in base64, escaped for JSON, HTML or a URL, and cut off where the
    kept body ends.
    """

    def __init__(self, destination: Destination) -> None:
        self._body_format = destination.body_format
        self._names = frozenset(name.lower() for name, _ in destination.headers)
        self._secrets = {_folded(secret) for secret in _secrets(destination) if len(secret) >= LEAST_CHARS}
        self._least_chars = min(map(len, self._secrets), default=0)
        self._shown = (destination.url, self._show(destination.url))

    def mask(self, text: str, *, is_cut: bool = False) -> str:
        """
        Return *text* without secrets, and without the tokens of one-use links.

        Args:
            is_cut: the text goes on; the beginning of a secret at its end is masked, too.
        """
        # No escape is shorter than what it stands for, so one that is too short holds no secret behind escapes either.
        if not self._secrets or (len(text) < self._least_chars and not is_cut):
            return _without_tokens(text)
        masked, at = [], 0
        for start, end in sorted(self._spans(text, is_cut, LAYERS)):
            if end > at:
                masked += [text[at:start], MASK] if start >= at else []
                at = end
        return _without_tokens("".join((*masked, text[at:])))

    def kept(self, outcome: Outcome) -> tuple[Outcome, StoredExchange | None]:
        """Return what is stored of *outcome*: the body as masked UTF-8 text, and the exchange apart."""
        exchange, body = outcome.exchange, outcome.response_body
        headers = () if exchange is None else exchange.response_headers
        is_cut = len(body) >= RESPONSE_BODY_BYTES
        if body:
            text = self.mask(response_text(body, headers, is_cut=is_cut), is_cut=is_cut)
            if (stored := text.encode(errors="replace")) != body:
                outcome = msgspec.structs.replace(outcome, response_body=stored)
        if outcome.error_detail is not None:
            outcome = msgspec.structs.replace(outcome, error_detail=self.mask(outcome.error_detail))
        return outcome, None if exchange is None else self._stored(exchange)

    def _stored(self, exchange: Exchange) -> StoredExchange:
        body, url, names = exchange.request.body, exchange.request.url, self._names
        return StoredExchange(
            exchange.method,
            self._shown[1] if url == self._shown[0] else self._show(url),
            tuple(
                [
                    HeaderField(name, MASK if name.lower() in names else value)
                    for name, value in exchange.request_headers
                ]
                if names
                else [HeaderField(name, value) for name, value in exchange.request_headers]
            ),
            len(body),
            sha256(body).hexdigest(),
            tuple([self._answered(name, value) for name, value in exchange.response_headers]),
            None if exchange.note is None else self.mask(exchange.note),
            exchange.http_version,
        )

    def _show(self, url: str) -> str:
        return _without_tokens(shown_url(url, self._body_format))

    def _answered(self, name: str, value: str) -> HeaderField:
        """Return a field of the response without secrets of the destination or of the receiver."""
        lower = name.lower()
        if lower in _ANSWERED_SECRETS:
            value = MASK
        elif lower in _COOKIES:
            cookie, sign, _ = value.partition(";")[0].partition("=")
            value = f"{cookie}={MASK}" if sign else MASK
        return HeaderField(self.mask(name), self.mask(value))

    def _spans(self, text: str, is_cut: bool, layers: int) -> Iterator[Span]:
        """Yield where *text* holds a secret, as it is and behind *layers* of escapes."""
        folded = _folded(text)
        for secret in self._secrets:
            yield from ((at, at + len(secret)) for at in _places(folded, secret, 0))
            if is_cut and (at := _cut_at(folded, secret)) is not None:
                yield at, len(text)
        plain = without_escapes(text) if layers else None
        if plain is not None:
            for start, end in self._spans(plain.text, is_cut, layers - 1):
                yield plain.starts[start], plain.ends[end - 1]


def _without_tokens(text: str) -> str:
    return text if len(text) < LEAST_TOKEN_CHARS else _LINK_TOKEN.sub(rf"\1{MASK}", text)


def _folded(text: str) -> str:
    """Return *text* with A to Z in lower case: as long as before, and each character for itself."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _places(text: str, part: str, start: int) -> Iterator[int]:
    """Yield where *text* holds *part*, from *start* on, also where these overlap."""
    at = text.find(part, start)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _cut_at(text: str, secret: str) -> int | None:
    """Return where the end of *text* is the beginning of *secret*, but not all of it; ``None`` if it is not."""
    start = max(0, len(text) - len(secret) + 1)
    return next((at for at in _places(text, secret[:LEAST_CHARS], start) if secret.startswith(text[at:])), None)


def _secrets(destination: Destination) -> Iterator[str]:
    for secret in _texts(destination):
        yield secret
        yield from _base64(secret.encode())
    for key in destination.keys:
        yield from (*_base64(key), key.hex())


def _texts(destination: Destination) -> Iterator[str]:
    """Yield what is secret of header values and of a chat URL, as it was given."""
    for _, value in destination.headers:
        yield from (value, value.replace(" ", "+"))
        parts = value.split(maxsplit=MOST_PARTS - 1)
        yield from (part for part in parts if len(part) >= LEAST_PART_CHARS)
        yield from _credentials(parts)
    if is_chat_url(destination.url, destination.body_format):
        yield from secret_parts(destination.url, destination.body_format)


def _credentials(parts: Sequence[str]) -> Iterator[str]:
    """Yield user and password, and the password alone, of a value ``Basic …`` (RFC 7617)."""
    if len(parts) == 2 and parts[0].lower() == "basic":
        try:
            pair = base64.b64decode(parts[1], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield pair
        yield pair.partition(":")[2]


def _base64(secret: bytes) -> Iterator[str]:
    """Yield both alphabets of base64 without padding (RFC 4648 sections 4 and 5)."""
    if len(secret) >= LEAST_CHARS:
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(secret).decode().rstrip("=")
