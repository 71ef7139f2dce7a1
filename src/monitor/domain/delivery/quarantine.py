"""Quarantine: deliveries whose attempts keep ending workers are set aside."""

from __future__ import annotations

MAX_CRASHES = 5
"""Leases that may run out under one delivery before it is quarantined."""
