"""The body of a request in the format of its webhook."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from monitor.domain.delivery.chat_formats import render
from monitor.domain.delivery.formats.alertmanager import alertmanager
from monitor.domain.delivery.formats.googlechat import googlechat
from monitor.domain.delivery.formats.ntfy import ntfy
from monitor.domain.delivery.formats.opsgenie import opsgenie
from monitor.domain.delivery.formats.pagerduty import pagerduty, with_routing_key
from monitor.domain.delivery.mail import email
from monitor.domain.delivery.rendered import RenderedBody
from monitor.domain.vocab import BodyFormat

_FORMATS: dict[BodyFormat, Callable[[str, bytes], RenderedBody]] = {
    BodyFormat.GOOGLECHAT: googlechat,
    BodyFormat.PAGERDUTY: pagerduty,
    BodyFormat.OPSGENIE: opsgenie,
    BodyFormat.NTFY: ntfy,
    BodyFormat.ALERTMANAGER: alertmanager,
    BodyFormat.EMAIL: email,
}


def render_body(body_format: BodyFormat, event_type: str, payload: bytes, routing_key: str = "") -> RenderedBody:
    """
    Return what is sent of an event: of ``STANDARD`` the *payload* byte for byte. Total, and the same for every attempt.

    Args:
        routing_key: goes into the body of ``PAGERDUTY``.
    """
    make = _FORMATS.get(body_format)
    if make is None:
        return RenderedBody(render(body_format, event_type, payload))
    made = make(event_type, payload)
    if body_format is BodyFormat.PAGERDUTY and routing_key:
        return msgspec.structs.replace(made, body=with_routing_key(made.body, routing_key))
    return made
