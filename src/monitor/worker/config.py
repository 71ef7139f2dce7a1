"""Limits of a delivery worker."""

from __future__ import annotations

import msgspec


class DeliveryConfig(msgspec.Struct, frozen=True):
    """
    Limits of one worker. Times are seconds.

    ``concurrency`` attempts run at once; ``backlog`` bounds everything under lease. A claim brings what the worker is
    expected to send in the next ``ahead_s``; results of a busy worker gather for ``gather_s``. A delivery whose attempt
    could not be made here is due again after ``unmade_s``.
    """

    concurrency: int = 100
    backlog: int = 1000
    settle_batch: int = 500
    ahead_s: float = 0.25
    gather_s: float = 0.02
    poll_s: float = 1.0
    renew_s: float = 10.0
    lease_s: float = 30.0
    drain_s: float = 25.0
    retry_s: float = 0.5
    unmade_s: float = 5.0
