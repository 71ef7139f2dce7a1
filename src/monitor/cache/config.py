"""Sizes and time limits of the cache."""

from __future__ import annotations

import msgspec

MIB = 2**20


class CacheConfig(msgspec.Struct, frozen=True):
    """Every process on one server needs the same ``lease_s``."""

    l1_bytes: int = 48 * MIB
    """Bound of L1, overhead of the slots included."""
    lease_s: float = 1.0
    """How long memory may be served after the last proof that all invalidations have arrived."""
    ping_interval_s: float = 0.25
    creator_timeout_s: float = 10.0
    """The longest a creator may run, and the lease of its lock."""
    lock_wait_s: float = 2.0
    """How long to wait for another process's creation before creating anyway."""
    fail_safe_s: float = 2.0
    """Pause after a failed creation; meanwhile the last good value is served."""
    reconnect_delay_s: float = 0.1
    invalidate_timeout_s: float = 0.15
    """How long an invalidation is retried before it becomes a pending one."""
