"""Readiness of a lane: the rule that the queue's SQL repeats, proven equal by ``test_ready_lanes``."""

from __future__ import annotations

from datetime import datetime

from monitor.domain.delivery.lane import Lane, capacity


def is_ready(lane: Lane, *, enabled: bool, paused: bool, due_at: datetime | None, now: datetime) -> bool:
    """
    Whether a claim at *now* may lease a delivery of *lane*. Pure and total.

    Args:
        lane: with its ``in_flight`` counted.
        due_at: :func:`~monitor.domain.delivery.order.next_due_at` of the lane's deliveries.
    """
    active = enabled and not paused and not lane.deleted
    return active and due_at is not None and due_at <= now and capacity(lane, now) > 0
