"""Registration: the request that configures a webhook, and the rules it must meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.event_types import EVENT_PATTERN, is_pattern
from monitor.domain.delivery.order import Order, SkipAfter
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.reminders import MAX_STEPS, STEP_SCHEMA, step_errors
from monitor.domain.delivery.retry import MAX_ATTEMPTS, MAX_RETRY_S, RetryPolicy
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.text import LINE, LINES, label_errors, text_errors
from monitor.domain.vocab import BodyFormat, Reenable, SignatureScheme
from monitor.domain.webhooks.body_format import format_errors, mail_errors
from monitor.domain.webhooks.chat_url import origin
from monitor.domain.webhooks.disabled import enabled_by_user, keep_disabled
from monitor.domain.webhooks.mail_url import is_mail_url
from monitor.domain.webhooks.webhook import MASK, RESERVED_HEADERS, Webhook

MAX_LABELS = 32
MAX_HEADERS = 32

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
_HEADERS = {
    "maxProperties": MAX_HEADERS,
    "propertyNames": {"pattern": f"^{_HEADER_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "pattern": f"^{_HEADER_VALUE.pattern}$"},
}

Labels = dict[
    Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema=LINE)],
    Annotated[str, Meta(max_length=256, extra_json_schema=LINE)],
]


class WebhookSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request to configure a webhook.

    ``event_types`` holds exact types, prefixes (``order.*``) or ``*``. An event must carry every one of ``labels`` to
    reach the webhook, but for ``monitor.managed_by``, which names a configuration file. A header value of ``***`` keeps
    the stored one.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200, description="Display name.", extra_json_schema=LINE)]
    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            description="Where deliveries go, by POST; or recipients of e-mail, as `mailto:ops@example.org`.",
        ),
    ]
    description: Annotated[str, Meta(max_length=2000, extra_json_schema=LINES)] = ""
    event_types: Annotated[
        list[Annotated[str, Meta(extra_json_schema=EVENT_PATTERN)]], Meta(min_length=1, max_length=64)
    ] = msgspec.field(default_factory=lambda: ["*"])
    labels: Annotated[Labels, Meta(extra_json_schema={"maxProperties": MAX_LABELS})] = {}
    headers: Annotated[dict[str, str], Meta(extra_json_schema=_HEADERS)] = {}
    enabled: bool = True
    reenable: Annotated[
        Reenable,
        Meta(description="After Monitor disabled the webhook: `probe` sends signed pings, and a 2xx enables it again."),
    ] = Reenable.NEVER
    timeout_s: Annotated[float, Meta(ge=1, le=30, description="Bounds one whole attempt, in seconds.")] = 15.0
    retry: RetryPolicy = RetryPolicy()
    max_concurrency: Annotated[int, Meta(ge=1, le=1000)] = 10
    rate_limit: RateLimit | None = None
    ordered: Annotated[
        Order,
        Meta(
            description="`true`: one delivery at a time, in the order of acceptance. `key`: the same for the events of"
            " each `order_key`; keys go side by side, and events without a key in no order."
        ),
    ] = False
    skip_after: SkipAfter | None = None
    signature: SignatureScheme = SignatureScheme.V1
    body_format: Annotated[
        BodyFormat,
        Meta(
            description="`standard` sends the payload as it is, the others a message about it; `pagerduty`, `opsgenie`"
            " and `alertmanager` make each alert one incident there."
        ),
    ] = BodyFormat.STANDARD
    reminders: (
        Annotated[
            tuple[Annotated[int, Meta(extra_json_schema=STEP_SCHEMA)], ...],
            Meta(
                description="When to send `monitor.alert.reminder`, in seconds since a critical alert was sent, while"
                " nobody acknowledges it; empty for never. Left out: after 15 min, 1 h and 4 h, but never to pagers.",
                extra_json_schema={"maxItems": MAX_STEPS},
            ),
        ]
        | None
    ) = None


class WebhookChangeSpec(WebhookSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request to change a webhook. ``backfill`` belongs to the change and is not stored."""

    backfill: Annotated[
        bool, Meta(description="Together with enabling the webhook: deliver the stored events that found it disabled.")
    ] = False


OwnSecret = Annotated[
    str,
    Meta(
        max_length=128,
        description="A secret to bring along, in the form of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64,"
        " or for `v1a` `whsk_` and an Ed25519 key. Made if left out.",
    ),
]


class NewWebhookSpec(WebhookSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request to create a webhook: with its secret, unless one is to be made."""

    secret: OwnSecret | None = None


def check(spec: WebhookSpec, old: Webhook | None = None) -> None:
    """
    Apply the rules that a type cannot express.

    Args:
        old: the webhook that is changed: ``***`` may keep the values of its headers, and its texts may stay.

    Raises:
        Invalid: with one error for each wrong member.
    """
    known = () if old is None else old.header_names
    errors = (
        *(*_texts(spec, old), *_patterns(spec), *_labels(spec), *_headers(spec, known), *_limits(spec)),
        *format_errors(spec.body_format, spec.url, spec.event_types, spec.headers),
        *mail_errors(spec.body_format, spec.url, spec.headers),
    )
    if errors:
        raise Invalid("The webhook breaks a rule; see errors.", errors=errors)


def merge_patch(spec: WebhookSpec, patch: dict[str, Any]) -> Any:
    """Return *spec* with *patch* applied (JSON merge patch, RFC 7396) as plain objects, not yet validated."""
    return merge(msgspec.to_builtins(spec), patch)


def merge(target: Any, patch: Any) -> Any:
    """Return *target* with *patch* applied, both plain JSON values: MergePatch of RFC 7396 section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def spec_of(webhook: Webhook) -> WebhookSpec:
    """Return the request that would configure *webhook* as it is; header values are masked."""
    headers = dict.fromkeys(webhook.header_names, MASK)
    return WebhookSpec(**_shared(webhook) | {"event_types": list(webhook.event_types), "headers": headers})


def register(spec: WebhookSpec, id_: UUID, url: str, now: datetime) -> Webhook:
    """Return the new webhook that *spec* describes; *url* is its canonical form."""
    disabled_at = None if spec.enabled else now
    return Webhook(id=id_, created_at=now, updated_at=now, version=1, disabled_at=disabled_at, **_configured(spec, url))


def reconfigure(webhook: Webhook, spec: WebhookSpec, url: str, now: datetime) -> Webhook:
    """Return *webhook* configured by *spec*, with the next version. Enabling it clears why and since when it was
    disabled."""
    changed = msgspec.structs.replace(webhook, updated_at=now, version=webhook.version + 1, **_configured(spec, url))
    if spec.enabled:
        return enabled_by_user(changed)
    return keep_disabled(webhook, changed, now)


def check_backfill(spec: WebhookSpec, webhook: Webhook) -> bool:
    """
    Return whether *spec* requests a backfill of *webhook*, which it changes.

    Raises:
        Invalid: it does not enable the webhook.
    """
    if not (isinstance(spec, WebhookChangeSpec) and spec.backfill):
        return False
    if webhook.enabled or not spec.enabled:
        why = "Leave it out unless the webhook is being enabled; a replay with source events makes a backfill any time."
        raise Invalid("This change does not enable the webhook.", errors=(FieldError("/backfill", why),))
    return True


def check_origin(spec: WebhookSpec, old_url: str, url: str) -> None:
    """
    Refuse to send the stored header values of a webhook to another server than the one that they were given for.

    Args:
        old_url, url: the former and the new URL in their canonical form.

    Raises:
        Invalid: with one error for each header with a value to be given again.
    """
    kept = [name for name, value in spec.headers.items() if value == MASK]
    if kept and origin(old_url) != origin(url):
        why = "Give its value again, or remove the header: its stored value is not sent to another server."
        raise Invalid(
            "The URL has another scheme, host or port, so the values of the headers have to be given again.",
            errors=tuple(FieldError(_header_pointer(name), why) for name in kept),
        )


def stored_headers(spec: WebhookSpec) -> dict[str, str | None]:
    """Return the headers to store; a value of ``None`` keeps the stored one."""
    return {name: None if value == MASK else value for name, value in spec.headers.items()}


def _shared(source: WebhookSpec | Webhook) -> dict[str, Any]:
    """Return the members that a webhook and its specification have in common."""
    return {name: getattr(source, name) for name in Webhook.__struct_fields__ if name in WebhookSpec.__struct_fields__}


def _configured(spec: WebhookSpec, url: str) -> dict[str, Any]:
    event_types = tuple(dict.fromkeys(spec.event_types))
    body_format = BodyFormat.EMAIL if is_mail_url(url) else spec.body_format
    own = {"url": url, "body_format": body_format, "event_types": event_types, "header_names": tuple(spec.headers)}
    return _shared(spec) | own


def _texts(spec: WebhookSpec, old: Webhook | None) -> Iterator[FieldError]:
    if old is None or spec.name != old.name:
        yield from text_errors("/name", spec.name)
    if old is None or spec.description != old.description:
        yield from text_errors("/description", spec.description, several_lines=True)
    yield from label_errors("/labels", spec.labels, None if old is None else old.labels)
    if spec.url.endswith(f"/{MASK}"):
        yield FieldError("/url", f"Give the whole URL: {MASK} stands for a secret part of it.")


def _patterns(spec: WebhookSpec) -> Iterator[FieldError]:
    for i, pattern in enumerate(spec.event_types):
        if not is_pattern(pattern):
            yield FieldError(f"/event_types/{i}", "Use an event type (order.paid), a prefix (order.*) or *.")


def _labels(spec: WebhookSpec) -> Iterator[FieldError]:
    if len(spec.labels) > MAX_LABELS:
        yield FieldError("/labels", f"Use at most {MAX_LABELS} labels.")


def _headers(spec: WebhookSpec, known: tuple[str, ...]) -> Iterator[FieldError]:
    if len(spec.headers) > MAX_HEADERS:
        yield FieldError("/headers", f"Use at most {MAX_HEADERS} headers.")
    seen: set[str] = set()
    for name, value in spec.headers.items():
        pointer = _header_pointer(name)
        if not _HEADER_NAME.fullmatch(name):
            yield FieldError(pointer, "A header name is 1 to 128 letters, digits or !#$%&'*+.^_`|~-.")
        elif name.lower() in RESERVED_HEADERS or name.lower() in seen:
            yield FieldError(pointer, "Leave this header out: it is set by Monitor, or given twice.")
        elif value == MASK and name not in known:
            yield FieldError(pointer, f"Give a value: {MASK} only keeps one that is stored.")
        elif not _HEADER_VALUE.fullmatch(value):
            yield FieldError(pointer, "A header value is at most 4,096 visible ASCII characters, spaces and tabs.")
        seen.add(name.lower())


def _header_pointer(name: str) -> str:
    return "/headers/" + name.replace("~", "~0").replace("/", "~1")


def _limits(spec: WebhookSpec) -> Iterator[FieldError]:
    yield from step_errors("/reminders", spec.reminders)
    schedule = spec.retry.schedule_s
    if not 1 <= len(schedule) <= MAX_ATTEMPTS or not all(0 <= wait <= MAX_RETRY_S for wait in schedule):
        yield FieldError("/retry/schedule_s", f"Give 1 to {MAX_ATTEMPTS} waits of 0 to {MAX_RETRY_S} seconds.")
    elif schedule[0] != 0:
        yield FieldError("/retry/schedule_s/0", "Begin with 0: the first attempt is made at once.")
    if not 0 <= spec.retry.jitter_ratio <= 1:
        yield FieldError("/retry/jitter_ratio", "Give a share from 0 to 1.")
    limit = spec.rate_limit
    if limit is not None and not (0.001 <= limit.per_s <= 100_000 and 1 <= limit.burst <= 100_000):
        yield FieldError("/rate_limit", "per_s runs from 0.001 to 100000, burst from 1 to 100000.")
