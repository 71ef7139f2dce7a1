"""Rate limit of one webhook: a token bucket."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``per_s`` deliveries a second on average, ``burst`` at once."""

    per_s: Annotated[float, Meta(extra_json_schema={"minimum": 0.001, "maximum": 100_000})]
    burst: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100_000})] = 1
