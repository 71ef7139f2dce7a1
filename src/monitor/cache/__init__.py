"""
Coherent two-tier cache: one dogpile.cache region over L1 in the process and L2 in Redis.

How a value stays true: each tag has a random token in Redis. A value is stored behind the tokens that its tags
had *before* it was computed, and is valid only while these are the current ones. Invalidating a tag replaces its token,
so a value computed from older data can never be valid again, whichever process stores it, and whenever.
"""

from __future__ import annotations

from monitor.cache.cache import Cache
from monitor.cache.config import CacheConfig
from monitor.cache.entry import Entry
from monitor.cache.invalidation_rules import Invalidation, InvalidationRules
from monitor.cache.load import Creator
from monitor.cache.policy import POLICIES, Key, Policy, View
from monitor.cache.redis_server import RedisCacheServer
from monitor.cache.warming import Warmer

__all__ = [
    "POLICIES",
    "Cache",
    "CacheConfig",
    "Creator",
    "Entry",
    "Invalidation",
    "InvalidationRules",
    "Key",
    "Policy",
    "RedisCacheServer",
    "View",
    "Warmer",
]
