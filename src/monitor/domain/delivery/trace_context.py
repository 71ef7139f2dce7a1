"""
The context of a trace, as the header ``traceparent`` carries it (W3C Trace Context, level 1, section 3.2).

``tracestate`` is dropped: it holds data of the producer's tracing system, and receivers belong to others.
"""

from __future__ import annotations

import re

TRACEPARENT = "traceparent"

_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)


def read_traceparent(value: str | None) -> str | None:
    """
    Return a received *value* in the form of version 00, or ``None`` if it is missing or breaks the format.

    What a later version appends is left out, as the standard requires of implementations that do not read it.
    """
    found = _TRACEPARENT.fullmatch(value.strip(" \t")) if value else None
    if found is None or (found["version"] == "00" and found["rest"] is not None):
        return None
    sampled = int(found["flags"], 16) & 1
    return f"00-{found['trace']}-{found['parent']}-{sampled:02x}"
