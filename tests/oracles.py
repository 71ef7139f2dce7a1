"""What tests hold the code against, written another way than the code is."""

from __future__ import annotations


def matches(pattern: str, event_type: str) -> bool:
    """Whether *pattern* means *event_type*, by its definition."""
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type
