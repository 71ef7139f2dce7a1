"""Quarantine and expiry: leased deliveries that are finished instead of sent."""

from __future__ import annotations

from monitor.domain.vocab import EXPIRED, DeliveryState

MAX_CRASHES = 5
"""Leases that may run out under one delivery before it is quarantined."""


def end_without_attempt(crashes: int, *, event_stored: bool) -> tuple[DeliveryState, str | None] | None:
    """
    Return the state and error with which a leased delivery ends without an attempt; ``None`` if it is to be sent. Pure
    and total.

    Args:
        crashes: leases of it that ran out, each a sign of a worker that it may have ended.
        event_stored: false once its event is past retention, after a long pause for example: no payload is left.
    """
    if crashes >= MAX_CRASHES:
        return DeliveryState.QUARANTINED, None
    return None if event_stored else (DeliveryState.FAILED, EXPIRED)
