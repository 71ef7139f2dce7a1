"""Rate limit of one webhook: a token bucket."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``per_s`` deliveries a second on average, ``burst`` at once."""

    per_s: Annotated[float, Meta(extra_json_schema={"minimum": 0.001, "maximum": 100_000})]
    burst: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100_000})] = 1

    def available(self, tokens: float | None, since: datetime | None, now: datetime) -> float:
        """Return the tokens *now* of a bucket that held *tokens* at *since*, each null while it is full."""
        if tokens is None or since is None:
            return float(self.burst)
        waited_s = max((now - since).total_seconds(), 0.0)
        return min(tokens + waited_s * self.per_s, float(self.burst))
