"""What is cached: how long each view lives, its tags, and the key it is stored under."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

import msgspec

from monitor.domain.monitoring.metrics import DAY_S


class Policy(msgspec.Struct, frozen=True):
    """
    Lifetime of a value, in seconds from its computation.

    It is served as it is for ``fresh_s`` (± 10 %), for ``stale_s`` more while a new one is computed in the background,
    and until ``grace_s`` as the last good value if that fails.
    """

    fresh_s: float
    stale_s: float
    grace_s: float

    @property
    def kept_s(self) -> float:
        """How long a value is of any use."""
        return max(self.fresh_s + self.stale_s, self.grace_s)


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "dashboard": Policy(5, 30, 600),
        "overview": Policy(5, 30, 600),
        "busiest_webhooks": Policy(30, 60, 600),
        "webhook_health": Policy(5, 30, 600),
        "performance": Policy(10, 60, 600),
        "performance_long": Policy(60, 300, 3600),
        "anomalies": Policy(5, 30, 600),
        "alerts": Policy(5, 30, 600),
        "alert_stats": Policy(5, 30, 600),
        "webhooks": Policy(10, 60, 600),
        "uptime": Policy(30, 300, 3600),
        # Its backlog changes all the time, and a view that is older than it is fresh would be answered first.
        "webhook": Policy(2, 0, 600),
        "metrics_closed": Policy(DAY_S, 0, DAY_S),
    }
)
"""By view. Never cached: permissions, mutations, free filters, deep pages, exports."""


class View(msgspec.Struct, frozen=True):
    """
    One kind of answer.

    ``scope`` names everything its bytes depend on (the role, where it matters): a key without all of it is refused, so
    no caller gets what was computed for another. ``tags`` are templates over the scope: ``webhook:{id}``.
    """

    name: str
    policy: Policy
    tags: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()

    def key(self, **scope: object) -> Key:
        """
        Return the key of the answer for *scope*. Different scopes have different keys.

        Raises:
            ValueError: *scope* is not exactly what the view depends on.
        """
        if scope.keys() != set(self.scope):
            raise ValueError(f"{self.name} depends on {self.scope}, not on {tuple(scope)}")
        values = [f"{name}={quote(str(scope[name]), safe='')}" for name in self.scope]
        return Key("?".join((self.name, "&".join(values))), self, tuple(tag.format_map(scope) for tag in self.tags))


class Key(msgspec.Struct, frozen=True):
    """Where one answer is stored. ``text`` alone is enough to peek."""

    text: str
    view: View
    tags: tuple[str, ...]
