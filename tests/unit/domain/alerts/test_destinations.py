"""Which webhooks get critical alerts."""

from __future__ import annotations

import pytest

from monitor.domain.alerts.destinations import RAISED_PATTERNS, gets_critical


def test_a_subscription_to_everything_is_none_to_alerts() -> None:
    assert RAISED_PATTERNS == ("monitor.alert.raised", "monitor.alert.*", "monitor.*")


@pytest.mark.parametrize(
    ("labels", "enabled", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"severity": "critical"}, True, True),
        ({"severity": "warning"}, True, False),
        ({"kind": "failing", "team": "shop"}, True, True),
    ],
)
def test_labels_restrict_what_a_destination_gets(labels: dict[str, str], enabled: bool, expected: bool) -> None:
    assert gets_critical(labels, enabled=enabled) is expected
