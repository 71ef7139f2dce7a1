"""Readiness of a lane: the rule that the queue's SQL repeats, proven equal by ``test_ready_lanes``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from monitor.domain.delivery.lane import Lane, capacity


def is_ready(
    lane: Lane, *, enabled: bool, paused: bool, due_at: datetime | None, now: datetime, is_preceded: bool = False
) -> bool:
    """
    Whether a claim at *now* may lease a delivery of *lane*. Pure and total.

    Args:
        lane: with its ``in_flight`` counted.
        due_at: :func:`next_due_at` of the lane's deliveries.
        is_preceded: whether an unfinished fan-out ``precedes`` the oldest of them, which an ordered lane waits for.
    """
    if lane.ordered and is_preceded:
        return False
    active = enabled and not paused and not lane.deleted
    return active and due_at is not None and due_at <= now and capacity(lane, now) > 0


def next_due_at(due_at: Mapping[UUID, datetime], *, ordered: bool) -> datetime | None:
    """Return when the next delivery is due: the oldest of an ordered lane, else the earliest; ``None`` without any."""
    return (due_at[min(due_at)] if ordered else min(due_at.values())) if due_at else None
