"""What the body format of a webhook demands of its other members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.domain.delivery.alert_event import ALERTS
from monitor.domain.delivery.formats.pagerduty import ROUTING_KEY
from monitor.domain.errors import FieldError
from monitor.domain.vocab import PAGERS, BodyFormat
from monitor.domain.webhooks.mail_url import is_mail_url

ADDS_TO_URL = frozenset({BodyFormat.GOOGLECHAT, BodyFormat.OPSGENIE, BodyFormat.NTFY})
URL_MAX = 512
"""Characters of a URL to which a path or query is added."""


def format_errors(
    body_format: BodyFormat, url: str, event_types: Sequence[str], headers: Mapping[str, str]
) -> Iterator[FieldError]:
    """Yield what is wrong with a webhook of *body_format*, each error with the member that it is about."""
    names = {name.lower() for name in headers}
    if body_format in PAGERS:
        for i, pattern in enumerate(event_types):
            if not pattern.startswith(ALERTS):
                yield FieldError(f"/event_types/{i}", f"A pager takes events about alerts alone: use {ALERTS}*.")
    if body_format is BodyFormat.PAGERDUTY and ROUTING_KEY.lower() not in names:
        yield FieldError("/headers", f"Give the integration key of the service as the header {ROUTING_KEY}.")
    if body_format is BodyFormat.OPSGENIE and "authorization" not in names:
        yield FieldError("/headers", "Give the key of an API integration as the header Authorization: GenieKey …")
    path = url.partition("?")[0].partition("://")[2].partition("/")[2]
    if body_format is BodyFormat.OPSGENIE and not path.rstrip("/").endswith("v2/alerts"):
        yield FieldError("/url", "Give the URL that alerts are created at; it ends with /v2/alerts.")
    if body_format is BodyFormat.NTFY and not path:
        yield FieldError("/url", "Give the URL of the topic, like https://ntfy.sh/TOPIC.")
    if body_format in ADDS_TO_URL and len(url) > URL_MAX:
        yield FieldError("/url", f"In this format the URL has at most {URL_MAX} characters.")


def mail_errors(body_format: BodyFormat, url: str, headers: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield what is wrong with a webhook that sends e-mail, or whose format says so."""
    if not is_mail_url(url):
        if body_format is BodyFormat.EMAIL:
            yield FieldError("/body_format", "An e-mail goes to a URL such as mailto:ops@example.org.")
        return
    if headers:
        yield FieldError("/headers", "Leave them out: Monitor writes the header fields of an e-mail.")
    if body_format not in (BodyFormat.EMAIL, BodyFormat.STANDARD):
        yield FieldError("/body_format", "Leave it out: with a mailto: URL it is email.")
