"""Which exposition format a scraper gets."""

from __future__ import annotations

import pytest

from monitor.http.routes.prometheus import OPENMETRICS, TEXT, negotiated

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/*;q=0.5", TEXT),
        ("text/html, */*;q=0.8", TEXT),
        ("application/json", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("Application/OpenMetrics-Text", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"; charset=utf-8', OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("application/openmetrics-text; version=x", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", TEXT),
        ("text/plain;version=0.0.4;q=0.2, application/openmetrics-text;q=0.2", OPENMETRICS),
    ],
)
def test_openmetrics_is_sent_where_it_is_asked_for(accept: str, media_type: str) -> None:
    assert negotiated(accept) == media_type


def test_each_format_names_its_charset_once() -> None:
    assert (TEXT.count("charset"), OPENMETRICS.count("charset")) == (1, 1)
