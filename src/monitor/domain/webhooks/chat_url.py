"""
URLs of chat and push services: whoever has one may post messages, so all of it but its origin is a secret.

Sources: ntfy "Publishing" (the topic is a password), Slack "Sending messages using incoming webhooks" ("Keep it secret,
keep it safe"), Discord "Webhook resource" (the token is part of the URL), Microsoft "Create incoming webhooks".
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from monitor.domain.vocab import BodyFormat
from monitor.domain.webhooks.webhook import MASK

CHAT_URL = (
    r"^https?://([a-z0-9-]+\.)*(hooks\.slack(-gov)?\.com|discord(app)?\.com|webhook\.office\.com|logic\.azure\.com"
    r"|api\.powerplatform\.com|chat\.googleapis\.com|ntfy\.sh)(:[0-9]+)?/"
)
"""Matches canonical URLs of known services, whatever the body format; the same in Python and in PostgreSQL."""

ORIGIN = r"^[a-z]+://[^/?#]*"
"""Scheme, host and port of a canonical URL; the same in Python and in PostgreSQL."""

LEAST_PART_CHARS = 16
"""Shorter parts of a path are words and ids; the tokens of all services are longer."""

SHOWN = frozenset({BodyFormat.STANDARD, BodyFormat.EMAIL})
"""Formats with URLs that are no secrets; the same in Python and in PostgreSQL."""

_CHAT_URL = re.compile(CHAT_URL)
_ORIGIN = re.compile(ORIGIN)


def is_chat_url(url: str, body_format: str) -> bool:
    """Whether *url*, in its canonical form, is a secret. Of a format that this version lacks, it may be one."""
    return body_format not in SHOWN or _CHAT_URL.search(url) is not None


def origin(url: str) -> str:
    """Return scheme, host and port of *url*, in its canonical form."""
    found = _ORIGIN.search(url)
    return "" if found is None else found[0]


def shown_url(url: str, body_format: str) -> str:
    """Return *url* as it is shown to who may not know it: of a chat URL the origin and ``/***``."""
    return f"{origin(url)}/{MASK}" if is_chat_url(url, body_format) else url


def traced_url(url: str, body_format: str) -> str:
    """Return *url*, in its canonical form, as spans have it: as it is shown, with ``***`` for the query."""
    target, mark, _ = shown_url(url, body_format).partition("?")
    return f"{target}?{MASK}" if mark else target


def secret_parts(url: str, body_format: BodyFormat) -> list[str]:
    """Return what a receiver may echo of a chat URL: the path with its query, and the long parts of both. Of ntfy it is
    any part of the path: users choose topics, and its answers name these."""
    least_path = 1 if body_format is BodyFormat.NTFY else LEAST_PART_CHARS
    split = urlsplit(url)
    target = url[len(origin(url)) :]
    parts = [*(value for _, value in parse_qsl(split.query)), *split.query.split("&")]
    found = {form for part in parts for form in (part, unquote(part)) if len(form) >= LEAST_PART_CHARS}
    names = split.path.split("/")
    found |= {form for part in names for form in (part, unquote(part)) if len(form) >= least_path}
    return [*([target] if len(target) >= LEAST_PART_CHARS else []), *sorted(found)]
