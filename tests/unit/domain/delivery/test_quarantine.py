"""Quarantine and expiry: what is finished instead of sent."""

from __future__ import annotations

import pytest

from monitor.domain.delivery.quarantine import end_without_attempt
from monitor.domain.vocab import EXPIRED, DeliveryState


@pytest.mark.parametrize("event_stored", [True, False])
def test_the_fifth_lease_that_runs_out_quarantines_a_delivery(event_stored: bool) -> None:
    assert end_without_attempt(5, event_stored=event_stored) == (DeliveryState.QUARANTINED, None)


@pytest.mark.parametrize("crashes", [0, 4])
def test_a_delivery_with_fewer_crashes_is_sent_as_long_as_its_event_is_stored(crashes: int) -> None:
    assert end_without_attempt(crashes, event_stored=True) is None
    assert end_without_attempt(crashes, event_stored=False) == (DeliveryState.FAILED, EXPIRED)
