"""How patient the cache is."""

from __future__ import annotations

import msgspec

MIB = 2**20


class CacheConfig(msgspec.Struct, frozen=True):
    """Times are in seconds."""

    l1_bytes: int = 48 * MIB
    """Room for values in memory, what they cost beside their bodies included."""
    lease_s: float = 1.0
    """How long a process may serve from memory after it last proved that it hears of drops."""
    ping_interval_s: float = 0.25
    creator_timeout_s: float = 10.0
    """The longest a creator may take; a creation is nobody's for no longer than this."""
    lock_wait_s: float = 2.0
    """How long to wait for another process's creation before creating anyway."""
    fail_safe_s: float = 2.0
    """After a failed creation the last good value is answered for so long before the next try."""
    reconnect_delay_s: float = 0.1
    invalidate_timeout_s: float = 0.15
    """How long a drop is tried before it is owed instead."""
