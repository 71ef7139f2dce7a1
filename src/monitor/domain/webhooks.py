"""Webhooks: what one is, which events reach it, and how a message to it is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery import RetryPolicy
from monitor.domain.vocab import BodyFormat, SignatureScheme

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret starts with
MASK = "***"
"""Stands in answers for the value of a destination header; sent back, it keeps the stored value."""

RESERVED_HEADERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "accept-encoding", "monitor-event-type", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp",
    }
)  # fmt: skip
"""Lower-case names that a webhook's own headers may not set."""

RESERVED_SEGMENT = "monitor"
"""First segment of the types of Monitor's own events, such as ``monitor.alert.raised``."""

_TYPE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PATTERN = re.compile(r"\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?")

EVENT_TYPE = {"maxLength": 128, "pattern": f"^(?!monitor(\\.|$))({_TYPE.pattern})$"}
EVENT_PATTERN = {"maxLength": 128, "pattern": f"^({_PATTERN.pattern})$"}
"""What the documentation says of them, as JSON Schema; the functions below decide."""


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``per_s`` deliveries a second on average, ``burst`` at once."""

    per_s: Annotated[float, Meta(extra_json_schema={"minimum": 0.001, "maximum": 100_000})]
    burst: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100_000})] = 1


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A registered destination as a person configured it. Secrets and header values live elsewhere, encrypted."""

    id: UUID
    name: str
    url: str
    description: str = ""
    event_types: tuple[str, ...] = ("*",)
    labels: dict[str, str] = {}
    header_names: tuple[str, ...] = ()
    enabled: bool = True
    disabled_reason: str | None = None
    paused_at: datetime | None = None
    timeout_s: float = 15.0
    retry: RetryPolicy = RetryPolicy()
    max_concurrency: int = 10
    rate_limit: RateLimit | None = None
    ordered: bool = False
    signature: SignatureScheme = SignatureScheme.V1
    body_format: BodyFormat = BodyFormat.STANDARD
    version: int = 1
    created_at: datetime
    updated_at: datetime


def is_event_type(text: str) -> bool:
    """Whether *text* is dot-separated segments of letters, digits, ``_`` and ``-``, 128 characters at most."""
    return len(text) <= 128 and _TYPE.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Whether *text* is ``*``, an event type, or an event type followed by ``.*``."""
    return len(text) <= 128 and _PATTERN.fullmatch(text) is not None


def is_reserved(event_type: str) -> bool:
    """Whether only Monitor itself publishes events of this type."""
    return event_type.split(".", 1)[0] == RESERVED_SEGMENT


def patterns_for(event_type: str) -> tuple[str, ...]:
    """Return every pattern that matches *event_type*, most specific first.

    ``order.paid.eu`` → ``order.paid.eu``, ``order.paid.*``, ``order.*``, ``*``. The last one is left out for Monitor's
    own events: who wants every order has not asked to hear how other webhooks do.
    """
    parts = event_type.split(".")
    prefixes = (".".join(parts[:n]) + ".*" for n in range(len(parts) - 1, 0, -1))
    return (event_type, *prefixes, *(() if is_reserved(event_type) else ("*",)))


def subscribes(
    patterns: Iterable[str], labels: Mapping[str, str], *, event_type: str, event_labels: Mapping[str, str]
) -> bool:
    """Whether a webhook gets an event: one pattern matches its type and the event carries all its labels."""
    wanted = patterns_for(event_type)
    return any(p in wanted for p in patterns) and all(event_labels.get(k) == v for k, v in labels.items())


def encode_secret(key: bytes) -> str:
    """Write a symmetric signing key the way Standard Webhooks does: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def decode_secret(secret: str) -> bytes:
    """Inverse of :func:`encode_secret`.

    Raises:
        ValueError: not ``whsec_`` followed by base64.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("a signing secret starts with whsec_")
    return base64.b64decode(secret[len(SECRET_PREFIX) :], validate=True)


def signed_content(message_id: str, timestamp_s: int, body: bytes) -> bytes:
    """Return the bytes that a Standard Webhooks signature covers: ``id.timestamp.body``."""
    return b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)


def sign_v1(key: bytes, content: bytes) -> str:
    """Return one ``v1`` signature part: HMAC-SHA256 in base64."""
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def verify_v1(key: bytes, content: bytes, header: str) -> bool:
    """Whether any space-separated part of *header* is a ``v1`` signature of *content* by *key*. Fails closed."""
    expected = sign_v1(key, content)
    # compare_digest refuses text outside ASCII, and a header may hold lone surrogates that cannot be encoded.
    return any(part.isascii() and hmac.compare_digest(expected, part) for part in header.split(" "))
