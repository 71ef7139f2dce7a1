"""The token bucket of a rate limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.delivery.rate_limit import RateLimit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMIT = RateLimit(2.0, 5)


@pytest.mark.parametrize(
    ("tokens", "passed_s", "available"),
    [(0.0, 0.0, 0.0), (0.0, 1.5, 3.0), (1.0, 2.0, 5.0), (0.0, 3_600.0, 5.0), (5.0, 0.5, 5.0), (3.0, -60.0, 3.0)],
)
def test_a_bucket_fills_by_its_rate_up_to_its_burst(tokens: float, passed_s: float, available: float) -> None:
    assert LIMIT.available(tokens, NOW, NOW + timedelta(seconds=passed_s)) == available


def test_a_bucket_that_was_never_used_is_full() -> None:
    assert LIMIT.available(None, None, NOW) == LIMIT.burst
