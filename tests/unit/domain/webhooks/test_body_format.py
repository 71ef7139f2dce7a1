"""What a body format demands of its webhook."""

from __future__ import annotations

import pytest

from monitor.domain.vocab import PAGERS, BodyFormat
from monitor.domain.webhooks.body_format import URL_MAX, format_errors

ALERTS = ("monitor.alert.*",)
OPSGENIE = "https://api.opsgenie.com/v2/alerts"
KEYS = {"x-routing-key": "k", "AUTHORIZATION": "GenieKey k"}


def pointers(
    body_format: BodyFormat,
    url: str = OPSGENIE,
    event_types: tuple[str, ...] = ALERTS,
    headers: dict[str, str] = KEYS,
) -> list[str]:
    return [error.pointer for error in format_errors(body_format, url, event_types, headers)]


@pytest.mark.parametrize("body_format", BodyFormat)
def test_a_destination_of_alerts_with_its_key_is_right(body_format: BodyFormat) -> None:
    assert pointers(body_format) == []


@pytest.mark.parametrize("body_format", BodyFormat)
def test_pagers_take_events_about_alerts_alone(body_format: BodyFormat) -> None:
    wrong = ["/event_types/0", "/event_types/2"] if body_format in PAGERS else []
    assert pointers(body_format, event_types=("*", "monitor.alert.raised", "monitor.*")) == wrong


def test_a_pager_needs_its_key() -> None:
    assert pointers(BodyFormat.PAGERDUTY, headers={}) == ["/headers"]
    assert pointers(BodyFormat.OPSGENIE, headers={}) == ["/headers"]
    assert pointers(BodyFormat.ALERTMANAGER, headers={}) == []
    assert pointers(BodyFormat.NTFY, headers={}) == []


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://api.eu.opsgenie.com/v2/alerts/", []),
        ("https://api.atlassian.com/jsm/ops/integration/v2/alerts", []),
        ("https://api.opsgenie.com/v2/alerts?x=/v2/alert", []),
        ("https://api.opsgenie.com", ["/url"]),
        ("https://api.opsgenie.com/v2/alerts/1/close", ["/url"]),
        ("https://api.opsgenie.com/?/v2/alerts", ["/url"]),
    ],
)
def test_opsgenies_url_is_that_of_creating_alerts(url: str, wrong: list[str]) -> None:
    assert pointers(BodyFormat.OPSGENIE, url) == wrong


@pytest.mark.parametrize(
    ("url", "wrong"),
    [("https://ntfy.sh/t", []), ("https://ntfy.sh/", ["/url"]), ("https://ntfy.sh", ["/url"]), ("ntfy.sh", ["/url"])],
)
def test_ntfys_url_names_a_topic(url: str, wrong: list[str]) -> None:
    assert pointers(BodyFormat.NTFY, url) == wrong


def test_where_a_format_adds_to_the_url_there_is_room() -> None:
    long = "https://a.example/" + "x" * URL_MAX
    assert pointers(BodyFormat.NTFY, long) == pointers(BodyFormat.GOOGLECHAT, long) == ["/url"]
    assert pointers(BodyFormat.SLACK, long) == []
